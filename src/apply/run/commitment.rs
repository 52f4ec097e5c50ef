//! A recorded call that a step under way has committed itself to.

use crate::model::hooks::Point;
use crate::model::lifecycle::State;
use crate::model::pending::PendingCall;

/// Key of a recorded call, and the change that it belongs to.
#[derive(Clone, Debug)]
pub(in crate::apply) struct Commitment {
    pub(in crate::apply) id: u64,
    pub(in crate::apply) digest: String,
    pub(in crate::apply) hook: Point,
    pub(in crate::apply) to: State,
}

impl Commitment {
    pub(in crate::apply) fn of(id: u64, call: &PendingCall) -> Self {
        Self { id, digest: call.digest.clone(), hook: call.payload.hook, to: call.payload.to }
    }
}
