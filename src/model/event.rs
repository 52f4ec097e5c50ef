//! Events: one type feeds the terminal, the JSON stream and the store alike. Its JSON is `lcm.event/2`, one event a
//! line.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::hooks::Point;
use crate::model::lifecycle::{Action, State};
use crate::model::mode_set::ModeSet;
use crate::model::names::{ModeName, ProjectName, ServiceName, StepId};

/// Version of an event's JSON.
pub const FORMAT: &str = "lcm.event/2";

/// One event of a run. Later versions of lcm add fields and types: readers must ignore what they do not know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    #[schemars(with = "String")]
    pub at: Timestamp,
    #[serde(flatten)]
    pub kind: EventKind,
}

impl Event {
    #[must_use]
    pub fn new(at: Timestamp, kind: EventKind) -> Self {
        Self { format: FORMAT.to_owned(), at, kind }
    }
}

/// Kind of an event, named in `type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventKind {
    /// A run begins.
    Run {
        project: ProjectName,
        mode: Option<ModeSet>,
        /// Names of the active modes, which `mode` joins by `+`.
        #[serde(default)]
        modes: Vec<ModeName>,
    },
    /// Ids of the steps planned for one round. A run plans again after each round, until nothing is left to do. A
    /// rollback is reported with the number of the round that failed.
    Planned { round: u32, steps: Vec<StepId> },
    /// A start is prepared: the work that can fail and needs no GPU memory, such as pulling the image, is done. Sent
    /// before the first stop of the round.
    Prepared { step: StepId, service: ServiceName, took_ms: u64 },
    /// A step begins.
    StepStarted {
        step: StepId,
        service: ServiceName,
        action: Action,
        /// Estimate from the plan, in milliseconds.
        estimate_ms: Option<u64>,
    },
    /// A step enters a stage.
    Stage { step: StepId, service: ServiceName, stage: Stage, detail: Option<String> },
    /// lcm changed the state of a service.
    Transition { service: ServiceName, from: State, to: State, reason: String },
    /// A step succeeded, or was no longer needed.
    StepDone {
        step: StepId,
        service: ServiceName,
        outcome: Outcome,
        took_ms: u64,
        /// Time spent in each stage.
        stages: Vec<StageTime>,
    },
    /// A step failed.
    StepFailed {
        step: StepId,
        service: ServiceName,
        error: String,
        /// Last lines that the service logged, with secrets masked; long ones are truncated.
        log: Vec<String>,
        took_ms: u64,
        /// Time spent in each stage.
        stages: Vec<StageTime>,
    },
    /// A step was skipped: it was not begun, or was interrupted while under way.
    StepSkipped { step: StepId, service: ServiceName, reason: String },
    /// A hook was called, or a notifier failed.
    Hook {
        service: ServiceName,
        hook: Point,
        /// The call in one line: `./warm.sh`, `POST http://localhost:9000/lcm`.
        call: String,
        outcome: CallOutcome,
        /// `null`: the call succeeded.
        error: Option<String>,
        /// Output of the program, or body of the response, with secrets masked; truncated if long.
        output: String,
        took_ms: u64,
    },
    /// Heartbeat: sent while there is no other event, to show that the run is still going.
    Heartbeat { waiting: Vec<StepId>, elapsed_ms: u64 },
    /// A warning.
    Warning { message: String },
    /// The last event of every run, whether it succeeded or failed.
    Result {
        /// Exit code of the command.
        exit_code: u8,
        /// True if anything was changed, or may have been.
        changed: bool,
        /// Steps that were carried out successfully; steps that were no longer needed are not counted.
        done: u32,
        failed: u32,
        /// Steps that were not begun, or were interrupted while under way.
        skipped: u32,
        /// Wanted services that can't start.
        blocked: u32,
        /// The result in one sentence.
        message: String,
        /// Time from the run's first event to this one, in milliseconds.
        #[serde(default)]
        took_ms: u64,
        /// Number of services by the action that was taken.
        #[serde(default)]
        services: ServiceCounts,
        /// Time that all steps spent in each stage, in the order in which a step goes through the stages. The times of
        /// parallel steps are added up.
        #[serde(default)]
        stages: Vec<StageTotal>,
    },
}

/// Number of services by the action that was taken; a service that was stopped and started again is counted under both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceCounts {
    pub evicted: u32,
    pub stopped: u32,
    pub removed: u32,
    pub paused: u32,
    pub unpaused: u32,
    #[serde(default)]
    pub updated: u32,
    /// Absent where no service was scaled.
    #[serde(default, skip_serializing_if = "is_none")]
    pub scaled: u32,
    #[serde(default)]
    pub woken: u32,
    pub started: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

/// Stage of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Prepare,
    Evict,
    /// lcm waits until a busy service is idle, for at most its `drain`.
    Drain,
    /// Hooks of the service are called.
    Hook,
    Stop,
    Release,
    Start,
    Health,
}

impl Stage {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Evict => "evict",
            Self::Drain => "drain",
            Self::Hook => "hook",
            Self::Stop => "stop",
            Self::Release => "release",
            Self::Start => "start",
            Self::Health => "health",
        }
    }
}

/// Time that a step spent in one stage; listed in the order of the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageTime {
    pub stage: Stage,
    pub took_ms: u64,
}

/// Time that the steps of a run spent in one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageTotal {
    pub stage: Stage,
    /// Time of all steps together, in milliseconds.
    pub took_ms: u64,
    /// Number of steps that went through the stage.
    pub steps: u32,
    /// The step that spent the longest time in the stage.
    pub longest: StepTime,
}

/// Time of one step, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepTime {
    pub step: StepId,
    pub took_ms: u64,
}

/// Outcome of a step that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    /// The machine was already in the wanted state.
    NotNeeded,
}

/// Outcome of the call of a hook or a notifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    #[serde(alias = "well")]
    Succeeded,
    /// The call failed, and the run goes on.
    Failed,
    /// The call failed, and the step that required it is not carried out.
    Vetoed,
}
