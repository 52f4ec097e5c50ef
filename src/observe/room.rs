//! Room: GPUs with what is foreign on them, who holds which port, and which GPUs a running thing sits on.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::desired::{Desired, GpuRef, GpuRequest, Service};
use crate::model::facts::{ContainerFact, Facts, ListenerFact, Marks, Owner, Reading};
use crate::model::names::{GpuId, ServiceName};
use crate::model::observed::{ObservedGpu, ObservedService, PortHolder};
use crate::model::size::Mebibytes;
use crate::observe::{container, marked_gpus};

/// Every GPU that was read, and what on it is not this manifest's.
pub(super) fn gpus(facts: &Facts, desired: &Desired) -> BTreeMap<GpuId, ObservedGpu> {
    let mut gpus: BTreeMap<GpuId, ObservedGpu> = BTreeMap::new();
    for fact in facts.gpus.known().into_iter().flatten() {
        let strangers = fact.holders.iter().filter(|holder| holder.owner == Owner::Stranger);
        let (memory, names): (Vec<_>, Vec<_>) =
            strangers.map(|holder| (holder.memory.unwrap_or_default(), holder.program.clone())).unzip();
        gpus.insert(
            fact.id.clone(),
            ObservedGpu {
                index: fact.index,
                name: fact.name.clone(),
                capacity: fact.capacity,
                foreign: memory.into_iter().sum(),
                foreign_holders: names,
                used: fact.used.map(|used| used + fact.reserved),
                told: fact.used.is_some() && fact.holders.iter().all(|holder| holder.memory.is_some()),
                lost: fact.lost.clone(),
            },
        );
    }
    for marks in other_projects(facts, desired) {
        for id in marked_gpus(marks) {
            if let Some(gpu) = gpus.get_mut(&id) {
                gpu.foreign += Mebibytes(marks.vram_mib);
                gpu.foreign_holders.push(format!("{} of project {}", marks.service, marks.project));
            }
        }
    }
    gpus
}

/// What runs with the marks of other lcm projects.
fn other_projects<'a>(facts: &'a Facts, desired: &'a Desired) -> impl Iterator<Item = &'a Marks> {
    let containers = facts.containers.known().into_iter().flatten();
    let trees = facts.trees.known().into_iter().flatten();
    containers
        .filter(|found| container::holds_room(found.state))
        .filter_map(|found| found.marks.as_ref())
        .chain(trees.filter(|tree| !tree.members.is_empty()).map(|tree| &tree.marks))
        .filter(|marks| marks.project != desired.project.as_str())
}

/// Where a thing sits: as it is marked; else where the manifest puts it; else, to be safe, wherever it may be.
pub(super) fn gpus_of(
    service: &Service,
    seen: &ObservedService,
    gpus: &BTreeMap<GpuId, ObservedGpu>,
) -> BTreeSet<GpuId> {
    if !seen.holds_room {
        return BTreeSet::new();
    }
    if let Some(marks) = &seen.marks {
        return marked_gpus(marks).into_iter().filter(|id| gpus.contains_key(id)).collect();
    }
    let named = |refs: &[GpuRef]| refs.iter().filter_map(|one| resolve(one, gpus)).collect();
    match &service.gpu {
        GpuRequest::None => BTreeSet::new(),
        GpuRequest::All(refs) | GpuRequest::Any(refs) => named(refs),
        GpuRequest::Auto | GpuRequest::Count(_) => gpus.keys().cloned().collect(),
    }
}

/// The GPU that the manifest means.
fn resolve(wanted: &GpuRef, gpus: &BTreeMap<GpuId, ObservedGpu>) -> Option<GpuId> {
    match wanted {
        GpuRef::Uuid(uuid) => gpus.keys().find(|id| id.as_str() == uuid).cloned(),
        GpuRef::Index(index) => gpus.iter().find(|(_, gpu)| gpu.index == *index).map(|(id, _)| id.clone()),
    }
}

