//! What the exit codes mean, and which one wins. Pure.

use crate::apply::{Interrupt, Outcome};
use crate::model::plan::{Plan, ReasonCode};

/// What each code means, for the help and the manual page.
pub(super) const CODES: [(&str, &str); 9] = [
    ("0", "done, or nothing to do"),
    ("1", "an error or a refusal before anything changed"),
    ("2", "with --detailed-exitcode: changes are pending, or were made"),
    ("3", "steps failed, or a wanted service is unhealthy or out of attempts"),
    ("4", "something wanted is blocked; the rest is done unless --strict"),
    ("5", "the plan is stale, saved or asked about"),
    ("6", "another lcm holds the lock"),
    ("64", "the command line is wrong"),
    ("130, 143", "interrupted, terminated; everything is recorded"),
];

/// How a command ended, in the order in which the first of several is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// The command line is wrong.
    Usage,
    /// An error or a refusal before anything changed.
    Refused,
    /// Another lcm holds the lock.
    Locked,
    /// The plan is stale: the saved one, or the one that was asked about.
    Stale,
    Terminated,
    Interrupted,
    /// Applied, but some steps failed, or a service is not healthy or has spent its budget.
    Failed,
    /// Something wanted is blocked; the rest is done unless `--strict`.
    Blocked,
    /// With `--detailed-exitcode`: changes are pending (plan), or were made (apply).
    Changes,
    /// Done, or nothing to do.
    Done,
}

impl Exit {
    /// As the shell sees it.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Usage => 64,
            Self::Refused => 1,
            Self::Locked => 6,
            Self::Stale => 5,
            Self::Terminated => 143,
            Self::Interrupted => 130,
            Self::Failed => 3,
            Self::Blocked => 4,
            Self::Changes => 2,
            Self::Done => 0,
        }
    }

    /// The one to tell of several.
    pub fn first(several: impl IntoIterator<Item = Self>) -> Self {
        several.into_iter().min().unwrap_or(Self::Done)
    }

    /// How `lcm plan` ends: as its apply would, where all that it does goes well.
    #[must_use]
    pub fn of_plan(plan: &Plan, detailed: bool) -> Self {
        let changes = (detailed && plan.changes).then_some(Self::Changes);
        Self::first(Self::of_what_is_not_done(plan).chain(changes))
    }

    /// How `lcm apply` and `lcm down` end.
    #[must_use]
    pub fn of_outcome(outcome: &Outcome, detailed: bool) -> Self {
        let interrupted = outcome.interrupted.map(|interrupt| match interrupt {
            Interrupt::Interrupted => Self::Interrupted,
            Interrupt::Terminated | Interrupt::HungUp => Self::Terminated,
        });
        // A refusal in a later round comes after changes: then it is a failure.
        let refused = outcome.refused.is_some().then_some(match outcome {
            Outcome { lock_lost: true, .. } => Self::Locked,
            Outcome { changed: true, .. } => Self::Failed,
            Outcome { .. } => Self::Refused,
        });
        let failed = (!outcome.failures.is_empty()).then_some(Self::Failed);
        let left = outcome.last_plan.iter().flat_map(Self::of_what_is_left);
        let changed = (detailed && outcome.changed).then_some(Self::Changes);
        Self::first(interrupted.into_iter().chain(refused).chain(failed).chain(left).chain(changed))
    }

    /// What stands in the way after an apply, or of one that had nothing to do.
    pub fn of_what_is_left(plan: &Plan) -> impl Iterator<Item = Self> {
        let not_converged = (!plan.steps.is_empty()).then_some(Self::Failed);
        not_converged.into_iter().chain(Self::of_what_is_not_done(plan))
    }

    /// What this plan does not mend.
    fn of_what_is_not_done(plan: &Plan) -> impl Iterator<Item = Self> {
        let blocked = plan.blocked.iter().map(|blocked| of_blocked(blocked.reason.code));
        let spent = plan.held.iter().any(|held| held.reason.code == ReasonCode::BudgetSpent).then_some(Self::Failed);
        blocked.chain(spent)
    }
}

/// What was tried and went wrong is a failure, even where the next plan calls it blocked.
fn of_blocked(code: ReasonCode) -> Exit {
    match code {
        ReasonCode::PrepareFailed
        | ReasonCode::StartFailed
        | ReasonCode::StopFailed
        | ReasonCode::Unhealthy
        | ReasonCode::Vetoed
        | ReasonCode::BudgetSpent => Exit::Failed,
        ReasonCode::WantedByMode
        | ReasonCode::WantedByGoal
        | ReasonCode::WantedByDependency
        | ReasonCode::NotInMode
        | ReasonCode::StoppedByMode
        | ReasonCode::Preempted
        | ReasonCode::Moved
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
        | ReasonCode::NoRoom
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
        | ReasonCode::Terminated => Exit::Blocked,
    }
}

#[cfg(test)]
mod tests;
