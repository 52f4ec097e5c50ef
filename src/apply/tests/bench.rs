//! Bench of these tests: a manifest, a simulated host, and an apply between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;

use super::forgetful::Forgetful;
use crate::apply::{Interrupt, OnFailure, Options, RunContext, RunResult, apply};
use crate::model::call::Call;
use crate::model::capacity::{GpuCapacity, HostCapacity, MemoryHolder};
use crate::model::copies::CopiesChange;
use crate::model::desired::{
    Busy, BusyProbe, Condition, DeclaredGpu, Dependency, Desired, Evict, GpuRequest, Health, Probe, Service,
    StopPolicy, Wake,
};
use crate::model::event::{Event, EventKind, Stage};
use crate::model::facts::{Facts, GpuFact, GpuHolder, Marks, ProcessFact, ProcessOwner, Reading};
use crate::model::instance::Instance;
use crate::model::lifecycle::{Action, State, route};
use crate::model::names::{GpuId, ProjectName, ServiceName, StepId};
use crate::model::plan::{Expect, Plan, Purpose, Reason, ReasonCode, Request, Step};
use crate::model::size::Mebibytes;
use crate::model::snapshot::{PlanError, Planner, Snapshot};
use crate::model::spec::Spec;
use crate::runtime::docker::facts::DockerReading as _;
use crate::runtime::docker::intent::{ContainerSpec, GpuAccess, PullPolicy};
use crate::runtime::process::facts::ProcessReading as _;
use crate::runtime::process::facts::TreeFact;
use crate::runtime::process::intent::{CommandSpec, LogPolicy, ProcessLimits, ProcessSpec};
use crate::sim::{Behaviour, Deed, Sim};
use crate::store::memory::MemoryStore;
use crate::store::{Author, Store};

#[path = "../../../tests/support/schema.rs"]
mod schema;

pub(super) const PROJECT: &str = "studio";

pub(super) struct Bench {
    pub(super) desired: Desired,
    pub(super) sim: Sim,
    pub(super) store: MemoryStore,
    pub(super) options: Options,
    /// True if only the first plan is approved.
    pub(super) approved: bool,
    pub(super) interrupt: watch::Sender<Option<Interrupt>>,
    /// Plans of later rounds; an empty plan when they are used up.
    pub(super) next_plans: Mutex<VecDeque<Plan>>,
    pub(super) requests: Mutex<Vec<Request>>,
    /// Capacities that are read first; the simulated ones when they are used up.
    pub(super) headrooms: Mutex<VecDeque<HostCapacity>>,
    /// Stop policies of orphans.
    pub(super) orphans: BTreeMap<ServiceName, StopPolicy>,
    /// True if the store can't be written.
    pub(super) forgets: bool,
    /// True if holds can't be read either.
    pub(super) hides_holds: bool,
    pub(super) purpose: Purpose,
    /// Steps that may begin before the host's lock is lost; `None`: it is never lost.
    pub(super) lock_steps: Mutex<Option<usize>>,
    /// Number of applies so far: each has an id of its own.
    applies: AtomicUsize,
    events: Mutex<Vec<Event>>,
}

/// Returns the plans of the test; observes and counts like the real planner.
impl Planner for Bench {
    fn observe(&self, facts: Facts) -> Snapshot {
        let observed = crate::runtime::registry::observe(&facts, &self.desired);
        Snapshot { facts, observed }
    }

    fn plan(&self, _: &Snapshot, request: &Request) -> Result<Plan, PlanError> {
        lock(&self.requests).push(request.clone());
        Ok(lock(&self.next_plans).pop_front().unwrap_or_else(|| plan(Vec::new())))
    }

    fn capacity(&self, snapshot: &Snapshot, request: &Request) -> HostCapacity {
        let seen = || crate::plan::capacity(&self.desired, &snapshot.observed, request);
        lock(&self.headrooms).pop_front().unwrap_or_else(seen)
    }
}

impl Bench {
    /// `running`: services that run already, with the spec of the manifest.
    pub(super) fn new(services: Vec<Service>, running: &[&str]) -> Self {
        let desired = desired(services);
        let began: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        let mut facts = Facts::empty("host", began);
        let trees = running.iter().map(|name| tree(&desired.services[&(*name).into()])).collect();
        facts.processes_mut().trees = Reading::Known(trees);
        Self {
            desired,
            sim: Sim::new(facts),
            store: MemoryStore::default(),
            options: Options {
                parallelism: 4,
                on_failure: OnFailure::Continue,
                timeout: Duration::from_hours(1),
                force: false,
                release_timeout: Duration::from_mins(2),
            },
            approved: false,
            interrupt: watch::Sender::new(None),
            next_plans: Mutex::default(),
            requests: Mutex::default(),
            headrooms: Mutex::default(),
            orphans: BTreeMap::new(),
            forgets: false,
            hides_holds: false,
            purpose: Purpose::Apply,
            lock_steps: Mutex::default(),
            applies: AtomicUsize::new(0),
            events: Mutex::default(),
        }
    }

