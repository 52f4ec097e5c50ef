//! GPU memory as the placing sees it: what each GPU has once everything that leaves has left.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::desired::{GpuRef, GpuRequest, Service};
use crate::model::names::{GpuId, ServiceName};
use crate::model::size::Mebibytes;
use crate::plan::decide::{Decision, Decisions, Scene};

/// Who sits where, at the plan's end. Amounts may exceed a GPU where reality already does.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats {
    of: BTreeMap<GpuId, BTreeMap<ServiceName, Mebibytes>>,
}

impl Seats {
    /// Everything that holds room now and is not on its way out.
    pub(super) fn staying(scene: &Scene<'_>, decisions: &Decisions) -> Self {
        let mut seats = Self::default();
        for (name, decision) in &decisions.0 {
            match decision {
                Decision::Recreate { .. } => {
                    seats.seat(name, &scene.seen(name).gpus, scene.service(name).vram);
                }
                Decision::Leave(_) | Decision::Await(_) | Decision::Blocked(_) | Decision::Held(_) => {
                    seats.seat(name, &scene.seen(name).gpus, scene.held(name));
                }
                Decision::Start { .. } | Decision::Stop(_) | Decision::Preempt { .. } => {}
            }
        }
        seats
    }

    pub(super) fn seat(&mut self, name: &ServiceName, gpus: &BTreeSet<GpuId>, amount: Mebibytes) {
        for gpu in gpus {
            self.of.entry(gpu.clone()).or_default().insert(name.clone(), amount);
        }
    }

    pub(super) fn leave(&mut self, name: &ServiceName) {
        for seated in self.of.values_mut() {
            seated.remove(name);
        }
    }

    /// Services on a GPU, with what they take there.
    pub(super) fn on(&self, gpu: &GpuId) -> impl Iterator<Item = (&ServiceName, Mebibytes)> {
        self.of.get(gpu).into_iter().flatten().map(|(name, amount)| (name, *amount))
    }

    /// Whether `need` more fits on a GPU.
    pub(super) fn fits(&self, scene: &Scene<'_>, gpu: &GpuId, need: Mebibytes) -> bool {
        let seated: Mebibytes = self.on(gpu).map(|(_, amount)| amount).sum();
        taken_by_others(scene, gpu) + seated + need <= scene.observed.gpus[gpu].capacity
    }
}

/// Reserve, foreign programs and orphans that stay.
pub(super) fn taken_by_others(scene: &Scene<'_>, gpu: &GpuId) -> Mebibytes {
    let orphans = scene.observed.orphans.iter().filter(|orphan| !scene.stops_orphan(orphan));
    let orphaned: Mebibytes =
        orphans.filter(|orphan| orphan.holds_room() && orphan.gpus.contains(gpu)).map(|orphan| orphan.vram).sum();
    scene.desired.reserve + scene.observed.gpus[gpu].foreign + orphaned
}

/// Every set of GPUs that would do for a service, the first choice first; `Err` says why there is none.
pub(super) fn candidates(scene: &Scene<'_>, service: &Service) -> Result<Vec<BTreeSet<GpuId>>, String> {
    let mut known: Vec<(&GpuId, u32)> = scene.observed.gpus.iter().map(|(id, gpu)| (id, gpu.index)).collect();
    known.sort_by_key(|(id, index)| (*index, (*id).clone()));
    if service.wants_gpu() && known.is_empty() {
        return Err("it wants a GPU, and none is known on this host; `gpus.devices` in the manifest names those that can't be asked".to_owned());
    }
    let find = |wanted: &GpuRef| {
        let found = match wanted {
            GpuRef::Index(index) => known.iter().find(|(_, known)| known == index),
            GpuRef::Uuid(uuid) => known.iter().find(|(id, _)| id.as_str() == uuid),
        };
        found.map(|(id, _)| (*id).clone()).ok_or_else(|| match wanted {
            GpuRef::Index(index) => format!("GPU {index} is not there"),
            GpuRef::Uuid(uuid) => format!("GPU {uuid} is not there"),
        })
    };
    let alone = |id: GpuId| BTreeSet::from([id]);
    match &service.gpu {
        GpuRequest::None => Ok(vec![BTreeSet::new()]),
        GpuRequest::Auto => Ok(known.iter().map(|(id, _)| alone((*id).clone())).collect()),
        GpuRequest::All(refs) => Ok(vec![refs.iter().map(find).collect::<Result<_, _>>()?]),
        GpuRequest::Any(refs) => {
            let found: Vec<_> = refs.iter().map(find).collect();
            if found.iter().all(Result::is_err) {
                return Err(found.into_iter().filter_map(Result::err).collect::<Vec<_>>().join(", "));
            }
            Ok(found.into_iter().flatten().map(alone).collect())
        }
        GpuRequest::Count(count) => {
            let count = *count as usize;
            if known.len() < count {
                return Err(format!("it wants {count} GPUs, and there are {}", known.len()));
            }
            Ok(combinations(&known, count))
        }
    }
}

/// Far more than hosts of 8 GPUs have (70); beyond it the first ones stand for all.
const COMBINATIONS_MAX: usize = 10_000;

/// Sets of `count` GPUs in the order of their indices.
fn combinations(known: &[(&GpuId, u32)], count: usize) -> Vec<BTreeSet<GpuId>> {
    let mut sets = Vec::new();
    let mut positions: Vec<usize> = (0..count).collect();
    while sets.len() < COMBINATIONS_MAX {
        sets.push(positions.iter().map(|position| known[*position].0.clone()).collect());
        let Some(last) = (0..count).rev().find(|slot| positions[*slot] < known.len() - count + slot) else { break };
        positions[last] += 1;
        for slot in last + 1..count {
            positions[slot] = positions[slot - 1] + 1;
        }
    }
    sets
}
