//! The document `lcm.history/2`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::lifecycle::State;
use crate::model::names::{ProjectName, ServiceName};

/// Version of the history's JSON.
pub const FORMAT: &str = "lcm.history/2";

/// Output of `lcm history`: the state changes that match, with the hook and notifier calls of the same period; with
/// `--runs`, runs; with `--stats`, statistics.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct History {
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    pub project: ProjectName,
    /// State changes, the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transitions: Option<Vec<TransitionLine>>,
    /// Calls of hooks and notifiers in the same period, the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<Vec<CallLine>>,
    /// With `--runs`: the runs that changed something or failed, the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<Vec<RunLine>>,
    /// With `--runs`: the runs whose end is not recorded, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open_runs: Vec<OpenRun>,
    /// With `--runs`: the number of runs that changed nothing; these are not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unchanged_runs: Option<UnchangedRuns>,
    /// With `--stats`: statistics of each service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<Vec<StatsLine>>,
}

impl History {
    /// Returns a history without entries.
    #[must_use]
    pub fn of(project: ProjectName) -> Self {
        Self {
            format: FORMAT.to_owned(),
            project,
            transitions: None,
            calls: None,
            runs: None,
            open_runs: Vec::new(),
            unchanged_runs: None,
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
    /// User who made the change, or whose run observed it.
    pub by: String,
    /// Id of the run that the change was part of; empty if there was none.
    pub run: String,
    /// True if lcm made the change; false if lcm observed it.
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
    /// Kind of the call, such as `pre_stop` or `notify`.
    pub hook: String,
    /// Command or request that was called.
    pub call: String,
    pub took_ms: u64,
    /// Error of the call; `null` if it succeeded.
    pub error: Option<String>,
    /// Beginning of the output.
    pub output: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunLine {
    /// Id of the run, as in the changes that were part of it.
    pub run: String,
    pub command: String,
    /// Entry file of the manifest.
    pub manifest: String,
    pub by: String,
    #[schemars(with = "String")]
    pub began_at: Timestamp,
    #[schemars(with = "String")]
    pub ended_at: Timestamp,
    /// End of the run: `completed`, `interrupted` (INT), `terminated` (TERM), `hung_up` (HUP) or `killed` (the run
    /// could not record its end; the next run recorded it).
    pub end: String,
    pub exit_code: u8,
    pub changed: bool,
    pub first_error: Option<String>,
}

/// Run whose end is not recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenRun {
    /// Id of the run, as in the changes that were part of it.
    pub run: String,
    pub command: String,
    /// Entry file of the manifest.
    pub manifest: String,
    pub by: String,
    #[schemars(with = "String")]
    pub began_at: Timestamp,
    /// True while the run's process is alive; else the run was killed, and the next run completes its remaining work.
    pub running: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnchangedRuns {
    pub count: u32,
    #[schemars(with = "String")]
    pub last_at: Timestamp,
}

/// Statistics of one service in the requested period.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatsLine {
    pub service: ServiceName,
    /// Number of changes to `starting`.
    pub starts: u32,
    /// Number of changes to `error`, `failed` or `timeout` from any state other than these three.
    pub failures: u32,
    /// Number of starts that became ready.
    pub ready: u32,
    /// Median time from `starting` to ready, in milliseconds; for an even number of starts, the larger of the two
    /// middle values.
    pub ready_median_ms: Option<u64>,
    /// 95th percentile of these times (nearest rank), in milliseconds.
    pub ready_p95_ms: Option<u64>,
    /// Time spent in each state, in milliseconds, as far as the history is known.
    pub time_ms: BTreeMap<State, u64>,
}
