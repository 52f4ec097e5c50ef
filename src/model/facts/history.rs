//! History of a service in lcm's store, as far as it affects later decisions.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::job::JobEnd;
use crate::model::lifecycle::State;
use crate::model::size::Mebibytes;

/// History of a service in lcm's store: its last state change, estimates, restart attempts and reported failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryFact {
    /// State after the last change that lcm made; `null` if it made none.
    #[serde(default)]
    pub state: Option<State>,
    /// True if lcm has made a change, so that `state` is known.
    #[serde(default)]
    pub made: bool,
    /// Latest state that lcm observed after its own last change; used only to detect whether an observation is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<State>,
    /// Time of the last call that made the service release its GPU memory (`evict`).
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub evicted_at: Option<Timestamp>,
    #[serde(default)]
    pub estimates: Estimates,
    /// Recent attempts to start the service again, without lasting success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Attempts>,
    /// Last failure that was reported with `lcm report`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<FailureReport>,
    /// Last end of a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobEnd>,
}

/// A failure that was reported with `lcm report`. It applies only to the instance that was running at that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Report")]
pub struct FailureReport {
    pub error: String,
    pub by: String,
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// Attempts to start a service again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attempts {
    pub count: u32,
    #[schemars(with = "String")]
    pub last_at: Timestamp,
    /// Hash of the spec that was tried; a different spec has its own budget.
    pub spec: String,
}

impl HistoryFact {
    /// Returns the last state that was made or observed.
    #[must_use]
    pub fn last(&self) -> Option<State> {
        self.seen.or(self.state)
    }

    /// Merges later knowledge, field by field: a field that is unknown there stays as it is.
    pub(super) fn learn(&mut self, later: &Self) {
        let Self { state, made, seen, evicted_at, estimates, ref attempts, ref report, ref job } = *later;
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
        if job.is_some() {
            self.job.clone_from(job);
        }
        let Estimates { ready_ms, stopped_ms, memory } = estimates;
        self.estimates = Estimates {
            ready_ms: ready_ms.or(self.estimates.ready_ms),
            stopped_ms: stopped_ms.or(self.estimates.stopped_ms),
            memory: memory.or(self.estimates.memory),
        };
    }
}

/// Estimates from earlier runs of a service. They are only displayed; no decision depends on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Estimates {
    /// Time from the start request until the service was healthy, in milliseconds. Waiting for memory is not included.
    #[serde(default)]
    pub ready_ms: Option<u64>,
    /// Time from the stop request until the memory was free, in milliseconds. Waiting for a busy service is not
    /// included.
    #[serde(default)]
    pub stopped_ms: Option<u64>,
    /// Largest memory observed on one GPU, in MiB.
    #[serde(default)]
    pub memory: Option<Mebibytes>,
}