    /// Has a driver measure the one GPU: its capacity and the memory of running services, in MiB, from pid 4711 on.
    pub(super) fn measured(mut self, capacity: u64, held: &[(&str, u64)]) -> Self {
        let holders = (4711..).zip(held).map(|(pid, (service, memory))| GpuHolder {
            pid,
            program: (*service).to_owned(),
            memory: Some(Mebibytes(*memory)),
            owner: ProcessOwner::Service { project: PROJECT.into(), service: (*service).into() },
        });
        let gpu = GpuFact {
            id: GpuId::from("gpu-0"),
            index: 0,
            name: String::new(),
            capacity: Mebibytes(capacity),
            used: Some(held.iter().map(|(_, memory)| Mebibytes(*memory)).sum()),
            reserved: Mebibytes::ZERO,
            holders: holders.collect(),
            lost: None,
            unreadable: None,
        };
        self.sim.inject(|facts| facts.gpus = Reading::Known(vec![gpu]));
        // A declared GPU would override the measured one.
        self.desired.declared_gpus.clear();
        self
    }

    /// Returns the stages in the last event of the step, with their times.
    pub(super) fn stages(&self, wanted: &str) -> Vec<(Stage, Duration)> {
        let stages = self.events().into_iter().find_map(|kind| match kind {
            EventKind::StepDone { step, stages, .. } | EventKind::StepFailed { step, stages, .. } => {
                (step.as_str() == wanted).then_some(stages)
            }
            _ => None,
        });
        let stages = stages.unwrap_or_default();
        stages.into_iter().map(|time| (time.stage, Duration::from_millis(time.took_ms))).collect()
    }

    pub(super) fn behaves(&self, service: &str, behaviour: Behaviour) {
        self.sim.set_behaviour(service, behaviour);
    }

    pub(super) async fn apply(&self, steps: Vec<Step>) -> RunResult {
        self.apply_plan(plan(steps)).await
    }

