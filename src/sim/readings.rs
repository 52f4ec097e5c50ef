//! What can be read of the simulated world: nothing here changes it, but that time goes on.

use std::collections::BTreeMap;

use super::Sim;
use super::keys::key_of_tree;
use super::things::checks_itself;
use super::world::{World, key_of};
use crate::model::desired::{DeclaredGpu, Desired, Service};
use crate::model::facts::{
    BusyReading, EngineHealth, ExitFact, Facts, GpuFact, ListenerFact, Owner, ProbeFacts, ProbeReading, Reading,
};
use crate::model::instance::Instance;
use crate::model::names::{GpuId, ProjectName, ServiceName};
use crate::model::size::Mebibytes;
use crate::runtime::docker::facts::DockerReading as _;
use crate::runtime::docker::facts::{ContainerFact, ContainerState};
use crate::runtime::docker::intent::DockerSpec;
use crate::runtime::process::facts::ProcessReading as _;
use crate::runtime::process::facts::TreeFact;
use crate::runtime::{DriverError, Life, Look};

impl Sim {
    pub(super) fn read_all(&self, desired: &Desired) -> Facts {
        let mut world = self.lock();
        world.serve(&desired.project);
        world.aliases.clone_from(&desired.aliases);
        world.take_over = desired.take_over;
        world.tick();
        let mut probes = BTreeMap::new();
        for service in desired.services.values() {
            world.learn(service);
            let mut reading = world.facts.probes.get(&service.name).cloned().unwrap_or_default();
            if let Some(instance) = world.running(&desired.project, service) {
                if reading.health.is_none() && service.health.probe.is_some() {
                    reading.health = Some(world.probe(service, &instance, service.health.failures.max(1)));
                }
                if service.busy.is_some() {
                    reading.busy = Some(world.busy(&service.name));
                }
            }
            if reading != ProbeFacts::default() {
                probes.insert(service.name.clone(), reading);
            }
        }
        let gpus = match &world.facts.gpus {
            Reading::NotAsked => declared(desired),
            Reading::Known(_) | Reading::Unknown(_) => world.gpus_as_read(),
        };
        Facts { observed_at: self.time(), probes, gpus, ..world.facts.clone() }
    }
}

/// Where the world says nothing of GPUs, the manifest vouches for its own.
fn declared(desired: &Desired) -> Reading<Vec<GpuFact>> {
    let fact = |gpu: &DeclaredGpu| GpuFact {
        id: GpuId::new(gpu.uuid.clone().unwrap_or_else(|| format!("gpu-{}", gpu.index))),
        index: gpu.index,
        name: String::new(),
        capacity: gpu.capacity,
        used: None,
        reserved: Mebibytes::ZERO,
        lost: None,
        unreadable: None,
        holders: Vec::new(),
    };
    if desired.declared_gpus.is_empty() {
        return Reading::NotAsked;
    }
    Reading::Known(desired.declared_gpus.iter().map(fact).collect())
}

impl World {
    /// Which container carries the service, for those that bear no marks.
    pub(super) fn learn(&mut self, service: &Service) {
        if let Some(DockerSpec::Existing(existing)) = service.workload.spec::<DockerSpec>() {
            self.named.insert(existing.container.to_string(), service.name.clone());
        }
    }

    pub(super) fn look(&self, project: &ProjectName, service: &Service) -> Result<Look, DriverError> {
        let Some(name) = service.object() else {
            return self.look_at_tree(project, &service.name);
        };
        if let Some(reason) = self.facts.docker().containers.unknown() {
            return Err(DriverError::NoEngine { endpoint: "simulated".to_owned(), reason: reason.to_owned() });
        }
        let (container, aside) = match service.workload.spec::<DockerSpec>() {
            Some(DockerSpec::Existing(_)) => {
                (self.container(name.as_str()).filter(|found| !self.is_anothers(project, found)), None)
            }
            Some(DockerSpec::Created(_)) | None => self.pair(project, service),
        };
        Ok(Look {
            instance: container.map(|found| crate::runtime::docker::instance(found.id.clone(), found.name.as_str())),
            life: container.map_or(Life::Absent, life_of_container),
            previous: aside.is_some(),
            spec: container.and_then(|found| found.marks.as_ref()).map(|marks| marks.spec.clone()),
            copies: self.copies_of(&service.name),
        })
    }

    /// Whatever runs of the service, under whichever name and runtime it was made.
    pub(super) fn running(&self, project: &ProjectName, service: &Service) -> Option<Instance> {
        let look = self.look(project, service).ok()?;
        if matches!(look.life, Life::Running | Life::Crippled(_)) {
            return look.instance;
        }
        let tree = self.tree(project, &service.name).filter(|tree| matches!(life_of_tree(tree), Life::Running));
        let containers = self.facts.docker().containers.known().into_iter().flatten();
        let running = |found: &&ContainerFact| found.state == ContainerState::Running;
        let container = containers.filter(running).find(|found| self.is_ours(project, &service.name, found));
        tree.map(|found| crate::runtime::process::instance(key_of_tree(found)))
            .or_else(|| container.map(|found| crate::runtime::docker::instance(found.id.clone(), found.name.as_str())))
    }

