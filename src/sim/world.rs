//! The simulated world: its facts, and what a file does not hold, such as who is about to end.

use std::collections::{BTreeMap, BTreeSet};

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::behaviour::Behaviour;
use super::deed::{Crash, Deed, Effect};
use super::keys::key_of_tree;
use super::memory::Memory;
use super::reply::{Call, Reply};
use super::rollout::PlayedCopies;
use crate::model::facts::{ExitFact, Facts, Marks, ProbeReading};
use crate::model::instance::Instance;
use crate::model::names::{GpuId, ProjectName, ServiceName};
use crate::model::size::Mebibytes;
use crate::runtime::DriverError;
use crate::runtime::docker::facts::DockerReading as _;
use crate::runtime::docker::facts::{ContainerFact, ContainerState};
use crate::runtime::process::facts::ProcessReading as _;

#[derive(Debug)]
pub(super) struct World {
    pub(super) facts: Facts,
    pub(super) behaviours: BTreeMap<ServiceName, Behaviour>,
    /// What was started here, by the instance's key.
    pub(super) lives: BTreeMap<String, Life>,
    /// Containers that the manifest names though nobody marked them.
    pub(super) named: BTreeMap<String, ServiceName>,
    pub(super) log: Vec<Effect>,
    pub(super) violations: Vec<String>,
    pub(super) crash: Option<(usize, Crash)>,
    /// lcm was killed: nothing is done any more.
    pub(super) down: bool,
    pub(super) began: Instant,
    pub(super) memory: Memory,
    pub(super) project: Option<ProjectName>,
    /// Former names of the project.
    pub(super) aliases: BTreeSet<ProjectName>,
    /// Another machine's containers become this one's.
    pub(super) take_over: bool,
    /// How calls go, by what is called.
    pub(super) replies: BTreeMap<String, Reply>,
    pub(super) calls: Vec<Call>,
    /// Copies of services whose runtime runs several.
    pub(super) copies: BTreeMap<ServiceName, PlayedCopies>,
    counter: u64,
}

/// What is known of a thing beyond its facts.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) service: ServiceName,
    pub(super) since: Instant,
    pub(super) gpus: Vec<GpuId>,
    pub(super) vram: Mebibytes,
    /// An older self that was put back: what ails the newer one is not its own.
    pub(super) well: bool,
    /// When it will end, and how.
    pub(super) end: Option<End>,
}

#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) at: Instant,
    pub(super) exit: ExitFact,
    /// Others of its tree live on.
    pub(super) leaves_children: bool,
}

/// Something that runs or is paused.
pub(super) struct Alive {
    pub(super) key: String,
    /// Where it is ours.
    pub(super) service: Option<ServiceName>,
    /// Declared for it.
    pub(super) holds: Vec<(GpuId, Mebibytes)>,
}

impl World {
    pub(super) fn new(facts: Facts) -> Self {
        Self {
            facts,
            behaviours: BTreeMap::new(),
            lives: BTreeMap::new(),
            named: BTreeMap::new(),
            log: Vec::new(),
            violations: Vec::new(),
            crash: None,
            down: false,
            began: Instant::now(),
            memory: Memory::new(Instant::now()),
            project: None,
            aliases: BTreeSet::new(),
            take_over: false,
            replies: BTreeMap::new(),
            calls: Vec::new(),
            copies: BTreeMap::new(),
            counter: 0,
        }
    }

    pub(super) fn behaviour(&self, service: &ServiceName) -> Behaviour {
        self.behaviours.get(service).cloned().unwrap_or_default()
    }

    /// Whose marks count as ours in the log.
    pub(super) fn serve(&mut self, project: &ProjectName) {
        self.project = Some(project.clone());
    }

    pub(super) fn crash_of_next(&self) -> Option<Crash> {
        self.crash.filter(|(number, _)| *number == self.log.len() + 1).map(|(_, side)| side)
    }

