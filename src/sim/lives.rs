//! Lifecycle of simulated instances: their start and end, with listeners and memory, and the checks before each.

use jiff::Timestamp;
use tokio::time::Instant;

use super::holding::amounts;
use super::instances::NewInstance;
use super::world::{InstanceLife, ScheduledEnd, World, key_of};
use crate::model::desired::Service;
use crate::model::endpoint::Protocol;
use crate::model::facts::{ExitFact, ListenerFact, ProcessOwner};
use crate::model::instance::Instance;
use crate::model::names::{GpuId, ProjectName, ServiceName};
use crate::runtime::{DriverError, Start};

/// Exit code of a program that failed.
const EXIT_OF_DEATH: i32 = 1;

const KILL: i32 = 9;

/// Exit of an instance that was killed at the end of its grace.
pub(crate) const KILLED: ExitFact = ExitFact { code: None, signal: Some(KILL), at: None };

impl World {
    /// Starts an instance: its listeners, its memory and its scheduled end.
    pub(crate) fn begin(&mut self, key: &str, start: &Start<'_>, at: Timestamp) {
        let (service, name) = (start.service, &start.service.name);
        let behaviour = self.behaviour(name);
        let now = Instant::now();
        let runtime = self.runtime(&service.workload.runtime).ok();
        let fixed = runtime.and_then(|runtime| runtime.fixed_gpus(&self.facts, service, key));
        let start = &Start { gpus: fixed.as_deref().unwrap_or(start.gpus), ..*start };
        let death = behaviour.dies_while_loading.then_some(behaviour.loading / 2).or(behaviour.dies_after);
        let ends = service.job.map(|_| (behaviour.runs_for, behaviour.exit_code));
        let end = death.map(|after| (after, EXIT_OF_DEATH)).or(ends).map(|(after, code)| ScheduledEnd {
            at: now + after,
            exit: ExitFact { code: Some(code), signal: None, at: None },
            leaves_children: behaviour.leaves_children,
        });
        let by_gpu = amounts(service);
        let on =
            |(position, gpu): (usize, &GpuId)| (gpu.clone(), by_gpu.get(position).copied().unwrap_or(service.vram));
        let holds = start.gpus.iter().enumerate().map(on).collect();
        let life = InstanceLife { service: name.clone(), since: now, holds, well: false, end };
        self.lives.insert(key.to_owned(), life);
        self.facts.probes.remove(name);
        let healthy = self.answers(key, name);
        if let Some(runtime) = runtime {
            runtime.set_running(&mut self.facts, &NewInstance { id: key, service, at, healthy });
        }
        let holder = self.holder(key);
        let pid = holder.as_ref().and_then(|holder| holder.pid);
        let owner = holder.map_or_else(
            || ProcessOwner::Service { project: start.project.clone(), service: name.clone() },
            |holder| holder.owner,
        );
        self.listen(service, &owner);
        let pid = pid.unwrap_or_else(|| self.memory.new_pid());
        self.take_ram(service, &owner);
        self.claim(key, start, owner, pid);
    }

    /// Marks the instance of a restored previous revision as healthy: the faults of the newer one do not apply.
    pub(crate) fn set_healthy(&mut self, key: &str) {
        if let Some(life) = self.lives.get_mut(key) {
            life.well = true;
            life.end = None;
        }
    }

    fn listen(&mut self, service: &Service, owner: &ProcessOwner) {
        let program = self.program(service);
        let Some(listeners) = self.facts.listeners.known_mut() else { return };
        // Only TCP listeners are read.
        for port in service.ports.iter().filter(|port| port.protocol == Protocol::Tcp) {
            let (port, address, program) = (port.port, port.address, Some(program.clone()));
            listeners.push(ListenerFact { port, address, pid: None, program, owner: owner.clone() });
        }
    }

    /// Ends an instance now: only its exit is left.
    pub(crate) fn end(&mut self, key: &str, exit: &ExitFact, leaves_children: bool) {
        if !leaves_children {
            self.give_back(key);
            self.return_ram(key);
        }
        let mut runtimes = self.runtimes.0.iter();
        let owner = runtimes.find_map(|runtime| runtime.set_ended(&mut self.facts, key, exit, leaves_children));
        let Some(owner) = owner else { return };
        if let Some(listeners) = self.facts.listeners.known_mut() {
            listeners.retain(|listener| listener.owner != owner);
        }
    }

    /// Ends and removes an instance now.
    pub(crate) fn remove_instance(&mut self, key: &str) {
        self.end(key, &KILLED, false);
        self.lives.remove(key);
    }

    /// Checks that a start has no injected fault, and that its ports are free: starting on a held port is a violation.
    pub(crate) fn may_start(&mut self, start: &Start<'_>) -> Result<(), DriverError> {
        let name = &start.service.name;
        if let Some(reason) = self.behaviour(name).start_error {
            return Err(DriverError::Engine { what: format!("start {name}"), reason });
        }
        match self.port_holder(start.project, start.service)? {
            Some(holder) => Err(self.violate(format!("started {name} though port {holder} is held"))),
            None => Ok(()),
        }
    }

    /// Checks that an instance is the service's; `Err`: a violation.
    pub(super) fn may_touch(
        &mut self,
        project: &ProjectName,
        service: &ServiceName,
        instance: &Instance,
        what: &str,
    ) -> Result<(), DriverError> {
        let runtime = self.runtime(&instance.runtime)?;
        match runtime.foreign(self.view(project), service, key_of(instance)) {
            Some(found) => Err(self.violate(foreign(what, &found, project, service))),
            None => Ok(()),
        }
    }
}

/// Returns the text of a violation by touching an instance that is not the service's.
pub(crate) fn foreign(what: &str, found: &str, project: &ProjectName, service: &ServiceName) -> String {
    format!("{what} {found}, which is not {project}'s {service}")
}
