//! GPUs and their memory: the GPUs and the memory of each service and orphan of this project, and the foreign rest.
//!
//! A figure that a driver does not report is unknown, never zero, and all memory in use counts for some holder.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use crate::model::desired::{Desired, GpuRequest, Service};
use crate::model::facts::{GpuFact, Marks};
use crate::model::lifecycle::State;
use crate::model::names::{GpuId, ServiceName};
use crate::model::observed::{
    ObservedGpu, ObservedGpus, ObservedService, Orphan, Ownership, has_driver, resolve_marked, unreadable,
};
use crate::model::reservation::ReservationFact;
use crate::model::size::Mebibytes;
use crate::model::vram::{in_visible_order, vram_on_each};
use crate::observe::contract::{ObserverInput, Observers};
use crate::observe::gpu_refs::{resolve_all, usable};
use crate::observe::holders::{self, Party, ProjectHolders, Share};

/// Time for which an eviction must last: memory that grows back sooner will do so again. A service with `evict` keeps
/// this contract.
const EVICTION_HOLDS: SignedDuration = SignedDuration::from_mins(10);

/// Maximum number of foreign holders that are named; more are counted, since a refusal is one line.
const NAMED_MAX: usize = 6;

/// Unattributed memory up to this is the result of rounding each process to MiB.
const ROUNDING_MAX: Mebibytes = Mebibytes(16);

/// Sets the GPUs and the measured memory of services and orphans, and returns every GPU with its foreign memory.
pub(super) fn settle(
    view: ObserverInput<'_>,
    observers: Observers<'_>,
    services: &mut BTreeMap<ServiceName, ObservedService>,
    orphans: &mut [Orphan],
) -> ObservedGpus {
    let ObserverInput { facts, desired } = view;
    let read = || facts.gpus.known().into_iter().flatten();
    let mut gpus: ObservedGpus = read().map(|fact| (fact.id.clone(), bare(fact, desired))).collect();
    let shares = holders::shares(view, observers, ProjectHolders { services, orphans });
    let largest = gpus.values().map(|gpu| gpu.capacity).max().unwrap_or_default();
    for (name, seen) in services.iter_mut() {
        let service = &desired.services[name];
        if let Some(marks) = &mut seen.marks {
            marks.vram_mib = marks.vram_mib.min(largest.0);
        }
        let share = shares.get(&Party::Service(name.clone()));
        let held: Vec<GpuId> = holding(share).collect();
        if let Some(own) = observers.iter().find(|own| own.runtime() == service.workload.runtime) {
            own.bind(view, service, seen, &gpus, &held);
        }
        seen.gpus = gpus_of(service, seen, &gpus, share).into_iter().collect();
        seen.declared_by_gpu = declared_by_gpu(service, seen, &gpus);
        if let (Some(capacity), Some(marks)) = (capacity_most(&seen.gpus, &gpus), &mut seen.marks) {
            marks.vram_mib = marks.vram_mib.min(capacity.0);
        }
        seen.measured = measured(seen, &gpus, share);
        let history = facts.history.get(name);
        seen.estimates = history.map(|history| history.estimates).unwrap_or_default();
        let evicted_at = history.and_then(|history| history.evicted_at);
        let age = evicted_at.map(|evicted_at| facts.observed_at.duration_since(evicted_at));
        let lately = age.is_some_and(|age| !age.is_negative() && age <= EVICTION_HOLDS);
        let most = seen.measured_most().unwrap_or_default();
        let since_start = evicted_at.filter(|evicted_at| seen.since.is_none_or(|since| *evicted_at >= since));
        seen.is_asleep = since_start.is_some() && service.wake.is_some() && seen.is_evicted(service);
        seen.grew_back = lately && service.evict.as_ref().is_some_and(|evict| most > evict.resident);
    }
    for orphan in orphans.iter_mut() {
        let share = shares.get(&Party::Orphan(orphan.instance.clone()));
        orphan.gpus = found(orphan.gpus.iter().map(GpuId::as_str), &gpus).into_iter().chain(holding(share)).collect();
        let most = share.and_then(|share| share.on.values().copied().max()).unwrap_or_default();
        orphan.vram = orphan.vram.min(largest).max(most);
    }
    let others = other_projects(view, observers, &gpus);
    let reservations = &facts.reservations;
    let tally = GpuTally { desired, services, orphans, shares: &shares, others: &others, reservations };
    for fact in read() {
        let (foreign, holders) = tally.foreign(fact, &gpus[&fact.id]);
        if let Some(gpu) = gpus.get_mut(&fact.id) {
            gpu.foreign = foreign;
            gpu.foreign_holders = holders;
        }
    }
    gpus
}

