//! Calls of hooks and notifiers in a simulation: they are recorded, and no program is run and no URL requested.

use super::Sim;
use crate::host::calls::{HookCall, HookResult};
use crate::model::hooks::Payload;
use crate::sim::{RecordedCall, Reply};

/// Output of a call without a set reply.
const NOTHING_RUN: &str = "simulated: nothing was run or requested";

impl Sim {
    /// Sets the reply to calls of `what`.
    pub fn set_reply(&self, what: &str, reply: Reply) {
        self.machine.lock().replies.insert(what.to_owned(), reply);
    }

    /// Returns all calls so far, in the order in which they began.
    #[must_use]
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.machine.lock().calls.clone()
    }

    pub(super) async fn run_call(&self, call: &HookCall<'_>) -> HookResult {
        let what = call.call.to_string();
        let (number, reply) = {
            let mut world = self.machine.lock();
            // Events of whole runs are not recorded: they concern no service.
            if let Payload::Change(change) = call.payload {
                let (at, what) = (self.machine.time(), what.clone());
                world.calls.push(RecordedCall { at, what, payload: change.clone(), answered: false });
            }
            (world.calls.len().saturating_sub(1), world.replies.get(&what).cloned())
        };
        let unset = || Reply { output: NOTHING_RUN.to_owned(), ..Reply::default() };
        let reply = reply.unwrap_or_else(unset);
        tokio::time::sleep(reply.takes.min(call.timeout)).await;
        if let (Payload::Change(_), Some(call)) = (call.payload, self.machine.lock().calls.get_mut(number)) {
            call.answered = true;
        }
        let late = reply.takes > call.timeout;
        let error = if late { Some(format!("did not end within {}s", call.timeout.as_secs())) } else { reply.error };
        HookResult { error, output: reply.output }
    }
}
