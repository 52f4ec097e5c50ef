//! Bench of one manifest and one simulation, with checked runs of lcm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lcm::apply::{OnFailure, Options, RunContext, RunResult, apply};
use lcm::model::capacity::HostCapacity;
use lcm::model::desired::{Condition, Desired, GpuRef, GpuRequest, Service, StopPolicy};
use lcm::model::event::EventKind;
use lcm::model::facts::Facts;
use lcm::model::lifecycle::Action;
use lcm::model::names::{GpuId, ObjectName, ServiceName};
use lcm::model::observed::Observed;
use lcm::model::plan::{Plan, Request};
use lcm::model::size::Mebibytes;
use lcm::model::snapshot::{PlanError, Planner, Snapshot};
use lcm::model::workload::Origin;
use lcm::plan::{audit, plan};
use lcm::runtime::Driver;
use lcm::runtime::docker::facts::ContainerState;
use lcm::runtime::docker::facts::DockerReading as _;
use lcm::runtime::docker::intent::DockerSpec;
use lcm::runtime::process::facts::ProcessReading as _;
use lcm::runtime::registry::observe;
use lcm::sim::{Behaviour, Crash, Deed, OVERRESERVED, Sim};
use lcm::store::memory::MemoryStore;
use lcm::store::{Author, Journal as _};
use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, prop_assert_eq};
use tokio::sync::watch;

use crate::draft::{Draft, Fault, Found, ServiceDraft};
use crate::manifest::{PROJECT, desired, name, wanted};
use crate::memory::{MemoryDraft, measure};
use crate::world::world;

pub(crate) struct Bench {
    pub(crate) desired: Desired,
    pub(crate) sim: Sim,
    draft: Draft,
    began: Facts,
    /// Services that have or had a fault.
    struck: Mutex<BTreeSet<ServiceName>>,
    pub(crate) store: MemoryStore,
}

/// Result of a run, with its number of plans.
pub(crate) struct Ran {
    pub(crate) outcome: RunResult,
    pub(crate) rounds: usize,
}

impl Planner for Bench {
    fn observe(&self, facts: Facts) -> Snapshot {
        let observed = observe(&facts, &self.desired);
        Snapshot { facts, observed }
    }

    fn plan(&self, snapshot: &Snapshot, request: &Request) -> Result<Plan, PlanError> {
        self.plan_of(&snapshot.observed, request)
    }

    fn capacity(&self, snapshot: &Snapshot, request: &Request) -> HostCapacity {
        lcm::plan::capacity(&self.desired, &snapshot.observed, request)
    }
}

impl Bench {
    pub(crate) fn new(draft: &Draft) -> Self {
        let draft = &draft.possible();
        let desired = desired(draft);
        let mut facts = world(draft, &desired);
        measure(draft, &desired, &mut facts);
        let sim = Sim::new(facts.clone());
        if let Some(memory) = &draft.memory {
            if memory.silent {
                sim.silence();
            }
            memory.intrusions(draft.gpus.len()).for_each(|intrusion| sim.intrude(intrusion));
        }
        let bench = Self {
            desired,
            sim,
            draft: draft.clone(),
            began: facts,
            store: MemoryStore::default(),
            struck: Mutex::default(),
        };
        bench.lift();
        bench
    }

    /// Lifts all faults.
    pub(crate) fn lift(&self) {
        for (index, service) in self.draft.services.iter().enumerate() {
            self.sim.set_behaviour(name(index), self.behaviour(index, service));
        }
    }

    fn behaviour(&self, index: usize, service: &ServiceDraft) -> Behaviour {
        let behaviour = service.behaviour();
        match &self.draft.memory {
            Some(memory) => memory.habit(index, behaviour, service),
            None => behaviour,
        }
    }

    pub(crate) fn strike(&self, index: usize, fault: Fault) {
        let behaviour = self.behaviour(index, &self.draft.services[index]);
        self.struck.lock().expect("unpoisoned").insert(name(index));
        self.sim.set_behaviour(name(index), fault.strike(behaviour));
    }

