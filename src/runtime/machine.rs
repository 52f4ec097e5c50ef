//! Real machine: processes, containers, ports, probes and GPUs behind [`Driver`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io};

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::stream;
use futures_util::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::host::calls::{self, HookCall, HookResult};
use crate::host::enclosure::{self, Enclosed};
use crate::host::gpu::{self, Gpus};
use crate::host::ports::{self, ServiceProcesses};
use crate::host::{memory, reservations, state};
use crate::model::desired::{Desired, Service};
use crate::model::facts::{
    Attribution, BusyReading, Facts, GpuFact, ListenerFact, ProbeFacts, ProbeReading, ProcessFact, Reading,
    RuntimeFacts,
};
use crate::model::found::{Discovered, MachineSurvey};
use crate::model::instance::Instance;
use crate::model::names::{ProjectName, RuntimeName, ServiceName};
use crate::model::reservation::ReservationFact;
use crate::observe::contract::{ObserverInput, RunningInstance as Observed};
use crate::runtime::contract::{Adoption, ProcessReader, Runtime, RuntimeReading};
use crate::runtime::registration::DriverContext;
use crate::runtime::registry::{OBSERVERS, RUNTIMES};
use crate::runtime::{Driver, DriverError, Inspection, LogMark, Logged, Pause, Start, StopRequest};

pub mod examine;
mod inquiry;
mod listeners;
mod surroundings;

/// Probes that run at once: enough for every service of one machine, few enough for its sockets.
const PROBES_MAX: usize = 32;
/// Pause between two failing probes of one observation.
const PROBE_PAUSE: Duration = Duration::from_millis(50);

/// This machine, for one manifest.
pub struct Machine {
    project: ProjectName,
    enclosed: Enclosed,
    /// Former names of the project.
    aliases: Vec<ProjectName>,
    environment: BTreeMap<String, String>,
    state_dir: PathBuf,
    shim_program: PathBuf,
    gpus: Gpus,
    runtimes: Vec<Box<dyn Runtime>>,
}

impl fmt::Debug for Machine {
    /// Leaves out the environment, which holds secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Machine").field("project", &self.project).finish_non_exhaustive()
    }
}

/// Service with an instance that appears to run.
struct RunningService<'a> {
    service: &'a Service,
    instance: Instance,
    started_at: Option<Timestamp>,
}

impl Machine {
    /// Connects a manifest to this machine. `environment` is lcm's own; `shim_program` is the path of an lcm
    /// executable, `/proc/self/exe` for lcm itself. Sends no request yet.
    #[must_use]
    pub fn new(desired: &Desired, environment: &BTreeMap<String, String>, shim_program: &Path) -> Self {
        Self::connected(&DriverContext { desired, environment, shim_program, discovers: false })
    }

    /// Reads everything that runs on the machine, without a manifest and no matter how it was started.
    pub async fn discover(environment: &BTreeMap<String, String>, shim_program: &Path) -> MachineSurvey {
        let desired = Desired::plain(ProjectName::new("none"), []);
        let machine = Self::connected(&DriverContext { desired: &desired, environment, shim_program, discovers: true });
        let facts = machine.survey(&desired).await;
        let mut discovered = Discovered::default();
        discovered.extend(join_all(machine.runtimes.iter().map(|runtime| runtime.discover(&facts))).await);
        MachineSurvey { facts, discovered }
    }

    fn connected(connection: &DriverContext<'_>) -> Self {
        let DriverContext { desired, environment, shim_program, discovers } = *connection;
        let gpus = Gpus::new(environment);
        Self {
            project: desired.project.clone(),
            aliases: desired.aliases.iter().cloned().collect(),
            enclosed: enclosure::read(environment),
            gpus: if discovers { gpus.always_read() } else { gpus },
            runtimes: RUNTIMES.iter().map(|runtime| (runtime.connect)(connection)).collect(),
            state_dir: state::state_dir(environment),
            environment: environment.clone(),
            shim_program: shim_program.to_owned(),
        }
    }

