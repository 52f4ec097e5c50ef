//! Observation: derives the observed state of a manifest's services and of all GPUs from facts. Pure: the facts contain
//! the time. A reading that failed makes a service `unknown`, never absent.
//!
//! In: `Facts`, `Desired`, and the observers of the runtimes (`contract`).
//! Out: `Observed`, with one service per service of the manifest and one GPU per GPU.
//! Not here: the reading of facts (`host`, `runtime`), knowledge of one runtime, which is in its observer, and
//! decisions about changes (`plan`).

mod advice;
pub(crate) mod blank;
mod claim;
pub mod contract;
pub mod doctor;
mod gpu;
pub(crate) mod gpu_refs;
mod hold;
mod holders;
mod host_memory;
pub(crate) mod job;
pub(crate) mod judge;
pub(crate) mod orphan;
mod ports;
mod surroundings;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::desired::{Desired, Service};
use crate::model::facts::{Facts, RuntimeFacts};
use crate::model::names::ServiceName;
use crate::model::observed::{Observed, ObservedService};
use crate::observe::contract::{ObserverInput, Observers};

/// Returns the observed state for a manifest, by the observers of all runtimes.
#[must_use]
pub fn observe(facts: &Facts, desired: &Desired, observers: Observers<'_>) -> Observed {
    let facts = &*surroundings::of_this_machine(facts);
    let view = ObserverInput { facts, desired };
    let mut services: BTreeMap<ServiceName, ObservedService> = desired
        .services
        .values()
        .map(|service| {
            let mut seen = observe_service(view, service, observers);
            job::judge(&mut seen, service, facts.history.get(&service.name), facts.observed_at);
            seen.is_reported = facts.history.get(&service.name).is_some_and(|past| past.report.is_some());
            seen.attempts = facts.history.get(&service.name).and_then(|past| past.attempts.clone()).map(Box::new);
            (service.name.clone(), seen)
        })
        .collect();
    let mut orphans = orphan::orphans(view, observers);
    let gpus = gpu::settle(view, observers, &mut services, &mut orphans);
    let memory = host_memory::settle(facts, desired, &mut services, &gpus);
    let (ports, ports_unknown) = ports::ports(view, observers);
    for (name, seen) in &mut services {
        ports::name_foreign_holder(seen, &desired.services[name], &ports);
        hold::apply(seen, facts.holds.get(name));
    }
    for orphan in &mut orphans {
        orphan.hold = facts.holds.get(&orphan.service).cloned().map(Box::new);
    }
    Observed {
        host: facts.host.clone(),
        host_identity: facts.host_identity.clone(),
        engine: facts.instances.all().find_map(RuntimeFacts::endpoint),
        observed_at: facts.observed_at,
        warnings: warnings(&services)
            .chain(former_names(view, observers))
            .chain(observers.iter().flat_map(|observer| observer.warnings(view)))
            .chain(surroundings::own_store(facts))
            .chain(advice::advice((desired, facts.gpus.known().map_or(&[], Vec::as_slice)), &services, &gpus))
            .collect(),
        claimed: claim::claimed(view, observers, &services),
        services,
        orphans,
        networks: observers.iter().flat_map(|observer| observer.networks(view)).collect(),
        gpus,
        gpus_unknown: gpus_unknown(facts),
        memory,
        ports,
        ports_unknown,
        holds_unknown: facts.holds_unknown.clone(),
        pending: facts.pending.clone(),
    }
}

/// Reason for which free GPU memory is unknown: an unread instance may hold any part of it.
fn gpus_unknown(facts: &Facts) -> Option<String> {
    let unread = || facts.instances.all().find_map(RuntimeFacts::unread);
    facts.gpus.unknown().map(str::to_owned).or_else(unread)
}

fn observe_service(view: ObserverInput<'_>, service: &Service, observers: Observers<'_>) -> ObservedService {
    let runtime = &service.workload.runtime;
    let others = || observers.iter().filter(|observer| observer.runtime() != *runtime);
    let own = observers.iter().find(|observer| observer.runtime() == *runtime);
    let mut seen = others().find_map(|observer| observer.stray(view, service)).unwrap_or_else(|| {
        let seen = own.map_or_else(
            || blank::unknown(&format!("this lcm has no runtime `{runtime}`")),
            |own| own.service(view, service),
        );
        if seen.holds_capacity || seen.unknown.is_some() {
            return seen;
        }
        let renamed = others().find_map(|observer| observer.renamed(view, service));
        renamed.filter(|renamed| renamed.holds_capacity).unwrap_or(seen)
    });
    if let Some(own) = own {
        own.bar(view, service, &mut seen);
    }
    seen
}

fn warnings(services: &BTreeMap<ServiceName, ObservedService>) -> impl Iterator<Item = String> {
    services.values().flat_map(|service| service.warnings.iter().cloned())
}

/// Warning about services that still carry a former name of the project: labels and environments can't change while an
/// instance lives.
fn former_names(view: ObserverInput<'_>, observers: Observers<'_>) -> Option<String> {
    let marks = observers.iter().flat_map(|observer| observer.former_names(view));
    let services: BTreeSet<&str> = marks.map(|marks| marks.service.as_str()).collect();
    (!services.is_empty()).then(|| {
        format!(
            "{} still under a former name of this project (`renamed_from`): they keep running, and get the current name \
             at their next restart",
            services.into_iter().collect::<Vec<_>>().join(", ")
        )
    })
}
