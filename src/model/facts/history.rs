//! What lcm's store remembers of a service, as far as it matters to what comes next.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::lifecycle::State;
use crate::model::size::Mebibytes;

/// What lcm's store holds of a service: its last change, and what is worth knowing of its past.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryFact {
    /// What the last change came to that lcm made; `None`: it made none.
    #[serde(default)]
    pub state: Option<State>,
    /// `lcm` made that change, rather than saw it.
    #[serde(default)]
    pub made: bool,
    /// What was last seen of it, where that was after the last change that lcm made. It decides only whether anything
    /// new is seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<State>,
    /// When it was last asked to give its GPU memory back.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub evicted_at: Option<Timestamp>,
    #[serde(default)]
    pub estimates: Estimates,
    /// How often it was brought back of late, without lasting success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Attempts>,
    /// Failure that `lcm report` was last told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<FailureReport>,
}

/// A failure that an outside observer reported. It is about the start that was up then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Report")]
pub struct FailureReport {
    pub error: String,
    pub by: String,
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// What was tried to bring a service up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attempts {
    pub count: u32,
    #[schemars(with = "String")]
    pub last_at: Timestamp,
    /// The hash of the spec that was tried: another one has a budget of its own.
    pub spec: String,
}

impl HistoryFact {
    /// What the history holds it for: the last that was made or seen.
    #[must_use]
    pub fn last(&self) -> Option<State> {
        self.seen.or(self.state)
    }

    /// What is known later replaces what was known, each thing for itself: who knows nothing of one, takes nothing away.
    pub(super) fn learn(&mut self, later: &Self) {
        let Self { state, made, seen, evicted_at, estimates, ref attempts, ref report } = *later;
        if state.is_some() {
            (self.state, self.made, self.seen) = (state, made, None);
        }
        self.seen = seen.or(self.seen);
        self.evicted_at = evicted_at.or(self.evicted_at);
        if attempts.is_some() {
            self.attempts.clone_from(attempts);
        }
        if report.is_some() {
            self.report.clone_from(report);
        }
        let Estimates { ready_ms, stopped_ms, memory } = estimates;
        self.estimates = Estimates {
            ready_ms: ready_ms.or(self.estimates.ready_ms),
            stopped_ms: stopped_ms.or(self.estimates.stopped_ms),
            memory: memory.or(self.estimates.memory),
        };
    }
}

/// What earlier runs of a service came to. They are shown, and decide nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Estimates {
    /// From the order to start until it was healthy. How long it waited for room is others' time, not its own.
    #[serde(default)]
    pub ready_ms: Option<u64>,
    /// From the order to stop until its room was back. How long it was busy before is its work's time, not its own.
    #[serde(default)]
    pub stopped_ms: Option<u64>,
    /// The most that it was seen to hold on one GPU.
    #[serde(default)]
    pub memory: Option<Mebibytes>,
}