    /// Returns the process if [`Machine::adopt`] would accept it.
    pub fn adoptable(&self, adoption: &Adoption<'_>) -> Result<ProcessFact, DriverError> {
        self.runtime_of(adoption.desired, adoption.service)?.adoptable(adoption)
    }

    /// Adopts a foreign process, until the process ends. The caller holds the host's lock.
    pub fn adopt(&self, adoption: &Adoption<'_>) -> Result<ProcessFact, DriverError> {
        self.runtime_of(adoption.desired, adoption.service)?.adopt(adoption)
    }

    /// Returns the process if [`Machine::disown`] would give it back.
    pub fn disownable(&self, desired: &Desired, service: &ServiceName) -> Result<ProcessFact, DriverError> {
        self.runtime_of(desired, service)?.disownable(desired, service)
    }

    /// Ends the adoption of a process, which keeps running. The caller holds the host's lock.
    pub fn disown(&self, desired: &Desired, service: &ServiceName) -> Result<ProcessFact, DriverError> {
        self.runtime_of(desired, service)?.disown(desired, service)
    }

    fn runtime_of(&self, desired: &Desired, service: &ServiceName) -> Result<&dyn Runtime, DriverError> {
        match desired.services.get(service) {
            Some(service) => self.runtime(&service.workload.runtime),
            None => Err(DriverError::Refused(format!("no service `{service}` in project {}", desired.project))),
        }
    }

    /// Returns the driver of a runtime.
    fn runtime(&self, name: &RuntimeName) -> Result<&dyn Runtime, DriverError> {
        let found = self.runtimes.iter().find(|runtime| runtime.name() == *name).map(|found| &**found);
        found.ok_or_else(|| DriverError::Refused(format!("this lcm has no runtime `{name}`")))
    }

    /// Returns a reader of all services' processes on this host, for one use.
    fn processes(&self) -> impl FnOnce() -> io::Result<Vec<Box<dyn ServiceProcesses>>> + Send + 'static {
        let readers: Vec<ProcessReader> = self.runtimes.iter().filter_map(|runtime| runtime.processes()).collect();
        move || readers.into_iter().map(|read| read()).collect()
    }

    /// Reads running instances and holders of GPU memory at one time.
    async fn held(&self, desired: &Desired, now: Timestamp) -> Facts {
        let read = join_all(self.runtimes.iter().map(|runtime| runtime.read(desired)));
        let (read, mut gpus) = tokio::join!(read, self.gpus.read(desired));
        let mut facts = Facts::empty(String::new(), now);
        for RuntimeReading { facts: instances, claims } in read {
            facts.instances.insert(instances);
            facts.claims.extend(claims);
        }
        if let Some(gpus) = gpus.known_mut() {
            gpu::attribute(gpus, &owned(&facts));
        }
        (facts.gpus, facts.reservations) = self.reservations(gpus).await;
        if desired.counts_host_memory() {
            let owned = owned(&facts);
            let read = spawn_blocking(move || memory::read(&owned)).await;
            facts.memory = read.unwrap_or_else(|error| Reading::Unknown(error.to_string()));
        }
        facts
    }

    /// Adds the GPU memory reserved by starts of other users. If that can't be read, the free memory is unknown.
    async fn reservations(&self, gpus: Reading<Vec<GpuFact>>) -> (Reading<Vec<GpuFact>>, Vec<ReservationFact>) {
        let Reading::Known(known) = gpus else { return (gpus, Vec::new()) };
        if known.is_empty() {
            return (Reading::Known(known), Vec::new());
        }
        let (environment, project) = (self.environment.clone(), self.project.clone());
        let read = spawn_blocking(move || {
            let read = reservations::read(&environment, &project, &known);
            (known, read)
        });
        match read.await {
            Ok((known, Ok(reservations))) => (Reading::Known(known), reservations),
            Ok((_, Err(error))) => {
                (Reading::Unknown(format!("the reservations of other users can't be read: {error}")), Vec::new())
            }
            Err(error) => (Reading::Unknown(error.to_string()), Vec::new()),
        }
    }

    /// Probes all running services that have a health or a busy probe, in parallel.
    async fn probes(&self, facts: &Facts, desired: &Desired) -> BTreeMap<ServiceName, ProbeFacts> {
        let listeners = facts.listeners.known().map_or(&[][..], Vec::as_slice);
        let mut probes = Vec::new();
        for service in desired.services.values() {
            let has_probe = service.health.probe.is_some() || service.busy.is_some();
            if let Some(running) = running(facts, desired, service).filter(|_| has_probe) {
                probes.push(self.probe_running(running, listeners, facts.observed_at).boxed());
            }
        }
        stream::iter(probes).buffer_unordered(PROBES_MAX).collect().await
    }

    async fn probe_running(
        &self,
        running: RunningService<'_>,
        listeners: &[ListenerFact],
        now: Timestamp,
    ) -> (ServiceName, ProbeFacts) {
        let busy = async {
            match &running.service.busy {
                Some(_) => Some(self.busy(running.service, &running.instance).await),
                None => None,
            }
        };
        let (health, busy) = tokio::join!(self.health(&running, listeners, now), busy);
        (running.service.name.clone(), ProbeFacts { health, busy })
    }

    /// Probes until the first success, or up to the number of failures in a row that makes a service unhealthy; once
    /// while it may still be starting.
    async fn health(
        &self,
        running: &RunningService<'_>,
        listeners: &[ListenerFact],
        now: Timestamp,
    ) -> Option<ProbeReading> {
        let RunningService { service, instance, .. } = running;
        service.health.probe.as_ref()?;
        let tries = if is_young(running, now) { 1 } else { service.health.failures.max(1) };
        let mut count = 0;
        loop {
            let reading = self.probe_health(service, instance, listeners).await;
            let ProbeReading::Failed { detail, .. } = reading else { return Some(reading) };
            count += 1;
            if count >= tries {
                return Some(ProbeReading::Failed { failures: count, detail });
            }
            sleep(PROBE_PAUSE).await;
        }
    }
}

