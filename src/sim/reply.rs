//! Calls that lcm made in the simulated world, and the replies to them.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::hooks::HookPayload;

/// How a call of this kind goes from now on.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub takes: Duration,
    pub error: Option<String>,
    pub output: String,
}

/// One call that lcm made.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedCall {
    pub at: Timestamp,
    /// As it shows: `./warm.sh`.
    pub what: String,
    pub payload: HookPayload,
    /// It was waited for to its end.
    pub answered: bool,
}
