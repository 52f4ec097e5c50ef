//! Errors of effects and readings of this machine, worded to fit after "can't …: ".

use std::time::Duration;

/// Failure or refusal of an effect or a reading.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("the engine at {endpoint} does not answer: {reason}")]
    NoEngine { endpoint: String, reason: String },
    #[error("the engine refused to {what}: {reason}")]
    Engine { what: String, reason: String },
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    /// A prerequisite that is missing or unusable.
    #[error("{0}")]
    Missing(String),
    /// A target that belongs to another owner, or is not the one observed before.
    #[error("{0}")]
    Refused(String),
    #[error("still running {}s after it was killed: {survivors}", waited.as_secs())]
    Survivors { survivors: String, waited: Duration },
}