    /// Returns the audited plan of these facts.
    pub(crate) fn plan_facts(&self, facts: &Facts, request: &Request) -> Result<Plan, PlanError> {
        self.plan_of(&observe(facts, &self.desired), request)
    }

    fn plan_of(&self, observed: &Observed, request: &Request) -> Result<Plan, PlanError> {
        let made = plan(&self.desired, observed, request);
        let findings = audit(&made, &self.desired, observed, request);
        let given_back = made.given_back.iter().map(|given| (given.service.clone(), given.gpu.clone()));
        // Memory that others have taken meanwhile belongs to the service again once it is woken.
        let wakes = made.steps.iter().filter(|step| step.action == Action::Wake);
        let lacking = wakes.flat_map(|step| step.gpus.iter().map(|gpu| (step.service.clone(), gpu.clone())));
        self.sim.release(given_back.chain(lacking).collect());
        if findings.is_empty() { Ok(made) } else { Err(PlanError::Unsound(findings)) }
    }

    pub(crate) async fn facts(&self) -> Facts {
        let mut facts = self.sim.observe(&self.desired).await;
        facts.history = self.store.last_known(&self.desired.project).await.expect("it is in memory");
        facts.pending = self.store.pending(&self.desired.project).await.expect("it is in memory");
        facts
    }

    pub(crate) async fn plan(&self) -> Result<Plan, TestCaseError> {
        self.plan_facts(&self.facts().await, &Request::default())
            .map_err(|found| TestCaseError::fail(format!("audit: {found}")))
    }

    pub(crate) async fn apply(&self) -> Result<Ran, TestCaseError> {
        let facts = self.facts().await;
        let first = self.plan().await?;
        let orphans: BTreeMap<ServiceName, StopPolicy> =
            observe(&facts, &self.desired).orphans.into_iter().map(|orphan| (orphan.service, orphan.stop)).collect();
        let rounds = Mutex::new(0);
        let events = |event: lcm::model::event::Event| {
            if matches!(event.kind, EventKind::Planned { .. }) {
                *rounds.lock().expect("unpoisoned") += 1;
            }
        };
        let (_keep, interrupt) = watch::channel(None);
        let options = Options {
            parallelism: 3,
            on_failure: OnFailure::Continue,
            timeout: Duration::from_hours(10),
            force: false,
            release_timeout: Duration::from_mins(1),
        };
        let earlier = self.store.pending(&self.desired.project).await.expect("it is in memory");
        let context = RunContext {
            driver: &self.sim,
            store: &self.store,
            store_failure_reported: &AtomicBool::new(false),
            author: &Author::default(),
            desired: &self.desired,
            request: &Request::default(),
            approved: None,
            planner: self,
            earlier: &earlier,
            orphans: &orphans,
            options: &options,
            events: &events,
            interrupt: &interrupt,
            check_lock: &|| Ok(()),
        };
        let outcome = apply(context, &first).await;
        let rounds = *rounds.lock().expect("unpoisoned");
        Ok(Ran { outcome, rounds })
    }

    /// Runs until the effect with this number, and crashes there; returns false if there was none.
    pub(crate) async fn apply_and_crash(&self, effect_number: usize, side: Crash) -> Result<bool, TestCaseError> {
        self.sim.crash_at(effect_number, side);
        let crashed = tokio::select! {
            biased;
            () = self.sim.crashed() => true,
            ran = self.apply() => ran.map(|_| false)?,
        };
        self.sim.revive();
        Ok(crashed)
    }

