//! What is: raw facts merged into one picture per service and GPU. The planner knows the world by this alone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smallvec::SmallVec;

use crate::model::claim::{ClaimFact, Claimant};
use crate::model::copies::Copies;
use crate::model::desired::{GpuRequest, Service, StopPolicy};
use crate::model::endpoint::Endpoint;
use crate::model::facts::{Attempts, Estimates, ExitFact, Marks};
use crate::model::holds::HoldRecord;
use crate::model::host::HostIdentity;
use crate::model::instance::Instance;
use crate::model::lifecycle::State;
use crate::model::names::{GpuId, ServiceName};
use crate::model::pending::PendingCall;
use crate::model::size::Mebibytes;

/// Behind the name of a container that is put aside while its successor comes up.
pub const ASIDE_SUFFIX: &str = ".lcm-old";

/// The world of one manifest at one time.
#[derive(Clone, Debug)]
pub struct Observed {
    pub host: String,
    pub host_identity: Option<HostIdentity>,
    /// Engine and version, where one was asked.
    pub engine: Option<String>,
    pub observed_at: Timestamp,
    /// One entry for each service of the manifest.
    pub services: BTreeMap<ServiceName, ObservedService>,
    pub orphans: Vec<Orphan>,
    /// Of this project: reported, and nothing else.
    pub claimed: Vec<ClaimFact>,
    pub gpus: ObservedGpus,
    /// `Err`: why the GPUs could not be read.
    pub gpus_unknown: Option<String>,
    /// Needed ports that somebody holds.
    pub ports: Holders,
    pub ports_unknown: Option<String>,
    /// Reason for which holds can't be read: any service may be held then.
    pub holds_unknown: Option<String>,
    /// Calls that earlier runs committed themselves to and did not make, the oldest first.
    pub pending: Vec<PendingCall>,
    pub warnings: Vec<String>,
}

/// Reason why a stop would be the end of a container, as a sentence's beginning.
pub const REMOVED_BY_STOP: &str =
    "its container was created with `--rm`, so the engine would remove it and its anonymous volumes";

/// What is large and seldom asked after is boxed: of thousands of services the rest is to stay in a cache.
#[derive(Clone, Debug)]
pub struct ObservedService {
    pub state: State,
    /// Why this state, as a fragment: `its process was ended by signal 9`.
    pub detail: String,
    /// Why nothing can be said of it; then `state` is the best guess and nobody acts on it.
    pub unknown: Option<String>,
    /// Why it can't be started from where lcm runs.
    pub barred: Option<Box<Barred>>,
    pub ownership: Ownership,
    /// The thing that runs or is left; `None`: there is none.
    pub instance: Option<Instance>,
    /// It holds its room: memory, ports, name.
    pub holds_capacity: bool,
    /// Its copies, where its runtime reports several; `None`: it has one.
    pub copies: Option<Copies>,
    /// Container only: an older self, put aside while a newer one was brought up.
    pub previous: Option<Box<Instance>>,
    /// What it carries of its making; `None` for adopted things.
    pub marks: Option<Box<Marks>>,
    pub image_moved: bool,
    /// Its real settings are others than the manifest's.
    pub changed: Option<Box<Changed>>,
    /// It can't be brought back after a stop: the engine would remove its container.
    pub is_removed_by_stop: bool,
    /// Existing container that the engine removes when it ends: nothing brings it back.
    pub is_auto_removed: bool,
    /// Container only: it carries a former name of the project (`renamed_from`), and runs on under it.
    pub is_former: bool,
    /// Where another lcm made it that this one takes over from: `on host a`, `of uid 61001`.
    pub taken_over_from: Option<Box<str>>,
    /// In their order, each once. Most have one, and a plan asks for it of all: it lies within.
    pub gpus: SmallVec<[GpuId; 1]>,
    /// What it is placed by in place of the manifest's `gpu`: a container that somebody else made uses the GPUs that
    /// it was made with.
    pub bound: Option<Box<GpuRequest>>,
    /// What it holds on each GPU; `None`: the driver does not tell.
    pub measured: Option<BTreeMap<GpuId, Mebibytes>>,
    /// It was evicted a short while ago, and has taken its memory again since.
    pub grew_back: bool,
    /// lcm evicted it since it was started, holds it to a `wake` call, and nothing has undone that yet.
    pub is_asleep: bool,
    pub estimates: Estimates,
    /// What an operator said of it; `state` is seen through it.
    pub hold: Option<Box<HoldRecord>>,
    /// How often it was brought back of late.
    pub attempts: Option<Box<Attempts>>,
    pub exit: Option<Box<ExitFact>>,
    /// A report of its failure is kept.
    pub is_reported: bool,
    /// It stopped without lcm's doing, as far as the history tells.
    pub ended_by_itself: bool,
    pub since: Option<Timestamp>,
    /// Restart policy of an adopted container and the like.
    pub warnings: Vec<String>,
}