#[async_trait]
impl Driver for Machine {
    async fn survey(&self, desired: &Desired) -> Facts {
        let now = self.now();
        let held = self.held(desired, now).await;
        self.located(held).await
    }

    async fn complete(&self, desired: &Desired, surveyed: Facts) -> Facts {
        let ports = desired.services.values().flat_map(|service| &service.ports);
        let ports: BTreeSet<u16> = ports.map(|endpoint| endpoint.port).collect();
        let mut facts = surveyed;
        facts.listeners = ports::listeners(ports, self.processes()).await;
        facts.paths = self.paths(desired);
        let owned = owned(&facts);
        if let Some(listeners) = facts.listeners.known_mut() {
            listeners::attribute(listeners, &owned);
        }
        facts.probes = self.probes(&facts, desired).await;
        facts
    }

    async fn record(&self, project: &ProjectName) {
        for runtime in &self.runtimes {
            runtime.record(project).await;
        }
    }

    async fn inspect(&self, project: &ProjectName, service: &Service) -> Result<Inspection, DriverError> {
        self.runtime(&service.workload.runtime)?.inspect(project, service).await
    }

    async fn prepare(&self, service: &Service) -> Result<(), DriverError> {
        self.require_lasting(service)?;
        self.runtime(&service.workload.runtime)?.prepare(&self.project, service).await
    }

    async fn start(&self, start: &Start<'_>) -> Result<Instance, DriverError> {
        self.require_lasting(start.service)?;
        reservations::begin(&self.environment, start.reserving())?;
        self.runtime(&start.service.workload.runtime)?.start(start).await
    }

    async fn settle(&self, project: &ProjectName, service: &Service) -> Result<(), DriverError> {
        // If that fails, the reservation keeps counting in full: too much rather than too little.
        let _ = reservations::settle(&self.environment, project, &service.name);
        self.runtime(&service.workload.runtime)?.settle(project, service).await
    }

