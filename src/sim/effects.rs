//! What can be done to the simulated world, in the same small steps in which the real one changes.

use std::time::Duration;

use tokio::time::Instant;

use super::things::{exit_of_stop, is_as_wanted, is_made_from, put_aside_name};
use super::world::{End, Life, World, gpus_of, is_up, key_of};
use super::{Deed, Sim};
use crate::model::desired::Service;
use crate::model::instance::Instance;
use crate::model::names::{ProjectName, ServiceName};
use crate::model::size::Mebibytes;
use crate::runtime::docker::facts::DockerReading as _;
use crate::runtime::docker::facts::{ContainerFact, ContainerState};
use crate::runtime::docker::intent::{ContainerSpec, DockerSpec};
use crate::runtime::{DriverError, Start, Stop};

impl Sim {
    pub(super) async fn bring_up(&self, start: &Start<'_>) -> Result<Instance, DriverError> {
        let service = start.service;
        let begins_after = {
            let mut world = self.lock();
            world.serve(start.project);
            world.learn(service);
            world.tick();
            world.behaviour(&service.name).begins_after
        };
        if !begins_after.is_zero() {
            tokio::time::sleep(begins_after).await;
        }
        match service.workload.spec::<DockerSpec>() {
            None => self.start_tree(start).await,
            Some(DockerSpec::Created(container)) => self.start_container(start, container).await,
            Some(DockerSpec::Existing(existing)) => {
                let found = self.lock().container(existing.container.as_str()).cloned();
                let found = found
                    .ok_or_else(|| DriverError::Missing(format!("there is no container {}", existing.container)))?;
                self.run_container(start, &found.id).await
            }
        }
    }

    async fn start_tree(&self, start: &Start<'_>) -> Result<Instance, DriverError> {
        let name = &start.service.name;
        self.effect(Deed::Start, name, |world, at| {
            if world.tree(start.project, name).is_some_and(|tree| !tree.members.is_empty()) {
                return Err(world.violate(format!("started {name} though it runs")));
            }
            world.may_start(start)?;
            let salt = world.spawn(start, at);
            world.begin(&salt, start, at);
            Ok(crate::runtime::process::instance(salt))
        })
        .await
    }

    async fn start_container(&self, start: &Start<'_>, container: &ContainerSpec) -> Result<Instance, DriverError> {
        let name = &start.service.name;
        let taken = self.lock().container(container.name.as_str()).cloned();
        let (found, aside) = self.both(start.project, start.service);
        let found = found.or(taken);
        let is_taken_over = |found: &ContainerFact| self.lock().is_taken_over(start.project, found);
        let fits = |found: &ContainerFact| {
            let made = found.marks.as_ref().is_some_and(|marks| is_made_from(marks, start));
            made && self.lock().can_be_mended(start.service, found) && !found.image_moved && !is_taken_over(found)
        };
        if let Some(found) = &found {
            let fits = fits(found);
            let mut world = self.lock();
            world.may_touch(start.project, name, found, "started over")?;
            if is_up(found.state) && !fits {
                return Err(world.violate(format!("started {name} though another of it runs")));
            }
        }
        let fallback = match (found, aside) {
            (Some(found), _) if fits(&found) => return self.run_container(start, &found.id).await,
            (None, Some(aside)) if fits(&aside) => {
                self.put_back(start.project, name, &aside, container.name.as_str()).await?;
                return self.run_container(start, &aside.id).await;
            }
            (Some(old), aside) => self.make_way(start.project, (name, container.name.as_str()), &old, aside).await?,
            (None, aside) => aside,
        };
        let id = self.effect(Deed::Create, name, |world, _| Ok(world.create(start, container))).await?;
        let error = match self.run_container(start, &id).await {
            Ok(instance) => return Ok(instance),
            Err(error) => error,
        };
        // The old one has its name again, and waits to be asked to run.
        if let (Some(old), Some(failed)) = (fallback, self.both(start.project, start.service).0) {
            self.discard(start.project, name, &failed).await?;
            self.put_back(start.project, name, &old, container.name.as_str()).await?;
        }
        Err(error)
    }

