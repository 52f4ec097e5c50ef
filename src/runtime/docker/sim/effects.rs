//! Effects on containers of a simulation, in the same small steps in which the driver changes an engine.

use async_trait::async_trait;

use crate::model::desired::Service;
use crate::model::instance::Instance;
use crate::model::names::{ProjectName, ServiceName};
use crate::model::size::Mebibytes;
use crate::runtime::docker;
use crate::runtime::docker::facts::ContainerFact;
use crate::runtime::docker::intent::{ContainerSpec, DockerSpec, spec_of};
use crate::runtime::docker::sim::containers::{self, by_id, is_taken_over, is_up, may_touch, named, pair};
use crate::runtime::docker::sim::mend::{can_be_mended, mend};
use crate::runtime::docker::sim::networks;
use crate::runtime::docker::sim::state::SimulatedDocker;
use crate::runtime::{DriverError, Start};
use crate::sim::contract::SimulatedRuntime;
use crate::sim::deed::Deed;
use crate::sim::machine::SimulatedMachine;
use crate::sim::marks::{gpus_of, is_as_wanted, is_made_from};

/// Service of a project.
type ServiceKey<'a> = (&'a ProjectName, &'a ServiceName);

#[async_trait]
impl SimulatedRuntime for SimulatedDocker {
    async fn start(&self, machine: &SimulatedMachine, start: &Start<'_>) -> Result<Instance, DriverError> {
        match spec_of(start.service) {
            Some(DockerSpec::Created(container)) => start_created(machine, start, container).await,
            Some(DockerSpec::Existing(existing)) => {
                let found = named(&machine.lock().facts, existing.container.as_str()).cloned();
                let found = found
                    .ok_or_else(|| DriverError::Missing(format!("container {} does not exist", existing.container)))?;
                run(machine, start, &found.id).await
            }
            None => Err(DriverError::Refused(format!("service {} is not a container", start.service.name))),
        }
    }

    async fn settle(
        &self,
        machine: &SimulatedMachine,
        project: &ProjectName,
        service: &Service,
    ) -> Result<(), DriverError> {
        let Some(DockerSpec::Created(_)) = spec_of(service) else { return Ok(()) };
        match both(machine, project, service) {
            (Some(_), Some(previous)) => discard(machine, (project, &service.name), &previous).await,
            (_, _) => Ok(()),
        }
    }

    async fn restore(
        &self,
        machine: &SimulatedMachine,
        project: &ProjectName,
        service: &Service,
    ) -> Result<bool, DriverError> {
        let Some(DockerSpec::Created(container)) = spec_of(service) else { return Ok(false) };
        let owner = (project, &service.name);
        let old = match both(machine, project, service) {
            (newer, Some(aside)) => {
                if let Some(newer) = newer {
                    discard(machine, owner, &newer).await?;
                }
                put_back(machine, owner, &aside, container.name.as_str()).await?;
                aside
            }
            // A failed start has renamed it back already.
            (Some(old), None) => {
                let wanted = old.marks.as_ref().is_some_and(|marks| is_as_wanted(marks, &service.spec));
                if is_up(old.state) || wanted {
                    return Ok(false);
                }
                old
            }
            (None, None) => return Ok(false),
        };
        machine
            .effect(Deed::Start, &service.name, |world, at| {
                may_touch(world, owner, &old, "started")?;
                let marks = old.marks.clone().unwrap_or_default();
                let gpus = gpus_of(&marks);
                let amounts: Vec<Mebibytes> = (0..gpus.len()).map(|position| marks.vram_on(position)).collect();
                let before = service.placed_with(&amounts);
                world.begin(&old.id, &Start { project, service: &before, gpus: &gpus, indices: &[] }, at);
                world.set_healthy(&old.id);
                Ok(true)
            })
            .await
    }

    async fn update(
        &self,
        machine: &SimulatedMachine,
        project: &ProjectName,
        service: &Service,
        instance: &Instance,
    ) -> Result<(), DriverError> {
        if let Some(DockerSpec::Created(container)) = spec_of(service) {
            networks::provide(machine, (project, service), container).await?;
        }
        machine
            .effect(Deed::Update, &service.name, |world, _| {
                world.serve(project);
                let found = by_id(&world.facts, &instance.id).cloned();
                let found = found.ok_or_else(|| is_gone(&service.name))?;
                may_touch(world, (project, &service.name), &found, "updated")?;
                if let Some(error) = world.behaviour(&service.name).update_error {
                    return Err(DriverError::Refused(error));
                }
                mend(&mut world.facts, service, &found.id);
                networks::refresh(&mut world.facts);
                Ok(())
            })
            .await
    }

    async fn remove_network(
        &self,
        machine: &SimulatedMachine,
        project: &ProjectName,
        network: &str,
    ) -> Result<(), DriverError> {
        networks::remove(machine, project, network).await
    }

    async fn remove(
        &self,
        machine: &SimulatedMachine,
        project: &ProjectName,
        instance: &Instance,
    ) -> Result<(), DriverError> {
        let Some(found) = by_id(&machine.lock().facts, &instance.id).cloned() else { return Ok(()) };
        let name = instance.object();
        let Some(marks) = &found.marks else {
            return Err(machine.lock().violate(format!("removed container {name}, which lcm did not create")));
        };
        if is_up(found.state) {
            return Err(machine.lock().violate(format!("removed container {name} though it runs")));
        }
        discard(machine, (project, &ServiceName::new(&*marks.service)), &found).await
    }
}

