//! Query of the history: filters on changes, time and number.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::model::lifecycle::State;
use crate::model::names::{ProjectName, ServiceName};

/// Query of the history. Each filter narrows it; an empty one matches everything.
#[derive(Clone, Debug)]
pub struct HistoryQuery {
    pub project: ProjectName,
    pub services: BTreeSet<ServiceName>,
    /// States after a change.
    pub states: BTreeSet<State>,
    /// From this moment on.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// Part of the author's name, in upper or lower case.
    pub by: Option<String>,
    /// Id of a run.
    pub run: Option<String>,
    /// Number of the newest changes to return.
    pub limit: Option<u32>,
}

impl HistoryQuery {
    /// Creates the query for everything of a project.
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
