//! Reading of the host's memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::facts::owner::ProcessOwner;
use crate::model::size::Mebibytes;

/// Memory of the host as the kernel reports it. Amounts are in MiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostMemoryFact {
    pub total: Mebibytes,
    /// Memory that programs can take without swapping (`MemAvailable`); absent if the kernel does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<Mebibytes>,
    /// Anonymous and shared memory of each service's processes, as far as it is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<HostMemoryHolder>,
}

/// Processes of one service or container, and the host memory that they hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostMemoryHolder {
    pub owner: ProcessOwner,
    pub memory: Mebibytes,
}
