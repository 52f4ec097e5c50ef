//! Containers of a simulation, as the simulated machine reads and changes them.

use crate::model::desired::Service;
use crate::model::facts::{EngineHealth, ExitFact, Facts, GpuFact, ProcessOwner, Reading};
use crate::model::instance::Instance;
use crate::model::names::{GpuId, RuntimeName, ServiceName};
use crate::runtime::docker::facts::{ContainerFact, ContainerState, DockerReading as _, VisibleGpus, known_containers};
use crate::runtime::docker::intent::{DockerSpec, spec_of};
use crate::runtime::docker::sim::containers::{self, by_id, by_id_mut, is_up, named, run_state_of};
use crate::runtime::docker::{self, NAME};
use crate::runtime::{DriverError, Inspection, RunState};
use crate::sim::instances::{
    LivingInstance, NewInstance, ProjectView, SimulatedHolder, SimulatedInstances, is_service,
};

/// Number that a shell adds to a signal's for an exit code.
const EXIT_OF_SIGNAL: i32 = 128;

/// Containers of a simulation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SimulatedDocker;

impl SimulatedInstances for SimulatedDocker {
    fn name(&self) -> RuntimeName {
        NAME
    }

    fn fill(&self, facts: &mut Facts) {
        let containers = &mut facts.docker_mut().containers;
        if matches!(containers, Reading::NotAsked) {
            *containers = Reading::Known(Vec::new());
        }
    }

