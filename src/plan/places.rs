//! Places of a service: the sets of GPUs that its GPU request allows.

use std::collections::BTreeSet;

use crate::model::desired::{GpuRef, GpuRequest};
use crate::model::names::GpuId;
use crate::model::observed::{ObservedGpu, ObservedGpus};

/// Sets of GPUs on which a service may be placed.
#[derive(Debug)]
pub(super) struct Places {
    /// In order of preference.
    pub(super) sets: Vec<BTreeSet<GpuId>>,
    /// Every GPU in any of the sets, by index.
    pub(super) all: Vec<GpuId>,
}

/// Returns every set of GPUs that satisfies a request; `Err` is the reason for which there is none.
pub(super) fn places(gpus: &ObservedGpus, request: &GpuRequest) -> Result<Places, String> {
    let known = known(gpus);
    let sets = candidates(&known, request)?;
    let listed: BTreeSet<&GpuId> = sets.iter().flatten().collect();
    let all = known.iter().filter(|(id, _)| listed.contains(id)).map(|(id, _)| (*id).clone()).collect();
    Ok(Places { sets, all })
}

fn candidates(known: &[(&GpuId, &ObservedGpu)], request: &GpuRequest) -> Result<Vec<BTreeSet<GpuId>>, String> {
    if *request == GpuRequest::None {
        return Ok(vec![BTreeSet::new()]);
    }
    if known.is_empty() {
        return Err("no GPU found (no NVIDIA or AMD driver); declare one under `gpus.devices`".to_owned());
    }
    let usable: Vec<&GpuId> = known.iter().filter(|(_, gpu)| gpu.unusable().is_none()).map(|(id, _)| *id).collect();
    let find = |wanted: &GpuRef| find(known, wanted);
    let alone = |id: GpuId| BTreeSet::from([id]);
    match request {
        GpuRequest::None => Ok(vec![BTreeSet::new()]),
        GpuRequest::Auto if usable.is_empty() => {
            Err(known.iter().filter_map(|(_, gpu)| unusable(gpu)).collect::<Vec<_>>().join(", "))
        }
        GpuRequest::Auto => Ok(usable.into_iter().cloned().map(alone).collect()),
        GpuRequest::All(refs) => together(refs.iter().map(find).collect::<Result<_, _>>()?),
        GpuRequest::Any(refs) => {
            let found: Vec<_> = refs.iter().map(find).collect();
            if found.iter().all(Result::is_err) {
                return Err(found.into_iter().filter_map(Result::err).collect::<Vec<_>>().join(", "));
            }
            Ok(found.into_iter().flatten().map(alone).collect())
        }
        GpuRequest::Count(count) => {
            let count = *count as usize;
            let (instances, usable): (Vec<&GpuId>, Vec<&GpuId>) = usable.into_iter().partition(|id| id.is_instance());
            if usable.len() < count {
                let mut lacking = format!("it needs {count} GPUs, but only {} are usable", usable.len());
                if !instances.is_empty() {
                    let more = format!("; {} MIG instances do not count: a process can use only one", instances.len());
                    lacking.push_str(&more);
                }
                return Err(known
                    .iter()
                    .filter_map(|(_, gpu)| unusable(gpu))
                    .fold(lacking, |all, why| format!("{all}; {why}")));
            }
            Ok(combinations(&usable, count))
        }
    }
}

/// Returns the set, unless it combines a MIG instance with other GPUs: a process sees one MIG instance and nothing
/// else.
fn together(set: BTreeSet<GpuId>) -> Result<Vec<BTreeSet<GpuId>>, String> {
    match set.iter().find(|id| id.is_instance()).filter(|_| set.len() > 1) {
        Some(instance) => Err(format!(
            "it requests {instance} together with other GPUs, but a process can use only one MIG instance and no other \
             GPU: write `{{ any: [..] }}` or `auto`"
        )),
        None => Ok(vec![set]),
    }
}

/// GPUs sorted by index.
fn known(gpus: &ObservedGpus) -> Vec<(&GpuId, &ObservedGpu)> {
    let mut known: Vec<(&GpuId, &ObservedGpu)> = gpus.iter().collect();
    known.sort_by_key(|(id, gpu)| (gpu.index, *id));
    known
}

fn find(known: &[(&GpuId, &ObservedGpu)], wanted: &GpuRef) -> Result<GpuId, String> {
    let (found, name) = match wanted {
        GpuRef::Index(index) => (known.iter().find(|(_, gpu)| gpu.index == *index), index.to_string()),
        GpuRef::Uuid(uuid) => (known.iter().find(|(id, _)| id.as_str() == uuid), uuid.clone()),
    };
    let absent = || match known.iter().find(|(_, gpu)| gpu.unreadable.is_some()) {
        Some((_, gpu)) => format!("GPU {name} is not found, and {}", unusable(gpu).unwrap_or_default()),
        None => format!("GPU {name} is not found"),
    };
    let (id, gpu) = found.ok_or_else(absent)?;
    unusable(gpu).map_or_else(|| Ok((*id).clone()), Err)
}

fn unusable(gpu: &ObservedGpu) -> Option<String> {
    gpu.unusable().map(|why| format!("GPU {} can't be used: {why}", gpu.index))
}

/// Bound on the sets of GPUs: far more than a host of 8 GPUs has (70); any beyond it are dropped.
const COMBINATIONS_MAX: usize = 10_000;

/// Sets of `count` GPUs in the order of their indices.
fn combinations(known: &[&GpuId], count: usize) -> Vec<BTreeSet<GpuId>> {
    let mut sets = Vec::new();
    let mut positions: Vec<usize> = (0..count).collect();
    while sets.len() < COMBINATIONS_MAX {
        sets.push(positions.iter().map(|position| known[*position].clone()).collect());
        let Some(last) = (0..count).rev().find(|slot| positions[*slot] < known.len() - count + slot) else { break };
        positions[last] += 1;
        for slot in last + 1..count {
            positions[slot] = positions[slot - 1] + 1;
        }
    }
    sets
}