    fn look_at_tree(&self, project: &ProjectName, service: &ServiceName) -> Result<Look, DriverError> {
        if let Some(reason) = self.facts.processes().trees.unknown() {
            return Err(DriverError::Refused(reason.to_owned()));
        }
        let tree = self.tree(project, service);
        Ok(Look {
            instance: tree.map(|found| crate::runtime::process::instance(key_of_tree(found))),
            life: tree.map_or(Life::Absent, life_of_tree),
            previous: false,
            spec: tree.filter(|found| !found.adopted).map(|found| found.marks.spec.clone()),
            copies: self.copies_of(service),
        })
    }

    /// `failures`: how many are reported where it does not pass.
    pub(super) fn probe(&self, service: &Service, instance: &Instance, failures: u32) -> ProbeReading {
        let detail = if !self.is_alive(key_of(instance)) {
            "it does not run"
        } else if (service.health.probe.is_none() && !checks_itself(service))
            || self.answers(key_of(instance), &service.name)
        {
            return ProbeReading::Passed;
        } else if self.behaviour(&service.name).never_healthy {
            "it answers 503"
        } else {
            "connection refused"
        };
        ProbeReading::Failed { failures, detail: detail.to_owned() }
    }

    pub(super) fn busy(&self, service: &ServiceName) -> BusyReading {
        let given = self.facts.probes.get(service).and_then(|probes| probes.busy.clone());
        match self.behaviour(service).busy_for {
            Some(time) if self.began.elapsed() < time => BusyReading::Busy("1 in its queue".to_owned()),
            Some(_) => BusyReading::Idle,
            None => given.unwrap_or(BusyReading::Idle),
        }
    }

    /// A listener on one of the service's ports that is not its own.
    pub(super) fn port_holder(&self, project: &ProjectName, service: &Service) -> Result<Option<String>, DriverError> {
        if let Some(reason) = self.facts.listeners.unknown() {
            return Err(DriverError::Refused(format!("who listens can't be told: {reason}")));
        }
        let own = match service.workload.spec::<DockerSpec>() {
            Some(DockerSpec::Created(_)) => self.pair(project, service).0,
            None => None,
            Some(DockerSpec::Existing(existing)) => self.container(existing.container.as_str()),
        };
        let own = own.map(|container| &container.id);
        let is_own = |listener: &ListenerFact| match &listener.owner {
            Owner::Service { project: whose, service: name } => whose == project && *name == service.name,
            Owner::Container(id) => Some(id) == own,
            Owner::Stranger => false,
        };
        let listeners = self.facts.listeners.known().into_iter().flatten();
        let needs = |listener: &ListenerFact| {
            let endpoint = listener.endpoint();
            service.ports.iter().any(|port| port.clashes(&endpoint))
        };
        let holder = listeners.filter(|listener| needs(listener)).find(|held| !is_own(held));
        Ok(holder.map(|held| {
            let program = held.program.as_deref().unwrap_or("somebody");
            let pid = held.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            format!("{} by {program}{pid}", held.port)
        }))
    }

    /// The engine's own checks come to what the probes would.
    pub(super) fn refresh_engine_health(&mut self) {
        let Some(containers) = self.facts.docker().containers.known() else { return };
        let healths: Vec<(String, EngineHealth)> = containers
            .iter()
            .filter(|container| container.state == ContainerState::Running && container.health.is_some())
            .filter_map(|container| {
                let life = self.lives.get(&container.id)?;
                let healthy = self.answers(&container.id, &life.service);
                Some((container.id.clone(), if healthy { EngineHealth::Healthy } else { EngineHealth::Starting }))
            })
            .collect();
        for (id, health) in healths {
            if let Some(container) = self.container_mut(&id) {
                container.health = Some(health);
            }
        }
    }
}

pub(super) fn life_of_container(container: &ContainerFact) -> Life {
    match container.state {
        ContainerState::Created => Life::Ended(None),
        ContainerState::Running | ContainerState::Restarting => Life::Running,
        ContainerState::Paused => Life::Suspended,
        ContainerState::Removing | ContainerState::Exited | ContainerState::Dead => Life::Ended(Some(ExitFact {
            code: container.exit_code.and_then(|code| i32::try_from(code).ok()),
            signal: None,
            at: None,
        })),
    }
}

fn life_of_tree(tree: &TreeFact) -> Life {
    match (&tree.exit, tree.members.is_empty()) {
        (exit, true) => Life::Ended(exit.clone()),
        (None, false) if tree.suspended => Life::Suspended,
        (None, false) => Life::Running,
        (Some(exit), false) if exit.code == Some(0) => Life::Running,
        (Some(exit), false) => Life::Crippled(exit.clone()),
    }
}
