//! The simulation as a [`Driver`], in place of the real machine.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use super::world::key_of;
use super::{Deed, Sim, runtime_of};
use crate::host::calls::{HookCall, HookResult};
use crate::model::desired::{Desired, Service};
use crate::model::facts::{BusyReading, Facts, ProbeReading};
use crate::model::instance::Instance;
use crate::model::names::{ProjectName, RuntimeName};
use crate::model::size::Mebibytes;
use crate::runtime::masked::{Masked, mask_facts};
use crate::runtime::{Driver, DriverError, Inspection, LogMark, Logged, Pause, Start, StopRequest};

impl Masked<Sim> {
    /// Returns the facts of the simulation, masked, for a snapshot file.
    #[must_use]
    pub fn world(&self) -> Facts {
        let (sim, masker) = self.parts();
        let mut facts = sim.world();
        mask_facts(masker, &mut facts);
        facts
    }
}

#[async_trait]
impl Driver for Sim {
    async fn complete(&self, desired: &Desired, _: Facts) -> Facts {
        self.read_all(desired)
    }

    async fn survey(&self, desired: &Desired) -> Facts {
        Facts { probes: BTreeMap::new(), ..self.read_all(desired) }
    }

    /// Does nothing: a simulation has no marks that others could forge.
    async fn record(&self, _: &ProjectName) {}

    async fn inspect(&self, project: &ProjectName, service: &Service) -> Result<Inspection, DriverError> {
        let mut world = self.machine.lock();
        world.serve(project);
        world.learn(service);
        world.tick();
        world.inspect(project, service)
    }

    async fn prepare(&self, service: &Service) -> Result<(), DriverError> {
        match self.machine.lock().behaviour(&service.name).prepare_error {
            Some(error) => Err(DriverError::Missing(error)),
            None => Ok(()),
        }
    }

    async fn start(&self, start: &Start<'_>) -> Result<Instance, DriverError> {
        self.bring_up(start).await
    }

    async fn settle(&self, project: &ProjectName, service: &Service) -> Result<(), DriverError> {
        runtime_of(&service.workload.runtime)?.settle(&self.machine, project, service).await
    }

    async fn restore(&self, project: &ProjectName, service: &Service) -> Result<bool, DriverError> {
        if self.plays_copies(&service.name) {
            return self.roll_back(project, service).await;
        }
        runtime_of(&service.workload.runtime)?.restore(&self.machine, project, service).await
    }

    async fn stop(&self, stop: &StopRequest<'_>) -> Result<(), DriverError> {
        self.end(stop).await
    }

    async fn pause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        self.freeze(pause, true).await
    }

    async fn unpause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        self.freeze(pause, false).await
    }

    async fn update(&self, project: &ProjectName, service: &Service, instance: &Instance) -> Result<(), DriverError> {
        if self.plays_copies(&service.name) {
            return self.roll(service, instance).await;
        }
        runtime_of(&instance.runtime)?.update(&self.machine, project, service, instance).await
    }

    async fn scale(
        &self,
        _: &ProjectName,
        service: &Service,
        instance: &Instance,
        copies: u32,
    ) -> Result<(), DriverError> {
        self.scale_to(service, instance, copies).await
    }

    async fn remove(&self, project: &ProjectName, instance: &Instance) -> Result<(), DriverError> {
        runtime_of(&instance.runtime)?.remove(&self.machine, project, instance).await
    }

    async fn remove_network(
        &self,
        project: &ProjectName,
        runtime: &RuntimeName,
        network: &str,
    ) -> Result<(), DriverError> {
        self.machine.lock().serve(project);
        runtime_of(runtime)?.remove_network(&self.machine, project, network).await
    }

    async fn evict(&self, service: &Service) -> Result<(), DriverError> {
        self.machine
            .effect(Deed::Evict, &service.name, |world, _| {
                let project = world.project.clone();
                if let Some(reason) = world.behaviour(&service.name).evict_error {
                    return Err(DriverError::Refused(reason));
                }
                let behaviour = world.behaviour(&service.name);
                let resident = service.evict.as_ref().map_or(Mebibytes::ZERO, |evict| evict.resident);
                let running = project.and_then(|project| world.running(&project, service));
                if let Some(instance) = running {
                    world.evict(key_of(&instance), behaviour.release_lag, behaviour.evicts_to.unwrap_or(resident));
                }
                Ok(())
            })
            .await
    }

    async fn wake(&self, start: &Start<'_>) -> Result<(), DriverError> {
        self.rouse(start).await
    }

    async fn probe(&self, _project: &ProjectName, service: &Service, instance: &Instance) -> ProbeReading {
        let mut world = self.machine.lock();
        world.tick();
        let reading = world.probe(service, instance, 1);
        if reading == ProbeReading::Passed {
            // The reading in the file is older.
            let given = world.facts.probes.get_mut(&service.name);
            if let Some(given) = given.filter(|given| given.health != Some(ProbeReading::Passed)) {
                given.health = None;
            }
        }
        reading
    }

    async fn busy(&self, service: &Service, instance: &Instance) -> BusyReading {
        let mut world = self.machine.lock();
        world.tick();
        if !world.is_alive(key_of(instance)) {
            return BusyReading::Busy("it does not answer".to_owned());
        }
        world.busy(&service.name)
    }

    async fn port_holder(&self, project: &ProjectName, service: &Service) -> Result<Option<String>, DriverError> {
        let mut world = self.machine.lock();
        world.tick();
        world.port_holder(project, service)
    }

    async fn log_tail(&self, _project: &ProjectName, service: &Service, lines: usize) -> Vec<String> {
        let log = self.machine.lock().behaviour(&service.name).log;
        log[log.len().saturating_sub(lines)..].to_vec()
    }

    async fn log_from(
        &self,
        _project: &ProjectName,
        service: &Service,
        mark: Option<&LogMark>,
    ) -> Result<Option<Logged>, DriverError> {
        let lines = self.machine.lock().behaviour(&service.name).log;
        let log: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        let from = mark.and_then(|mark| usize::try_from(mark.position).ok()).unwrap_or(0).min(log.len());
        let mark = LogMark { life: String::new(), position: log.len() as u64 };
        Ok((!log.is_empty()).then(|| Logged {
            bytes: log.as_bytes()[from..].to_vec(),
            mark,
            is_gapless: true,
            is_torn: false,
        }))
    }

    async fn call(&self, call: &HookCall<'_>) -> HookResult {
        self.run_call(call).await
    }

    fn now(&self) -> Timestamp {
        self.machine.time()
    }
}
