//! Events: one type feeds the terminal, the JSON stream and the store alike. Its JSON is `lcm.event/2`, one event a
//! line.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::hooks::Point;
use crate::model::lifecycle::{Action, State};
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
    Run { project: ProjectName, mode: Option<ModeName> },
    /// The plan of a round, as the ids of its steps.
    Planned { round: u32, steps: Vec<StepId> },
    /// Everything in a start that can fail before GPU memory is needed is done; sent before the first stop of a round.
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
    /// A step succeeded, or was not needed any more.
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
        /// Last lines that the service logged, masked and bounded.
        log: Vec<String>,
        took_ms: u64,
        /// Time spent in each stage.
        stages: Vec<StageTime>,
    },
    /// A step was not begun, for this reason.
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
        /// Output of the program, or body of the response; masked and bounded.
        output: String,
        took_ms: u64,
    },
    /// The run goes on; sent while there is no other event.
    Heartbeat { waiting: Vec<StepId>, elapsed_ms: u64 },
    /// A warning.
    Warning { message: String },
    /// The last event of every run, whether it succeeded or failed.
    Result {
        /// Exit code of the command.
        exit_code: u8,
        /// True if anything was changed, or may have been.
        changed: bool,
        /// Steps that succeeded, or were not needed any more.
        done: u32,
        failed: u32,
        /// Steps that were not begun, or not followed to their end.
        skipped: u32,
        /// Wanted services that can't start.
        blocked: u32,
        /// The result in one sentence.
        message: String,
        /// Time from the run's first event to this one, in milliseconds.
        #[serde(default)]
        took_ms: u64,
        /// Services by the action that was taken.
        #[serde(default)]
        services: ServiceCounts,
        /// Time of all steps by stage, in the order in which a step goes through the stages. Times of parallel steps
        /// are added up.
        #[serde(default)]
        stages: Vec<StageTotal>,
    },
}

/// Number of services by the action that was taken; one that was stopped and started again counts twice.
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
    /// A busy service is waited for, at most for its `drain`.
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
    /// Number of steps that passed the stage.
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
    /// The machine was in the wanted state already.
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
    /// The call failed, and so the step that required it is not taken.
    Vetoed,
}
