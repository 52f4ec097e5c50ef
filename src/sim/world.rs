//! State of the simulated machine: its facts, and the state that a snapshot file does not hold, such as scheduled ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::behaviour::Behaviour;
use super::deed::{Crash, Deed, Effect};
use super::instances::{LivingInstance, ProjectView, SimulatedHolder, SimulatedInstances};
use super::marks::{declared, salt_of};
use super::memory::SimulatedMemory;
use super::reply::{RecordedCall, Reply};
use super::rollout::PlayedCopies;
use crate::model::desired::Service;
use crate::model::facts::{ExitFact, Facts, Marks, ProbeReading};
use crate::model::instance::Instance;
use crate::model::names::{GpuId, ProjectName, RuntimeName, ServiceName};
use crate::model::size::Mebibytes;
use crate::runtime::DriverError;

/// Facts of a simulation, and its pending events.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) facts: Facts,
    pub(super) runtimes: Runtimes,
    pub(super) behaviours: BTreeMap<ServiceName, Behaviour>,
    /// Instances started here, by their key.
    pub(super) lives: BTreeMap<String, InstanceLife>,
    /// Services by the names of the existing objects that the manifest gives them.
    pub(super) adopted: BTreeMap<String, ServiceName>,
    pub(super) log: Vec<Effect>,
    pub(super) violations: Vec<String>,
    pub(super) crash: Option<(usize, Crash)>,
    /// True once lcm has crashed: no effect is applied any more.
    pub(super) down: bool,
    pub(super) began: Instant,
    pub(super) memory: SimulatedMemory,
    pub(super) project: Option<ProjectName>,
    /// Former names of the project.
    pub(super) aliases: BTreeSet<ProjectName>,
    /// True if another machine's instances of the project become this one's.
    pub(super) take_over: bool,
    /// Replies to calls, by the program or URL called.
    pub(super) replies: BTreeMap<String, Reply>,
    pub(super) calls: Vec<RecordedCall>,
    /// Copies of services whose runtime runs several.
    pub(super) copies: BTreeMap<ServiceName, PlayedCopies>,
    counter: u64,
}

/// State of an instance beyond its facts.
#[derive(Clone, Debug)]
pub(super) struct InstanceLife {
    pub(super) service: ServiceName,
    pub(super) since: Instant,
    /// Declared memory by GPU.
    pub(super) holds: Vec<(GpuId, Mebibytes)>,
    /// True for a restored previous revision: the faults of the newer one do not apply.
    pub(super) well: bool,
    /// Time and kind of its end.
    pub(super) end: Option<ScheduledEnd>,
}

#[derive(Clone, Debug)]
pub(super) struct ScheduledEnd {
    pub(super) at: Instant,
    pub(super) exit: ExitFact,
    /// True if other processes of its tree survive.
    pub(super) leaves_children: bool,
}

/// Instance that runs or is paused.
pub(super) struct Alive {
    pub(super) key: String,
    /// Service of this project; `None`: foreign.
    pub(super) service: Option<ServiceName>,
    /// Declared memory by GPU.
    pub(super) holds: Vec<(GpuId, Mebibytes)>,
}

/// Runtimes whose instances the facts hold.
pub(super) struct Runtimes(pub(super) Vec<&'static dyn SimulatedInstances>);

impl fmt::Debug for Runtimes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|runtime| runtime.name())).finish()
    }
}

impl World {
    /// Creates the state from facts, after each runtime has filled in its missing readings.
    pub(super) fn new(mut facts: Facts, runtimes: Vec<&'static dyn SimulatedInstances>) -> Self {
        for runtime in &runtimes {
            runtime.fill(&mut facts);
        }
        Self {
            facts,
            runtimes: Runtimes(runtimes),
            behaviours: BTreeMap::new(),
            lives: BTreeMap::new(),
            adopted: BTreeMap::new(),
            log: Vec::new(),
            violations: Vec::new(),
            crash: None,
            down: false,
            began: Instant::now(),
            memory: SimulatedMemory::new(Instant::now()),
            project: None,
            aliases: BTreeSet::new(),
            take_over: false,
            replies: BTreeMap::new(),
            calls: Vec::new(),
            copies: BTreeMap::new(),
            counter: 0,
        }
    }

