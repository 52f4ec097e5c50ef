//! Networks of a simulated engine: made for the services that join them, removed once no container uses them.

use crate::model::desired::Service;
use crate::model::facts::{Facts, Marks, Reading};
use crate::model::names::{ProjectName, ServiceName};
use crate::runtime::DriverError;
use crate::runtime::docker::facts::{ContainerFact, DockerReading as _, NetworkFact, known_containers};
use crate::runtime::docker::intent::ContainerSpec;
use crate::runtime::docker::network::NetworkSpec;
use crate::runtime::docker::ownership::{OwnershipProof, ProjectIdentity};
use crate::sim::deed::Deed;
use crate::sim::machine::SimulatedMachine;
use crate::sim::world::World;

/// Makes the networks that the manifest defines for this container.
pub(super) async fn provide(
    machine: &SimulatedMachine,
    (project, service): (&ProjectName, &Service),
    container: &ContainerSpec,
) -> Result<(), DriverError> {
    for (name, spec) in &container.attachments.defined {
        let is_due = is_due(&mut machine.lock(), project, (name, spec))?;
        if is_due {
            let make = |world: &mut World, _| {
                make(world, project, (name, spec));
                Ok(())
            };
            machine.effect(Deed::CreateNetwork, &service.name, make).await?;
        }
    }
    Ok(())
}

/// Removes a network that lcm made and that no container uses.
pub(super) async fn remove(machine: &SimulatedMachine, project: &ProjectName, name: &str) -> Result<(), DriverError> {
    let Some(fact) = machine.lock().facts.docker().network_details.get(name).cloned() else { return Ok(()) };
    if !is_ours(&machine.lock(), project, name, &fact) {
        return Err(machine.lock().violate(format!("removed network {name}, which lcm did not make")));
    }
    if !fact.users.is_empty() {
        return Err(machine.lock().violate(format!("removed network {name} though containers use it")));
    }
    machine
        .effect(Deed::RemoveNetwork, &ServiceName::from(name), |world, _| {
            let docker = world.facts.docker_mut();
            docker.network_details.remove(name);
            if let Some(ids) = docker.networks.known_mut() {
                ids.remove(name);
            }
            Ok(())
        })
        .await
}

/// Reads the users of all networks from the settings of the containers. A container whose settings are unknown stays
/// what it was.
pub(super) fn refresh(facts: &mut Facts) {
    let containers: Vec<ContainerFact> = known_containers(facts).cloned().collect();
    for (name, fact) in &mut facts.docker_mut().network_details {
        let uses = |container: &&ContainerFact| match &container.settings {
            Some(settings) => settings.networks.contains_key(name),
            None => fact.users.contains_key(&container.id),
        };
        let users = containers.iter().filter(uses).map(|container| (container.id.clone(), container.name.clone()));
        fact.users = users.collect();
    }
}

/// Returns true if the network has to be made: it is missing, or it differs and no container uses it.
fn is_due(world: &mut World, project: &ProjectName, (name, spec): (&str, &NetworkSpec)) -> Result<bool, DriverError> {
    let docker = world.facts.docker();
    let exists = docker.networks.known().is_some_and(|ids| ids.contains_key(name));
    match docker.network_details.get(name).cloned() {
        None if !exists => Ok(true),
        Some(fact) if is_ours(world, project, name, &fact) => {
            Ok(fact.users.is_empty() && !spec.settings.differences(&fact.settings).is_empty())
        }
        Some(_) | None => Err(world.violate(format!("used network {name}, which lcm did not make"))),
    }
}

fn make(world: &mut World, project: &ProjectName, (name, spec): (&str, &NetworkSpec)) {
    let (_, id) = world.new_salt();
    let marks = Marks {
        project: project.to_string(),
        name: name.to_owned(),
        host_id: world.facts.host_id.clone().unwrap_or_default(),
        ..Marks::default()
    };
    let fact = NetworkFact { settings: spec.settings.clone(), marks: Some(marks), ..NetworkFact::default() };
    let docker = world.facts.docker_mut();
    if matches!(docker.networks, Reading::NotAsked) {
        docker.networks = Reading::Known(std::collections::BTreeMap::new());
    }
    if let Some(ids) = docker.networks.known_mut() {
        ids.insert(name.to_owned(), id);
    }
    docker.network_details.insert(name.to_owned(), fact);
}

fn is_ours(world: &World, project: &ProjectName, name: &str, fact: &NetworkFact) -> bool {
    let view = world.view(project);
    let identity = ProjectIdentity {
        project,
        aliases: view.aliases,
        host_id: view.facts.host_id.as_deref(),
        take_over: view.take_over,
    };
    identity.network_standing(name, fact.marks.as_ref()) == OwnershipProof::Ours
}
