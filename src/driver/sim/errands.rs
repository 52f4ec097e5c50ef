//! Calls of hooks and notifiers in a world that is not there: they are noted, and nothing is run or asked.

use std::time::Duration;

use jiff::Timestamp;

use super::Sim;
use crate::driver::{Answer, Errand};
use crate::model::hooks::Occasion;

/// What an answer says where nobody said what it should be.
const NOTHING_RUN: &str = "simulated: nothing was run or asked";

/// How a call of this kind goes from now on.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub takes: Duration,
    pub error: Option<String>,
    pub output: String,
}

/// One call that lcm made.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub at: Timestamp,
    /// As it shows: `./warm.sh`.
    pub what: String,
    pub occasion: Occasion,
    /// It was waited for to its end.
    pub answered: bool,
}

impl Sim {
    /// Says how calls of `what` go.
    pub fn set_reply(&self, what: &str, reply: Reply) {
        self.lock().replies.insert(what.to_owned(), reply);
    }

    /// All calls so far, in the order in which they began.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    pub(super) async fn run_errand(&self, errand: &Errand<'_>) -> Answer {
        let what = errand.call.to_string();
        let call = Call { at: self.time(), what: what.clone(), occasion: errand.occasion.clone(), answered: false };
        let (number, reply) = {
            let mut world = self.lock();
            world.calls.push(call);
            (world.calls.len() - 1, world.replies.get(&what).cloned())
        };
        let unsaid = || Reply { output: NOTHING_RUN.to_owned(), ..Reply::default() };
        let reply = reply.unwrap_or_else(unsaid);
        tokio::time::sleep(reply.takes.min(errand.timeout)).await;
        if let Some(call) = self.lock().calls.get_mut(number) {
            call.answered = true;
        }
        let late = reply.takes > errand.timeout;
        let error = if late { Some(format!("did not end within {}s", errand.timeout.as_secs())) } else { reply.error };
        Answer { error, output: reply.output }
    }
}