async fn start_created(
    machine: &SimulatedMachine,
    start: &Start<'_>,
    container: &ContainerSpec,
) -> Result<Instance, DriverError> {
    networks::provide(machine, (start.project, start.service), container).await?;
    let (name, owner) = (&start.service.name, (start.project, &start.service.name));
    let taken = named(&machine.lock().facts, container.name.as_str()).cloned();
    let (found, aside) = both(machine, start.project, start.service);
    let found = found.or(taken);
    if let Some(found) = &found {
        let fits = fits(machine, start, found);
        let mut world = machine.lock();
        may_touch(&mut world, owner, found, "started over")?;
        if is_up(found.state) && !fits {
            return Err(world.violate(format!("started {name} though another of it runs")));
        }
    }
    let fallback = match (found, aside) {
        (Some(found), _) if fits(machine, start, &found) => return run(machine, start, &found.id).await,
        (None, Some(aside)) if fits(machine, start, &aside) => {
            put_back(machine, owner, &aside, container.name.as_str()).await?;
            return run(machine, start, &aside.id).await;
        }
        (Some(old), aside) => make_way(machine, (owner, container.name.as_str()), &old, aside).await?,
        (None, aside) => aside,
    };
    let id = machine.effect(Deed::Create, name, |world, _| {
        let id = containers::create(world, start, container);
        networks::refresh(&mut world.facts);
        Ok(id)
    });
    let id = id.await?;
    let error = match run(machine, start, &id).await {
        Ok(instance) => return Ok(instance),
        Err(error) => error,
    };
    // The previous revision gets its name back; `restore` starts it.
    if let (Some(old), Some(failed)) = (fallback, both(machine, start.project, start.service).0) {
        discard(machine, owner, &failed).await?;
        put_back(machine, owner, &old, container.name.as_str()).await?;
    }
    Err(error)
}

/// Returns true if a start runs this container as it is.
fn fits(machine: &SimulatedMachine, start: &Start<'_>, found: &ContainerFact) -> bool {
    let world = machine.lock();
    found.marks.as_ref().is_some_and(|marks| is_made_from(marks, start))
        && can_be_mended(&world.facts, start.service, found)
        && !found.image_moved
        && !is_taken_over(world.view(start.project), found)
}

fn both(
    machine: &SimulatedMachine,
    project: &ProjectName,
    service: &Service,
) -> (Option<ContainerFact>, Option<ContainerFact>) {
    let world = machine.lock();
    let (current, aside) = pair(world.view(project), service);
    (current.cloned(), aside.cloned())
}

/// Puts the present container aside; if one is aside already, that one is the last known to be healthy, and stays.
async fn make_way(
    machine: &SimulatedMachine,
    (owner, container): (ServiceKey<'_>, &str),
    old: &ContainerFact,
    previous: Option<ContainerFact>,
) -> Result<Option<ContainerFact>, DriverError> {
    let aside = containers::put_aside_name(container);
    if let Some(previous) = previous {
        discard(machine, owner, old).await?;
        return Ok(Some(previous));
    }
    machine
        .effect(Deed::PutAside, owner.1, |world, _| {
            containers::rename(&mut world.facts, &old.id, &aside);
            Ok(())
        })
        .await?;
    Ok(Some(old.clone()))
}

async fn put_back(
    machine: &SimulatedMachine,
    owner: ServiceKey<'_>,
    old: &ContainerFact,
    to: &str,
) -> Result<(), DriverError> {
    machine
        .effect(Deed::PutBack, owner.1, |world, _| {
            may_touch(world, owner, old, "put back")?;
            containers::rename(&mut world.facts, &old.id, to);
            Ok(())
        })
        .await
}

async fn run(machine: &SimulatedMachine, start: &Start<'_>, id: &str) -> Result<Instance, DriverError> {
    let name = &start.service.name;
    machine
        .effect(Deed::Start, name, |world, at| {
            let found = by_id(&world.facts, id).cloned().ok_or_else(|| is_gone(name))?;
            may_touch(world, (start.project, name), &found, "started")?;
            let instance = docker::instance(found.id, found.name.as_str());
            if is_up(found.state) {
                return Ok(instance);
            }
            world.may_start(start)?;
            mend(&mut world.facts, start.service, id);
            networks::refresh(&mut world.facts);
            world.begin(id, start, at);
            Ok(instance)
        })
        .await
}

async fn discard(machine: &SimulatedMachine, owner: ServiceKey<'_>, old: &ContainerFact) -> Result<(), DriverError> {
    machine
        .effect(Deed::Remove, owner.1, |world, _| {
            may_touch(world, owner, old, "removed")?;
            world.remove_instance(&old.id);
            containers::remove(&mut world.facts, &old.id);
            networks::refresh(&mut world.facts);
            Ok(())
        })
        .await
}

fn is_gone(service: &ServiceName) -> DriverError {
    DriverError::Missing(format!("the container of {service} is gone"))
}