    /// A number that this world has not used yet.
    pub(super) fn count(&mut self) -> u64 {
        loop {
            self.counter += 1;
            let salt = salt_of(self.counter);
            let trees = self.facts.processes().trees.known().into_iter().flatten();
            let containers = self.facts.docker().containers.known().into_iter().flatten();
            let taken = trees.map(|tree| &tree.marks.salt).chain(containers.map(|container| &container.id));
            if !taken.into_iter().any(|known| *known == salt) {
                return self.counter;
            }
        }
    }

    /// Writes down what must not be, and says no.
    pub(super) fn violate(&mut self, what: String) -> DriverError {
        self.violations.push(what.clone());
        DriverError::Refused(what)
    }

    /// Lets everything happen whose time has come.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        while let Some(next) = self.next_moment(now) {
            self.pass(next);
        }
        self.pass(now);
        self.refresh_engine_health();
    }

    /// When something happens next, up to now: what comes first must be over before what it makes room for.
    fn next_moment(&self, now: Instant) -> Option<Instant> {
        let ends = self.lives.values().filter_map(|life| life.end.as_ref()).map(|end| end.at);
        ends.chain(self.memory.moments())
            .filter(|at| (self.memory.moment + Duration::from_nanos(1)..=now).contains(at))
            .min()
    }

    fn pass(&mut self, now: Instant) {
        self.memory.moment = now;
        let due: Vec<(String, Life)> = self
            .lives
            .iter()
            .filter(|(_, life)| life.end.as_ref().is_some_and(|end| end.at <= now))
            .map(|(key, life)| (key.clone(), life.clone()))
            .collect();
        for (key, life) in due {
            if let Some(end) = &life.end {
                self.end(&key, &end.exit, end.leaves_children);
            }
            let crippled = life.end.is_some_and(|end| end.leaves_children);
            if crippled && let Some(life) = self.lives.get_mut(&key) {
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

    /// Whether its probe would pass now; `key` is the instance's.
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
        let trees = self.facts.processes().trees.known().into_iter().flatten().filter(|tree| !tree.members.is_empty());
        let trees = trees.map(|tree| Alive {
            key: key_of_tree(tree),
            service: self.ours(&tree.marks),
            holds: declared(&tree.marks),
        });
        let containers = self.facts.docker().containers.known().into_iter().flatten();
        let containers = containers.filter(|found| is_up(found.state)).map(|found| self.alive_container(found));
        trees.chain(containers).collect()
    }

    fn alive_container(&self, found: &ContainerFact) -> Alive {
        let (service, holds) = match (&found.marks, self.lives.get(&found.id)) {
            (Some(marks), _) => (self.ours(marks), declared(marks)),
            (None, Some(life)) => {
                (Some(life.service.clone()), life.gpus.iter().map(|gpu| (gpu.clone(), life.vram)).collect())
            }
            (None, None) => (self.named.get(&found.name).cloned(), Vec::new()),
        };
        Alive { key: found.id.clone(), service, holds }
    }

    fn ours(&self, marks: &Marks) -> Option<ServiceName> {
        let ours = self.project.as_ref().is_some_and(|project| project.as_str() == marks.project);
        ours.then(|| ServiceName::new(&*marks.service))
    }
}

/// The engine has processes of it.
pub(super) fn is_up(state: ContainerState) -> bool {
    match state {
        ContainerState::Running | ContainerState::Paused | ContainerState::Restarting => true,
        ContainerState::Created | ContainerState::Removing | ContainerState::Exited | ContainerState::Dead => false,
    }
}

/// Every start of this world has one of its own, the same ones in every run of a test.
pub(super) fn salt_of(count: u64) -> String {
    format!("sim{count:08x}")
}

pub(super) fn key_of(instance: &Instance) -> &str {
    &instance.id
}

/// The GPUs that marks speak of.
pub(super) fn gpus_of(marks: &Marks) -> Vec<GpuId> {
    marks.gpus.split(',').filter(|gpu| !gpu.is_empty()).map(GpuId::new).collect()
}

fn declared(marks: &Marks) -> Vec<(GpuId, Mebibytes)> {
    gpus_of(marks).into_iter().map(|gpu| (gpu, Mebibytes::bounded(marks.vram_mib))).collect()
}