/// Holders of the ports that the manifest needs, or why they can't be told.
pub(super) fn ports(facts: &Facts, desired: &Desired) -> (BTreeMap<u16, PortHolder>, Option<String>) {
    let needed: BTreeSet<u16> = desired.services.values().flat_map(|service| service.ports.iter().copied()).collect();
    let mut holders = BTreeMap::new();
    for listener in facts.listeners.known().into_iter().flatten() {
        if needed.contains(&listener.port) {
            holders.insert(listener.port, holder(listener, facts, desired));
        }
    }
    // What the engine publishes is its container's, whichever program stands in for it.
    for found in facts.containers.known().into_iter().flatten().filter(|found| container::holds_room(found.state)) {
        for port in found.ports.iter().filter(|port| needed.contains(port)) {
            holders.insert(*port, of_container(&found.id, facts, desired));
        }
    }
    let unknown = match &facts.listeners {
        Reading::Unknown(reason) => Some(reason.clone()),
        Reading::Known(_) | Reading::NotAsked => None,
    };
    (holders, unknown)
}

fn holder(listener: &ListenerFact, facts: &Facts, desired: &Desired) -> PortHolder {
    match &listener.owner {
        Owner::Service { project, service } if *project == desired.project => of_service(service, desired),
        Owner::Service { project, service } => PortHolder::Foreign(format!("service {service} of project {project}")),
        Owner::Container(id) => of_container(id, facts, desired),
        Owner::Stranger => PortHolder::Foreign(stranger_name(listener)),
    }
}

/// Who holds a service's port and is none of this project's.
pub(super) struct Stranger {
    /// For messages: `python3 (pid 4711)`.
    pub(super) name: String,
    /// It carries another project's marks, so that its memory is counted by those.
    pub(super) counted: bool,
}

/// The stranger on one of a service's ports, if there is one and nobody of this project beside it.
pub(super) fn stranger_on(facts: &Facts, desired: &Desired, service: &Service) -> Option<Stranger> {
    let (holders, _) = ports(facts, desired);
    let mut found = None;
    for port in &service.ports {
        match holders.get(port) {
            Some(PortHolder::Foreign(name)) => found = found.or(Some((port, name.clone()))),
            Some(PortHolder::Service(_) | PortHolder::Orphan(_)) => return None,
            None => {}
        }
    }
    let (port, name) = found?;
    Some(Stranger { name, counted: is_counted(facts, *port) })
}

/// Whether what holds a port is marked.
fn is_counted(facts: &Facts, port: u16) -> bool {
    let containers = || facts.containers.known().into_iter().flatten();
    let marked = |id: &str| containers().any(|found| found.id == id && found.marks.is_some());
    let publishes = |found: &ContainerFact| container::holds_room(found.state) && found.ports.contains(&port);
    containers().any(|found| publishes(found) && found.marks.is_some())
        || facts.listeners.known().into_iter().flatten().filter(|listener| listener.port == port).any(|listener| {
            match &listener.owner {
                Owner::Service { .. } => true,
                Owner::Container(id) => marked(id),
                Owner::Stranger => false,
            }
        })
}

fn of_service(service: &ServiceName, desired: &Desired) -> PortHolder {
    if desired.services.contains_key(service) {
        PortHolder::Service(service.clone())
    } else {
        PortHolder::Orphan(service.clone())
    }
}

fn of_container(id: &str, facts: &Facts, desired: &Desired) -> PortHolder {
    let Some(found) = facts.containers.known().into_iter().flatten().find(|found| found.id == id) else {
        return PortHolder::Foreign(format!("a container ({})", id.get(..12).unwrap_or(id)));
    };
    let ours = desired.services.values().find(|service| {
        container::is_of(found, desired, service)
            || (service.container_name() == Some(found.name.as_str()) && found.marks.is_none())
    });
    match (ours, &found.marks) {
        (Some(service), _) => PortHolder::Service(service.name.clone()),
        (None, Some(marks)) if marks.project == desired.project.as_str() => {
            PortHolder::Orphan(ServiceName::from(marks.service.as_str()))
        }
        (None, _) => PortHolder::Foreign(container::whose(found, desired)),
    }
}

/// `python3 (pid 4711)`.
fn stranger_name(listener: &ListenerFact) -> String {
    match (&listener.program, listener.pid) {
        (Some(program), Some(pid)) => format!("{program} (pid {pid})"),
        (None, Some(pid)) => format!("pid {pid}"),
        (_, None) => "a process that lcm may not look at".to_owned(),
    }
}