    fn both(&self, project: &ProjectName, service: &Service) -> (Option<ContainerFact>, Option<ContainerFact>) {
        let world = self.lock();
        let (current, aside) = world.pair(project, service);
        (current.cloned(), aside.cloned())
    }

    /// The old one is put aside; where an older one stands there already, that is the last one known to be well.
    async fn make_way(
        &self,
        project: &ProjectName,
        (name, container): (&ServiceName, &str),
        old: &ContainerFact,
        older: Option<ContainerFact>,
    ) -> Result<Option<ContainerFact>, DriverError> {
        let aside = put_aside_name(container);
        if let Some(older) = older {
            self.discard(project, name, old).await?;
            return Ok(Some(older));
        }
        self.effect(Deed::PutAside, name, |world, _| {
            world.rename(&old.id, &aside);
            Ok(())
        })
        .await?;
        Ok(Some(old.clone()))
    }

    async fn put_back(
        &self,
        project: &ProjectName,
        name: &ServiceName,
        old: &ContainerFact,
        to: &str,
    ) -> Result<(), DriverError> {
        self.effect(Deed::PutBack, name, |world, _| {
            world.may_touch(project, name, old, "put back")?;
            world.rename(&old.id, to);
            Ok(())
        })
        .await
    }

    async fn run_container(&self, start: &Start<'_>, id: &str) -> Result<Instance, DriverError> {
        let name = &start.service.name;
        self.effect(Deed::Start, name, |world, at| {
            let Some(found) = world.container_mut(id).cloned() else {
                return Err(DriverError::Missing(format!("the container of {name} is gone")));
            };
            world.may_touch(start.project, name, &found, "started")?;
            let instance = crate::runtime::docker::instance(found.id, found.name.as_str());
            if is_up(found.state) {
                return Ok(instance);
            }
            world.may_start(start)?;
            world.set_as_wanted(start.service, id);
            world.begin(id, start, at);
            Ok(instance)
        })
        .await
    }

