//! What reality can't tell: which changes lcm made, what they took, and how its runs ended. Deleting it changes no step
//! of a plan, only its estimates.

pub mod asked;
#[cfg(test)]
mod checks;
pub mod lock;
pub mod memory;
mod past;
mod recall;
pub mod sqlite;
pub mod stats;

pub use recall::recall;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::converged::Converged;
use crate::model::facts::{Attempts, HistoryFact, Report};
use crate::model::hooks::RunPayload;
use crate::model::lifecycle::State;
use crate::model::names::{ModeName, ProjectName, ServiceName};
use crate::model::pending::PendingCall;
use crate::model::size::Mebibytes;
use crate::model::words::{Said, Switched, Words};

/// Where changes and runs are kept.
pub trait Store: Send + Sync {
    /// Writes one change down, durably.
    fn record(&self, transition: &Transition) -> Result<(), StoreError> {
        self.write(&Entry { transition: Some(transition), ..Entry::of(&transition.project) }).map(|_| ())
    }

    /// Brings all that is kept of a project under its present name; what is kept under both stays as the present one has
    /// it.
    fn rename_project(&self, from: &ProjectName, to: &ProjectName) -> Result<(), StoreError>;

    /// Writes all parts of an entry durably, or none; returns the ids of the pending calls that it adds.
    fn write(&self, entry: &Entry<'_>) -> Result<Vec<u64>, StoreError>;

    /// Writes down what a hook or a notifier came to.
    fn record_call(&self, call: &Called) -> Result<(), StoreError> {
        self.write(&Entry { call: Some(call), ..Entry::of(&call.project) }).map(|_| ())
    }

    /// Returns the pending calls of a project, the oldest first.
    fn pending(&self, project: &ProjectName) -> Result<Vec<PendingCall>, StoreError>;

    /// Records that a run begins, before its first effect.
    fn begin_run(&self, begun: &RunBegun) -> Result<(), StoreError>;

    /// Returns the runs of a project that were begun and whose end is not recorded, the oldest first: one that is under
    /// way, or runs that were killed.
    fn runs_begun(&self, project: &ProjectName) -> Result<Vec<RunBegun>, StoreError>;

    /// Records every run of the project that has no end as killed, with what notifiers are to be told of each. For a
    /// caller that holds the host's lock: none of them can be under way.
    fn close_killed(
        &self,
        project: &ProjectName,
        notices: &dyn Fn(&RunBegun) -> Vec<RunNotice>,
    ) -> Result<(), StoreError>;

    /// Returns the events of runs that notifiers are still to be told of, the oldest first.
    fn run_notices(&self, project: &ProjectName) -> Result<Vec<RunNotice>, StoreError>;

    /// Takes events of runs off the record that were told, and counts one more try of others; those that were tried
    /// [`crate::model::pending::TRIES_MAX`] times are dropped.
    fn settle_run_notices(&self, project: &ProjectName, done: &[u64], tried: &[u64]) -> Result<(), StoreError>;

    /// Writes down what was measured; of each service and kind, only the newest are kept.
    fn remember(&self, measure: &Measure) -> Result<(), StoreError>;

    /// The last changes of each service of a project, made and seen, and what its measures let expect. A service of which there is only
    /// one of the two is there, too.
    fn last_known(&self, project: &ProjectName) -> Result<BTreeMap<ServiceName, HistoryFact>, StoreError>;

    /// Records how a run ended, whether or not its begin was recorded, and what notifiers are to be told of it.
    fn record_run(&self, run: &Run, notices: &[RunNotice]) -> Result<(), StoreError>;

    /// Returns the run that ended last, whether or not it changed anything.
    fn last_run(&self, project: &ProjectName) -> Result<Option<Run>, StoreError>;

    /// What operators said of a project, and did not take back.
    fn words(&self, project: &ProjectName) -> Result<Words, StoreError>;

    /// Keeps a word about a service in the place of an earlier one; `None` takes it back.
    fn say(&self, project: &ProjectName, service: &ServiceName, said: Option<&Said>) -> Result<(), StoreError>;

    /// Keeps the project's mode override in the place of an earlier one; `None` takes it back.
    fn switch(&self, project: &ProjectName, switched: Option<&Switched>) -> Result<(), StoreError>;

    /// Returns the mode that a notifier was last told of, by the digest of its call; `None`: it was told of none.
    fn told_mode(&self, project: &ProjectName, notifier: &str) -> Result<Option<ToldMode>, StoreError>;

    /// Keeps the mode that a notifier was told of.
    fn set_told_mode(&self, project: &ProjectName, notifier: &str, mode: Option<&ModeName>) -> Result<(), StoreError>;

    /// Keeps a converged run as the newest; of a project, [`CONVERGED_MAX`] that differ are kept.
    fn keep_converged(&self, project: &ProjectName, converged: &Converged) -> Result<(), StoreError>;

    /// Returns the converged runs of a project that are kept, the newest first.
    fn converged(&self, project: &ProjectName) -> Result<Vec<Converged>, StoreError>;

    /// Keeps a reported failure of a service in the place of an earlier one; `None` takes it back.
    fn set_report(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        report: Option<&Report>,
    ) -> Result<(), StoreError>;

    /// What was tried to bring a service up, durably; `None`: it has its whole budget again.
    fn set_attempts(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        attempts: Option<&Attempts>,
    ) -> Result<(), StoreError>;
}

/// An event of a run that one notifier is to be told of.
#[derive(Clone, Debug, PartialEq)]
pub struct RunNotice {
    /// Key of its record; the store's to give.
    pub id: u64,
    /// Digest of the notifier's call.
    pub notifier: String,
    pub payload: RunPayload,
    /// Runs that tried in vain.
    pub tries: u32,
}

/// Mode that a notifier was told of; `None`: the manifest had none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldMode(pub Option<ModeName>);

/// What is written in one transaction.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub project: &'a ProjectName,
    pub transition: Option<&'a Transition>,
    pub call: Option<&'a Called>,
    pub pending: PendingChange<'a>,
}