    /// Checks that no foreign object was touched, no GPU overcommitted, and no service started before its dependencies.
    pub(crate) fn is_lawful(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.sim.violations(), Vec::<String>::new());
        prop_assert_eq!(self.foreign(&self.sim.world()), self.foreign(&self.began), "foreign objects are unchanged");
        let struck = self.struck.lock().expect("unpoisoned").clone();
        let mut started: BTreeSet<ServiceName> = BTreeSet::new();
        for effect in self.sim.log().iter().filter(|effect| effect.deed == Deed::Start) {
            started.insert(effect.service.clone());
            let Some(service) = self.desired.services.get(&effect.service) else { continue };
            for (dependency, edge) in &service.depends_on {
                let probed = self.desired.services[dependency].health.probe.is_some();
                if self.desired.services[dependency].job.is_some() {
                    let ended = !effect.running.contains(dependency) || edge.condition == Condition::Started;
                    prop_assert!(ended, "{} started before the end of {dependency}: {effect:?}", effect.service);
                    continue;
                }
                let up = match edge.condition {
                    Condition::Healthy if probed => &effect.answering,
                    Condition::Healthy | Condition::Started | Condition::Completed => &effect.running,
                };
                // A dependency that dies is observed a moment later.
                let died = struck.contains(dependency) && (edge.condition == Condition::Started || !probed);
                let name = &effect.service;
                prop_assert!(died || up.contains(dependency), "{name} started without {dependency}: {effect:?}");
            }
            let runs = effect.running.contains(&effect.service);
            for gpu in self.gpus_of_last_start(&effect.service).into_iter().filter(|_| runs) {
                let used = effect.memory.get(&gpu).copied().unwrap_or_default();
                let used = used + self.unmarked(&gpu, &effect.running, &started);
                let (capacity, name) = (self.capacity(&gpu), &effect.service);
                // A previous revision may be restored in its place, even in an overcommit that lcm did not cause.
                let as_before = used <= self.used_before(&gpu);
                prop_assert!(
                    used + self.desired.reserve <= capacity || as_before || !service.declares_vram(),
                    "{gpu} holds {used} of {capacity} after the start of {name}: {effect:?}"
                );
            }
        }
        Ok(())
    }

    /// Checks, in a run without faults on one GPU, that nothing else starts there while a service loads alone. Only a
    /// probe shows lcm that a service still loads.
    pub(crate) fn loads_alone(&self) -> Result<(), TestCaseError> {
        let on_gpu = |name: &ServiceName| self.desired.services.get(name).is_some_and(Service::wants_gpu);
        let is_alone = |name: &&ServiceName| {
            let service = self.desired.services.get(*name);
            service.is_some_and(|one| one.exclusive_start && one.wants_gpu() && one.health.probe.is_some())
        };
        let mut started: BTreeSet<ServiceName> = BTreeSet::new();
        for effect in self.sim.log().iter().filter(|effect| effect.deed == Deed::Start && on_gpu(&effect.service)) {
            let loading = effect.running.difference(&effect.answering).filter(|name| started.contains(*name));
            let alone = loading.filter(is_alone).find(|name| **name != effect.service);
            prop_assert!(alone.is_none(), "{} started while {alone:?} loads alone: {effect:?}", effect.service);
            let own = is_alone(&&effect.service);
            let others = effect.running.difference(&effect.answering).filter(|name| started.contains(*name));
            let probed = |name: &&ServiceName| self.desired.services[*name].health.probe.is_some();
            let other = others.filter(|name| own && on_gpu(name) && probed(name)).find(|name| **name != effect.service);
            prop_assert!(other.is_none(), "{} loads alone beside {other:?}: {effect:?}", effect.service);
            started.insert(effect.service.clone());
        }
        Ok(())
    }

    /// Returns true if some service was paused before the first run.
    pub(crate) fn is_paused_somewhere(&self) -> bool {
        self.draft.services.iter().any(|service| service.found == Found::Suspended)
    }

    /// Returns all effects: `Start s1`.
    pub(crate) fn deeds(&self) -> Vec<String> {
        self.sim.log().iter().map(|effect| format!("{:?} {}", effect.deed, effect.service)).collect()
    }

    /// Checks that no GPU was overcommitted. Without readings of single processes, a service that has not taken all of
    /// its memory yet is unknown: then only the memory in use counts.
    pub(crate) fn never_overcommits(&self, draft: &Draft) -> Result<(), TestCaseError> {
        let hides = draft.memory.as_ref().is_some_and(|memory| memory.silent);
        let violations = self.sim.violations();
        // Memory that a service does not hold may be taken by a foreign program between a plan and a start.
        // A service that takes its memory again by itself has the same effect.
        let comes_back = |memory: &MemoryDraft| memory.sleeps.iter().any(|sleep| sleep.lasts_ms.is_some());
        let comes = |memory: &MemoryDraft| !memory.intrusions.is_empty() || comes_back(memory);
        let intruded = draft.memory.as_ref().is_some_and(comes);
        let known = violations.iter().filter(|what| !((hides || intruded) && what.starts_with(OVERRESERVED)));
        prop_assert_eq!(known.collect::<Vec<_>>(), Vec::<&String>::new());
        // Without a foreign program in between, memory that was free before a start is free when it is taken.
        let undisturbed = |memory: &MemoryDraft| memory.intrusions.is_empty() && memory.sleeps.is_empty();
        let alone = draft.memory.as_ref().is_some_and(undisturbed);
        for (gpu, worst) in self.sim.worst() {
            prop_assert!(hides || !alone || worst <= self.capacity(&gpu), "{worst} were requested of {gpu}");
        }
        Ok(())
    }

    /// Checks that each wanted service that holds little of its memory has the rest free, or is blocked or held.
    pub(crate) async fn sleepers_have_their_memory_or_are_blocked(&self) -> Result<(), TestCaseError> {
        let plan = self.plan().await?;
        let observed = observe(&self.facts().await, &self.desired);
        let reported: BTreeSet<&ServiceName> = plan
            .blocked
            .iter()
            .map(|blocked| &blocked.service)
            .chain(plan.held.iter().map(|held| &held.service))
            .collect();
        let wanted = wanted(&self.draft, &self.desired);
        for (id, gpu) in observed.gpus.iter().filter(|(_, gpu)| gpu.told) {
            let (mut taken, mut asleep) = (gpu.foreign + self.desired.reserve, Vec::new());
            taken += observed
                .orphans
                .iter()
                .filter(|one| one.holds_capacity() && one.gpus.contains(id))
                .map(|one| one.vram)
                .sum();
            for (name, seen) in observed.services.iter().filter(|(_, seen)| seen.gpus.contains(id)) {
                let service = &self.desired.services[name];
                let held = seen.measured.as_ref().and_then(|measured| measured.get(id)).copied().unwrap_or_default();
                let counts = wanted.contains(name) && !reported.contains(name);
                // An unmeasured service may hold all of its memory.
                // A service on one GPU of several that is not marked with it holds its memory on any of them.
                let all: Mebibytes = seen.measured.iter().flatten().map(|(_, held)| *held).sum();
                let has_all = seen.marks.is_none() && all.0 * 10 >= service.vram.0 * 9 * given(&service.gpu);
                let is_small = seen.measured.is_some() && held.0 * 10 < service.vram.0 * 9 && !has_all;
                let sleeps = counts && seen.state.is_operational() && is_small;
                taken += if sleeps { seen.memory_on(service, id) } else { held };
                asleep.extend(sleeps.then_some(name));
            }
            prop_assert!(asleep.is_empty() || taken <= gpu.capacity, "{asleep:?} on {id}: {taken} of {}", gpu.capacity);
        }
        Ok(())
    }

    /// Returns the containers and trees that neither belong to the project nor are named in the manifest.
    fn foreign(&self, facts: &Facts) -> (Vec<String>, Vec<String>) {
        let names: BTreeSet<&str> =
            self.desired.services.values().filter_map(Service::object).map(ObjectName::as_str).collect();
        let containers = facts.docker().containers.known().into_iter().flatten();
        let containers = containers.filter(|found| match &found.marks {
            Some(marks) => marks.project != PROJECT,
            None => !self.is_existing(&found.name) || !names.contains(&*found.name),
        });
        let trees = facts.processes().trees.known().into_iter().flatten().filter(|tree| tree.marks.project != PROJECT);
        (containers.map(|one| format!("{one:?}")).collect(), trees.map(|one| format!("{one:?}")).collect())
    }

    fn is_existing(&self, container: &str) -> bool {
        self.desired.services.values().any(|one| {
            one.workload.origin == Origin::Existing && one.object().is_some_and(|name| name.as_str() == container)
        })
    }

    fn capacity(&self, gpu: &GpuId) -> Mebibytes {
        let index = gpu.as_str().trim_start_matches("gpu-").parse::<usize>().expect("a declared GPU");
        Mebibytes(self.draft.gpus[index])
    }

    /// Returns the declared memory on a GPU before the first run, by the marks of all projects.
    fn used_before(&self, gpu: &GpuId) -> Mebibytes {
        let containers = self.began.docker().containers.known().into_iter().flatten();
        let up = |state| matches!(state, ContainerState::Running | ContainerState::Paused);
        let containers = containers.filter(|found| up(found.state)).filter_map(|found| found.marks.as_ref());
        let trees = self.began.processes().trees.known().into_iter().flatten().filter(|tree| !tree.members.is_empty());
        let marks = containers.chain(trees.map(|tree| &tree.marks));
        let here = marks.filter(|marks| marks.gpus.split(',').any(|id| id == gpu.as_str()));
        let marked: Mebibytes = here.map(|marks| Mebibytes(marks.vram_mib)).sum();
        let all = self.desired.services.keys().cloned().collect();
        marked + self.unmarked(gpu, &all, &BTreeSet::new())
    }

    /// Returns the GPUs of the last start of a service, by its marks.
    fn gpus_of_last_start(&self, service: &ServiceName) -> Vec<GpuId> {
        let facts = self.sim.world();
        let containers =
            facts.docker().containers.known().into_iter().flatten().filter_map(|found| found.marks.clone());
        let trees = facts.processes().trees.known().into_iter().flatten().map(|tree| tree.marks.clone());
        let marks = containers.chain(trees).find(|marks| marks.service == service.as_str() && marks.project == PROJECT);
        let gpus = marks.map(|marks| marks.gpus).unwrap_or_default();
        gpus.split(',').filter(|gpu| !gpu.is_empty()).map(GpuId::from).collect()
    }

    /// Returns the memory of existing containers that ran before the first run, which have no marks.
    fn unmarked(&self, gpu: &GpuId, running: &BTreeSet<ServiceName>, started: &BTreeSet<ServiceName>) -> Mebibytes {
        let ran = |name: &str| {
            let mut found = self.began.docker().containers.known().into_iter().flatten();
            found.any(|one| one.name == name && matches!(one.state, ContainerState::Running | ContainerState::Paused))
        };
        let uses = |request: &GpuRequest| match request {
            GpuRequest::None => false,
            GpuRequest::Auto | GpuRequest::Count(_) => true,
            GpuRequest::All(refs) | GpuRequest::Any(refs) => refs.iter().any(|one| match one {
                GpuRef::Index(index) => gpu.as_str() == format!("gpu-{index}"),
                GpuRef::Uuid(uuid) => gpu.as_str() == uuid,
            }),
        };
        let services = self.desired.services.values().filter(|service| match service.workload.spec::<DockerSpec>() {
            Some(DockerSpec::Existing(existing)) => ran(existing.container.as_str()),
            None | Some(DockerSpec::Created(_)) => false,
        });
        services
            .filter(|one| running.contains(&one.name) && !started.contains(&one.name) && uses(&one.gpu))
            .map(|service| service.vram)
            .sum()
    }
}

/// Returns the number of GPUs of a service without marks.
fn given(gpu: &GpuRequest) -> u64 {
    match gpu {
        GpuRequest::None => 0,
        GpuRequest::Auto | GpuRequest::Any(_) => 1,
        GpuRequest::All(all) => all.len() as u64,
        GpuRequest::Count(count) => u64::from(*count),
    }
}
