//! GPUs declared in the manifest, for hosts without a driver to query: the memory in use on them stays unknown.

use crate::host::gpu::unified;
use crate::model::desired::{DeclaredGpu, Desired};
use crate::model::facts::{GpuFact, Reading};
use crate::model::names::GpuId;
use crate::model::size::Mebibytes;

/// Returns the declared GPUs; none declared, none known.
pub(super) fn declared(desired: &Desired) -> Reading<Vec<GpuFact>> {
    if desired.declared_gpus.is_empty() {
        return Reading::NotAsked;
    }
    Reading::Known(desired.declared_gpus.iter().map(fact).collect())
}

fn fact(declared: &DeclaredGpu) -> GpuFact {
    GpuFact {
        id: GpuId::new(declared.uuid.clone().unwrap_or_else(|| format!("gpu-{}", declared.index))),
        index: declared.index,
        name: String::new(),
        capacity: if declared.unified { unified::capacity(declared.capacity) } else { declared.capacity },
        used: None,
        reserved: Mebibytes::ZERO,
        lost: None,
        unreadable: None,
        holders: Vec::new(),
    }
}
