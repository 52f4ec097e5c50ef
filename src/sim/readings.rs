//! Readings of the simulation. None of them changes it, except that time advances.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::Sim;
use super::world::{InstanceLife, ScheduledEnd, World, key_of};
use crate::model::desired::{DeclaredGpu, Desired, Service};
use crate::model::facts::{BusyReading, ExitFact, Facts, GpuFact, ListenerFact, ProbeFacts, ProbeReading, Reading};
use crate::model::instance::Instance;
use crate::model::names::{GpuId, ProjectName, ServiceName};
use crate::model::size::Mebibytes;
use crate::model::workload::Origin;
use crate::runtime::{DriverError, Inspection, RunState};

impl Sim {
    pub(super) fn read_all(&self, desired: &Desired) -> Facts {
        let mut world = self.machine.lock();
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
        Facts { observed_at: self.machine.time(), probes, gpus, ..world.facts.clone() }
    }
}

/// Returns the GPUs that the manifest declares, for a snapshot without GPUs.
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
    /// Records the service of an existing object, which has no marks.
    pub(super) fn learn(&mut self, service: &Service) {
        match (service.workload.origin, service.object()) {
            (Origin::Existing, Some(object)) => {
                self.adopted.insert(object.to_string(), service.name.clone());
            }
            (Origin::Existing | Origin::Created, _) => {}
        }
        if service.job.is_some() {
            self.end_found(&service.name);
        }
    }

    /// Schedules the end of a job that ran before the simulation began.
    fn end_found(&mut self, job: &ServiceName) {
        let (now, behaviour) = (Instant::now(), self.behaviour(job));
        let exit = ExitFact { code: Some(behaviour.exit_code), signal: None, at: None };
        let found = self.alive().into_iter().filter(|found| found.service.as_ref() == Some(job));
        for key in found.map(|found| found.key).filter(|key| !self.lives.contains_key(key)).collect::<Vec<_>>() {
            let end = ScheduledEnd { at: now + behaviour.runs_for, exit: exit.clone(), leaves_children: false };
            let (service, holds) = (job.clone(), Vec::default());
            let life = InstanceLife { service, since: now, holds, well: false, end: Some(end) };
            self.lives.insert(key, life);
        }
    }

    pub(super) fn inspect(&self, project: &ProjectName, service: &Service) -> Result<Inspection, DriverError> {
        let inspection = self.runtime(&service.workload.runtime)?.inspect(self.view(project), service)?;
        Ok(Inspection { copies: self.copies_of(&service.name), ..inspection })
    }

    /// Returns a running instance of the service, under any of its names and runtimes.
    pub(super) fn running(&self, project: &ProjectName, service: &Service) -> Option<Instance> {
        let inspection = self.inspect(project, service).ok()?;
        if matches!(inspection.run_state, RunState::Running | RunState::Degraded(_)) {
            return inspection.instance;
        }
        // An instance of the service's previous runtime, then one under an earlier name.
        let mut runtimes = self.runtimes.0.clone();
        runtimes.sort_by_key(|runtime| service.workload.is_of(&runtime.name()));
        runtimes.into_iter().find_map(|runtime| runtime.stray(self.view(project), &service.name))
    }

    /// Probes the service; a failed reading reports `failures` failures.
    pub(super) fn probe(&self, service: &Service, instance: &Instance, failures: u32) -> ProbeReading {
        let detail = if !self.is_alive(key_of(instance)) {
            "it does not run"
        } else if (service.health.probe.is_none() && !self.checks_itself(service))
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

    /// Returns a foreign listener on one of the service's ports.
    pub(super) fn port_holder(&self, project: &ProjectName, service: &Service) -> Result<Option<String>, DriverError> {
        if let Some(reason) = self.facts.listeners.unknown() {
            return Err(DriverError::Refused(format!("can't read the listening sockets: {reason}")));
        }
        let runtime = self.runtime(&service.workload.runtime)?;
        let is_own = |listener: &ListenerFact| runtime.owns(self.view(project), service, &listener.owner);
        let listeners = self.facts.listeners.known().into_iter().flatten();
        let needs = |listener: &ListenerFact| {
            let endpoint = listener.endpoint();
            service.ports.iter().any(|port| port.clashes(&endpoint))
        };
        let holder = listeners.filter(|listener| needs(listener)).find(|held| !is_own(held));
        Ok(holder.map(|held| {
            let program = held.program.as_deref().unwrap_or("an unknown process");
            let pid = held.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            format!("{} by {program}{pid}", held.port)
        }))
    }

    fn checks_itself(&self, service: &Service) -> bool {
        self.runtime(&service.workload.runtime).is_ok_and(|runtime| runtime.checks_itself(service))
    }

    /// Updates the results of the runtimes' own health checks, which match those of the probes.
    pub(super) fn refresh_health(&mut self) {
        for runtime in self.runtimes.0.clone() {
            for id in runtime.self_checked(&self.facts) {
                let Some(life) = self.lives.get(&id) else { continue };
                let healthy = self.answers(&id, &life.service);
                runtime.set_health(&mut self.facts, &id, healthy);
            }
        }
    }
}
