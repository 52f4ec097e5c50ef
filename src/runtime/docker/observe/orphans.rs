//! Containers of this project without a service in the manifest, and surplus copies.

use crate::model::claim::Claimant;
use crate::model::desired::{Desired, Service};
use crate::model::facts::Facts;
use crate::model::names::ServiceName;
use crate::model::observed::Orphan;
use crate::observe::contract::ObserverInput;
use crate::observe::orphan::orphan;
use crate::runtime::docker::facts::{ContainerFact, known_containers};
use crate::runtime::docker::intent::DockerSpec;
use crate::runtime::docker::observe::container;
use crate::runtime::docker::ownership::{self, OwnershipProof};

/// Returns containers that are this project's, but no service's.
pub(super) fn orphans(view: ObserverInput<'_>) -> Vec<Orphan> {
    let ObserverInput { facts, desired } = view;
    known_containers(facts).filter_map(|found| of_container(found, facts, desired)).collect()
}

fn of_container(found: &ContainerFact, facts: &Facts, desired: &Desired) -> Option<Orphan> {
    let marks = found.marks.as_ref().filter(|_| ownership::standing(found, facts, desired) == OwnershipProof::Ours)?;
    let name = ServiceName::from(marks.service.as_str());
    if desired.services.get(&name).is_some_and(|service| stands_for(found, facts, desired, service)) {
        return None;
    }
    let state = container::plain_state(found.state);
    let instance = container::instance(found);
    let carrier = Claimant::Container { id: found.id.clone(), name: found.name.clone() };
    let ports = found.ports.iter().copied().collect();
    Some(Orphan { ports, ..orphan((name, instance, state), Some(carrier), marks) })
}

/// Returns true if this container counts as the service's instance, or was put aside for it: all others are surplus.
fn stands_for(found: &ContainerFact, facts: &Facts, desired: &Desired, service: &Service) -> bool {
    let is_found = |other: Option<&ContainerFact>| other.is_some_and(|other| other.id == found.id);
    match service.workload.spec::<DockerSpec>() {
        // A container of a service that is a process now is that service, as long as it runs.
        None => is_found(container::running(facts, desired, service)),
        Some(DockerSpec::Existing(existing)) => found.name == existing.container.as_str(),
        Some(DockerSpec::Created(_)) => {
            let is_aside = ownership::base_name(&found.name) != found.name;
            let put_aside =
                is_aside && !container::holds_capacity(found.state) && container::is_of(found, facts, desired, service);
            // Under an earlier name it still is the service's, unless there is one under the present name too.
            put_aside || is_found(container::standing_for(facts, desired, service))
        }
    }
}
