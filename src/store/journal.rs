//! Journal: the actions and observations of lcm in a project. State changes, calls of hooks, runs, notices,
//! measurements, and the manifests of converged runs.
//!
//! Records of runs are fenced: each carries the token of the lease that its run holds, and one with an older token than
//! the newest on record is refused.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::error::StoreError;
use super::lease::FencingToken;
use super::record::{Called, Measure, NotifiedMode, RunBegun, RunNotice, RunRecord, Transition};
use crate::model::converged::Converged;
use crate::model::facts::HistoryFact;
use crate::model::job::JobEnd;
use crate::model::mode_set::ModeSet;
use crate::model::names::{ProjectName, ServiceName};
use crate::model::pending::PendingCall;

/// Pending calls kept of one project; the oldest are dropped first. A switch of a whole machine adds some hundred at
/// most.
pub(crate) const PENDING_MAX: usize = 1_000;

/// Converged runs kept of one project: some days of trying things out. A manifest has some kilobytes.
pub const CONVERGED_MAX: usize = 10;

/// Journal of a store. A write is durable once its future returns; a write whose future is dropped is made whole or not
/// at all.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Records one state change.
    async fn record(&self, transition: &Transition) -> Result<(), StoreError> {
        self.write(&JournalEntry { transition: Some(transition), ..JournalEntry::of(&transition.project) })
            .await
            .map(drop)
    }

    /// Records the result of one call of a hook or notifier.
    async fn record_call(&self, call: &Called) -> Result<(), StoreError> {
        self.write(&JournalEntry { call: Some(call), ..JournalEntry::of(&call.project) }).await.map(drop)
    }

    /// Writes all parts of an entry in one transaction; returns the ids of the pending calls that it adds.
    async fn write(&self, entry: &JournalEntry<'_>) -> Result<Vec<u64>, StoreError>;

    /// Moves all records of a project, of every concern, to another name. Where both names have a record, the one under
    /// `to` stays.
    async fn rename_project(&self, from: &ProjectName, to: &ProjectName) -> Result<(), StoreError>;

    /// Returns the pending calls of a project, the oldest first.
    async fn pending(&self, project: &ProjectName) -> Result<Vec<PendingCall>, StoreError>;

    /// Returns the newest token that a run was recorded with; 0 where there is none.
    async fn newest_token(&self) -> Result<FencingToken, StoreError>;

    /// Records that a run begins, before its first effect.
    async fn begin_run(&self, token: FencingToken, begun: &RunBegun) -> Result<(), StoreError>;

    /// Returns the runs of a project that were begun and whose end is not recorded, the oldest first: a run in
    /// progress, or runs that were killed.
    async fn runs_begun(&self, project: &ProjectName) -> Result<Vec<RunBegun>, StoreError>;

    /// Records every run of the project without an end as killed, together with the notices about them. The caller
    /// holds the host's lock, so none of these runs is in progress.
    async fn close_killed(
        &self,
        token: FencingToken,
        project: &ProjectName,
        notices: &[RunNotice],
    ) -> Result<(), StoreError>;

    /// Records the end of a run, whether or not its begin was recorded, together with the notices about it.
    async fn record_run(&self, token: FencingToken, run: &RunRecord, notices: &[RunNotice]) -> Result<(), StoreError>;

    /// Returns the run that ended last, whether or not it changed anything.
    async fn last_run(&self, project: &ProjectName) -> Result<Option<RunRecord>, StoreError>;

    /// Returns the notices of runs that are still to be delivered, the oldest first.
    async fn run_notices(&self, project: &ProjectName) -> Result<Vec<RunNotice>, StoreError>;

    /// Deletes notices that were delivered (`done`), and counts one more try of others (`tried`); those that were tried
    /// [`crate::model::pending::TRIES_MAX`] times are dropped.
    async fn settle_run_notices(&self, project: &ProjectName, done: &[u64], tried: &[u64]) -> Result<(), StoreError>;

    /// Returns the mode that a notifier was last informed of, by the digest of its call; `None`: it was informed of
    /// none yet.
    async fn notified_mode(&self, project: &ProjectName, notifier: &str) -> Result<Option<NotifiedMode>, StoreError>;

    /// Records the mode that a notifier was informed of.
    async fn set_notified_mode(
        &self,
        project: &ProjectName,
        notifier: &str,
        mode: Option<&ModeSet>,
    ) -> Result<(), StoreError>;

    /// Records a measurement; of each service and kind, only the newest are kept.
    async fn record_measure(&self, measure: &Measure) -> Result<(), StoreError>;

    /// Returns the history of each service of a project: its last changes, made and observed, estimates from its
    /// measurements, its attempts, its report, and its last end as a job.
    async fn last_known(&self, project: &ProjectName) -> Result<BTreeMap<ServiceName, HistoryFact>, StoreError>;

    /// Replaces the recorded end of a job.
    async fn record_job_end(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        end: &JobEnd,
    ) -> Result<(), StoreError>;

    /// Keeps a converged run as the newest; of a project, [`CONVERGED_MAX`] that differ are kept.
    async fn keep_converged(&self, project: &ProjectName, converged: &Converged) -> Result<(), StoreError>;

    /// Returns the converged runs of a project that are kept, the newest first.
    async fn converged(&self, project: &ProjectName) -> Result<Vec<Converged>, StoreError>;
}

/// Parts of one transaction.
#[derive(Clone, Copy, Debug)]
pub struct JournalEntry<'a> {
    pub project: &'a ProjectName,
    pub transition: Option<&'a Transition>,
    pub call: Option<&'a Called>,
    pub pending: PendingChange<'a>,
}

impl<'a> JournalEntry<'a> {
    /// Creates an entry without parts.
    #[must_use]
    pub fn of(project: &'a ProjectName) -> Self {
        Self { project, transition: None, call: None, pending: PendingChange::default() }
    }
}

/// Changes to the pending calls of a project.
#[derive(Clone, Copy, Debug, Default)]
pub struct PendingChange<'a> {
    /// New calls; the store assigns their ids.
    pub add: &'a [PendingCall],
    /// Calls that are due from now on.
    pub due: &'a [u64],
    /// Calls that were made, or are not due any more.
    pub done: &'a [u64],
    /// Calls that failed once more; those that were tried [`crate::model::pending::TRIES_MAX`] times are dropped.
    pub tried: &'a [u64],
}
