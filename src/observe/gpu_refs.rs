//! Resolution of the GPUs that a manifest names, among the observed ones.

use std::collections::BTreeSet;

use crate::model::desired::GpuRef;
use crate::model::names::GpuId;
use crate::model::observed::ObservedGpus;

/// Returns the GPUs that are not lost.
pub(crate) fn usable(gpus: &ObservedGpus) -> BTreeSet<GpuId> {
    gpus.iter().filter(|(_, gpu)| gpu.lost.is_none()).map(|(id, _)| id.clone()).collect()
}

/// Returns the observed GPUs that the references name.
pub(crate) fn resolve_all(refs: &[GpuRef], gpus: &ObservedGpus) -> BTreeSet<GpuId> {
    refs.iter().filter_map(|one| resolve(one, gpus)).collect()
}

/// Returns the GPU that a reference names.
pub(crate) fn resolve(wanted: &GpuRef, gpus: &ObservedGpus) -> Option<GpuId> {
    match wanted {
        GpuRef::Uuid(uuid) => gpus.keys().find(|id| id.as_str() == uuid).cloned(),
        GpuRef::Index(index) => gpus.iter().find(|(_, gpu)| gpu.index == *index).map(|(id, _)| id.clone()),
    }
}
