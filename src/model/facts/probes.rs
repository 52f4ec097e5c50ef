//! Results of probing a service within one observation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeFacts {
    #[serde(default)]
    pub health: Option<ProbeReading>,
    #[serde(default)]
    pub busy: Option<BusyReading>,
}

/// What probing came to within one observation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeReading {
    Passed,
    /// So many in a row, the last for this reason.
    Failed {
        failures: u32,
        detail: String,
    },
    /// The probe itself could not be run.
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BusyReading {
    Idle,
    /// What it said.
    Busy(String),
}

/// Outcome of a health check that a runtime makes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EngineHealth {
    Starting,
    Healthy,
    Unhealthy,
}
