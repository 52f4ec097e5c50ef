//! Memory that a start of this run was admitted with.

use std::collections::BTreeMap;

use crate::model::names::GpuId;
use crate::model::size::Mebibytes;

/// Memory reserved for one start, on each of these GPUs and of the host.
#[derive(Clone, Debug)]
pub(in crate::apply) struct StartReservation {
    pub(in crate::apply) gpus: Vec<GpuId>,
    pub(in crate::apply) amount: Mebibytes,
    /// GPUs with another amount.
    pub(in crate::apply) by_gpu: BTreeMap<GpuId, Mebibytes>,
    /// Host memory.
    pub(in crate::apply) ram: Mebibytes,
    pub(in crate::apply) state: ReservationState,
}

impl StartReservation {
    /// Returns the memory reserved on one of its GPUs.
    pub(in crate::apply) fn on(&self, gpu: &GpuId) -> Mebibytes {
        self.by_gpu.get(gpu).copied().unwrap_or(self.amount)
    }
}

/// Progress of the service that the memory is reserved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::apply) enum ReservationState {
    /// The service loads: a measurement may show nothing yet, or only a part of its memory.
    Loading,
    /// The service did not come up and still exists: a driver that measures single processes shows its memory.
    Detached,
    /// The service is healthy: its measured memory is all that it takes. Only its GPUs are still of use.
    Settled,
}
