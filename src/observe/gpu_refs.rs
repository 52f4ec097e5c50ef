//! GPUs that a manifest names, among those that are there.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::desired::GpuRef;
use crate::model::names::GpuId;
use crate::model::observed::ObservedGpu;

/// Those that are not lost.
pub(crate) fn usable(gpus: &BTreeMap<GpuId, ObservedGpu>) -> BTreeSet<GpuId> {
    gpus.iter().filter(|(_, gpu)| gpu.lost.is_none()).map(|(id, _)| id.clone()).collect()
}

/// All that the manifest means, of those that are there.
pub(crate) fn resolve_all(refs: &[GpuRef], gpus: &BTreeMap<GpuId, ObservedGpu>) -> BTreeSet<GpuId> {
    refs.iter().filter_map(|one| resolve(one, gpus)).collect()
}

/// The GPU that the manifest means.
pub(crate) fn resolve(wanted: &GpuRef, gpus: &BTreeMap<GpuId, ObservedGpu>) -> Option<GpuId> {
    match wanted {
        GpuRef::Uuid(uuid) => gpus.keys().find(|id| id.as_str() == uuid).cloned(),
        GpuRef::Index(index) => gpus.iter().find(|(_, gpu)| gpu.index == *index).map(|(id, _)| id.clone()),
    }
}
