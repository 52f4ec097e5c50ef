//! Problems of manifests, for programs. The JSON is `lcm.problems/1`; for people, each problem is shown underlined in
//! its file, which is not done here.

use schemars::JsonSchema;
use serde::Serialize;

/// Version of the JSON.
pub const FORMAT: &str = "lcm.problems/1";

/// Manifests that were checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckedManifests {
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    /// The files named on the command line, in that order.
    pub files: Vec<CheckedFile>,
}

impl CheckedManifests {
    #[must_use]
    pub fn new(files: Vec<CheckedFile>) -> Self {
        Self { format: FORMAT.to_owned(), files }
    }
}

/// One manifest, with all its includes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckedFile {
    /// Name of the file as shown: invalid UTF-8 is replaced by U+FFFD.
    pub file: String,
    /// True if no problem is an error.
    pub valid: bool,
    /// Errors and warnings, in the order of the files.
    pub problems: Vec<ProblemEntry>,
    /// Warnings on a valid manifest, each as one line of text; `problems` has them with code and place.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemEntry {
    pub severity: ProblemSeverity,
    /// Code such as `lcm::manifest::unknown_key`: stable, and accepted by `lcm explain`.
    pub code: String,
    pub message: String,
    /// Short remark on the place.
    pub label: String,
    pub help: Option<String>,
    /// Place of the problem; `null` if the problem has no place in a file.
    pub place: Option<ProblemLocation>,
    /// Further places that are part of the problem.
    pub related: Vec<Related>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Severity")]
pub enum ProblemSeverity {
    Error,
    Warning,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Place")]
pub struct ProblemLocation {
    /// Name of the file as shown.
    pub file: String,
    /// Line number, starting at 1.
    pub line: usize,
    /// Column number, starting at 1.
    pub column: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Related {
    pub place: ProblemLocation,
    pub label: String,
}
