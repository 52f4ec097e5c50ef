//! Host memory: what the counted services hold of it, and the foreign rest.
//!
//! Counted are services with `ram`, and services on GPUs without memory of their own. All else that is not available
//! counts as foreign, so that no memory in use is promised to a start.

use std::collections::BTreeMap;

use crate::model::desired::Desired;
use crate::model::facts::{Facts, HostMemoryFact, ProcessOwner, Reading};
use crate::model::lifecycle::State;
use crate::model::names::ServiceName;
use crate::model::observed::{ObservedGpus, ObservedMemory, ObservedService};
use crate::model::size::Mebibytes;

/// Sets the measured host memory of the services, and returns the host's memory.
pub(super) fn settle(
    facts: &Facts,
    desired: &Desired,
    services: &mut BTreeMap<ServiceName, ObservedService>,
    gpus: &ObservedGpus,
) -> Reading<ObservedMemory> {
    if !desired.counts_host_memory() {
        return Reading::NotAsked;
    }
    let fact = match &facts.memory {
        Reading::NotAsked => return Reading::NotAsked,
        Reading::Unknown(why) => return Reading::Unknown(why.clone()),
        Reading::Known(fact) => fact,
    };
    for (name, seen) in services.iter_mut().filter(|(_, seen)| seen.holds_capacity) {
        seen.ram_measured = measured(fact, desired, name, seen);
    }
    let used = fact.available.map(|available| fact.total - available);
    let ours: Mebibytes = services.iter().map(|(name, seen)| in_use(desired, name, seen, gpus)).sum();
    Reading::Known(ObservedMemory {
        capacity: fact.total,
        used,
        foreign: used.map_or(Mebibytes::ZERO, |used| used - ours),
    })
}

/// Memory of a service's processes; `None`: unknown.
fn measured(fact: &HostMemoryFact, desired: &Desired, name: &ServiceName, seen: &ObservedService) -> Option<Mebibytes> {
    let instances = || seen.instance.iter().chain(seen.previous.as_deref());
    let is_its = |owner: &ProcessOwner| match owner {
        ProcessOwner::Service { project, service } => desired.is_own_project(project.as_str()) && service == name,
        ProcessOwner::Container(id) => instances().any(|instance| instance.name.is_some() && instance.id == *id),
        ProcessOwner::Foreign => false,
    };
    let held = fact.holders.iter().filter(|holder| is_its(&holder.owner));
    held.map(|holder| holder.memory).reduce(|sum, memory| sum + memory)
}

/// Part of the memory in use that a counted service holds. Where that is not measured, its declaration stands in, except
/// for a service that is still loading, which may not have taken its memory yet.
fn in_use(desired: &Desired, name: &ServiceName, seen: &ObservedService, gpus: &ObservedGpus) -> Mebibytes {
    let Some(service) = desired.services.get(name).filter(|_| seen.holds_capacity) else { return Mebibytes::ZERO };
    let is_loading = seen.state == State::Starting;
    let stands_in = |declared: Mebibytes| if is_loading { Mebibytes::ZERO } else { declared };
    let own = match seen.ram_measured {
        _ if service.ram == Mebibytes::ZERO => Mebibytes::ZERO,
        Some(measured) => measured,
        None => stands_in(service.ram_of(seen.copies_held())),
    };
    let unified = seen.gpus.iter().filter(|id| gpus.get(*id).is_some_and(|gpu| gpu.is_unified));
    let on_gpus = unified.map(|id| match &seen.measured {
        Some(measured) => measured.get(id).copied().unwrap_or_default(),
        None => stands_in(seen.memory_on(service, id)),
    });
    own + on_gpus.sum()
}

#[cfg(test)]
mod tests;
