//! GPUs that a manifest names, among those that are there.

use std::collections::BTreeSet;

use crate::model::desired::GpuRef;
use crate::model::names::GpuId;
use crate::model::observed::ObservedGpus;

/// Those that are not lost.
pub(crate) fn usable(gpus: &ObservedGpus) -> BTreeSet<GpuId> {
    gpus.iter().filter(|(_, gpu)| gpu.lost.is_none()).map(|(id, _)| id.clone()).collect()
}

/// All that the manifest means, of those that are there.
pub(crate) fn resolve_all(refs: &[GpuRef], gpus: &ObservedGpus) -> BTreeSet<GpuId> {
    refs.iter().filter_map(|one| resolve(one, gpus)).collect()
}

/// The GPU that the manifest means.
pub(crate) fn resolve(wanted: &GpuRef, gpus: &ObservedGpus) -> Option<GpuId> {
    match wanted {
        GpuRef::Uuid(uuid) => gpus.keys().find(|id| id.as_str() == uuid).cloned(),
        GpuRef::Index(index) => gpus.iter().find(|(_, gpu)| gpu.index == *index).map(|(id, _)| id.clone()),
    }
}
