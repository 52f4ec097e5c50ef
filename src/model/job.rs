//! Job: a service that runs to its end. Its limits, its recorded end, and its state.
//!
//! Not here: the judgement of an end, which is `observe`'s, and the decision to run a job again, which is the planner's.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// Longest run; a job that runs longer is stopped, and has failed. `None`: no limit.
    pub timeout: Option<Duration>,
}

/// Last end of a job on record in lcm's store, also after its container is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobEnd {
    /// Hash of the spec that the job ran with; empty after `lcm down`, since which no earlier end counts.
    pub spec: String,
    /// Exit code; `null` if a signal ended the job.
    #[serde(default)]
    pub exit_code: Option<i32>,
    #[schemars(with = "String")]
    pub ended_at: Timestamp,
}

impl JobEnd {
    /// Creates the record that no end before this time counts.
    #[must_use]
    pub fn forgotten(at: Timestamp) -> Self {
        Self { spec: String::new(), exit_code: None, ended_at: at }
    }

    /// Returns true for a record that no earlier end counts.
    #[must_use]
    pub fn is_forgotten(&self) -> bool {
        self.spec.is_empty()
    }
}

/// State of a job under the present spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// The job ended with exit code 0.
    Done,
    /// The job ended with another exit code, by a signal that lcm did not send, or by its `timeout`.
    Failed,
    /// The job has not completed a run: it never ran, its spec has changed since, or it was stopped.
    Due,
    Running,
}

impl JobState {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Due => "due",
            Self::Running => "running",
        }
    }
}

/// State of a job, and its last end under the present spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobStatus {
    pub state: JobState,
    /// Exit code of the last run under the present spec; `null` if there was none, or if a signal ended it.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// End of the last run under the present spec.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub ended_at: Option<Timestamp>,
}

/// Part of a job's start step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobStep {
    /// True if the step lasts until the job has ended, because services that start after the end wait for it.
    pub until_end: bool,
    /// True if the job's GPU memory is free again at the end of the step, and no step begins before that because the job
    /// has merely started.
    pub frees_memory: bool,
    /// Milliseconds that the job may still run, by its `timeout`; absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
}
