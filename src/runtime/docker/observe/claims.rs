//! Containers with this project's marks that are not proven to be its own.

use std::collections::BTreeMap;

use crate::model::claim::{ClaimFact, Claimant, bounded};
use crate::model::desired::Desired;
use crate::model::facts::{Facts, Marks};
use crate::model::names::ServiceName;
use crate::model::observed::{ObservedService, Ownership};
use crate::observe::contract::ObserverInput;
use crate::runtime::docker::facts::{ContainerFact, known_containers};
use crate::runtime::docker::ownership::{self, OwnershipProof, ProjectIdentity};

/// Returns containers that claim to be this project's without proof.
pub(super) fn claims(view: ObserverInput<'_>, services: &BTreeMap<ServiceName, ObservedService>) -> Vec<ClaimFact> {
    let ObserverInput { facts, desired } = view;
    let others = known_containers(facts).filter(|found| !is_reported(found, desired, services));
    others.filter_map(|found| of_container(found, facts, desired)).collect()
}

/// Returns true if the manifest names the container as an existing one, or it is reported as a service's renamed one.
fn is_reported(found: &ContainerFact, desired: &Desired, services: &BTreeMap<ServiceName, ObservedService>) -> bool {
    services.iter().any(|(name, seen)| match &seen.ownership {
        Ownership::Renamed { id, .. } => *id == found.id,
        Ownership::Adopted => desired.services[name].object().is_some_and(|own| own.as_str() == found.name),
        Ownership::Absent | Ownership::Ours | Ownership::Missing { .. } | Ownership::Foreign { .. } => false,
    })
}

fn of_container(found: &ContainerFact, facts: &Facts, desired: &Desired) -> Option<ClaimFact> {
    let marks = found.marks.as_ref().filter(|marks| ProjectIdentity::of(desired, facts).is_own(&marks.project))?;
    let reason = match ownership::standing(found, facts, desired) {
        OwnershipProof::Unmarked | OwnershipProof::OtherProject | OwnershipProof::Ours => return None,
        OwnershipProof::Inherited => "its labels came with its image".to_owned(),
        OwnershipProof::Renamed => renamed(found, marks),
        OwnershipProof::Copied => "its labels are those of another container, or incomplete".to_owned(),
        OwnershipProof::OtherHost => {
            format!("lcm on host {} made it", bounded(ownership::hostname(&marks.host_id)))
        }
    };
    let claimant = Claimant::Container { id: found.id.clone(), name: found.name.clone() };
    Some(ClaimFact::new(&marks.project, &marks.service, claimant, reason))
}

fn renamed(found: &ContainerFact, marks: &Marks) -> String {
    if marks.name.is_empty() {
        return "lcm gave no container this name".to_owned();
    }
    format!(
        "its labels name container {0} (`docker rename {1} {0}` if it was renamed by hand)",
        bounded(&marks.name),
        found.name
    )
}
