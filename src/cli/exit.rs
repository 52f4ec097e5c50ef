//! What the exit codes mean, and which one wins. Pure.

use crate::apply::RunResult;
use crate::model::plan::Plan;
use crate::reconcile::RunStatus;

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
        Self::of_status(RunStatus::of_plan(plan), detailed)
    }

    /// How `lcm apply` and `lcm down` end.
    #[must_use]
    pub fn of_outcome(outcome: &RunResult, detailed: bool) -> Self {
        Self::of_status(RunStatus::of_outcome(outcome), detailed)
    }

    /// Returns how a command ends whose run ended so. `detailed`: changes have a code of their own.
    #[must_use]
    pub fn of_status(status: RunStatus, detailed: bool) -> Self {
        match status {
            RunStatus::Refused => Self::Refused,
            RunStatus::LockLost => Self::Locked,
            RunStatus::Terminated => Self::Terminated,
            RunStatus::Interrupted => Self::Interrupted,
            RunStatus::Failed => Self::Failed,
            RunStatus::Blocked => Self::Blocked,
            RunStatus::Changed if detailed => Self::Changes,
            RunStatus::Changed | RunStatus::Unchanged => Self::Done,
        }
    }
}

#[cfg(test)]
mod tests;
