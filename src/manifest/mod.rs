//! YAML to [`Desired`]: wire types, loading with places to point at, and a pure resolution.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::model::desired::Desired;
use crate::model::names::{GoalName, ModeName};

/// lcm's own environment, as `${VAR}` and `{ env: NAME }` see it.
pub type Environment = BTreeMap<String, String>;

/// What the command line and the store say about the mode.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// `--mode`, for this run.
    pub mode: Option<ModeName>,
    /// An operator's `lcm switch`, where it still holds.
    pub word: Option<ModeName>,
    /// `--goal`.
    pub goals: BTreeSet<GoalName>,
}

/// Reads the manifest and what it includes, and resolves it; or says everything that is wrong with it.
pub fn load(entry: &Path, environment: &Environment, choice: &Choice) -> Result<Desired, Problems> {
    let _ = (entry, environment, choice);
    unimplemented!()
}

/// The JSON schema that editors validate manifests by.
#[must_use]
pub fn schema() -> serde_json::Value {
    unimplemented!()
}

/// All that is wrong with a manifest; never empty in an `Err`.
#[derive(Debug)]
pub struct Problems(pub Vec<Problem>);

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    /// `lcm::unknown_key`, stable.
    pub code: &'static str,
    pub message: String,
    /// What stands under the underlined place.
    pub label: String,
    pub help: Option<String>,
    pub place: Option<Place>,
    /// Further places, each with its own label: the first definition of a name that is defined twice.
    pub related: Vec<(Place, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// A stretch of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As the user named it, or relative to the folder lcm was called in.
    pub file: PathBuf,
    pub offset: usize,
    pub length: usize,
    /// From 1.
    pub line: usize,
    pub column: usize,
}
