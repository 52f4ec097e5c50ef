//! What reality can't tell: which changes lcm made, and how its runs ended. Deleting it changes no step of a plan.

pub mod lock;
pub mod memory;
pub mod sqlite;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::facts::HistoryFact;
use crate::model::lifecycle::State;
use crate::model::names::{ProjectName, ServiceName};

/// Where changes and runs are kept.
pub trait Store: Send + Sync {
    /// Writes one change down, durably.
    fn record(&self, transition: &Transition) -> Result<(), StoreError>;

    /// The last change of each service of a project.
    fn last_known(&self, project: &ProjectName) -> Result<BTreeMap<ServiceName, HistoryFact>, StoreError>;

    /// Writes down that a service was asked to give its GPU memory back, for [`HistoryFact::evicted_at`].
    fn evicted(&self, _project: &ProjectName, _service: &ServiceName, _at: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    /// Writes down how a run ended.
    fn record_run(&self, run: &Run) -> Result<(), StoreError>;

    fn last_run(&self, project: &ProjectName) -> Result<Option<Run>, StoreError>;
}

/// One change of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub at: Timestamp,
    pub project: ProjectName,
    pub service: ServiceName,
    pub from: State,
    pub to: State,
    pub reason: String,
    /// lcm made it, rather than saw it.
    pub made: bool,
}

/// One apply or down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub project: ProjectName,
    pub command: String,
    pub by: String,
    pub began: Timestamp,
    pub ended: Timestamp,
    pub exit_code: u8,
    pub changed: bool,
    pub first_error: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{what} {path}: {reason}")]
    Unusable { what: String, path: String, reason: String },
    #[error(
        "{path} was written by a newer lcm (format {found}, this one knows {known}); it is left as it is: use that lcm, or move the file away (the history goes with it, and nothing else)"
    )]
    Newer { path: String, found: u32, known: u32 },
}