    pub(super) async fn apply_plan(&self, first: Plan) -> RunResult {
        let forgetful = Forgetful { hides_holds: self.hides_holds };
        let store: &dyn Store = if self.forgets { &forgetful } else { &self.store };
        let events = |event: Event| {
            schema::check(&serde_json::to_value(&event).expect("an event is JSON"), "an event of this test");
            lock(&self.events).push(event);
        };
        let (interrupt, request) =
            (self.interrupt.subscribe(), Request { purpose: self.purpose, ..Request::default() });
        let check_lock = || match lock(&self.lock_steps).as_mut() {
            None => Ok(()),
            Some(0) => Err("the lock was removed".to_owned()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        };
        let number = self.applies.fetch_add(1, Ordering::Relaxed);
        let author = Author { by: String::new(), run: format!("run-{number}") };
        let earlier = store.pending(&self.desired.project).await.unwrap_or_default();
        let context = RunContext {
            driver: &self.sim,
            store,
            store_failure_reported: &AtomicBool::new(false),
            author: &author,
            desired: &self.desired,
            request: &request,
            approved: self.approved.then_some(&first),
            planner: self,
            earlier: &earlier,
            orphans: &self.orphans,
            options: &self.options,
            events: &events,
            interrupt: &interrupt,
            check_lock: &check_lock,
        };
        apply(context, &first).await
    }

    pub(super) fn events(&self) -> Vec<EventKind> {
        lock(&self.events).iter().map(|event| event.kind.clone()).collect()
    }

    /// Returns state changes of a service that were observed and not made: from, to, and reason.
    pub(super) fn sightings(&self, service: &str) -> Vec<(State, State, String)> {
        let all = self.store.transitions();
        let seen = all.into_iter().filter(|one| !one.made && one.service.as_str() == service);
        seen.map(|one| (one.from, one.to, one.reason)).collect()
    }

    /// When an event came, from the beginning of the world.
    pub(super) fn time_of(&self, wanted: impl Fn(&EventKind) -> bool) -> Option<Duration> {
        let events = lock(&self.events);
        let first = events.first()?.at;
        let found = events.iter().find(|event| wanted(&event.kind))?;
        Duration::try_from(found.at.duration_since(first)).ok()
    }

    /// Returns the effects on the host: `start a`, `stop b`.
    pub(super) fn deeds(&self) -> Vec<String> {
        let verb = |deed: Deed| format!("{deed:?}").to_lowercase();
        self.sim.log().iter().map(|effect| format!("{} {}", verb(effect.deed), effect.service)).collect()
    }

    pub(super) fn states(&self, service: &str) -> Vec<State> {
        let all = self.store.transitions();
        all.iter().filter(|one| one.made && one.service.as_str() == service).map(|one| one.to).collect()
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let warning = |kind| if let EventKind::Warning { message } = kind { Some(message) } else { None };
        self.events().into_iter().filter_map(warning).collect()
    }

    /// `start:b: it needs start:a, …`.
    pub(super) fn skipped(&self) -> Vec<String> {
        let skipped = |kind| match kind {
            EventKind::StepSkipped { step, reason, .. } => Some(format!("{step}: {reason}")),
            _ => None,
        };
        self.events().into_iter().filter_map(skipped).collect()
    }

    pub(super) fn runs(&self, service: &str) -> bool {
        let world = self.sim.world();
        let trees = world.processes().trees.known().into_iter().flatten();
        let containers = world.docker().containers.known().into_iter().flatten();
        let mut all = trees.filter(|tree| !tree.members.is_empty()).map(|tree| &tree.marks).chain(
            containers
                .filter(|found| found.state == crate::runtime::docker::facts::ContainerState::Running)
                .filter_map(|found| found.marks.as_ref()),
        );
        all.any(|marks| marks.service == service)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn plan(steps: Vec<Step>) -> Plan {
    let changes = !steps.is_empty();
    Plan { changes, steps, ..Plan::empty(ProjectName::from(PROJECT), "host", Timestamp::UNIX_EPOCH) }
}

fn step(action: Action, service: &str, from: State, instance: Option<Instance>, needs: &[&str]) -> Step {
    Step {
        id: StepId::new(format!("{action}:{service}")),
        service: service.into(),
        action,
        route: route(action, from).expect("a route").to_vec(),
        needs: needs.iter().map(|need| StepId::from(*need)).collect(),
        gpus: vec![GpuId::from("gpu-0")],
        vram_mib: Mebibytes(1),
        uneven_mib: std::collections::BTreeMap::new(),
        ram_mib: Mebibytes::ZERO,
        copies: None,
        job: None,
        reason: Reason { code: ReasonCode::WantedByMode, message: "a test wants it".to_owned(), by: None },
        expect: Expect { instance, state: from },
        spec: None,
        diff: None,
        estimate_ms: None,
    }
}

pub(super) fn start(service: &str, needs: &[&str]) -> Step {
    step(Action::Start, service, State::Registered, None, needs)
}

/// Stop of a service that [`Bench::new`] had running.
pub(super) fn stop(service: &str, needs: &[&str]) -> Step {
    let instance = crate::runtime::process::instance(format!("salt-{service}"));
    step(Action::Stop, service, State::Online, Some(instance), needs)
}

/// The second half of a recreation.
pub(super) fn start_again(service: &str, needs: &[&str]) -> Step {
    let instance = crate::runtime::process::instance(format!("salt-{service}"));
    step(Action::Start, service, State::Offline, Some(instance), needs)
}

pub(super) fn wait_for(service: &str, needs: &[&str]) -> Step {
    let instance = crate::runtime::process::instance(format!("salt-{service}"));
    step(Action::Start, service, State::Starting, Some(instance), needs)
}

pub(super) fn service(name: &str) -> Service {
    let process = ProcessSpec {
        command: CommandSpec::Exec(vec![format!("./{name}")]),
        cwd: PathBuf::from("/"),
        environment: BTreeMap::new(),
        inherit: BTreeSet::new(),
        log: LogPolicy { max_size_bytes: 1 << 20, files: 1 },
        pid_file: None,
        writes_pid: None,
        limits: ProcessLimits::default(),
    };
    Service {
        vram: Mebibytes(1),
        gpu: GpuRequest::Auto,
        health: Box::new(health()),
        spec: Spec::plain(json!({ "command": name })),
        ..Service::plain(name.into(), process)
    }
}

pub(super) fn container(name: &str) -> Service {
    let container = ContainerSpec {
        pull: PullPolicy::Never,
        gpu_access: GpuAccess::None,
        ..ContainerSpec::plain(format!("{PROJECT}-{name}"), "image")
    };
    Service { workload: container.into(), ..service(name) }
}

fn health() -> Health {
    Health { probe: Some(Probe::Tcp { host: "localhost".to_owned(), port: 1 }), ..Health::default() }
}

pub(super) fn depends(mut service: Service, on: &str, condition: Condition) -> Service {
    service.depends_on.insert(on.into(), Dependency { condition, restart: false });
    service
}

pub(super) fn busy(service: Service, drain: Option<Duration>) -> Service {
    let probe = BusyProbe::Exec(vec!["busy".to_owned()]);
    Service { busy: Some(Box::new(Busy { probe, probe_timeout: Duration::from_secs(5) })), drain, ..service }
}

/// Service that declares this memory, in MiB.
pub(super) fn takes(vram: u64, name: &str) -> Service {
    Service { vram: Mebibytes(vram), ..service(name) }
}

/// The service with an eviction that leaves it `resident` MiB.
pub(super) fn evictable(service: Service, resident: u64) -> Service {
    let calls = vec![Call::Exec(vec!["free".to_owned()])];
    let evict = Evict { calls, resident: Mebibytes(resident), timeout: Duration::from_secs(1) };
    Service { evict: Some(Box::new(evict)), ..service }
}

/// Eviction of a service that [`Bench::new`] had running, and that goes on running.
pub(super) fn evict(service: &str) -> Step {
    let instance = crate::runtime::process::instance(format!("salt-{service}"));
    step(Action::Evict, service, State::Online, Some(instance), &[])
}

/// The service with a call that has it take its memory again.
pub(super) fn wakeable(service: Service) -> Service {
    let wake = Wake { calls: vec![Call::Exec(vec!["load".to_owned()])], timeout: Duration::from_secs(1) };
    Service { wake: Some(Box::new(wake)), ..service }
}

/// Wake of a service that [`Bench::new`] had running, and that goes on running.
pub(super) fn wake(service: &str, needs: &[&str]) -> Step {
    let instance = crate::runtime::process::instance(format!("salt-{service}"));
    step(Action::Wake, service, State::Online, Some(instance), needs)
}

/// Scale of a service that [`Bench::new`] had running.
pub(super) fn scale(service: &str, from: u32, to: u32) -> Step {
    let instance = crate::runtime::process::instance(format!("salt-{service}"));
    let copies = Some(CopiesChange::scale(from, to));
    Step { copies, ..step(Action::Scale, service, State::Online, Some(instance), &[]) }
}

/// Rolling update of a service that [`Bench::new`] had running to the present spec of the manifest.
pub(super) fn roll(bench: &Bench, service: &str, from: u32, to: u32) -> Step {
    let instance = crate::runtime::process::instance(format!("salt-{service}"));
    let spec = Some(bench.desired.services[&service.into()].spec.hash().to_owned());
    let copies = Some(CopiesChange::roll(from, to));
    Step { copies, spec, ..step(Action::Update, service, State::Online, Some(instance), &[]) }
}

pub(super) fn loads_in(time: Duration) -> Behaviour {
    Behaviour { loading: time, ..Behaviour::default() }
}

fn desired(services: Vec<Service>) -> Desired {
    let gpu = DeclaredGpu { index: 0, uuid: None, unified: false, capacity: Mebibytes(100) };
    Desired { declared_gpus: vec![gpu], ..Desired::plain(ProjectName::from(PROJECT), services) }
}

fn tree(service: &Service) -> TreeFact {
    let salt = format!("salt-{}", service.name);
    let marks = Marks {
        project: PROJECT.to_owned(),
        service: service.name.to_string(),
        spec: service.spec.hash().to_owned(),
        salt,
        gpus: "gpu-0".to_owned(),
        vram_mib: 1,
        ..Marks::default()
    };
    let member = ProcessFact { pid: 7, start_ticks: 7, program: service.name.to_string() };
    TreeFact {
        marks,
        adopted: false,
        shim: None,
        members: vec![member],
        started_at: None,
        exit: None,
        suspended: false,
        uid: None,
        lost_shim: None,
        held: None,
        former_project: None,
    }
}

/// GPU 0 of this capacity in MiB, with these holders.
pub(super) fn headroom(capacity: u64, holders: Vec<MemoryHolder>) -> HostCapacity {
    let gpu = GpuCapacity {
        index: 0,
        called: "GPU 0".to_owned(),
        capacity: Mebibytes(capacity),
        reserve: Mebibytes::ZERO,
        foreign: Mebibytes::ZERO,
        foreign_holders: Vec::new(),
        used: None,
        told: true,
        lost: None,
        unreadable: None,
        holders,
    };
    HostCapacity { gpus: [("gpu-0".into(), gpu)].into(), unknown: None, memory: None }
}
