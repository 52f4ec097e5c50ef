//! Errors of effects and readings of this machine, in words that fit after "can't …: ".

use std::time::Duration;

/// Reason for which the machine refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("the engine at {endpoint} does not answer: {reason}")]
    NoEngine { endpoint: String, reason: String },
    #[error("the engine refused to {what}: {reason}")]
    Engine { what: String, reason: String },
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    /// Something that is needed is not there, or not as it must be.
    #[error("{0}")]
    Missing(String),
    /// It is not ours, or not what was seen before.
    #[error("{0}")]
    Refused(String),
    #[error("still there {}s after it was killed: {survivors}", waited.as_secs())]
    Survivors { survivors: String, waited: Duration },
}
