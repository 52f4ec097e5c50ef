//! Converged runs: what `lcm rollback` goes back to. The texts of the manifest's files are kept, rather than their
//! resolved values: secrets stay in the environment, in env files and in secret files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::mode_set::ModeSet;
use crate::model::names::GoalName;

/// One file of a manifest, as read.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileText {
    /// Absolute.
    pub path: PathBuf,
    pub text: String,
}

impl fmt::Debug for FileText {
    /// Without the text, which may hold secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({} bytes)", self.path.display(), self.text.len())
    }
}

/// A run after which nothing was left to do, nothing was blocked, and nothing had failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converged {
    /// Id of the run.
    pub run: String,
    pub at: Timestamp,
    pub mode: Option<ModeSet>,
    /// The mode that the entry file itself names.
    pub own_mode: Option<ModeSet>,
    /// Goals requested beside the mode's.
    pub goals: BTreeSet<GoalName>,
    /// The entry file, absolute.
    pub entry: PathBuf,
    /// The entry file and all that it includes.
    pub files: Arc<[FileText]>,
}

impl Converged {
    /// Returns true if both describe the same manifest: then the later one replaces the earlier.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.mode, &self.goals, &self.entry, &self.files) == (&other.mode, &other.goals, &other.entry, &other.files)
    }

    /// Returns the texts by path, for reading the manifest again.
    #[must_use]
    pub fn texts(&self) -> BTreeMap<PathBuf, String> {
        self.files.iter().map(|file| (file.path.clone(), file.text.clone())).collect()
    }
}
