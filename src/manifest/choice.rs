//! A caller's choice among the modes and goals of a manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::names::{GoalName, ModeName};

/// The mode and the goals that a caller chooses, by the command line and by the store.
#[derive(Clone, Debug, Default)]
pub struct ModeSelection {
    /// `--mode`, for this run.
    pub mode: Option<ModeName>,
    /// An operator's `lcm switch`, where it still holds.
    pub mode_override: Option<ModeName>,
    /// `--goal`.
    pub goals: BTreeSet<GoalName>,
    /// A caller that only looks, or stops everything, needs no mode: then there may be none though the manifest has some.
    pub mode_optional: bool,
    /// Texts that stand for the manifest's files, by absolute path: those of an earlier run.
    pub files: Option<Arc<BTreeMap<PathBuf, String>>>,
}