impl ObservedService {
    /// A service of which there is no more than this to say.
    #[must_use]
    pub fn plain(state: State, detail: impl Into<String>, ownership: Ownership) -> Self {
        Self {
            state,
            detail: detail.into(),
            unknown: None,
            barred: None,
            ownership,
            instance: None,
            holds_capacity: false,
            copies: None,
            previous: None,
            marks: None,
            image_moved: false,
            changed: None,
            is_removed_by_stop: false,
            is_auto_removed: false,
            is_former: false,
            taken_over_from: None,
            gpus: SmallVec::new(),
            bound: None,
            measured: None,
            grew_back: false,
            is_asleep: false,
            estimates: Estimates::default(),
            hold: None,
            attempts: None,
            exit: None,
            is_reported: false,
            ended_by_itself: false,
            since: None,
            warnings: Vec::new(),
        }
    }

    /// By which it is placed.
    #[must_use]
    pub fn gpu_request<'a>(&'a self, service: &'a Service) -> &'a GpuRequest {
        self.bound.as_deref().unwrap_or(&service.gpu)
    }

    /// Copies that may hold memory now: those that the runtime keeps running, or the ready ones where there are more.
    #[must_use]
    pub fn copies_held(&self) -> u32 {
        self.copies.map_or(1, |copies| copies.wanted.max(copies.ready))
    }

    /// GPU memory that the copies which run now declare, on each GPU that they use.
    #[must_use]
    pub fn declared(&self, service: &Service) -> Mebibytes {
        service.vram_of(self.copies_held())
    }

    /// Copies, where they are not the single one of most services.
    #[must_use]
    pub fn copies_shown(&self) -> Option<Copies> {
        self.copies.filter(|copies| *copies != Copies::ONE)
    }

    /// GPU memory that it takes on `gpu` while it runs: the larger of declared and measured.
    #[must_use]
    pub fn held(&self, service: &Service, gpu: &GpuId) -> Mebibytes {
        if !self.holds_capacity {
            return Mebibytes::ZERO;
        }
        let measured = self.measured.as_ref().map(|measured| measured.get(gpu).copied().unwrap_or_default());
        if !self.gpus.contains(gpu) {
            return measured.unwrap_or_default();
        }
        // What it was started with counts until it is measured: its declaration may have shrunk since.
        let marked = self.marks.as_ref().map_or(Mebibytes::ZERO, |marks| Mebibytes::bounded(marks.vram_mib));
        let marked = Mebibytes(marked.0.saturating_mul(u64::from(self.copies_held())));
        self.declared(service).max(measured.unwrap_or(marked))
    }

    /// It has given its memory back, all but what it keeps: measured, not hoped.
    #[must_use]
    pub fn is_evicted(&self, service: &Service) -> bool {
        let Some(evict) = &service.evict else { return false };
        let all_back = |measured: &BTreeMap<GpuId, Mebibytes>| measured.values().all(|held| *held <= evict.resident);
        self.measured.as_ref().is_some_and(all_back)
    }

    /// On one of its GPUs less is measured of it than it declares: it gave memory back, or has not taken it yet.
    #[must_use]
    pub fn holds_less_than_declared(&self, service: &Service) -> bool {
        let less = |measured: &BTreeMap<GpuId, Mebibytes>| {
            self.gpus.iter().any(|gpu| measured.get(gpu).copied().unwrap_or_default() < self.declared(service))
        };
        self.measured.as_ref().is_some_and(less)
    }

    /// The most that is measured of it on one GPU.
    #[must_use]
    pub fn measured_most(&self) -> Option<Mebibytes> {
        self.measured.as_ref().map(|measured| measured.values().copied().max().unwrap_or_default())
    }
}

/// Real settings that differ from the manifest's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// As a part of a sentence.
    pub message: String,
    /// Lines of a unified diff, masked.
    pub diff: String,
    /// All of it can be mended while the service runs.
    pub is_mendable: bool,
}

/// Reason why a service can't be started from where lcm runs, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barred {
    /// A process would end with the container that lcm runs in.
    InContainer(String),
    /// A container would get GPUs of another machine.
    RemoteEngine(String),
}

impl Barred {
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::InContainer(message) | Self::RemoteEngine(message) => message,
        }
    }
}

/// Whose a thing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// There is nothing to own.
    Absent,
    /// lcm made it, for this project.
    Ours,
    /// The manifest names it, or an operator adopted it.
    Adopted,
    /// A container that the manifest names is not there.
    Missing { container: String },
    /// Another project's, or a stranger's: never touched.
    Foreign { holder: String },
    /// Its container was renamed by hand: never touched, and not made a second time.
    Renamed { container: String, id: String, to: String },
}

