//! Results of probing a service within one observation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Probe results of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeFacts {
    #[serde(default)]
    pub health: Option<ProbeReading>,
    #[serde(default)]
    pub busy: Option<BusyReading>,
}

/// Result of health probes within one observation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeReading {
    Passed,
    /// Number of consecutive failures, and the reason for the last one.
    Failed {
        failures: u32,
        detail: String,
    },
    /// The probe itself could not be run.
    Unknown(String),
}

/// Result of a busy probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BusyReading {
    Idle,
    /// Output of the probe.
    Busy(String),
}

/// Result of a runtime's own health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EngineHealth {
    Starting,
    Healthy,
    Unhealthy,
}
