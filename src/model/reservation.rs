//! GPU memory that starts of other users, or of other projects, have reserved on this host.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::names::GpuId;
use crate::model::size::Mebibytes;

/// GPU memory that lcm has reserved for a start of another user or another project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReservationFact {
    /// User whose process holds the reservation.
    pub uid: u32,
    pub project: String,
    pub service: String,
    pub gpus: Vec<GpuId>,
    /// Memory reserved on each of the GPUs.
    pub memory: Mebibytes,
    /// Part of the reserved memory that the driver already measures as used, by GPU.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measured: BTreeMap<GpuId, Mebibytes>,
    /// True if the service has started. On a GPU whose memory a driver measures, the measured value now includes the
    /// service, so the reservation no longer counts; on a GPU that is not measured, it still counts.
    #[serde(default)]
    pub loaded: bool,
}
