//! Networks of this project: those that its manifest defines, and those that lcm made for it before.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::claim::bounded;
use crate::model::desired::{Desired, Service};
use crate::model::facts::Facts;
use crate::model::names::ServiceName;
use crate::model::network::{NetworkCondition, ObservedNetwork};
use crate::observe::contract::ObserverInput;
use crate::runtime::docker::NAME;
use crate::runtime::docker::facts::{DockerReading as _, NetworkFact};
use crate::runtime::docker::intent::{ContainerSpec, DockerSpec, spec_of};
use crate::runtime::docker::network::NetworkSpec;
use crate::runtime::docker::ownership::{self, OwnershipProof, ProjectIdentity};

/// Containers that a message names at most.
const USERS_NAMED_MAX: usize = 4;

/// Returns the networks of this project; none if they could not be read.
pub(super) fn networks(ObserverInput { facts, desired }: ObserverInput<'_>) -> Vec<ObservedNetwork> {
    if facts.docker().networks.unknown().is_some() {
        return Vec::new();
    }
    let mut defined: BTreeMap<&str, (&NetworkSpec, BTreeSet<ServiceName>)> = BTreeMap::new();
    for (service, container) in containers(desired) {
        for (name, spec) in &container.attachments.defined {
            let (_, services) = defined.entry(name).or_insert_with(|| (spec, BTreeSet::new()));
            services.insert(service.name.clone());
        }
    }
    let network = |name: &str, condition, needed_by: &BTreeSet<ServiceName>| ObservedNetwork {
        runtime: NAME,
        name: name.to_owned(),
        condition,
        needed_by: needed_by.clone(),
        users: found(facts, name).map(|found| found.users.clone()).unwrap_or_default(),
    };
    let here = defined.iter().filter_map(|(name, (spec, services))| {
        let condition = match found(facts, name) {
            None if exists(facts, name) => return None,
            None => NetworkCondition::Missing,
            Some(fact) if !is_ours(facts, desired, name, fact) => return None,
            Some(fact) => match spec.settings.differences(&fact.settings) {
                differences if differences.is_empty() => NetworkCondition::Made,
                differences => NetworkCondition::Changed(differences),
            },
        };
        Some(network(name, condition, services))
    });
    let joined: BTreeSet<&str> =
        containers(desired).flat_map(|(_, container)| container.networks.iter().map(String::as_str)).collect();
    let left = facts
        .docker()
        .network_details
        .iter()
        .filter(|(name, fact)| !joined.contains(name.as_str()) && is_ours(facts, desired, name, fact));
    let left = left.map(|(name, _)| network(name, NetworkCondition::Unneeded, &BTreeSet::new()));
    here.chain(left).collect()
}

/// Returns the reason for which a service can't be started: a network that the manifest defines has the name of a
/// foreign one.
pub(super) fn foreign(facts: &Facts, desired: &Desired, service: &Service) -> Option<String> {
    let DockerSpec::Created(container) = spec_of(service)? else { return None };
    container.attachments.defined.iter().find_map(|(name, spec)| {
        let fact = found(facts, name);
        let is_foreign = match fact {
            Some(fact) => !is_ours(facts, desired, name, fact),
            None => exists(facts, name),
        };
        is_foreign.then(|| {
            format!(
                "network {name} exists and {}; lcm does not use it: write `external: true` in the network `{}` to use it \
                 as it is, give that network another `name`, or remove the foreign one (`docker network rm {name}`)",
                owner(facts, desired, name, fact),
                spec.key
            )
        })
    })
}

/// Returns warnings about networks whose settings differ from the manifest.
pub(super) fn warnings(view: ObserverInput<'_>) -> Vec<String> {
    let changed = networks(view).into_iter().filter_map(|network| {
        let NetworkCondition::Changed(settings) = &network.condition else { return None };
        let users = named(&network.users)?;
        Some(format!(
            "network {} differs from the manifest in {}, and stays as it is while containers use it ({users}); `lcm down` \
             and `lcm apply` make it anew",
            network.name,
            settings.join(", ")
        ))
    });
    changed.collect()
}

/// Names containers: `shop-web, shop-api and 3 more`; `None`: there are none.
fn named(users: &BTreeMap<String, String>) -> Option<String> {
    let mut names: Vec<&str> = users.values().map(String::as_str).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(USERS_NAMED_MAX);
    names.truncate(USERS_NAMED_MAX);
    let shown = bounded(&names.join(", "));
    (!names.is_empty()).then(|| if more == 0 { shown.clone() } else { format!("{shown} and {more} more") })
}

fn owner(facts: &Facts, desired: &Desired, name: &str, fact: Option<&NetworkFact>) -> String {
    let marks = fact.and_then(|fact| fact.marks.as_ref());
    let standing = ProjectIdentity::of(desired, facts).network_standing(name, marks);
    match (standing, marks, fact.and_then(|fact| fact.compose_project.as_ref())) {
        (OwnershipProof::OtherProject, Some(marks), _) => format!("belongs to lcm project {}", bounded(&marks.project)),
        (OwnershipProof::OtherHost, Some(marks), _) => {
            format!("was made by lcm on host {}", bounded(ownership::hostname(&marks.host_id)))
        }
        (OwnershipProof::Copied, _, _) => "has labels that lcm gave another network".to_owned(),
        (_, _, Some(project)) => format!("belongs to Compose project {}", bounded(project)),
        (_, _, None) => "was not made by lcm".to_owned(),
    }
}

fn is_ours(facts: &Facts, desired: &Desired, name: &str, fact: &NetworkFact) -> bool {
    ProjectIdentity::of(desired, facts).network_standing(name, fact.marks.as_ref()) == OwnershipProof::Ours
}

fn found<'a>(facts: &'a Facts, name: &str) -> Option<&'a NetworkFact> {
    facts.docker().network_details.get(name)
}

fn exists(facts: &Facts, name: &str) -> bool {
    facts.docker().networks.known().is_some_and(|networks| networks.contains_key(name))
}

fn containers(desired: &Desired) -> impl Iterator<Item = (&Service, &ContainerSpec)> {
    desired.services.values().filter_map(|service| match spec_of(service)? {
        DockerSpec::Created(container) => Some((service, &**container)),
        DockerSpec::Existing(_) => None,
    })
}