    async fn discard(&self, project: &ProjectName, name: &ServiceName, old: &ContainerFact) -> Result<(), DriverError> {
        self.effect(Deed::Remove, name, |world, _| {
            world.may_touch(project, name, old, "removed")?;
            world.end(&old.id, &exit_of_stop(true, true), false);
            world.lives.remove(&old.id);
            if let Some(all) = world.facts.docker_mut().containers.known_mut() {
                all.retain(|container| container.id != old.id);
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn drop_previous(&self, project: &ProjectName, service: &Service) -> Result<(), DriverError> {
        let Some(DockerSpec::Created(_)) = service.workload.spec::<DockerSpec>() else { return Ok(()) };
        match self.both(project, service) {
            (Some(_), Some(previous)) => self.discard(project, &service.name, &previous).await,
            (_, _) => Ok(()),
        }
    }

    pub(super) async fn bring_back(&self, project: &ProjectName, service: &Service) -> Result<bool, DriverError> {
        let Some(DockerSpec::Created(container)) = service.workload.spec::<DockerSpec>() else { return Ok(false) };
        let old = match self.both(project, service) {
            (newer, Some(aside)) => {
                if let Some(newer) = newer {
                    self.discard(project, &service.name, &newer).await?;
                }
                self.put_back(project, &service.name, &aside, container.name.as_str()).await?;
                aside
            }
            // A failed start has put it back under its name already.
            (Some(old), None) => {
                let wanted = old.marks.as_ref().is_some_and(|marks| is_as_wanted(marks, &service.spec));
                if is_up(old.state) || wanted {
                    return Ok(false);
                }
                old
            }
            (None, None) => return Ok(false),
        };
        self.effect(Deed::Start, &service.name, |world, at| {
            world.may_touch(project, &service.name, &old, "started")?;
            let marks = old.marks.clone().unwrap_or_default();
            let before = Service { vram: Mebibytes::bounded(marks.vram_mib), ..service.clone() };
            world.begin(&old.id, &Start { project, service: &before, gpus: &gpus_of(&marks), indices: &[] }, at);
            if let Some(life) = world.lives.get_mut(&old.id) {
                life.well = true;
                life.end = None;
            }
            Ok(true)
        })
        .await
    }

    pub(super) async fn end(&self, stop: &Stop<'_>) -> Result<(), DriverError> {
        let key = key_of(stop.instance);
        let ends_at = self
            .effect(Deed::Stop, stop.service, |world, _| {
                world.serve(stop.project);
                world.may_stop(stop)?;
                let behaviour = world.behaviour(stop.service);
                if let Some(survivors) = behaviour.stop_error {
                    return Err(DriverError::Survivors { survivors, waited: stop.policy.grace });
                }
                let killed = behaviour.ignores_term || behaviour.stop_takes > stop.policy.grace;
                let takes = if killed { stop.policy.grace } else { behaviour.stop_takes };
                Ok(world.end_after(stop, takes, killed))
            })
            .await?;
        let Some(ends_at) = ends_at else { return Ok(()) };
        tokio::time::sleep_until(ends_at).await;
        let mut world = self.lock();
        world.tick();
        if world.is_alive(key) {
            let survivors = format!("{} in {key}", stop.service);
            return Err(DriverError::Survivors { survivors, waited: stop.policy.grace });
        }
        Ok(())
    }

    pub(super) async fn take_away(&self, project: &ProjectName, instance: &Instance) -> Result<(), DriverError> {
        let Instance { id, name: Some(name), .. } = instance else {
            return Err(self.lock().violate("removed a process tree".to_owned()));
        };
        let Some(found) = self.lock().container_mut(id).cloned() else { return Ok(()) };
        let Some(marks) = &found.marks else {
            return Err(self.lock().violate(format!("removed container {name}, which lcm did not create")));
        };
        if is_up(found.state) {
            return Err(self.lock().violate(format!("removed container {name} though it runs")));
        }
        self.discard(project, &ServiceName::new(&*marks.service), &found).await
    }
}

impl World {
    fn rename(&mut self, id: &str, name: &str) {
        if let Some(container) = self.container_mut(id) {
            name.clone_into(&mut container.name);
        }
    }

    /// The ports are free, the fault that may be set does not strike.
    fn may_start(&mut self, start: &Start<'_>) -> Result<(), DriverError> {
        let name = &start.service.name;
        if let Some(reason) = self.behaviour(name).start_error {
            return Err(DriverError::Engine { what: format!("start {name}"), reason });
        }
        match self.port_holder(start.project, start.service)? {
            Some(holder) => Err(self.violate(format!("started {name} though port {holder} is held"))),
            None => Ok(()),
        }
    }

    fn may_stop(&mut self, stop: &Stop<'_>) -> Result<(), DriverError> {
        match stop.instance {
            Instance { id, name: Some(_), .. } => match self.container_mut(id).cloned() {
                Some(found) => self.may_touch(stop.project, stop.service, &found, "stopped"),
                None => Ok(()),
            },
            Instance { id, name: None, .. } => match self.tree_mut(id) {
                Some(tree)
                    if tree.marks.project != stop.project.as_str() || tree.marks.service != stop.service.as_str() =>
                {
                    Err(self.violate(format!("stopped tree {id}, which is not {}'s {}", stop.project, stop.service)))
                }
                Some(_) | None => Ok(()),
            },
        }
    }

    /// Sets the end of what runs; `None`: it had ended.
    fn end_after(&mut self, stop: &Stop<'_>, takes: Duration, killed: bool) -> Option<Instant> {
        let key = key_of(stop.instance);
        if !self.is_alive(key) {
            return None;
        }
        let is_container = stop.instance.name.is_some();
        let at = Instant::now() + takes;
        let end = End { at, exit: exit_of_stop(is_container, killed), leaves_children: false };
        let began = self.began;
        let paused = self.container_mut(key).filter(|container| container.state == ContainerState::Paused);
        if let Some(container) = paused {
            container.state = ContainerState::Running;
        }
        let life = self.lives.entry(key.to_owned()).or_insert_with(|| Life {
            service: stop.service.clone(),
            since: began,
            gpus: Vec::new(),
            vram: Mebibytes::ZERO,
            well: false,
            end: None,
        });
        life.end = Some(end);
        Some(at)
    }
}
