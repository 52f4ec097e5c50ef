//! Calls that lcm made in the simulation, and the replies to them.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::hooks::HookPayload;

/// Reply to calls of one kind from now on.
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
    /// Displayed name of the call: `./warm.sh`.
    pub what: String,
    pub payload: HookPayload,
    /// True if lcm waited for the end of the call.
    pub answered: bool,
}
