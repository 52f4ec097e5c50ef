//! YAML to [`Desired`]: wire types, loading with places to point at, and a pure resolution.
//!
//! A file passes `yaml` (text to a tree that knows its places), `interpolate` (`${VAR}`), `extend` (templates), `read`
//! (tree to `wire` types, gathering every fault) and, all files together, `resolve` (wire to [`Desired`]). Only `load`
//! reads files; lcm's environment comes in as a map.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::desired::Desired;
use crate::model::names::{GoalName, ModeName, ProjectName};
use crate::syntax::Environment;
use crate::syntax::problem::Problems;

mod advice;
mod extend;
mod load;
mod ours;
mod resolve;
mod schema;
mod search;
mod secrets;
mod values;
mod wire;

/// What the command line and the store say about the mode.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// `--mode`, for this run.
    pub mode: Option<ModeName>,
    /// An operator's `lcm switch`, where it still holds.
    pub word: Option<ModeName>,
    /// `--goal`.
    pub goals: BTreeSet<GoalName>,
    /// Whoever only looks, or stops everything, needs no mode: then there may be none though the manifest has some.
    pub mode_optional: bool,
    /// Texts that stand for the manifest's files, by absolute path: those of an earlier run.
    pub files: Option<Arc<BTreeMap<PathBuf, String>>>,
}

/// Reads the manifest and what it includes, and resolves it; or says everything that is wrong with it.
pub fn load(entry: &Path, environment: &Environment, choice: &Choice) -> Result<Desired, Problems> {
    load::load(entry, environment, choice)
}

/// Reads the project's name alone from a manifest and what it includes; `None`: it has none, or can't be read.
#[must_use]
pub fn project_name(entry: &Path, environment: &Environment) -> Option<ProjectName> {
    load::project_name(entry, environment)
}

/// The files that a manifest is read from: itself, what it includes, and the env files of its services.
#[must_use]
pub fn files(entry: &Path, environment: &Environment) -> Vec<PathBuf> {
    load::files(entry, environment)
}

/// The variables of an env file; none where it can't be read.
#[must_use]
pub fn dotenv(text: &str, environment: &Environment) -> Environment {
    crate::syntax::dotenv::parse(text, environment).unwrap_or_default()
}

/// The JSON schema that editors validate manifests by.
#[must_use]
pub fn schema() -> serde_json::Value {
    schema::schema()
}