impl<'a> Entry<'a> {
    /// An entry without parts.
    #[must_use]
    pub fn of(project: &'a ProjectName) -> Self {
        Self { project, transition: None, call: None, pending: PendingChange::default() }
    }
}

/// Changes to the pending calls of a project.
#[derive(Clone, Copy, Debug, Default)]
pub struct PendingChange<'a> {
    /// To be recorded; their ids are the store's to give.
    pub add: &'a [PendingCall],
    /// Due from now on.
    pub due: &'a [u64],
    /// Called, or not to be called any more.
    pub done: &'a [u64],
    /// Tried in vain once more; those that were tried [`crate::model::pending::TRIES_MAX`] times are dropped.
    pub tried: &'a [u64],
}

/// Pending calls kept of one project; the oldest go first. A switch of a whole machine owes some hundred at most.
pub(crate) const PENDING_MAX: usize = 1_000;

/// Converged runs kept of one project: some days of trying things out. A manifest has some kilobytes.
pub const CONVERGED_MAX: usize = 10;

/// A run at its begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunBegun {
    /// As in [`Author`].
    pub id: String,
    /// The entry file.
    pub manifest: String,
    pub project: ProjectName,
    pub command: String,
    pub by: String,
    pub began: Timestamp,
    pub mode: Option<ModeName>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunEnd {
    /// By itself, with or without success.
    #[default]
    Completed,
    /// INT.
    Interrupted,
    /// TERM.
    Terminated,
    /// HUP: its terminal was closed.
    HungUp,
    /// Without a record: it was killed, or the machine went down.
    Killed,
}

impl RunEnd {
    pub const ALL: [Self; 5] = [Self::Completed, Self::Interrupted, Self::Terminated, Self::HungUp, Self::Killed];

    /// As written in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
            Self::HungUp => "hung_up",
            Self::Killed => "killed",
        }
    }
}

/// Exit code recorded of a run that was killed: what a shell reports of a program that KILL ended.
pub const KILLED_EXIT_CODE: u8 = 128 + 9;

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
    pub end: RunEnd,
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
        "{path} was written by a newer lcm (format {found}, this one knows {known}); it is left as it is: use that lcm, or move the file away (holds, the mode override, restart budgets, pending calls and the history go with it)"
    )]
    Newer { path: String, found: u32, known: u32 },
}
