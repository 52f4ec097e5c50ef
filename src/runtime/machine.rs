//! The real machine: processes, containers, ports, probes and GPUs behind the one trait.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use futures_util::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::host::calls::{self, HookCall, HookResult};
use crate::host::enclosure::{self, Enclosed};
use crate::host::gpu::{self, Gpus};
use crate::host::{ports, reservations};
use crate::model::claim::ClaimFact;
use crate::model::desired::{Desired, Service};
use crate::model::facts::{
    BusyReading, ContainerFact, ContainerState, EngineFact, Facts, GpuFact, ListenerFact, Owner, ProbeFacts,
    ProbeReading, Reading, TreeFact,
};
use crate::model::instance::Instance;
use crate::model::names::{ProjectName, RuntimeName, ServiceName};
use crate::model::ownership::{self, Identity, Standing};
use crate::model::reservation::ReservationFact;
use crate::model::workload::Origin;
use crate::runtime::contract::{Attribution, Runtime};
use crate::runtime::docker::drive::{self, Engine, Scope};
use crate::runtime::process::drive::as_runtime::owned as owned_by_tree;
use crate::runtime::process::drive::verified::Names;
use crate::runtime::process::drive::{Processes, Survey};
use crate::runtime::{Driver, DriverError, LogMark, Logged, Look, Pause, Start, Stop, docker, process};

mod found;
mod inquiry;
mod listeners;
mod surroundings;

/// Probes under way at once: enough for every service of one machine, few enough for its sockets.
const PROBES_MAX: usize = 32;
/// Between two failing probes of one observation.
const PROBE_PAUSE: Duration = Duration::from_millis(50);

/// An engine of this machine answers within milliseconds; one that hangs must not hold up those who don't need it.
const MARKED_WAIT: Duration = Duration::from_secs(2);

/// This machine, as one manifest uses it.
pub struct Machine {
    project: ProjectName,
    enclosed: Enclosed,
    processes: Processes,
    gpus: Gpus,
    engine_host: Option<String>,
    /// Whether the manifest has any use for an engine.
    asks_engine: bool,
    /// Found at first use.
    engine: OnceLock<Engine>,
    scope: Scope,
}

impl fmt::Debug for Machine {
    /// Without the environment, which holds secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Machine").field("project", &self.project).finish_non_exhaustive()
    }
}

/// Things that hold memory, ports and names, of one reading.
struct Held {
    engine: Option<EngineFact>,
    containers: Reading<Vec<ContainerFact>>,
    networks: Reading<BTreeMap<String, String>>,
    trees: Reading<Vec<TreeFact>>,
    /// Of processes and containers alike.
    claims: Vec<ClaimFact>,
    pid_files: BTreeMap<ServiceName, String>,
    gpus: Reading<Vec<GpuFact>>,
    reservations: Vec<ReservationFact>,
}

impl Held {
    fn into_facts(self, now: Timestamp) -> Facts {
        let Self { engine, containers, networks, trees, claims, pid_files, gpus, reservations } = self;
        let empty = Facts::empty(String::new(), now);
        Facts { engine, containers, trees, claims, pid_files, gpus, reservations, networks, ..empty }
    }
}

/// Something that appears to run.
struct Running<'a> {
    service: &'a Service,
    instance: Instance,
    started_at: Option<Timestamp>,
}

impl Machine {
    /// `environment` is lcm's own; `shim_program` is an lcm, `/proc/self/exe` for lcm itself. Nothing is asked yet.
    #[must_use]
    pub fn new(desired: &Desired, environment: BTreeMap<String, String>, shim_program: PathBuf) -> Self {
        let gpus = Gpus::new(&environment);
        let enclosed = enclosure::read(&environment);
        let mut processes = Processes::new(environment, shim_program);
        processes.owners.extend(desired.previous_owner);
        processes.names = Names {
            present: desired.project.to_string(),
            former: desired.aliases.iter().map(ToString::to_string).collect(),
        };
        Self {
            project: desired.project.clone(),
            enclosed,
            gpus,
            processes,
            engine_host: desired.engine_host.clone(),
            asks_engine: desired.services.values().any(|service| service.object().is_some()),
            engine: OnceLock::new(),
            scope: Scope::of(desired),
        }
    }

    /// The part of it that runs processes.
    #[must_use]
    pub fn processes(&self) -> &Processes {
        &self.processes
    }

    /// The driver of a runtime.
    fn runtime(&self, name: &RuntimeName) -> Result<&dyn Runtime, DriverError> {
        match name {
            name if *name == docker::NAME => Ok(self.engine()?),
            name if *name == process::NAME => Ok(&self.processes),
            name => Err(DriverError::Refused(format!("this lcm has no runtime `{name}`"))),
        }
    }

