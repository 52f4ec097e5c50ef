//! Who holds which of the ports that the manifest needs.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::desired::{Desired, Service};
use crate::model::facts::{ContainerFact, Facts, ListenerFact, Owner, Reading};
use crate::model::names::ServiceName;
use crate::model::observed::PortHolder;
use crate::model::ownership::{self, Standing};
use crate::observe::container;

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
    /// Where it is a process that nobody marked.
    pub(super) pid: Option<i32>,
    /// Where it is a container.
    pub(super) container: Option<String>,
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
    Some(known(facts, desired, *port, name))
}

/// What else is known of whoever holds a port.
fn known(facts: &Facts, desired: &Desired, port: u16, name: String) -> Stranger {
    let containers = || facts.containers.known().into_iter().flatten();
    let listeners = || facts.listeners.known().into_iter().flatten().filter(|listener| listener.port == port);
    let publisher = containers().find(|found| container::holds_room(found.state) && found.ports.contains(&port));
    let listening = listeners().find_map(|listener| match &listener.owner {
        Owner::Container(id) => Some(id.clone()),
        Owner::Service { .. } | Owner::Stranger => None,
    });
    let container = publisher.map(|found| found.id.clone()).or(listening);
    let is_marked = |found: &ContainerFact| ownership::standing(found, facts, desired) == Standing::OtherProject;
    let marked = containers().any(|found| container.as_ref() == Some(&found.id) && is_marked(found));
    let in_tree = listeners().any(|listener| matches!(listener.owner, Owner::Service { .. }));
    let mut unmarked = listeners().filter(|listener| container.is_none() && listener.owner == Owner::Stranger);
    let pid = unmarked.find_map(|listener| listener.pid);
    Stranger { name, counted: marked || in_tree, pid, container }
}

fn of_service(service: &ServiceName, desired: &Desired) -> PortHolder {
    if desired.services.contains_key(service) {
        PortHolder::Service(service.clone())
    } else {
        PortHolder::Orphan(service.clone())
    }
}

pub(super) fn of_container(id: &str, facts: &Facts, desired: &Desired) -> PortHolder {
    let Some(found) = facts.containers.known().into_iter().flatten().find(|found| found.id == id) else {
        return PortHolder::Foreign(format!("a container ({})", id.get(..12).unwrap_or(id)));
    };
    let standing = ownership::standing(found, facts, desired);
    let unmarked = matches!(standing, Standing::Unmarked | Standing::Inherited);
    let ours = desired.services.values().find(|service| {
        container::is_of(found, facts, desired, service)
            || (unmarked && service.container_name().is_some_and(|own| own.as_str() == found.name))
    });
    match (ours, &found.marks) {
        (Some(service), _) => PortHolder::Service(service.name.clone()),
        (None, Some(marks)) if standing == Standing::Ours => {
            PortHolder::Orphan(ServiceName::from(marks.service.as_str()))
        }
        (None, _) => PortHolder::Foreign(container::whose(found, facts, desired)),
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
