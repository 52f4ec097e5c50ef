//! Holders of the ports that the manifest needs.

use std::collections::BTreeSet;

use crate::model::desired::{Desired, Service};
use crate::model::facts::{ListenerFact, ProcessOwner, Reading};
use crate::model::names::ServiceName;
use crate::model::observed::{Holders, ObservedService, PortHolder};
use crate::observe::contract::{ObserverInput, Observers};

/// Returns the holders of the ports that the manifest needs, and the reason for which they are unknown, if any.
pub(super) fn ports(view: ObserverInput<'_>, observers: Observers<'_>) -> (Holders, Option<String>) {
    let ObserverInput { facts, desired } = view;
    let needed = ports_of(desired, |_| true);
    let mut holders = Holders::default();
    // Ports at a remote endpoint are those of another machine.
    let elsewhere = |service: &Service| facts.instances.of(&service.workload.runtime).and_then(|read| read.elsewhere());
    let local = ports_of(desired, |service| elsewhere(service).is_none());
    for listener in facts.listeners.known().into_iter().flatten() {
        if local.contains(&listener.port) {
            holders.insert(listener.endpoint(), holder(listener, view, observers));
        }
    }
    // A port that a runtime publishes belongs to its object, whichever proxy program listens on it.
    for (port, id) in observers.iter().flat_map(|observer| observer.published(view)) {
        if needed.contains(&port.port) {
            holders.insert(port, of_object(id, view, observers));
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

fn holder(listener: &ListenerFact, view: ObserverInput<'_>, observers: Observers<'_>) -> PortHolder {
    let desired = view.desired;
    match &listener.owner {
        ProcessOwner::Service { project, service } if *project == desired.project => of_service(service, desired),
        ProcessOwner::Service { project, service } => {
            PortHolder::Foreign(format!("service {service} of project {project}"))
        }
        ProcessOwner::Container(id) => of_object(id, view, observers),
        ProcessOwner::Foreign => PortHolder::Foreign(foreign_name(listener)),
    }
}

/// Adds the foreign holder of a port to a service that does not run: the answer there is not from the service.
pub(super) fn name_foreign_holder(seen: &mut ObservedService, service: &Service, holders: &Holders) {
    if !seen.state.is_not_running() || seen.holds_capacity || seen.unknown.is_some() {
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

/// Returns the owner of an object, by its id.
pub(super) fn of_object(id: &str, view: ObserverInput<'_>, observers: Observers<'_>) -> PortHolder {
    let known = observers.iter().find_map(|observer| observer.holder(view, id));
    known.unwrap_or_else(|| PortHolder::Foreign(format!("a container ({})", id.get(..12).unwrap_or(id))))
}

/// Name of a foreign listener: `python3 (pid 4711)`.
fn foreign_name(listener: &ListenerFact) -> String {
    match (&listener.program, listener.pid) {
        (Some(program), Some(pid)) => format!("{program} (pid {pid})"),
        (None, Some(pid)) => format!("pid {pid}"),
        (_, None) => "a process that lcm may not inspect".to_owned(),
    }
}
