//! Containers of a simulated engine: found, owned and changed in the facts.

use crate::model::desired::Service;
use crate::model::endpoint::Endpoint;
use crate::model::facts::{ExitFact, Facts, Marks};
use crate::model::names::{ProjectName, ServiceName};
use crate::model::observed::ASIDE_SUFFIX;
use crate::runtime::docker::facts::{ContainerFact, ContainerState, DockerReading as _, known_containers};
use crate::runtime::docker::intent::ContainerSpec;
use crate::runtime::docker::ownership::{self, OwnershipProof, ProjectIdentity};
use crate::runtime::docker::settings::{self, ContainerSettings};
use crate::runtime::{DriverError, RunState, Start};
use crate::sim::instances::ProjectView;
use crate::sim::lives;
use crate::sim::marks;
use crate::sim::world::World;

/// Returns the container of this name.
pub(super) fn named<'a>(facts: &'a Facts, name: &str) -> Option<&'a ContainerFact> {
    known_containers(facts).find(|container| container.name == name)
}

/// Returns the container of this id.
pub(super) fn by_id<'a>(facts: &'a Facts, id: &str) -> Option<&'a ContainerFact> {
    known_containers(facts).find(|container| container.id == id)
}

/// Returns the container of this id, for changes.
pub(super) fn by_id_mut<'a>(facts: &'a mut Facts, id: &str) -> Option<&'a mut ContainerFact> {
    facts.docker_mut().containers.known_mut()?.iter_mut().find(|container| container.id == id)
}

/// Creates a container under the service's name, not yet running; returns its id.
pub(super) fn create(world: &mut World, start: &Start<'_>, container: &ContainerSpec) -> String {
    let (_, salt) = world.new_salt();
    let marks = Marks {
        name: container.name.to_string(),
        host_id: world.facts.host_id.clone().unwrap_or_default(),
        compared: settings::COMPARED,
        ..marks::marks(start, &salt)
    };
    let fact = ContainerFact {
        image: container.image.clone(),
        settings: ContainerSettings::expected(start.service, &marks, &world.facts).map(Box::new),
        marks: Some(marks),
        ports: container.ports.iter().filter_map(Endpoint::of_published).collect(),
        ..ContainerFact::plain(salt.clone(), container.name.to_string(), ContainerState::Created)
    };
    world.facts.docker_mut().containers.known_mut().into_iter().for_each(|all| all.push(fact.clone()));
    salt
}

pub(super) fn rename(facts: &mut Facts, id: &str, name: &str) {
    if let Some(container) = by_id_mut(facts, id) {
        name.clone_into(&mut container.name);
    }
}

pub(super) fn remove(facts: &mut Facts, id: &str) {
    if let Some(all) = facts.docker_mut().containers.known_mut() {
        all.retain(|container| container.id != id);
    }
}

fn identity(view: ProjectView<'_>) -> ProjectIdentity<'_> {
    let ProjectView { facts, project, aliases, take_over, .. } = view;
    ProjectIdentity { project, aliases, host_id: facts.host_id.as_deref(), take_over }
}

/// Returns true if the container is proven to be this service's, by the real driver's proof.
pub(super) fn is_ours(view: ProjectView<'_>, service: &ServiceName, found: &ContainerFact) -> bool {
    let identity = identity(view);
    let expected = Some(ownership::base_name(&found.name));
    found.marks.as_ref().is_some_and(|marks| identity.are_of(marks, service))
        && identity.standing(found.evidence(), expected) == OwnershipProof::Ours
}

/// Returns true if the container is another project's, or another machine's.
pub(super) fn is_anothers(view: ProjectView<'_>, found: &ContainerFact) -> bool {
    let standing = identity(view).standing(found.evidence(), None);
    matches!(standing, OwnershipProof::OtherProject | OwnershipProof::OtherHost)
}

/// Returns true if another machine's lcm created the container, so that a start recreates it.
pub(super) fn is_taken_over(view: ProjectView<'_>, found: &ContainerFact) -> bool {
    found.marks.as_ref().is_some_and(|marks| identity(view).is_taken_over(marks))
}

/// Returns the container of a service and the one put aside for it, if they are proven to be the service's.
pub(super) fn pair<'a>(
    view: ProjectView<'a>,
    service: &Service,
) -> (Option<&'a ContainerFact>, Option<&'a ContainerFact>) {
    let Some(own) = service.object() else { return (None, None) };
    let names = identity(view).names(&service.name, own.as_str());
    let find = |name: &str| named(view.facts, name).filter(|found| is_ours(view, &service.name, found));
    let current = names.iter().find_map(|name| find(name));
    let aside = names.iter().find_map(|name| find(&put_aside_name(name)));
    let salt = |found: Option<&ContainerFact>| Some(found?.marks.as_ref()?.salt.clone());
    // No two containers get the same salt: the one under the whole name is the original.
    (current, aside.filter(|aside| current.is_none() || salt(Some(aside)) != salt(current)))
}

/// Returns true if nothing may be done to a container on behalf of this service.
pub(super) fn is_foreign(view: ProjectView<'_>, service: &ServiceName, found: &ContainerFact) -> bool {
    let is_adopted = !is_anothers(view, found) && view.adopted.get(&found.name) == Some(service);
    !is_adopted && !is_ours(view, service, found)
}

/// Checks that a container may be changed: `Err` is a violation.
pub(super) fn may_touch(
    world: &mut World,
    (project, service): (&ProjectName, &ServiceName),
    found: &ContainerFact,
    what: &str,
) -> Result<(), DriverError> {
    if is_foreign(world.view(project), service, found) {
        return Err(world.violate(lives::foreign(what, &described(found), project, service)));
    }
    Ok(())
}

/// Returns `container NAME`.
pub(super) fn described(found: &ContainerFact) -> String {
    format!("container {}", found.name)
}

/// Returns the name of the previous revision of the container of this name.
pub(super) fn put_aside_name(name: &str) -> String {
    format!("{name}{ASIDE_SUFFIX}")
}

/// Returns true if the container has processes.
pub(super) fn is_up(state: ContainerState) -> bool {
    match state {
        ContainerState::Running | ContainerState::Paused | ContainerState::Restarting => true,
        ContainerState::Created | ContainerState::Removing | ContainerState::Exited | ContainerState::Dead => false,
    }
}

pub(super) fn run_state_of(container: &ContainerFact) -> RunState {
    match container.state {
        ContainerState::Created => RunState::Ended(None),
        ContainerState::Running | ContainerState::Restarting => RunState::Running,
        ContainerState::Paused => RunState::Suspended,
        ContainerState::Removing | ContainerState::Exited | ContainerState::Dead => RunState::Ended(Some(ExitFact {
            code: container.exit_code.and_then(|code| i32::try_from(code).ok()),
            signal: None,
            at: None,
        })),
    }
}
