//! One event type feeds the terminal, the JSON stream and the store alike. Its JSON is `lcm.event/1`, one a line.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::hooks::Point;
use crate::model::lifecycle::{Action, State};
use crate::model::names::{ModeName, ProjectName, ServiceName, StepId};

/// The version of an event's JSON.
pub const FORMAT: &str = "lcm.event/1";

/// One thing that happened.
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventKind {
    /// A run begins.
    Run {
        project: ProjectName,
        mode: Option<ModeName>,
    },
    /// A round's plan, in short.
    Planned {
        round: u32,
        steps: Vec<StepId>,
    },
    StepStarted {
        step: StepId,
        service: ServiceName,
        action: Action,
        /// As in the plan.
        estimate_ms: Option<u64>,
    },
    /// A step enters a stage.
    Stage {
        step: StepId,
        service: ServiceName,
        stage: Stage,
        detail: Option<String>,
    },
    /// A state changed by lcm's doing.
    Transition {
        service: ServiceName,
        from: State,
        to: State,
        reason: String,
    },
    StepDone {
        step: StepId,
        service: ServiceName,
        outcome: Outcome,
        took_ms: u64,
        stages: Vec<StageTime>,
    },
    StepFailed {
        step: StepId,
        service: ServiceName,
        error: String,
        log: Vec<String>,
        took_ms: u64,
        stages: Vec<StageTime>,
    },
    /// Not begun, for this reason.
    StepSkipped {
        step: StepId,
        service: ServiceName,
        reason: String,
    },
    /// A hook was called, or a notifier failed.
    Hook {
        service: ServiceName,
        hook: Point,
        /// `./warm.sh`, `POST http://localhost:9000/lcm`.
        call: String,
        outcome: CallOutcome,
        /// `null`: it went well.
        error: Option<String>,
        /// What it wrote or answered, masked and bounded.
        output: String,
        took_ms: u64,
    },
    /// Still at it; sent while nothing else is.
    Heartbeat {
        waiting: Vec<StepId>,
        elapsed_ms: u64,
    },
    Warning {
        message: String,
    },
    /// The last one.
    Result {
        exit_code: u8,
        changed: bool,
        done: u32,
        failed: u32,
        skipped: u32,
        blocked: u32,
        message: String,
    },
}

/// What a step is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Prepare,
    Evict,
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

/// How long a step was in one stage; in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageTime {
    pub stage: Stage,
    pub took_ms: u64,
}

/// How a step came to its end, where it did well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    /// The world had it already.
    NotNeeded,
}

/// How a call came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    Well,
    /// It stops nothing.
    Failed,
    /// It failed, and the step that asked it is not taken.
    Vetoed,
}
