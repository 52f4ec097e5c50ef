//! Report of a run: its end and its result. Pure.

use jiff::Timestamp;

use crate::apply::{Interrupt, RunResult};
use crate::model::network::NetworkLine;
use crate::model::plan::{Plan, ReasonCode, Step};
use crate::reconcile::approval::ApprovedBy;

/// End of a run, as it is recorded.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// Id of the run in the history.
    pub run: String,
    pub began: Timestamp,
    pub ended: Timestamp,
    pub approved_by: ApprovedBy,
    pub outcome: RunResult,
    pub status: RunStatus,
    /// Time that the steps took; `None`: there was nothing to do.
    pub took_ms: Option<u64>,
    /// Warnings of the approved plan.
    pub warnings: Vec<String>,
    /// Steps by which the next apply would undo this run.
    pub undone: Vec<Step>,
}

/// Result of a run. If several apply, the first in this order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunStatus {
    /// Refused before anything changed.
    Refused,
    /// The host's lock was lost.
    LockLost,
    Terminated,
    Interrupted,
    /// Some steps failed, or a service is not healthy or has spent its budget.
    Failed,
    /// A wanted service is blocked.
    Blocked,
    /// All is done, and something changed, or will change.
    Changed,
    /// Everything was in its wanted state.
    Unchanged,
}

impl RunStatus {
    /// Returns the result of applying a plan, if all its steps succeed.
    #[must_use]
    pub fn of_plan(plan: &Plan) -> Self {
        Self::first(Self::of_what_is_not_done(plan).chain(plan.changes.then_some(Self::Changed)))
    }

    /// Returns the result of a run.
    #[must_use]
    pub fn of_outcome(outcome: &RunResult) -> Self {
        let interrupted = outcome.interrupted.map(Self::of_interrupt);
        // A refusal in a later round comes after changes: then it is a failure.
        let refused = outcome.refused.is_some().then_some(match outcome {
            RunResult { lock_lost: true, .. } => Self::LockLost,
            RunResult { changed: true, .. } => Self::Failed,
            RunResult { .. } => Self::Refused,
        });
        let failed = (!outcome.failures.is_empty()).then_some(Self::Failed);
        let left = outcome.last_plan.iter().flat_map(Self::of_what_is_left);
        let changed = outcome.changed.then_some(Self::Changed);
        Self::first(interrupted.into_iter().chain(refused).chain(failed).chain(left).chain(changed))
    }

    /// Returns the result of an interrupted run.
    #[must_use]
    pub fn of_interrupt(interrupt: Interrupt) -> Self {
        match interrupt {
            Interrupt::Interrupted => Self::Interrupted,
            Interrupt::Terminated | Interrupt::HungUp => Self::Terminated,
        }
    }

    /// Returns true if the run came to its end, with or without success.
    #[must_use]
    pub fn is_over(self) -> bool {
        match self {
            Self::Failed | Self::Blocked | Self::Changed | Self::Unchanged => true,
            Self::Refused | Self::LockLost | Self::Terminated | Self::Interrupted => false,
        }
    }

    /// Returns true if everything is as the manifest describes it.
    #[must_use]
    pub fn is_converged(self) -> bool {
        match self {
            Self::Changed | Self::Unchanged => true,
            Self::Refused | Self::LockLost | Self::Terminated | Self::Interrupted | Self::Failed | Self::Blocked => {
                false
            }
        }
    }

    fn first(several: impl IntoIterator<Item = Self>) -> Self {
        several.into_iter().min().unwrap_or(Self::Unchanged)
    }

    /// Returns the obstacles after an apply, or after one that had nothing to do.
    fn of_what_is_left(plan: &Plan) -> impl Iterator<Item = Self> {
        let keeps_network = plan.networks.iter().any(NetworkLine::is_removable);
        let not_converged = (!plan.steps.is_empty() || keeps_network).then_some(Self::Failed);
        not_converged.into_iter().chain(Self::of_what_is_not_done(plan))
    }

    /// Returns the obstacles that this plan does not remove.
    fn of_what_is_not_done(plan: &Plan) -> impl Iterator<Item = Self> {
        let blocked = plan.blocked.iter().map(|blocked| of_blocked(blocked.reason.code));
        let spent = plan.held.iter().any(|held| held.reason.code.is_of_budget()).then_some(Self::Failed);
        blocked.chain(spent)
    }
}

/// Returns the result for a blocked service. A step that was tried and failed is a failure, even where the next plan
/// reports it as blocked.
fn of_blocked(code: ReasonCode) -> RunStatus {
    match code {
        ReasonCode::PrepareFailed
        | ReasonCode::StartFailed
        | ReasonCode::StopFailed
        | ReasonCode::Unhealthy
        | ReasonCode::Vetoed
        | ReasonCode::Backoff
        | ReasonCode::BudgetSpent => RunStatus::Failed,
        ReasonCode::WantedByMode
        | ReasonCode::WantedByGoal
        | ReasonCode::WantedByDependency
        | ReasonCode::NotInMode
        | ReasonCode::StoppedByMode
        | ReasonCode::Preempted
        | ReasonCode::Moved
        | ReasonCode::Scaled
        | ReasonCode::SpecChanged
        | ReasonCode::SecretChanged
        | ReasonCode::ImageChanged
        | ReasonCode::SettingsChanged
        | ReasonCode::MemoryGivenBack
        | ReasonCode::AutoRemove
        | ReasonCode::InContainer
        | ReasonCode::RemoteEngine
        | ReasonCode::Exited
        | ReasonCode::GpuLost
        | ReasonCode::WrongGpu
        | ReasonCode::Orphaned
        | ReasonCode::Requested
        | ReasonCode::NoCapacity
        | ReasonCode::Rule
        | ReasonCode::Unknown
        | ReasonCode::ContainerMissing
        | ReasonCode::PortTaken
        | ReasonCode::NotOurs
        | ReasonCode::Renamed
        | ReasonCode::SecretMissing
        | ReasonCode::Dependency
        | ReasonCode::Maintenance
        | ReasonCode::Suspended
        | ReasonCode::Terminated => RunStatus::Blocked,
    }
}