    /// Returns the instances of one runtime.
    pub(super) fn runtime(&self, name: &RuntimeName) -> Result<&'static dyn SimulatedInstances, DriverError> {
        let found = self.runtimes.0.iter().find(|runtime| runtime.name() == *name).copied();
        found.ok_or_else(|| DriverError::Refused(format!("this lcm has no runtime `{name}`")))
    }

    /// Returns the program name of a service's processes and listeners.
    pub(super) fn program(&self, service: &Service) -> String {
        self.runtime(&service.workload.runtime).map(|runtime| runtime.program(service)).unwrap_or_default()
    }

    /// Returns the facts as a project reads them.
    pub(crate) fn view<'a>(&'a self, project: &'a ProjectName) -> ProjectView<'a> {
        let Self { facts, aliases, take_over, adopted, .. } = self;
        ProjectView { facts, project, aliases, take_over: *take_over, adopted }
    }

    pub(crate) fn behaviour(&self, service: &ServiceName) -> Behaviour {
        self.behaviours.get(service).cloned().unwrap_or_default()
    }

    /// Sets the project whose marks count as its own in the log.
    pub(crate) fn serve(&mut self, project: &ProjectName) {
        self.project = Some(project.clone());
    }

    pub(super) fn crash_of_next(&self) -> Option<Crash> {
        self.crash.filter(|(number, _)| *number == self.log.len() + 1).map(|(_, side)| side)
    }

    /// Returns a salt that no instance of this simulation has, and its number.
    pub(crate) fn new_salt(&mut self) -> (u64, String) {
        loop {
            self.counter += 1;
            let salt = salt_of(self.counter);
            if !self.runtimes.0.iter().any(|runtime| runtime.has_id(&self.facts, &salt)) {
                return (self.counter, salt);
            }
        }
    }

    /// Records a violation, and returns the refusal.
    pub(crate) fn violate(&mut self, what: String) -> DriverError {
        self.violations.push(what.clone());
        DriverError::Refused(what)
    }

    /// Applies all events that are due.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        while let Some(next) = self.next_moment(now) {
            self.pass(next);
        }
        self.pass(now);
        self.refresh_health();
    }

    /// Returns the time of the next event up to now: an event is applied before one that needs the memory it frees.
    fn next_moment(&self, now: Instant) -> Option<Instant> {
        let ends = self.lives.values().filter_map(|life| life.end.as_ref()).map(|end| end.at);
        ends.chain(self.memory.moments())
            .filter(|at| (self.memory.moment + Duration::from_nanos(1)..=now).contains(at))
            .min()
    }

    fn pass(&mut self, now: Instant) {
        self.memory.moment = now;
        let due: Vec<(String, InstanceLife)> = self
            .lives
            .iter()
            .filter(|(_, life)| life.end.as_ref().is_some_and(|end| end.at <= now))
            .map(|(key, life)| (key.clone(), life.clone()))
            .collect();
        for (key, life) in due {
            if let Some(end) = &life.end {
                self.end(&key, &end.exit, end.leaves_children);
            }
            let degraded = life.end.is_some_and(|end| end.leaves_children);
            if degraded && let Some(life) = self.lives.get_mut(&key) {
                life.end = None;
            } else {
                self.lives.remove(&key);
            }
            self.facts.probes.remove(&life.service);
        }
        self.pass_memory();
    }

    pub(super) fn note(&mut self, at: Timestamp, deed: Deed, service: &ServiceName) {
        let (mut running, mut answering) = (BTreeSet::new(), BTreeSet::new());
        let mut memory = BTreeMap::new();
        for thing in self.alive() {
            for (gpu, vram) in thing.holds {
                *memory.entry(gpu).or_insert(Mebibytes::ZERO) += vram;
            }
            let Some(name) = thing.service else { continue };
            if self.answers(&thing.key, &name) {
                answering.insert(name.clone());
            }
            running.insert(name);
        }
        self.log.push(Effect { at, deed, service: service.clone(), running, answering, memory });
    }

    /// Returns true if the service's probe would pass now; `key` is the instance's.
    pub(super) fn answers(&self, key: &str, service: &ServiceName) -> bool {
        let behaviour = self.behaviour(service);
        let life = self.lives.get(key);
        if life.is_some_and(|life| life.well) {
            return true;
        }
        let given = self.facts.probes.get(service).and_then(|probes| probes.health.as_ref());
        if life.is_none() && given == Some(&ProbeReading::Passed) {
            return true;
        }
        let since = life.map_or(self.began, |life| life.since);
        !behaviour.never_healthy && since.elapsed() >= behaviour.loading
    }

    pub(super) fn alive(&self) -> Vec<Alive> {
        let living = self.runtimes.0.iter().flat_map(|runtime| runtime.living(&self.facts));
        living.map(|found| self.as_alive(found)).collect()
    }

    pub(super) fn is_alive(&self, key: &str) -> bool {
        self.runtimes.0.iter().flat_map(|runtime| runtime.living(&self.facts)).any(|found| found.id == key)
    }

    fn as_alive(&self, found: LivingInstance<'_>) -> Alive {
        let (service, holds) = match (found.marks, self.lives.get(&found.id)) {
            (Some(marks), _) => (self.ours(marks), declared(marks)),
            (None, Some(life)) => (Some(life.service.clone()), life.holds.clone()),
            (None, None) => (found.name.and_then(|name| self.adopted.get(name)).cloned(), Vec::new()),
        };
        Alive { key: found.id, service, holds }
    }

    /// Returns an instance as a holder of memory.
    pub(super) fn holder(&self, key: &str) -> Option<SimulatedHolder> {
        self.runtimes.0.iter().find_map(|runtime| runtime.holder(&self.facts, key))
    }

    fn ours(&self, marks: &Marks) -> Option<ServiceName> {
        let ours = self.project.as_ref().is_some_and(|project| project.as_str() == marks.project);
        ours.then(|| ServiceName::new(&*marks.service))
    }
}

pub(super) fn key_of(instance: &Instance) -> &str {
    &instance.id
}