    async fn restore(&self, project: &ProjectName, service: &Service) -> Result<bool, DriverError> {
        self.runtime(&service.workload.runtime)?.restore(project, service).await
    }

    async fn stop(&self, stop: &StopRequest<'_>) -> Result<(), DriverError> {
        self.runtime(&stop.instance.runtime)?.stop(stop).await?;
        // A reservation of an instance that is gone is stale: it no longer counts, and the next start removes it.
        let _ = reservations::end(&self.environment, stop.project, stop.service);
        Ok(())
    }

    async fn pause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        self.runtime(&pause.instance.runtime)?.pause(pause).await
    }

    async fn unpause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        self.runtime(&pause.instance.runtime)?.unpause(pause).await
    }

    async fn update(&self, project: &ProjectName, service: &Service, instance: &Instance) -> Result<(), DriverError> {
        self.runtime(&instance.runtime)?.update(project, service, instance).await
    }

    async fn scale(
        &self,
        project: &ProjectName,
        service: &Service,
        instance: &Instance,
        copies: u32,
    ) -> Result<(), DriverError> {
        self.runtime(&instance.runtime)?.scale(project, service, instance, copies).await
    }

    async fn remove(&self, project: &ProjectName, instance: &Instance) -> Result<(), DriverError> {
        self.runtime(&instance.runtime)?.remove(project, instance).await
    }

    async fn remove_network(
        &self,
        project: &ProjectName,
        runtime: &RuntimeName,
        network: &str,
    ) -> Result<(), DriverError> {
        self.runtime(runtime)?.remove_network(project, network).await
    }

    async fn evict(&self, service: &Service) -> Result<(), DriverError> {
        self.evict_calls(service).await
    }

    async fn wake(&self, start: &Start<'_>) -> Result<(), DriverError> {
        reservations::renew(&self.environment, start.reserving())?;
        self.wake_calls(start.service).await
    }

    async fn probe(&self, _: &ProjectName, service: &Service, instance: &Instance) -> ProbeReading {
        self.probe_health(service, instance, &[]).await
    }

    async fn busy(&self, service: &Service, instance: &Instance) -> BusyReading {
        self.probe_busy(service, instance).await
    }

    async fn port_holder(&self, project: &ProjectName, service: &Service) -> Result<Option<String>, DriverError> {
        self.other_holders(project, service).await
    }

    async fn log_tail(&self, project: &ProjectName, service: &Service, lines: usize) -> Vec<String> {
        match self.runtime(&service.workload.runtime) {
            Ok(runtime) => runtime.log_tail(project, service, lines).await,
            Err(_) => Vec::new(),
        }
    }

    async fn log_from(
        &self,
        project: &ProjectName,
        service: &Service,
        mark: Option<&LogMark>,
    ) -> Result<Option<Logged>, DriverError> {
        self.runtime(&service.workload.runtime)?.log_from(project, service, mark).await
    }

    async fn call(&self, call: &HookCall<'_>) -> HookResult {
        calls::run(call, &self.environment, &self.shim_program).await
    }

    async fn require_host_path(&self, path: &Path) -> Result<(), DriverError> {
        self.prove_host_path(path).await
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Returns processes and host ports, by the instance that they belong to.
fn owned(facts: &Facts) -> Vec<Attribution> {
    facts.instances.all().flat_map(RuntimeFacts::owned).collect()
}

/// Returns the instance of a service, if it appears to run and is not foreign.
fn running<'a>(facts: &Facts, desired: &Desired, service: &'a Service) -> Option<RunningService<'a>> {
    let own = OBSERVERS.iter().find(|observer| observer.runtime() == service.workload.runtime)?;
    let Observed { instance, started_at } = own.running(ObserverInput { facts, desired }, service)?;
    Some(RunningService { service, instance, started_at })
}

/// Returns true if the service may still be starting, so that a failing probe does not make it unhealthy.
fn is_young(running: &RunningService<'_>, now: Timestamp) -> bool {
    running.started_at.is_some_and(|started_at| running.service.health.may_be_starting(started_at, now))
}

#[cfg(test)]
mod tests;
