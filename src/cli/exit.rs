//! Exit codes: their meanings, and their order of precedence. Pure.

use crate::apply::RunResult;
use crate::model::plan::Plan;
use crate::reconcile::RunStatus;

/// Meaning of each exit code, for the help and the manual page.
pub(super) const CODES: [(&str, &str); 9] = [
    ("0", "done, or nothing to do"),
    ("1", "an error or a refusal before anything changed"),
    ("2", "with --detailed-exitcode: changes are pending, or were made"),
    ("3", "steps failed, or a wanted service is unhealthy or out of attempts"),
    ("4", "a service is blocked; all else was applied, except with --strict"),
    ("5", "the plan is stale: a saved one, or one shown for confirmation"),
    ("6", "another lcm holds the lock"),
    ("64", "the command line is wrong"),
    ("130, 143", "interrupted, terminated; the history has all changes made so far"),
];

/// End of a command, in order of precedence: of several, the first is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// The command line is wrong.
    Usage,
    /// An error or a refusal before anything changed.
    Refused,
    /// Another lcm holds the lock.
    Locked,
    /// The plan is stale: a saved one, or one shown for confirmation.
    Stale,
    Terminated,
    Interrupted,
    /// Applied, but some steps failed, or a service is not healthy or has spent its budget.
    Failed,
    /// A service is blocked: it can't be started or stopped. All else was applied, except with `--strict`.
    Blocked,
    /// With `--detailed-exitcode`: changes are pending (plan), or were made (apply).
    Changes,
    /// Done, or nothing to do.
    Done,
}

impl Exit {
    /// Returns the exit code that the shell sees.
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

    /// Returns the end to report of several; [`Exit::Done`] of none.
    pub fn first(several: impl IntoIterator<Item = Self>) -> Self {
        several.into_iter().min().unwrap_or(Self::Done)
    }

    /// Returns the end of `lcm plan`: that of its apply where every step succeeds.
    #[must_use]
    pub fn of_plan(plan: &Plan, detailed: bool) -> Self {
        Self::of_status(RunStatus::of_plan(plan), detailed)
    }

    /// Returns the end of `lcm apply` and `lcm down`.
    #[must_use]
    pub fn of_outcome(outcome: &RunResult, detailed: bool) -> Self {
        Self::of_status(RunStatus::of_outcome(outcome), detailed)
    }

    /// Returns the end of a command from the status of its run. `detailed`: changes have a code of their own.
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
