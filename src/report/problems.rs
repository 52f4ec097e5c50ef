//! What is wrong with manifests, for programs. Its JSON is `lcm.problems/1`; people see each problem underlined in its
//! file, which is not here.

use schemars::JsonSchema;
use serde::Serialize;

/// The version of its JSON.
pub const FORMAT: &str = "lcm.problems/1";

/// Manifests that were checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckedManifests {
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    /// As they were named, in that order.
    pub files: Vec<CheckedFile>,
}

impl CheckedManifests {
    #[must_use]
    pub fn new(files: Vec<CheckedFile>) -> Self {
        Self { format: FORMAT.to_owned(), files }
    }
}

/// One manifest, with all that it includes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckedFile {
    /// As it is shown: what is not UTF-8 in its name is U+FFFD.
    pub file: String,
    pub valid: bool,
    pub problems: Vec<ProblemEntry>,
    /// Of a manifest that is valid.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemEntry {
    pub severity: ProblemSeverity,
    /// `lcm::manifest::unknown_key`: stable, and what `lcm explain` takes.
    pub code: String,
    pub message: String,
    /// What is to be said of just this place.
    pub label: String,
    pub help: Option<String>,
    /// `null`: it is about no place in a file.
    pub place: Option<ProblemLocation>,
    /// Further places that belong to it.
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
    /// As it is shown.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Related {
    pub place: ProblemLocation,
    pub label: String,
}
