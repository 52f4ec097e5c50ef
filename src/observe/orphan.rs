//! What bears our project's mark, but no name that the manifest has; and surplus copies of what it has.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::model::claim::Claimant;
use crate::model::desired::{Desired, GRACE_DEFAULT, ORPHAN_GRACE_MAX, Service, StopPolicy};
use crate::model::endpoint::Endpoint;
use crate::model::facts::{ContainerFact, Facts, Marks, TreeFact};
use crate::model::instance::Instance;
use crate::model::lifecycle::State;
use crate::model::names::{GpuId, ServiceName};
use crate::model::observed::Orphan;
use crate::model::ownership::{self, Standing};
use crate::model::signal;
use crate::model::size::Mebibytes;
use crate::observe::{container, tree};
use crate::runtime::docker::intent::DockerSpec;

/// The most ports that count of one mark: no service publishes as many.
const PORTS_MAX: usize = 1024;

/// Orphans by service name, then by what they are.
pub(super) fn orphans(facts: &Facts, desired: &Desired) -> Vec<Orphan> {
    let containers = facts.containers.known().into_iter().flatten();
    let trees = facts.trees.known().into_iter().flatten();
    let mut orphans: Vec<Orphan> = containers
        .filter_map(|container| of_container(container, facts, desired))
        .chain(trees.filter_map(|tree| of_tree(tree, desired)))
        .collect();
    orphans.sort_by(|a, b| (&a.service, &a.instance).cmp(&(&b.service, &b.instance)));
    orphans
}

fn of_container(found: &ContainerFact, facts: &Facts, desired: &Desired) -> Option<Orphan> {
    let marks = found.marks.as_ref().filter(|_| ownership::standing(found, facts, desired) == Standing::Ours)?;
    let name = ServiceName::from(marks.service.as_str());
    if desired.services.get(&name).is_some_and(|service| stands_for(found, facts, desired, service)) {
        return None;
    }
    let state = container::plain_state(found.state);
    let instance = container::instance(found);
    let carrier = Claimant::Container { id: found.id.clone(), name: found.name.clone() };
    Some(Orphan {
        ports: found.ports.iter().copied().collect(),
        ..orphan((name, instance, state), Some(carrier), marks)
    })
}

/// Whether this container is what the service is taken to be, or was put aside for it: all others are surplus.
fn stands_for(found: &ContainerFact, facts: &Facts, desired: &Desired, service: &Service) -> bool {
    let is_found = |other: Option<&ContainerFact>| other.is_some_and(|other| other.id == found.id);
    match service.workload.spec::<DockerSpec>() {
        // A container of what is a process now is that service, as long as it runs.
        None => is_found(container::running(facts, desired, service)),
        Some(DockerSpec::Existing(existing)) => found.name == existing.container.as_str(),
        Some(DockerSpec::Created(_)) => {
            let is_aside = ownership::base_name(&found.name) != found.name;
            let put_aside =
                is_aside && !container::holds_room(found.state) && container::is_of(found, facts, desired, service);
            // Under an earlier name it is still the service, unless that has one under its own name too.
            put_aside || is_found(container::standing_for(facts, desired, service))
        }
    }
}

fn of_tree(found: &TreeFact, desired: &Desired) -> Option<Orphan> {
    let name = ServiceName::from(found.marks.service.as_str());
    let ours = found.marks.project == desired.project.as_str();
    if !ours || found.members.is_empty() || desired.services.contains_key(&name) {
        return None;
    }
    let state = if found.suspended { State::Suspended } else { State::Online };
    let first = found.members.first();
    let carrier = first.map(|first| Claimant::Process {
        pid: first.pid,
        uid: found.uid.unwrap_or_default(),
        program: first.program.clone(),
    });
    Some(orphan((name, tree::instance(found), state), carrier, &found.marks))
}

fn orphan(
    (service, instance, state): (ServiceName, Instance, State),
    carrier: Option<Claimant>,
    marks: &Marks,
) -> Orphan {
    let config: Value = serde_json::from_str(&marks.config).unwrap_or(Value::Null);
    Orphan {
        service,
        instance,
        carrier,
        state,
        stop: stop_policy(&config["stop"]),
        gpus: marks.placed_on().map(GpuId::from).collect(),
        vram: Mebibytes::bounded(marks.vram_mib),
        ports: ports(&config["ports"]),
        word: None,
    }
}

fn is_known(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    signal::stopping().any(|known| known == upper.strip_prefix("SIG").unwrap_or(&upper))
}

/// A known signal and a bounded grace. A mark is a claim: no program that it names is ever run.
fn stop_policy(stop: &Value) -> StopPolicy {
    StopPolicy {
        signal: stop["signal"].as_str().filter(|name| is_known(name)).map(str::to_owned),
        grace: stop["grace_ms"].as_u64().map_or(GRACE_DEFAULT, Duration::from_millis).min(ORPHAN_GRACE_MAX),
        exec: None,
    }
}

fn ports(ports: &Value) -> BTreeSet<Endpoint> {
    let listed = ports.as_array().into_iter().flatten().take(PORTS_MAX);
    listed.filter_map(|port| serde_json::from_value(port.clone()).ok()).collect()
}
