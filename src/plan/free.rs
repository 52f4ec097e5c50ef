//! What each GPU has now, and who counts for how much of it: the planner's arithmetic for those who wait for room.

use crate::model::desired::Desired;
use crate::model::names::GpuId;
use crate::model::observed::Observed;
use crate::model::plan::Request;
use crate::model::room::{GpuRoom, Holder, Room};
use crate::plan::decide::Scene;
use crate::plan::want;

/// Every GPU as it is now. Nothing that a plan would change is counted as changed.
#[must_use]
pub fn room(desired: &Desired, observed: &Observed, request: &Request) -> Room {
    let wants = want::wants(desired, request);
    let scene = Scene { desired, observed, request, wants: &wants };
    let gpus = observed.gpus.keys().map(|id| (id.clone(), one_gpu(&scene, id))).collect();
    Room { gpus, unknown: observed.gpus_unknown.clone() }
}

fn one_gpu(scene: &Scene<'_>, id: &GpuId) -> GpuRoom {
    let gpu = &scene.observed.gpus[id];
    let services = scene.observed.services.iter().filter(|(_, seen)| seen.holds_room);
    let services = services.map(|(name, seen)| Holder {
        service: name.clone(),
        label: format!("{name} (priority {})", scene.priority(name)),
        counts: scene.held_on(name, id),
        measured: seen.measured.as_ref().map(|measured| measured.get(id).copied().unwrap_or_default()),
    });
    let orphans = scene.observed.orphans.iter().filter(|orphan| orphan.holds_room() && orphan.gpus.contains(id));
    let orphans = orphans.map(|orphan| Holder {
        service: orphan.service.clone(),
        label: format!("orphan {}", orphan.service),
        counts: orphan.vram,
        measured: None,
    });
    GpuRoom {
        index: gpu.index,
        capacity: gpu.capacity,
        reserve: scene.desired.reserve,
        foreign: gpu.foreign,
        foreign_holders: gpu.foreign_holders.clone(),
        used: gpu.used,
        told: gpu.told,
        lost: gpu.lost.clone(),
        holders: services.chain(orphans).filter(|held| held.counts.0 > 0).collect(),
    }
}
