//! One event type feeds the terminal, the JSON stream and the store alike. Its JSON is `lcm.event/1`, one a line.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::hooks::Point;
use crate::model::lifecycle::{Action, State};
use crate::model::names::{ModeName, ProjectName, ServiceName, StepId};

/// The version of an event's JSON.
pub const FORMAT: &str = "lcm.event/1";

/// One thing that happened. Later versions of lcm add fields and types: a reader passes over what it does not know.
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
    /// All of a start that can fail and needs no room is done; before the first stop of a round.
    Prepared {
        step: StepId,
        service: ServiceName,
        took_ms: u64,
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
        /// Where that time went.
        stages: Vec<StageTime>,
    },
    StepFailed {
        step: StepId,
        service: ServiceName,
        error: String,
        /// What the service wrote last, masked and bounded.
        log: Vec<String>,
        took_ms: u64,
        /// Where that time went.
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
    /// The last one, whatever became of the run.
    Result {
        /// That of the command.
        exit_code: u8,
        /// Anything was changed, or may have been.
        changed: bool,
        /// Steps that came to a good end, or were not needed any more.
        done: u32,
        failed: u32,
        /// Steps that were not begun, or not followed to their end.
        skipped: u32,
        /// Services that are wanted and can't be.
        blocked: u32,
        /// In one sentence.
        message: String,
        /// From the run's first event to this one.
        #[serde(default)]
        took_ms: u64,
        /// Services by what was done with them.
        #[serde(default)]
        services: ServiceCounts,
        /// Where the time of all steps went, in the order in which a step goes through them. What went on side by side
        /// is added up.
        #[serde(default)]
        stages: Vec<StageTotal>,
    },
}

/// Services by what was done with them; one that was stopped and started again counts twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceCounts {
    pub evicted: u32,
    pub stopped: u32,
    pub removed: u32,
    pub paused: u32,
    pub unpaused: u32,
    #[serde(default)]
    pub updated: u32,
    /// Not there where none was.
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

/// What a step is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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

/// How long the steps of a run were in one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageTotal {
    pub stage: Stage,
    /// Of all of them together.
    pub took_ms: u64,
    /// How many were in it.
    pub steps: u32,
    /// The one that was in it longest.
    pub longest: StepTime,
}

/// How long one step took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepTime {
    pub step: StepId,
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
