//! GPU memory that starts of other users, or of other projects, have reserved on this host.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::names::GpuId;
use crate::model::size::Mebibytes;

/// GPU memory reserved by a start of another user's lcm, or of another project's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReservationFact {
    /// User whose process holds the reservation.
    pub uid: u32,
    pub project: String,
    pub service: String,
    pub gpus: Vec<GpuId>,
    /// Memory on each of the GPUs.
    pub memory: Mebibytes,
    /// Part of the memory that a driver measures already.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measured: BTreeMap<GpuId, Mebibytes>,
    /// The service has started: the reservation counts only where no driver measures.
    #[serde(default)]
    pub loaded: bool,
}