/// Largest capacity of these GPUs; `None`: there are none. It bounds a mark, which may state any figure.
fn capacity_most<'a>(ids: impl IntoIterator<Item = &'a GpuId>, gpus: &ObservedGpus) -> Option<Mebibytes> {
    ids.into_iter().filter_map(|id| Some(gpus.get(id)?.capacity)).max()
}

/// Capacity of a GPU: the manifest's figure overrides the driver's, but not the memory of the host.
pub(super) fn capacity(fact: &GpuFact, desired: &Desired) -> Mebibytes {
    let declared = desired.declared_gpus.iter().find(|one| one.is(&fact.id, fact.index));
    declared.map_or(fact.capacity, |one| if one.unified { fact.capacity } else { one.capacity })
}

/// Returns the GPU as read, with no foreign memory yet.
fn bare(fact: &GpuFact, desired: &Desired) -> ObservedGpu {
    ObservedGpu {
        index: fact.index,
        name: fact.name.clone(),
        capacity: capacity(fact, desired),
        foreign: Mebibytes::ZERO,
        foreign_holders: Vec::new(),
        used: fact.used.map(|used| used + fact.reserved),
        told: fact.used.is_some() && fact.holders.iter().all(|holder| holder.memory.is_some()),
        lost: fact.lost.clone(),
        unreadable: fact.unreadable.clone(),
        is_unified: desired.declared_gpus.iter().any(|one| one.unified && one.is(&fact.id, fact.index)),
    }
}

/// Memory that one copy declares on each of its GPUs, where that differs: in the order of its marks, in which its
/// program sees them, else in the order in which a start would list them.
fn declared_by_gpu(
    service: &Service,
    seen: &ObservedService,
    gpus: &ObservedGpus,
) -> Option<BTreeMap<GpuId, Mebibytes>> {
    service.vram_by_gpu.as_ref()?;
    let marked = seen.marks.iter().flat_map(|marks| marks.placed_on()).filter_map(|id| resolve_marked(gpus, id));
    let mut visible: Vec<GpuId> = Vec::new();
    for id in marked {
        if !visible.contains(id) {
            visible.push(id.clone());
        }
    }
    if visible.is_empty() {
        visible = in_visible_order(service, seen.gpu_request(service), seen.gpus.to_vec(), gpus);
    }
    let each = vram_on_each(service, &visible, gpus);
    Some(visible.into_iter().zip(each).collect())
}

/// GPUs of a running service: those of its marks, and those on which it holds memory. Without marks: those on which it
/// holds memory, else those of the manifest; else, to be safe, all that it may use.
fn gpus_of(service: &Service, seen: &ObservedService, gpus: &ObservedGpus, share: Option<&Share>) -> BTreeSet<GpuId> {
    if !seen.holds_capacity {
        return BTreeSet::new();
    }
    let holding: BTreeSet<GpuId> = holding(share).collect();
    let placed = match &seen.marks {
        Some(marks) => {
            marked(marks, gpus).unwrap_or_else(|| by_manifest(service, &service.gpu, gpus, &BTreeSet::new()))
        }
        // A process that answers in place of an adopted container is not bound to the container's GPUs.
        None if seen.ownership == Ownership::Adopted => by_manifest(service, seen.gpu_request(service), gpus, &holding),
        None => by_manifest(service, &service.gpu, gpus, &holding),
    };
    placed.union(&holding).cloned().collect()
}

/// GPUs of the marks; `None`: none of them is known by that name, and no driver was found.
fn marked(marks: &Marks, gpus: &ObservedGpus) -> Option<BTreeSet<GpuId>> {
    let known = found(marks.placed_on(), gpus);
    (has_driver(gpus) || !known.is_empty() || marks.placed_on().next().is_none()).then_some(known)
}

/// GPUs that marks name, by their current ids. One that is not found may be any that can't be read.
fn found<'a>(marked: impl Iterator<Item = &'a str>, gpus: &ObservedGpus) -> BTreeSet<GpuId> {
    let mut found = BTreeSet::new();
    for id in marked {
        match resolve_marked(gpus, id) {
            Some(id) => drop(found.insert(id.clone())),
            None => found.extend(unreadable(gpus).cloned()),
        }
    }
    found
}

