//! Outcome of one step, as the executor and the parts of a step share it.

use super::clock::Cancelled;
use crate::model::plan::ReasonCode;
use crate::runtime::DriverError;

/// Result of one step.
#[derive(Debug)]
pub(in crate::apply) enum StepOutcome {
    Done,
    NotNeeded,
    /// The state differs from the one that the plan was made for.
    Stale(String),
    Failed(StepError),
    Cancelled(Cancelled),
}

/// Error that failed a step, with its reason code and the last log lines of the service.
#[derive(Debug)]
pub(in crate::apply) struct StepError {
    pub(in crate::apply) code: ReasonCode,
    pub(in crate::apply) error: String,
    pub(in crate::apply) log: Vec<String>,
}

impl StepError {
    pub(in crate::apply) fn new(code: ReasonCode, error: String) -> Self {
        Self { code, error, log: Vec::new() }
    }

    /// Error of a service whose state can't be read: no step acts on an unknown.
    pub(in crate::apply) fn unreadable(error: &DriverError) -> Self {
        Self::new(ReasonCode::Unknown, format!("it can't be inspected, so it is left alone: {error}"))
    }
}

/// Reason for which a wait for resources ended without them.
#[derive(Debug)]
pub(in crate::apply) enum WaitError {
    Failed(StepError),
    Cancelled(Cancelled),
}

impl From<WaitError> for StepOutcome {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Failed(error) => Self::Failed(error),
            WaitError::Cancelled(cancelled) => Self::Cancelled(cancelled),
        }
    }
}
