//! Reasons for which a cycle ends before any change.

use crate::model::names::GoalName;
use crate::plan::judge_commands::HeldService;
use crate::store::LeaseError;
use crate::syntax::problem::Problems;

/// Refusal of a cycle; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// No wanted service could be observed.
    #[error("{0}")]
    AllUnknown(String),
    /// The audit found faults in the plan.
    #[error("{0}")]
    Audit(String),
    /// A file can't be read or written.
    #[error("{0}")]
    File(String),
    /// A hold of an operator forbids the command.
    #[error("an operator holds {}", .0.service)]
    Held(Box<HeldService>),
    /// The host's lock can't be used.
    #[error("{0}")]
    Lock(String),
    /// Another lcm has taken the host's lock since.
    #[error("{0}")]
    LockLost(String),
    /// Another lcm holds the host's lock.
    #[error("{0}")]
    Locked(LeaseError),
    /// Another host manages the project.
    #[error("{0}")]
    OtherHost(String),
    /// Another user owns the project, or its owner can't be read.
    #[error("{0}")]
    Owned(String),
    /// The plan made now differs from the approved one, in these lines.
    #[error("the saved plan is stale: {}", .0.join("; "))]
    Stale(Vec<String>),
    /// The store can't be read or written.
    #[error("{0}")]
    Store(String),
    /// The manifest has no such goal.
    #[error("the manifest has no goal named {goal}")]
    UnknownGoal { goal: GoalName, known: Vec<GoalName> },
    /// The snapshot file can't be used.
    #[error("{0}")]
    World(String),
}

/// Reason for which a project can't be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The manifest is not valid.
    Manifest(Problems),
    Refused(ReconcileError),
}

impl From<ReconcileError> for OpenError {
    fn from(error: ReconcileError) -> Self {
        Self::Refused(error)
    }
}

impl From<Problems> for OpenError {
    fn from(problems: Problems) -> Self {
        Self::Manifest(problems)
    }
}
