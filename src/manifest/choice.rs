//! A caller's choice among the modes and goals of a manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::mode_set::ModeSet;
use crate::model::names::GoalName;

/// Mode and goals chosen by the command line and by the store.
#[derive(Clone, Debug, Default)]
pub struct ModeSelection {
    /// Modes given with `--mode`, for this run.
    pub mode: Option<ModeSet>,
    /// Mode override by an operator's `lcm switch`, where it is still in force.
    pub mode_override: Option<ModeSet>,
    /// `--goal`.
    pub goals: BTreeSet<GoalName>,
    /// True for a caller that only reads, or stops everything: no mode is then needed, though the manifest has some.
    pub mode_optional: bool,
    /// Texts that replace the manifest's files, by absolute path: those of an earlier run.
    pub files: Option<Arc<BTreeMap<PathBuf, String>>>,
}
