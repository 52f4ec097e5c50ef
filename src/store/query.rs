//! What is asked of the history: which changes, of which time, and how many.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::model::lifecycle::State;
use crate::model::names::{ProjectName, ServiceName};

/// Each filter narrows; an empty one lets everything through.
#[derive(Clone, Debug)]
pub struct HistoryQuery {
    pub project: ProjectName,
    pub services: BTreeSet<ServiceName>,
    /// What a change came to.
    pub states: BTreeSet<State>,
    /// From this moment on.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// A part of who it was, in any case of letters.
    pub by: Option<String>,
    /// The id of a run.
    pub run: Option<String>,
    /// So many of the newest.
    pub limit: Option<u32>,
}

impl HistoryQuery {
    /// All of a project.
    #[must_use]
    pub fn all(project: ProjectName) -> Self {
        Self {
            project,
            services: BTreeSet::new(),
            states: BTreeSet::new(),
            since: None,
            until: None,
            by: None,
            run: None,
            limit: None,
        }
    }
}
