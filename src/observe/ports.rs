//! Who holds which of the ports that the manifest needs.

use std::collections::BTreeSet;

use crate::model::desired::{Desired, Service};
use crate::model::facts::{Facts, ListenerFact, Owner, Reading};
use crate::model::names::ServiceName;
use crate::model::observed::{Holders, ObservedService, PortHolder};
use crate::model::ownership::{self, Standing};
use crate::observe::container;

/// Holders of the ports that the manifest needs, or why they can't be told.
pub(super) fn ports(facts: &Facts, desired: &Desired) -> (Holders, Option<String>) {
    let needed = ports_of(desired, |_| true);
    let mut holders = Holders::default();
    // Those of a remote engine's containers are ports of another machine.
    let local = ports_of(desired, |service| service.object().is_none() || facts.engine_elsewhere.is_none());
    for listener in facts.listeners.known().into_iter().flatten() {
        if local.contains(&listener.port) {
            holders.insert(listener.endpoint(), holder(listener, facts, desired));
        }
    }
    // What the engine publishes is its container's, whichever program stands in for it.
    for found in facts.containers.known().into_iter().flatten().filter(|found| container::holds_room(found.state)) {
        for port in found.ports.iter().filter(|port| needed.contains(&port.port)) {
            holders.insert(*port, of_container(&found.id, facts, desired));
        }
    }
    let unknown = match &facts.listeners {
        Reading::Unknown(reason) => Some(reason.clone()),
        Reading::Known(_) | Reading::NotAsked => None,
    };
    (holders, unknown)
}

fn ports_of(desired: &Desired, of: impl Fn(&Service) -> bool) -> BTreeSet<u16> {
    let services = desired.services.values().filter(|service| of(service));
    services.flat_map(|service| &service.ports).map(|endpoint| endpoint.port).collect()
}

fn holder(listener: &ListenerFact, facts: &Facts, desired: &Desired) -> PortHolder {
    match &listener.owner {
        Owner::Service { project, service } if *project == desired.project => of_service(service, desired),
        Owner::Service { project, service } => PortHolder::Foreign(format!("service {service} of project {project}")),
        Owner::Container(id) => of_container(id, facts, desired),
        Owner::Stranger => PortHolder::Foreign(stranger_name(listener)),
    }
}

/// Names who holds a port of a service that does not run: what answers there is not the service.
pub(super) fn tell_taken(seen: &mut ObservedService, service: &Service, holders: &Holders) {
    if !seen.state.is_not_running() || seen.holds_room || seen.unknown.is_some() {
        return;
    }
    let foreign = |holder: &&PortHolder| matches!(holder, PortHolder::Foreign(_));
    let taken = service.ports.iter().find_map(|port| match holders.of(port).find(foreign)? {
        PortHolder::Foreign(name) => Some((port, name.clone())),
        PortHolder::Service(_) | PortHolder::Orphan(_) => None,
    });
    if let Some((port, name)) = taken {
        seen.detail = format!("{}; port {port} is held by {name}", seen.detail);
    }
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
            || (unmarked && service.object().is_some_and(|own| own.as_str() == found.name))
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