    fn engine(&self) -> Result<&Engine, DriverError> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = drive::connect(self.engine_host.as_deref(), &self.processes.environment)?;
        let engine = engine.scoped(self.scope.clone());
        Ok(self.engine.get_or_init(|| engine))
    }

    async fn containers(&self, desired: &Desired) -> (Option<EngineFact>, Reading<Vec<ContainerFact>>) {
        if !self.asks_engine {
            return self.marked(desired).await;
        }
        match self.engine() {
            Ok(engine) => {
                // One that does not answer is not asked again.
                let containers = engine.containers(desired).await;
                let Reading::Known(found) = containers else { return (None, containers) };
                let version = engine.fact().await.ok();
                let meant = engine.require_meant().await;
                (version, meant.map_or_else(|error| Reading::Unknown(error.to_string()), |()| Reading::Known(found)))
            }
            Err(error) => (None, Reading::Unknown(error.to_string())),
        }
    }

    async fn networks(&self, desired: &Desired) -> Reading<BTreeMap<String, String>> {
        match self.engine().ok().filter(|_| self.asks_engine) {
            Some(engine) => engine.networks(desired).await,
            None => Reading::NotAsked,
        }
    }

    /// Who runs, and who holds GPU memory, read at one time.
    async fn held(&self, desired: &Desired) -> Held {
        let ((engine, containers), networks, survey, mut gpus) = tokio::join!(
            self.containers(desired),
            self.networks(desired),
            self.processes.survey(desired),
            self.gpus.read(desired)
        );
        let Survey { trees, claims, pid_files } = survey;
        if let Some(gpus) = gpus.known_mut() {
            gpu::attribute(gpus, trees.known().map_or(&[], Vec::as_slice));
        }
        let (gpus, reservations) = self.reservations(gpus).await;
        Held { engine, containers, networks, trees, claims, pid_files, gpus, reservations }
    }

    /// What starts of other users are about to take. Where that can't be read, nothing can be said of what is free.
    async fn reservations(&self, gpus: Reading<Vec<GpuFact>>) -> (Reading<Vec<GpuFact>>, Vec<ReservationFact>) {
        let Reading::Known(known) = gpus else { return (gpus, Vec::new()) };
        if known.is_empty() {
            return (Reading::Known(known), Vec::new());
        }
        let (environment, project) = (self.processes.environment.clone(), self.project.clone());
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

    /// Containers with lcm's marks though this manifest names none: those that it left behind, and other projects', which
    /// may take all that they declare at any time. An engine that does not answer at once is no trouble to one who has
    /// no use for it.
    async fn marked(&self, desired: &Desired) -> (Option<EngineFact>, Reading<Vec<ContainerFact>>) {
        let asked = async {
            let engine = self.engine().ok()?;
            let found = engine.marked(desired).await.ok().filter(|found| !found.is_empty())?;
            engine.require_meant().await.ok()?;
            Some((engine.fact().await.ok(), Reading::Known(found)))
        };
        timeout(MARKED_WAIT, asked).await.ok().flatten().unwrap_or((None, Reading::NotAsked))
    }

    /// Everything that runs and has something to ask, asked at once.
    async fn probes(&self, facts: &Facts, desired: &Desired) -> BTreeMap<ServiceName, ProbeFacts> {
        let listeners = facts.listeners.known().map_or(&[][..], Vec::as_slice);
        let mut asked = Vec::new();
        for service in desired.services.values() {
            let asks = service.health.probe.is_some() || service.busy.is_some();
            if let Some(running) = running(facts, desired, service).filter(|_| asks) {
                asked.push(self.ask(running, listeners, facts.observed_at).boxed());
            }
        }
        stream::iter(asked).buffer_unordered(PROBES_MAX).collect().await
    }

    async fn ask(&self, running: Running<'_>, listeners: &[ListenerFact], now: Timestamp) -> (ServiceName, ProbeFacts) {
        let busy = async {
            match &running.service.busy {
                Some(_) => Some(self.busy(running.service, &running.instance).await),
                None => None,
            }
        };
        let (health, busy) = tokio::join!(self.health(&running, listeners, now), busy);
        (running.service.name.clone(), ProbeFacts { health, busy })
    }

    /// Up to so many failures in a row as make it unhealthy; one will do while it may still be starting.
    async fn health(&self, running: &Running<'_>, listeners: &[ListenerFact], now: Timestamp) -> Option<ProbeReading> {
        let Running { service, instance, .. } = running;
        service.health.probe.as_ref()?;
        let tries = if is_young(running, now) { 1 } else { service.health.failures.max(1) };
        let mut count = 0;
        loop {
            let reading = self.inquire(service, instance, listeners).await;
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
        let held = self.held(desired).await;
        self.located(held.into_facts(now)).await
    }

    async fn complete(&self, desired: &Desired, surveyed: Facts) -> Facts {
        let ports = desired.services.values().flat_map(|service| &service.ports);
        let ports: BTreeSet<u16> = ports.map(|endpoint| endpoint.port).collect();
        let mut facts = surveyed;
        facts.listeners = ports::listeners(ports, self.processes.reader()).await;
        facts.paths = self.paths(desired);
        let owned = owned(&facts);
        if let Some(listeners) = facts.listeners.known_mut() {
            listeners::attribute(listeners, &owned);
        }
        facts.probes = self.probes(&facts, desired).await;
        facts
    }

    async fn record(&self, project: &ProjectName) {
        self.processes.record(project).await;
    }

    async fn look(&self, project: &ProjectName, service: &Service) -> Result<Look, DriverError> {
        self.runtime(&service.workload.runtime)?.inspect(project, service).await
    }

    async fn prepare(&self, service: &Service) -> Result<(), DriverError> {
        self.require_lasting(service)?;
        self.runtime(&service.workload.runtime)?.prepare(&self.project, service).await
    }

    async fn start(&self, start: &Start<'_>) -> Result<Instance, DriverError> {
        self.require_lasting(start.service)?;
        reservations::begin(&self.processes.environment, start.reserving())?;
        self.runtime(&start.service.workload.runtime)?.start(start).await
    }

    async fn settle(&self, project: &ProjectName, service: &Service) -> Result<(), DriverError> {
        // Where that fails it goes on counting in full: too much rather than too little.
        let _ = reservations::settle(&self.processes.environment, project, &service.name);
        self.runtime(&service.workload.runtime)?.settle(project, service).await
    }

    async fn restore(&self, project: &ProjectName, service: &Service) -> Result<bool, DriverError> {
        self.runtime(&service.workload.runtime)?.restore(project, service).await
    }

    async fn stop(&self, stop: &Stop<'_>) -> Result<(), DriverError> {
        self.runtime(&stop.instance.runtime)?.stop(stop).await?;
        // A reservation of what is gone is stale: it counts for no one, and the next start clears it away.
        let _ = reservations::end(&self.processes.environment, stop.project, stop.service);
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

    async fn evict(&self, service: &Service) -> Result<(), DriverError> {
        self.evict_calls(service).await
    }

    async fn wake(&self, start: &Start<'_>) -> Result<(), DriverError> {
        reservations::renew(&self.processes.environment, start.reserving())?;
        self.wake_calls(start.service).await
    }

    async fn probe(&self, _: &ProjectName, service: &Service, instance: &Instance) -> ProbeReading {
        self.inquire(service, instance, &[]).await
    }

    async fn busy(&self, service: &Service, instance: &Instance) -> BusyReading {
        self.ask_busy(service, instance).await
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
        calls::run(call, &self.processes.environment, &self.processes.shim_program).await
    }

    async fn require_host_path(&self, path: &Path) -> Result<(), DriverError> {
        self.prove_host_path(path).await
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Processes of trees, and host ports that running containers publish.
fn owned(facts: &Facts) -> Vec<Attribution> {
    let trees = facts.trees.known().into_iter().flatten().map(owned_by_tree);
    let containers = facts.containers.known().into_iter().flatten();
    let running = containers.filter(|container| container.state == ContainerState::Running);
    let of_container = |found: &ContainerFact| Attribution {
        owner: Owner::Container(found.id.clone()),
        pids: Vec::new(),
        ports: found.ports.clone(),
    };
    trees.chain(running.map(of_container)).collect()
}

/// The thing that carries a service, if it appears to run and is not another's.
fn running<'a>(facts: &Facts, desired: &Desired, service: &'a Service) -> Option<Running<'a>> {
    let Some(name) = service.object() else {
        let tree = facts.trees.known()?.iter().find(|tree| tree.marks.are_of(&desired.project, &service.name))?;
        let instance = crate::runtime::process::instance(tree.marks.salt.clone());
        let runs = !tree.members.is_empty() && !tree.suspended;
        return runs.then_some(Running { service, instance, started_at: tree.started_at });
    };
    let identity = Identity::of(desired, facts);
    let containers = || facts.containers.known().into_iter().flatten();
    let container = identity.names(&service.name, name.as_str()).iter().find_map(|name| {
        containers().find(|container| container.name == *name).filter(|found| carries(found, facts, desired, service))
    })?;
    let instance = crate::runtime::docker::instance(container.id.clone(), container.name.as_str());
    let runs = container.state == ContainerState::Running;
    runs.then_some(Running { service, instance, started_at: container.started_at })
}

/// Whether a container of a service's name may be asked for it.
fn carries(found: &ContainerFact, facts: &Facts, desired: &Desired, service: &Service) -> bool {
    let of_service =
        || found.marks.as_ref().is_some_and(|marks| Identity::of(desired, facts).are_of(marks, &service.name));
    match (service.workload.origin, ownership::standing(found, facts, desired)) {
        (Origin::Created, Standing::Ours) => of_service(),
        (Origin::Created, _) | (_, Standing::OtherProject | Standing::OtherHost) => false,
        (Origin::Existing, _) => true,
    }
}

/// Whether a failing probe means no more than that it is not up yet.
fn is_young(running: &Running<'_>, now: Timestamp) -> bool {
    running.started_at.is_some_and(|started_at| running.service.health.may_be_starting(started_at, now))
}

#[cfg(test)]
mod tests;
