//! The document `lcm.history/1`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::lifecycle::State;
use crate::model::names::{ProjectName, ServiceName};

/// The version of the history's JSON.
pub const FORMAT: &str = "lcm.history/1";

/// Holds what was asked for: changes with the calls beside them, or runs, or figures.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct History {
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    pub project: ProjectName,
    /// The oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transitions: Option<Vec<TransitionLine>>,
    /// Calls of hooks and notifiers within the same time, the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<Vec<CallLine>>,
    /// With `--runs`: all that changed something or failed, the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<Vec<RunLine>>,
    /// With `--runs`: those whose end is not recorded, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open_runs: Vec<OpenRun>,
    /// With `--runs`: those that changed nothing are counted, and not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_runs: Option<QuietRuns>,
    /// With `--stats`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<Vec<StatsLine>>,
}

impl History {
    /// Nothing yet.
    #[must_use]
    pub fn of(project: ProjectName) -> Self {
        Self {
            format: FORMAT.to_owned(),
            project,
            transitions: None,
            calls: None,
            runs: None,
            open_runs: Vec::new(),
            quiet_runs: None,
            stats: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransitionLine {
    #[schemars(with = "String")]
    pub at: Timestamp,
    pub service: ServiceName,
    pub from: State,
    pub to: State,
    pub reason: String,
    /// Who made it, or who saw it.
    pub by: String,
    /// The run that it was part of; empty: none.
    pub run: String,
    /// lcm made it, rather than saw it.
    pub made: bool,
    pub metadata: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallLine {
    #[schemars(with = "String")]
    pub at: Timestamp,
    pub service: ServiceName,
    pub run: String,
    /// `pre_stop`, `notify`.
    pub hook: String,
    /// What was called.
    pub call: String,
    pub took_ms: u64,
    /// `null`: it went well.
    pub error: Option<String>,
    /// The beginning of what it wrote.
    pub output: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunLine {
    /// Its id, as in the changes that were part of it.
    pub run: String,
    pub command: String,
    /// The entry file.
    pub manifest: String,
    pub by: String,
    #[schemars(with = "String")]
    pub began_at: Timestamp,
    #[schemars(with = "String")]
    pub ended_at: Timestamp,
    /// How it ended: `completed`, `interrupted` (INT), `terminated` (TERM), `hung_up` (HUP) or `killed` (without a
    /// record of its own).
    pub end: String,
    pub exit_code: u8,
    pub changed: bool,
    pub first_error: Option<String>,
}

/// A run whose end is not recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenRun {
    /// Its id, as in the changes that were part of it.
    pub run: String,
    pub command: String,
    /// The entry file.
    pub manifest: String,
    pub by: String,
    #[schemars(with = "String")]
    pub began_at: Timestamp,
    /// Its process lives; else it was killed, and the next run finishes what it left.
    pub running: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuietRuns {
    pub count: u32,
    #[schemars(with = "String")]
    pub last_at: Timestamp,
}

/// What one service did within the time that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatsLine {
    pub service: ServiceName,
    /// Changes to `starting`.
    pub starts: u32,
    /// Changes to `error`, `failed` or `timeout` from any other state than these.
    pub failures: u32,
    /// Starts that became ready.
    pub ready: u32,
    /// The middle of their times from `starting` to ready; of two in the middle the larger.
    pub ready_median_ms: Option<u64>,
    /// The smallest of these times that 95 of 100 did not exceed.
    pub ready_p95_ms: Option<u64>,
    /// Milliseconds in each state, as far as the history knows.
    pub time_ms: BTreeMap<State, u64>,
}
