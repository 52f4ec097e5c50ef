//! Host memory as `lcm status` reports it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::capacity::{HostCapacity, MemoryCapacity};
use crate::model::desired::Desired;
use crate::model::observed::Observed;
use crate::model::size::Mebibytes;

/// Memory of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryStatus {
    pub capacity_mib: Mebibytes,
    pub reserve_mib: Mebibytes,
    /// Foreign memory, in MiB: used by processes that do not belong to this manifest, and by services without `ram`.
    pub foreign_mib: Mebibytes,
    /// Host memory declared by the services that run, in MiB.
    pub declared_mib: Mebibytes,
    /// Memory that is not available to programs, in MiB; `null`: not measured.
    pub measured_mib: Option<Mebibytes>,
    /// Memory that counts as used, in MiB: foreign memory plus, for each running service with `ram`, the larger of
    /// declared and measured memory.
    pub used_mib: Mebibytes,
    /// Memory that is free for further services, in MiB.
    pub free_mib: Mebibytes,
}

/// Returns the host's memory, where it is counted and known.
pub(super) fn memory_status(desired: &Desired, observed: &Observed, headroom: &HostCapacity) -> Option<MemoryStatus> {
    let Some(MemoryCapacity::Known(capacity)) = &headroom.memory else { return None };
    let running = desired.services.iter().filter_map(|(name, service)| Some((service, observed.services.get(name)?)));
    let running = running.filter(|(_, seen)| seen.holds_capacity);
    let used = capacity.foreign + capacity.holders.iter().map(|held| held.counts).sum();
    Some(MemoryStatus {
        capacity_mib: capacity.capacity,
        reserve_mib: capacity.reserve,
        foreign_mib: capacity.foreign,
        declared_mib: running.map(|(service, seen)| service.ram_of(seen.copies_held())).sum(),
        measured_mib: capacity.used,
        used_mib: used,
        free_mib: capacity.capacity - capacity.reserve - used,
    })
}