/// Bears our project's mark, but no name that the manifest has.
#[derive(Clone, Debug)]
pub struct Orphan {
    pub service: ServiceName,
    pub instance: Instance,
    /// Its container, or its first process.
    pub carrier: Option<Claimant>,
    pub state: State,
    /// As its own label wishes, within bounds: never a program.
    pub stop: StopPolicy,
    pub gpus: BTreeSet<GpuId>,
    pub vram: Mebibytes,
    pub ports: BTreeSet<Endpoint>,
    /// An operator's hold on a service of its name.
    pub hold: Option<Box<HoldRecord>>,
}

impl Orphan {
    /// It runs, or is paused: its memory and ports are taken.
    #[must_use]
    pub fn holds_capacity(&self) -> bool {
        !self.state.is_not_running()
    }
}

/// GPUs of a host by id.
pub type ObservedGpus = BTreeMap<GpuId, ObservedGpu>;

#[derive(Clone, Debug)]
pub struct ObservedGpu {
    pub index: u32,
    pub name: String,
    pub capacity: Mebibytes,
    /// Everything that is not this manifest's: strangers, other projects, the driver itself, and what it names no
    /// holder of.
    pub foreign: Mebibytes,
    /// Who they are, for the arithmetic of a refusal.
    pub foreign_holders: Vec<String>,
    /// By the driver, all processes together and what it keeps for itself. `None`: nothing but the manifest vouches for
    /// this GPU.
    pub used: Option<Mebibytes>,
    /// The driver says how much each process holds.
    pub told: bool,
    /// Why nothing can be started on it: it fell off the bus.
    pub lost: Option<String>,
    /// Why nothing can be said of it for now. Nothing is started on it, and nothing is stopped for it.
    pub unreadable: Option<String>,
}

impl ObservedGpu {
    /// Why nothing can be started on it.
    #[must_use]
    pub fn unusable(&self) -> Option<&String> {
        self.lost.as_ref().or(self.unreadable.as_ref())
    }
}

/// Whether a driver told of these GPUs; else nothing but the manifest vouches for them.
#[must_use]
pub fn told_by_a_driver(gpus: &ObservedGpus) -> bool {
    gpus.values().any(|gpu| gpu.used.is_some() || gpu.unusable().is_some())
}

/// GPUs that can't be read: one that is not found may be any of them.
pub fn unreadable(gpus: &ObservedGpus) -> impl Iterator<Item = &GpuId> {
    gpus.iter().filter(|(_, gpu)| gpu.unreadable.is_some()).map(|(id, _)| id)
}

/// The GPU that a thing carries as its placement, by the id that it has now. `gpu-1`, as it is called where only the
/// manifest knows of it, is index 1 once a driver tells its UUID.
#[must_use]
pub fn known_as<'a>(gpus: &'a ObservedGpus, marked: &str) -> Option<&'a GpuId> {
    if let Some((id, _)) = gpus.get_key_value(marked) {
        return Some(id);
    }
    let index: u32 = marked.strip_prefix("gpu-")?.parse().ok()?;
    let mut of_index = gpus.iter().filter(|(_, gpu)| gpu.index == index).map(|(id, _)| id);
    // The instances of one GPU may share its index; then it does not say which.
    of_index.next().filter(|_| of_index.next().is_none())
}

/// `GPU 1`; by its id where the index does not say which.
#[must_use]
pub fn called(gpus: &ObservedGpus, id: &GpuId) -> String {
    let index = gpus.get(id).map(|gpu| gpu.index);
    let alone = gpus.values().filter(|gpu| Some(gpu.index) == index).count() == 1;
    index.filter(|_| alone).map_or_else(|| format!("GPU {id}"), |index| format!("GPU {index}"))
}

/// Who holds which port, by its number: on several addresses there may be several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders(BTreeMap<u16, Vec<(Endpoint, PortHolder)>>);

impl FromIterator<(Endpoint, PortHolder)> for Holders {
    fn from_iter<I: IntoIterator<Item = (Endpoint, PortHolder)>>(held: I) -> Self {
        let mut holders = Self::default();
        held.into_iter().for_each(|(endpoint, holder)| holders.insert(endpoint, holder));
        holders
    }
}

impl Holders {
    /// The later holder of just this port counts: what an engine publishes is its container's.
    pub fn insert(&mut self, endpoint: Endpoint, holder: PortHolder) {
        let all = self.0.entry(endpoint.port).or_default();
        match all.iter_mut().find(|(other, _)| *other == endpoint) {
            Some((_, before)) => *before = holder,
            None => all.push((endpoint, holder)),
        }
    }

    /// Those that stand in the way of one who needs this port.
    pub fn of(&self, endpoint: &Endpoint) -> impl Iterator<Item = &PortHolder> {
        let all = self.0.get(&endpoint.port).into_iter().flatten();
        all.filter(move |(held, _)| held.clashes(endpoint)).map(|(_, holder)| holder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortHolder {
    /// A service of this manifest.
    Service(ServiceName),
    Orphan(ServiceName),
    /// For messages: `python3 (pid 4711)`.
    Foreign(String),
}