    fn living<'a>(&self, facts: &'a Facts) -> Vec<LivingInstance<'a>> {
        let instance = |found: &'a ContainerFact| LivingInstance {
            id: found.id.clone(),
            name: Some(&found.name),
            marks: found.marks.as_ref(),
        };
        known_containers(facts).filter(|found| is_up(found.state)).map(instance).collect()
    }

    fn has_id(&self, facts: &Facts, id: &str) -> bool {
        by_id(facts, id).is_some()
    }

    fn inspect(&self, view: ProjectView<'_>, service: &Service) -> Result<Inspection, DriverError> {
        if let Some(reason) = view.facts.docker().containers.unknown() {
            return Err(DriverError::NoEngine { endpoint: "simulated".to_owned(), reason: reason.to_owned() });
        }
        let (container, aside) = match spec_of(service) {
            Some(DockerSpec::Existing(existing)) => {
                let found = named(view.facts, existing.container.as_str());
                (found.filter(|found| !containers::is_anothers(view, found)), None)
            }
            Some(DockerSpec::Created(_)) | None => containers::pair(view, service),
        };
        Ok(Inspection {
            instance: container.map(instance),
            run_state: container.map_or(RunState::Absent, run_state_of),
            previous: aside.is_some(),
            spec: container.and_then(|found| found.marks.as_ref()).map(|marks| marks.spec.clone()),
            copies: None,
        })
    }

    fn stray(&self, view: ProjectView<'_>, service: &ServiceName) -> Option<Instance> {
        let mut running = known_containers(view.facts).filter(|found| found.state == ContainerState::Running);
        running.find(|found| containers::is_ours(view, service, found)).map(instance)
    }

    fn owns(&self, view: ProjectView<'_>, service: &Service, owner: &ProcessOwner) -> bool {
        let own = match spec_of(service) {
            Some(DockerSpec::Created(_)) => containers::pair(view, service).0,
            Some(DockerSpec::Existing(existing)) => named(view.facts, existing.container.as_str()),
            None => None,
        };
        is_service(view, service, owner) || own.is_some_and(|own| *owner == owner_of(own))
    }

    fn foreign(&self, view: ProjectView<'_>, service: &ServiceName, id: &str) -> Option<String> {
        let found = by_id(view.facts, id)?;
        containers::is_foreign(view, service, found).then(|| containers::described(found))
    }

    /// Returns the container without processes, which an engine does not show.
    fn holder(&self, facts: &Facts, id: &str) -> Option<SimulatedHolder> {
        by_id(facts, id).map(|found| SimulatedHolder { owner: owner_of(found), pid: None, pids: None })
    }

    fn program(&self, service: &Service) -> String {
        match spec_of(service) {
            Some(DockerSpec::Created(container)) => container.image.clone(),
            Some(DockerSpec::Existing(existing)) => existing.container.to_string(),
            None => String::new(),
        }
    }

    /// Returns true if the manifest gives the engine a health check to run.
    fn checks_itself(&self, service: &Service) -> bool {
        match spec_of(service) {
            Some(DockerSpec::Created(container)) => {
                let test = container.healthcheck.as_ref().and_then(|check| check.test.first());
                test.is_some_and(|word| word != "NONE")
            }
            Some(DockerSpec::Existing(_)) | None => false,
        }
    }

    /// Returns the GPUs that an existing container was created with, which it uses in any case.
    fn fixed_gpus(&self, facts: &Facts, service: &Service, id: &str) -> Option<Vec<GpuId>> {
        let Some(DockerSpec::Existing(existing)) = spec_of(service) else { return None };
        let found = named(facts, existing.container.as_str()).filter(|found| found.id == id)?;
        let Some(VisibleGpus::These(names)) = &found.gpus else { return None };
        let is_its =
            |gpu: &&GpuFact| names.iter().any(|name| gpu.id.as_str() == name || gpu.index.to_string() == *name);
        Some(facts.gpus.known()?.iter().filter(is_its).map(|gpu| gpu.id.clone()).collect())
    }

    fn exit_of_stop(&self) -> ExitFact {
        ExitFact { code: Some(0), signal: None, at: None }
    }

    fn replace_spec(&self, facts: &mut Facts, id: &str, spec: &str) -> Option<String> {
        let marks = by_id_mut(facts, id)?.marks.as_mut()?;
        Some(std::mem::replace(&mut marks.spec, spec.to_owned()))
    }

    fn set_running(&self, facts: &mut Facts, begun: &NewInstance<'_>) {
        let Some(container) = by_id_mut(facts, begun.id) else { return };
        container.state = ContainerState::Running;
        container.exit_code = None;
        container.oom_killed = false;
        container.started_at = Some(begun.at);
        if self.checks_itself(begun.service) || container.health.is_some() {
            container.health = Some(health(begun.healthy));
        }
    }

    fn set_paused(&self, facts: &mut Facts, id: &str, paused: bool) {
        if let Some(container) = by_id_mut(facts, id) {
            container.state = if paused { ContainerState::Paused } else { ContainerState::Running };
        }
    }

    /// Begins a stop, which resumes a paused container.
    fn set_stopping(&self, facts: &mut Facts, id: &str) {
        let container = by_id_mut(facts, id);
        if let Some(container) = container.filter(|container| container.state == ContainerState::Paused) {
            container.state = ContainerState::Running;
        }
    }

    /// Ends a container: none of its processes outlives the first one.
    fn set_ended(&self, facts: &mut Facts, id: &str, exit: &ExitFact, _: bool) -> Option<ProcessOwner> {
        let container = by_id_mut(facts, id)?;
        let code = exit.code.or(exit.signal.map(|signal| signal.saturating_add(EXIT_OF_SIGNAL))).unwrap_or_default();
        container.state = ContainerState::Exited;
        container.exit_code = Some(i64::from(code));
        container.health = container.health.map(|_| EngineHealth::Unhealthy);
        Some(owner_of(container))
    }

    fn self_checked(&self, facts: &Facts) -> Vec<String> {
        let running = known_containers(facts).filter(|found| found.state == ContainerState::Running);
        running.filter(|found| found.health.is_some()).map(|found| found.id.clone()).collect()
    }

    fn set_health(&self, facts: &mut Facts, id: &str, healthy: bool) {
        if let Some(container) = by_id_mut(facts, id) {
            container.health = Some(health(healthy));
        }
    }
}

fn health(healthy: bool) -> EngineHealth {
    if healthy { EngineHealth::Healthy } else { EngineHealth::Starting }
}

fn owner_of(found: &ContainerFact) -> ProcessOwner {
    ProcessOwner::Container(found.id.clone())
}

fn instance(found: &ContainerFact) -> Instance {
    docker::instance(found.id.clone(), found.name.as_str())
}
