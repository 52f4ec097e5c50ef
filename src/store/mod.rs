//! What reality can't tell: which changes lcm made, what they took, and how its runs ended. Deleting it changes no step
//! of a plan, only its estimates.

pub mod asked;
#[cfg(test)]
mod checks;
pub mod lock;
pub mod memory;
mod past;
pub mod sqlite;
pub mod stats;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::facts::{Attempts, HistoryFact};
use crate::model::lifecycle::State;
use crate::model::names::{ProjectName, ServiceName};
use crate::model::size::Mebibytes;
use crate::model::words::{Said, Switched, Words};

/// Where changes and runs are kept.
pub trait Store: Send + Sync {
    /// Writes one change down, durably.
    fn record(&self, transition: &Transition) -> Result<(), StoreError>;

    /// Writes down what was measured; of each service and kind, only the newest are kept.
    fn remember(&self, measure: &Measure) -> Result<(), StoreError>;

    /// The last changes of each service of a project, made and seen, and what its measures let expect. A service of which there is only
    /// one of the two is there, too.
    fn last_known(&self, project: &ProjectName) -> Result<BTreeMap<ServiceName, HistoryFact>, StoreError>;

    /// Writes down how a run ended.
    fn record_run(&self, run: &Run) -> Result<(), StoreError>;

    fn last_run(&self, project: &ProjectName) -> Result<Option<Run>, StoreError>;

    /// What operators said of a project, and did not take back.
    fn words(&self, project: &ProjectName) -> Result<Words, StoreError>;

    /// Keeps a word about a service in the place of an earlier one; `None` takes it back.
    fn say(&self, project: &ProjectName, service: &ServiceName, said: Option<&Said>) -> Result<(), StoreError>;

    /// Keeps a switch of this entry file in the place of an earlier one; `None` takes it back.
    fn switch(&self, project: &ProjectName, entry: &str, switched: Option<&Switched>) -> Result<(), StoreError>;

    /// What was tried to bring a service up, durably; `None`: it has its whole budget again.
    fn set_attempts(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        attempts: Option<&Attempts>,
    ) -> Result<(), StoreError>;

    /// Writes down what a hook or a notifier came to.
    fn record_call(&self, call: &Called) -> Result<(), StoreError>;
}

/// On whose account something is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// `kim as root`.
    pub by: String,
    /// The run that it is part of; empty: none.
    pub run: String,
}

/// One call of a hook or a notifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    pub at: Timestamp,
    pub project: ProjectName,
    pub service: ServiceName,
    pub run: String,
    /// `pre_stop`, `notify`.
    pub hook: String,
    /// What was called: `./warm.sh`, `POST http://localhost:9000/lcm`.
    pub call: String,
    pub took_ms: u64,
    /// `None`: it went well.
    pub error: Option<String>,
    /// What it wrote, masked and bounded.
    pub output: String,
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
    pub author: Author,
    /// `--meta key=value`.
    pub metadata: BTreeMap<String, String>,
}

/// Something that a run found out about one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    pub at: Timestamp,
    pub project: ProjectName,
    pub service: ServiceName,
    pub what: Measured,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// A start took so long until it was healthy.
    Ready { took_ms: u64 },
    /// A stop took so long until its room was back.
    Stopped { took_ms: u64 },
    /// It held so much on one of its GPUs.
    Memory(Mebibytes),
    /// It was asked to give its GPU memory back, and is to go on running.
    Evicted,
    /// It was woken, which undoes that.
    Woken,
}

/// One apply or down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// As in [`Author`].
    pub id: String,
    /// The entry file.
    pub manifest: String,
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
    #[error("{what} {path}: the disk is full")]
    Full { what: String, path: String },
    #[error(
        "{path} was written by a newer lcm (format {found}, this one knows {known}); it is left as it is: use that lcm, or move the file away (the history goes with it, and nothing else)"
    )]
    Newer { path: String, found: u32, known: u32 },
}