/// GPUs on which the service holds memory, if they are as many as the manifest gives it; else all that `request`
/// allows.
fn by_manifest(
    service: &Service,
    request: &GpuRequest,
    gpus: &ObservedGpus,
    holding: &BTreeSet<GpuId>,
) -> BTreeSet<GpuId> {
    let enough = match &service.gpu {
        GpuRequest::None => return BTreeSet::new(),
        GpuRequest::All(_) => usize::MAX,
        GpuRequest::Any(_) | GpuRequest::Auto => 1,
        GpuRequest::Count(count) => *count as usize,
    };
    if holding.len() >= enough {
        return holding.clone();
    }
    match request {
        GpuRequest::None => BTreeSet::new(),
        GpuRequest::All(refs) | GpuRequest::Any(refs) => resolve_all(refs, gpus),
        GpuRequest::Auto | GpuRequest::Count(_) => usable(gpus),
    }
}

/// Memory that the driver reports for a service; `None` where the report may be incomplete.
fn measured(seen: &ObservedService, gpus: &ObservedGpus, share: Option<&Share>) -> Option<BTreeMap<GpuId, Mebibytes>> {
    let is_measured = gpus.values().any(|gpu| gpu.used.is_some());
    if !seen.holds_capacity || !is_measured || share.is_some_and(|share| !share.unreported.is_empty()) {
        return None;
    }
    let on = |id: &GpuId| share.and_then(|share| share.on.get(id));
    let is_reported = |id: &GpuId| gpus[id].used.is_some() && (gpus[id].told || on(id).is_some());
    // The service may hold memory on any GPU whose driver does not report the holders.
    let unseen = |gpu: &ObservedGpu| gpu.used.is_some() && !gpu.told;
    if seen.gpus.is_empty() && gpus.values().any(unseen) {
        return None;
    }
    seen.gpus.iter().all(is_reported).then(|| share.map(|share| share.on.clone()).unwrap_or_default())
}

/// GPUs on which more than 0 MiB are measured.
fn holding(share: Option<&Share>) -> impl Iterator<Item = GpuId> {
    let on = share.into_iter().flat_map(|share| &share.on);
    on.filter(|(_, held)| **held > Mebibytes::ZERO).map(|(id, _)| id.clone())
}

/// Memory that services of other lcm projects declare, on each GPU that they were placed on.
fn other_projects(
    view: ObserverInput<'_>,
    observers: Observers<'_>,
    gpus: &ObservedGpus,
) -> BTreeMap<Party, BTreeMap<GpuId, Mebibytes>> {
    let mut others: BTreeMap<Party, BTreeMap<GpuId, Mebibytes>> = BTreeMap::new();
    for marks in observers.iter().flat_map(|observer| observer.other_projects(view)) {
        let party = Party::Other { project: marks.project.clone(), service: marks.service.clone() };
        let declared = others.entry(party).or_default();
        let mut marked: BTreeMap<GpuId, Mebibytes> = BTreeMap::new();
        for (position, placed) in marks.placed_on().enumerate() {
            for id in found(std::iter::once(placed), gpus) {
                let amount = marked.entry(id).or_default();
                *amount = marks.vram_on(position).max(*amount);
            }
        }
        for (id, amount) in marked {
            let capacity = gpus.get(&id).map_or(Mebibytes::ZERO, |gpu| gpu.capacity);
            let sum = declared.entry(id).or_default();
            // A mark is a claim: it counts at most the capacity.
            *sum = (*sum + amount.min(capacity)).min(capacity);
        }
    }
    others
}

/// All holders of memory, for the arithmetic of each GPU.
struct GpuTally<'a> {
    desired: &'a Desired,
    services: &'a BTreeMap<ServiceName, ObservedService>,
    orphans: &'a [Orphan],
    shares: &'a BTreeMap<Party, Share>,
    others: &'a BTreeMap<Party, BTreeMap<GpuId, Mebibytes>>,
    reservations: &'a [ReservationFact],
}

/// Foreign holder of memory on one GPU.
struct Foreign {
    name: String,
    amount: Mebibytes,
    times: usize,
}

