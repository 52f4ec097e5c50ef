//! Raw facts to one picture per service and GPU. Pure: the time is the facts' own.
//!
//! A reading that failed makes a service `unknown`, never absent. What to do about anything is the planner's business.

mod advice;
mod blank;
mod claim;
mod container;
mod devices;
mod gpu;
mod gpu_refs;
mod holders;
mod judge;
mod orphan;
mod ports;
mod settings;
mod surroundings;
mod tree;
mod word;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::desired::{Desired, Service};
use crate::model::facts::{Facts, Marks};
use crate::model::names::{ProjectName, ServiceName};
use crate::model::observed::{Observed, ObservedService};
use crate::model::ownership::{self, Standing};
use crate::runtime::docker::intent::DockerSpec;

/// What the facts mean for this manifest.
#[must_use]
pub fn observe(facts: &Facts, desired: &Desired) -> Observed {
    let facts = &*surroundings::of_this_machine(facts);
    let mut services: BTreeMap<ServiceName, ObservedService> = desired
        .services
        .values()
        .map(|service| {
            let mut seen = picture(facts, desired, service);
            surroundings::bar(facts, service, &mut seen);
            seen.is_reported = facts.history.get(&service.name).is_some_and(|past| past.report.is_some());
            seen.attempts = facts.history.get(&service.name).and_then(|past| past.attempts.clone()).map(Box::new);
            (service.name.clone(), seen)
        })
        .collect();
    let mut orphans = orphan::orphans(facts, desired);
    let gpus = gpu::settle(facts, desired, &mut services, &mut orphans);
    let (ports, ports_unknown) = ports::ports(facts, desired);
    for (name, seen) in &mut services {
        ports::tell_taken(seen, &desired.services[name], &ports);
        word::through(seen, facts.words.get(name));
    }
    for orphan in &mut orphans {
        orphan.word = facts.words.get(&orphan.service).cloned().map(Box::new);
    }
    Observed {
        host: facts.host.clone(),
        host_identity: facts.host_identity.clone(),
        engine: facts.engine.as_ref().map(|engine| format!("{} {}", engine.endpoint, engine.version)),
        observed_at: facts.observed_at,
        warnings: warnings(&services)
            .chain(former_names(facts, desired))
            .chain(pid_files(facts, desired))
            .chain(surroundings::own_store(facts))
            .chain(advice::advice((desired, facts.gpus.known().map_or(&[], Vec::as_slice)), &services, &gpus))
            .collect(),
        claimed: claim::claimed(facts, desired, &services),
        services,
        orphans,
        gpus,
        gpus_unknown: gpus_unknown(facts),
        ports,
        ports_unknown,
        holds_unknown: facts.holds_unknown.clone(),
        pending: facts.pending.clone(),
    }
}

/// Why it can't be told what is free: what could not be read may hold any part of it.
fn gpus_unknown(facts: &Facts) -> Option<String> {
    let holders = [("containers", facts.containers.unknown()), ("processes", facts.trees.unknown())];
    let unread = holders.into_iter().find_map(|(what, why)| Some(format!("what {what} hold is not known: {}", why?)));
    facts.gpus.unknown().map(str::to_owned).or(unread)
}

fn picture(facts: &Facts, desired: &Desired, service: &Service) -> ObservedService {
    let spec = service.workload.spec::<DockerSpec>();
    let stray = match spec {
        // A tree of a service that is a container by now is still that service, made another way.
        Some(_) => tree::living(facts, desired, service),
        None => container::running_of(facts, desired, service),
    };
    stray.unwrap_or_else(|| match spec {
        None => {
            let seen = tree::picture(facts, desired, service);
            let renamed = || container::renamed(facts, desired, service).filter(|renamed| renamed.holds_room);
            if seen.holds_room || seen.unknown.is_some() { seen } else { renamed().unwrap_or(seen) }
        }
        Some(DockerSpec::Created(_)) => container::own(facts, desired, service),
        Some(DockerSpec::Existing(existing)) => container::existing(facts, desired, service, &existing.container),
    })
}

fn warnings(services: &BTreeMap<ServiceName, ObservedService>) -> impl Iterator<Item = String> {
    services.values().flat_map(|service| service.warnings.iter().cloned())
}

/// What still carries a former name of the project: labels and environments can't change while a thing lives.
fn former_names(facts: &Facts, desired: &Desired) -> Option<String> {
    let is_former = |marks: &&Marks| desired.aliases.contains(&ProjectName::from(marks.project.as_str()));
    let containers = facts.containers.known().into_iter().flatten();
    let containers = containers.filter(|found| ownership::standing(found, facts, desired) == Standing::Ours);
    let containers = containers.filter_map(|found| found.marks.as_ref()).filter(is_former);
    let trees = facts.trees.known().into_iter().flatten().filter(|tree| !tree.members.is_empty());
    let trees = trees.filter(|tree| tree.former_project.is_some()).map(|tree| &tree.marks);
    let services: BTreeSet<&str> = containers.chain(trees).map(|marks| marks.service.as_str()).collect();
    (!services.is_empty()).then(|| {
        format!(
            "{} still under a former name of this project (`renamed_from`): they run on, and get the present name when \
             they are next started anew",
            services.into_iter().collect::<Vec<_>>().join(", ")
        )
    })
}

/// Pid files that another user could have written.
fn pid_files(facts: &Facts, desired: &Desired) -> impl Iterator<Item = String> {
    let files = facts.pid_files.iter().filter(|(name, _)| desired.services.contains_key(*name));
    files.map(|(name, why)| format!("{name}: its pid file is not believed, and no process is taken over by it: {why}"))
}