impl GpuTally<'_> {
    /// Memory on a GPU that does not belong to this project, and the names of its holders.
    fn foreign(&self, fact: &GpuFact, gpu: &ObservedGpu) -> (Mebibytes, Vec<String>) {
        let mut parties = self.parties(fact);
        let known: Mebibytes = parties.iter().map(|party| party.amount).sum();
        let foreign = match gpu.used {
            None => known,
            Some(used) if gpu.told => known + (used - fact.reserved - self.named_by_the_driver(&fact.id)),
            Some(used) => known.max(used - self.ours(&fact.id)),
        };
        let unnamed = foreign - known;
        // Where the driver does not report the share of a foreign process, the rest counts as its share.
        if unnamed > ROUNDING_MAX && parties.iter().all(|party| party.amount > Mebibytes::ZERO) {
            let name = if gpu.told { "unattributed" } else { "processes without a reported share" };
            parties.push(Foreign { name: name.to_owned(), amount: unnamed, times: 1 });
        }
        (foreign, if foreign > Mebibytes::ZERO { named(parties) } else { Vec::new() })
    }

    /// Foreign holders: processes with what they hold, other projects with the larger of declared and measured, the
    /// driver.
    fn parties(&self, fact: &GpuFact) -> Vec<Foreign> {
        let mut parties = Vec::new();
        for (party, share) in self.shares {
            if let (Party::Foreign(name), Some(times)) = (party, share.processes.get(&fact.id)) {
                let amount = share.on.get(&fact.id).copied().unwrap_or_default();
                parties.push(Foreign { name: name.clone(), amount, times: *times });
            }
        }
        parties.extend(self.reserved(fact));
        let held = |party: &Party| self.shares.get(party).and_then(|share| share.on.get(&fact.id)).copied();
        let others: BTreeSet<&Party> = self.others.keys().chain(self.shares.keys()).collect();
        for party in others {
            let Party::Other { project, service } = party else { continue };
            let declared = self.others.get(party).and_then(|declared| declared.get(&fact.id)).copied();
            let here = self.shares.get(party).is_some_and(|share| share.processes.contains_key(&fact.id));
            if declared.is_some() || here {
                let amount = declared.unwrap_or_default().max(held(party).unwrap_or_default());
                parties.push(Foreign { name: format!("{service} of project {project}"), amount, times: 1 });
            }
        }
        if fact.reserved > Mebibytes::ZERO {
            parties.push(Foreign { name: "the driver".to_owned(), amount: fact.reserved, times: 1 });
        }
        parties
    }

    /// Reservations for starts of other users, less the memory that the driver reports for them; together at most the
    /// capacity. A service that is found by its marks counts by them.
    fn reserved(&self, fact: &GpuFact) -> Vec<Foreign> {
        let mut left = capacity(fact, self.desired);
        let mut reserved = Vec::new();
        for reservation in self.reservations.iter().filter(|one| one.gpus.contains(&fact.id)) {
            let ReservationFact { uid, project, service, .. } = reservation;
            let party = Party::Other { project: project.clone(), service: service.clone() };
            let is_over = reservation.loaded && fact.used.is_some();
            if is_over || self.others.contains_key(&party) {
                continue;
            }
            let measured = reservation.measured.get(&fact.id).copied().unwrap_or_default();
            let amount = (reservation.memory - measured).min(left);
            left = left - amount;
            if amount > Mebibytes::ZERO {
                reserved.push(Foreign { name: format!("uid {uid}: {project}/{service}"), amount, times: 1 });
            }
        }
        reserved
    }

    fn named_by_the_driver(&self, id: &GpuId) -> Mebibytes {
        self.shares.values().filter_map(|share| share.on.get(id)).copied().sum()
    }

    /// Memory in use that belongs to this project, where the driver does not report it: the declared sizes, except that
    /// of a service that is still loading, which may not have taken its memory yet.
    fn ours(&self, id: &GpuId) -> Mebibytes {
        let measured = |party: &Party| self.shares.get(party).and_then(|share| share.on.get(id)).copied();
        let services = self.services.iter().filter(|(_, seen)| seen.holds_capacity).map(|(name, seen)| {
            let measured = measured(&Party::Service(name.clone())).unwrap_or_default();
            let counts = seen.measured.is_none() && seen.state != State::Starting && seen.gpus.contains(id);
            if counts { seen.memory_on(&self.desired.services[name], id) } else { measured }
        });
        let orphans = self.orphans.iter().filter(|orphan| orphan.holds_capacity()).map(|orphan| {
            let declared = if orphan.gpus.contains(id) { orphan.vram } else { Mebibytes::ZERO };
            measured(&Party::Orphan(orphan.instance.clone())).unwrap_or(declared)
        });
        services.chain(orphans).sum()
    }
}

/// Returns the names of the holders, the largest first, at most [`NAMED_MAX`].
fn named(mut parties: Vec<Foreign>) -> Vec<String> {
    parties.sort_by(|a, b| b.amount.cmp(&a.amount).then_with(|| a.name.cmp(&b.name)));
    let times = |party: &Foreign| if party.times > 1 { format!(" ×{}", party.times) } else { String::new() };
    let mut names: Vec<String> = parties.iter().map(|party| format!("{}{}", party.name, times(party))).collect();
    if names.len() > NAMED_MAX {
        let more = format!("and {} more", names.len() - NAMED_MAX);
        names.truncate(NAMED_MAX);
        names.push(more);
    }
    names
}

#[cfg(test)]
mod tests;
