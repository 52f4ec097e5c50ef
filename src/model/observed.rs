//! Observed state: raw facts merged into one picture per service and GPU. It is all that the planner knows of the
//! machine.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smallvec::SmallVec;

use crate::model::claim::{ClaimFact, Claimant};
use crate::model::copies::Copies;
use crate::model::desired::{GpuRequest, Service, StopPolicy};
use crate::model::endpoint::Endpoint;
use crate::model::facts::{Attempts, Estimates, ExitFact, Marks, Reading};
use crate::model::holds::HoldRecord;
use crate::model::host::HostIdentity;
use crate::model::instance::Instance;
use crate::model::job::{JobState, JobStatus};
use crate::model::lifecycle::State;
use crate::model::names::{GpuId, ServiceName};
use crate::model::network::ObservedNetwork;
use crate::model::pending::PendingCall;
use crate::model::size::Mebibytes;

/// Suffix of the name of a container that is put aside while its successor starts.
pub const ASIDE_SUFFIX: &str = ".lcm-old";

/// The machine as seen for one manifest at one time.
#[derive(Clone, Debug)]
pub struct Observed {
    pub host: String,
    pub host_identity: Option<HostIdentity>,
    /// Engine and version, where one was queried.
    pub engine: Option<String>,
    pub observed_at: Timestamp,
    /// One entry for each service of the manifest.
    pub services: BTreeMap<ServiceName, ObservedService>,
    pub orphans: Vec<Orphan>,
    /// Networks of this project.
    pub networks: Vec<ObservedNetwork>,
    /// Claims on this project: reported, and nothing else.
    pub claimed: Vec<ClaimFact>,
    pub gpus: ObservedGpus,
    /// Reason why the GPUs could not be read.
    pub gpus_unknown: Option<String>,
    /// Host memory; `NotAsked`: the manifest does not count it, or it was not read.
    pub memory: Reading<ObservedMemory>,
    /// Needed ports that are taken.
    pub ports: Holders,
    pub ports_unknown: Option<String>,
    /// Reason why holds can't be read: any service may be held then.
    pub holds_unknown: Option<String>,
    /// Pending calls: earlier runs recorded them, but did not make them; the oldest first.
    pub pending: Vec<PendingCall>,
    pub warnings: Vec<String>,
}

/// Reason why a stop would be the end of a container, as a sentence's beginning.
pub const REMOVED_BY_STOP: &str =
    "its container was created with `--rm`, so the engine would remove it and its anonymous volumes";

/// One service as observed. Large and rarely read fields are boxed, so that thousands of services stay in a cache.
#[derive(Clone, Debug)]
pub struct ObservedService {
    pub state: State,
    /// Reason for the state, as a fragment: `its process was ended by signal 9`.
    pub detail: String,
    /// Reason why the state is unknown; then `state` is the best guess, and no action is taken on it.
    pub unknown: Option<String>,
    /// Reason why the service can't be started from where lcm runs.
    pub barred: Option<Box<Barred>>,
    pub ownership: Ownership,
    /// The instance that runs or is left; `None`: there is none.
    pub instance: Option<Instance>,
    /// First process of the service, while it lives; `None` for a service without processes of this host.
    pub pid: Option<i32>,
    /// True if the service holds its memory, ports and name.
    pub holds_capacity: bool,
    /// Copies, where the runtime reports several; `None`: there is one.
    pub copies: Option<Copies>,
    /// Container only: the previous revision, put aside while a newer one was started.
    pub previous: Option<Box<Instance>>,
    /// Marks of its creation; `None` for adopted services.
    pub marks: Option<Box<Marks>>,
    pub image_moved: bool,
    /// Real settings that differ from the manifest's.
    pub changed: Option<Box<Changed>>,
    /// A stop can't be undone: the engine would remove the container.
    pub is_removed_by_stop: bool,
    /// Existing container that the engine removes when it ends: it can't be started again.
    pub is_auto_removed: bool,
    /// Container only: it carries a former name of the project (`renamed_from`), and runs on under it.
    pub is_former: bool,
    /// Origin of a service that this lcm takes over from another: `on host a`, `of uid 61001`.
    pub taken_over_from: Option<Box<str>>,
    /// GPUs in their order, each once. Most services have one, and a plan reads it of all: it is stored inline.
    pub gpus: SmallVec<[GpuId; 1]>,
    /// Placement in place of the manifest's `gpu`: a container that lcm did not create uses the GPUs that it was
    /// created with.
    pub bound: Option<Box<GpuRequest>>,
    /// Memory held on each GPU; `None`: the driver does not report it.
    pub measured: Option<BTreeMap<GpuId, Mebibytes>>,
    /// Memory that one copy declares on each of its GPUs, where it differs by GPU; `None`: the manifest's `vram`.
    pub declared_by_gpu: Option<BTreeMap<GpuId, Mebibytes>>,
    /// Host memory that its processes hold; `None`: unknown, or not read.
    pub ram_measured: Option<Mebibytes>,
    /// The service was evicted a short while ago, and has taken its memory again since.
    pub grew_back: bool,
    /// lcm evicted the service since it was started, it needs a `wake` call, and it has not been woken yet.
    pub is_asleep: bool,
    pub estimates: Estimates,
    /// Hold of an operator; `state` takes it into account.
    pub hold: Option<Box<HoldRecord>>,
    /// Recent attempts to start the service again.
    pub attempts: Option<Box<Attempts>>,
    pub exit: Option<Box<ExitFact>>,
    /// Set for a job whose state is known.
    pub job: Option<Box<JobStatus>>,
    /// A report of a failure is kept for the service.
    pub is_reported: bool,
    /// The service stopped without lcm's doing, as far as the history shows.
    pub ended_by_itself: bool,
    pub since: Option<Timestamp>,
    /// For example the restart policy of an adopted container.
    pub warnings: Vec<String>,
}

impl ObservedService {
    /// Creates a service of which nothing else is known.
    #[must_use]
    pub fn plain(state: State, detail: impl Into<String>, ownership: Ownership) -> Self {
        Self {
            state,
            detail: detail.into(),
            unknown: None,
            barred: None,
            ownership,
            instance: None,
            pid: None,
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
            declared_by_gpu: None,
            ram_measured: None,
            grew_back: false,
            is_asleep: false,
            estimates: Estimates::default(),
            hold: None,
            attempts: None,
            exit: None,
            job: None,
            is_reported: false,
            ended_by_itself: false,
            since: None,
            warnings: Vec::new(),
        }
    }

    /// Returns the GPU request by which the service is placed.
    #[must_use]
    pub fn gpu_request<'a>(&'a self, service: &'a Service) -> &'a GpuRequest {
        self.bound.as_deref().unwrap_or(&service.gpu)
    }

    /// Returns the copies that may hold memory now: those that the runtime keeps running, or the ready ones where there
    /// are more.
    #[must_use]
    pub fn copies_held(&self) -> u32 {
        self.copies.map_or(1, |copies| copies.wanted.max(copies.ready))
    }

    /// Returns the GPU memory that the current copies declare, at most on one GPU.
    #[must_use]
    pub fn declared(&self, service: &Service) -> Mebibytes {
        let most = self.declared_by_gpu.as_ref().map(|amounts| amounts.values().copied().max().unwrap_or_default());
        self.of_copies(most.unwrap_or(service.vram))
    }

    /// Returns the GPU memory that the current copies declare on `gpu`; the largest amount on a GPU that they should not
    /// use.
    #[must_use]
    pub fn declared_on(&self, service: &Service, gpu: &GpuId) -> Mebibytes {
        self.of_copies(self.one_copy_on(service, gpu))
    }

    /// Returns the GPU memory that one copy declares on `gpu`.
    #[must_use]
    pub fn one_copy_on(&self, service: &Service, gpu: &GpuId) -> Mebibytes {
        let Some(amounts) = &self.declared_by_gpu else { return service.vram };
        amounts.get(gpu).or(amounts.values().max()).copied().unwrap_or_default()
    }

    fn of_copies(&self, one: Mebibytes) -> Mebibytes {
        Mebibytes(one.0.saturating_mul(u64::from(self.copies_held())))
    }

    /// Returns the host memory that the service counts for while it runs, without that of its GPUs: the larger of
    /// declared and measured. A service that declares none counts for none.
    #[must_use]
    pub fn ram(&self, service: &Service) -> Mebibytes {
        if !self.holds_capacity || service.ram == Mebibytes::ZERO {
            return Mebibytes::ZERO;
        }
        service.ram_of(self.copies_held()).max(self.ram_measured.unwrap_or_default())
    }

    /// Returns the copies, unless it is the single one of most services.
    #[must_use]
    pub fn copies_shown(&self) -> Option<Copies> {
        self.copies.filter(|copies| *copies != Copies::ONE)
    }

    /// Returns the GPU memory that the service takes on `gpu` while it runs: the larger of declared and measured.
    #[must_use]
    pub fn memory_on(&self, service: &Service, gpu: &GpuId) -> Mebibytes {
        if !self.holds_capacity {
            return Mebibytes::ZERO;
        }
        let measured = self.measured.as_ref().map(|measured| measured.get(gpu).copied().unwrap_or_default());
        if !self.gpus.contains(gpu) {
            return measured.unwrap_or_default();
        }
        // The declaration at the start counts until memory is measured: the manifest's may have shrunk since.
        let marked = self.marks.as_ref().map_or(Mebibytes::ZERO, |marks| Mebibytes::bounded(marks.vram_mib));
        let marked = Mebibytes(marked.0.saturating_mul(u64::from(self.copies_held())));
        let declared = self.declared_on(service, gpu);
        // A mark has the largest amount alone.
        let is_known_by_gpu = self.declared_by_gpu.is_some() && marked <= self.declared(service);
        declared.max(measured.unwrap_or(if is_known_by_gpu { declared } else { marked }))
    }

    /// Returns true for a job that has completed under the present spec.
    #[must_use]
    pub fn is_done_job(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.state == JobState::Done)
    }

    /// Returns true if all memory but the resident part is given back, as measured.
    #[must_use]
    pub fn is_evicted(&self, service: &Service) -> bool {
        let Some(evict) = &service.evict else { return false };
        let all_back = |measured: &BTreeMap<GpuId, Mebibytes>| measured.values().all(|held| *held <= evict.resident);
        self.measured.as_ref().is_some_and(all_back)
    }

    /// Returns true if less is measured than declared on one of the GPUs: the service gave memory back, or has not
    /// taken it yet.
    #[must_use]
    pub fn holds_less_than_declared(&self, service: &Service) -> bool {
        let less = |measured: &BTreeMap<GpuId, Mebibytes>| {
            self.gpus.iter().any(|gpu| measured.get(gpu).copied().unwrap_or_default() < self.declared_on(service, gpu))
        };
        self.measured.as_ref().is_some_and(less)
    }

    /// Returns the largest memory measured on one GPU.
    #[must_use]
    pub fn measured_most(&self) -> Option<Mebibytes> {
        self.measured.as_ref().map(|measured| measured.values().copied().max().unwrap_or_default())
    }
}

/// Real settings that differ from the manifest's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The differences as part of a sentence.
    pub message: String,
    /// Lines of a unified diff, masked.
    pub diff: String,
    /// True if all differences can be mended while the service runs.
    pub can_update_in_place: bool,
}

/// Reason why a service can't be started, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barred {
    /// A process would end with the container that lcm runs in.
    InContainer(String),
    /// A container would get GPUs of another machine.
    RemoteEngine(String),
    /// A container would join a foreign network.
    ForeignNetwork(String),
}

impl Barred {
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::InContainer(message) | Self::RemoteEngine(message) | Self::ForeignNetwork(message) => message,
        }
    }
}

/// Ownership of the object or process that carries a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Nothing is there to own.
    Absent,
    /// lcm created it, for this project.
    Ours,
    /// The manifest names it, or an operator adopted it.
    Adopted,
    /// A container that the manifest names is not there.
    Missing { container: String },
    /// Another project owns it, or it is foreign: never touched.
    Foreign { holder: String },
    /// The container was renamed by hand: never touched, and not created a second time.
    Renamed { container: String, id: String, to: String },
}

/// An instance with this project's mark, and a name that the manifest does not have.
#[derive(Clone, Debug)]
pub struct Orphan {
    pub service: ServiceName,
    pub instance: Instance,
    /// Its container, or its first process.
    pub carrier: Option<Claimant>,
    pub state: State,
    /// Stop policy of its own label, within bounds: never a program.
    pub stop: StopPolicy,
    pub gpus: BTreeSet<GpuId>,
    pub vram: Mebibytes,
    pub ports: BTreeSet<Endpoint>,
    /// Hold of an operator on a service of this name.
    pub hold: Option<Box<HoldRecord>>,
}

impl Orphan {
    /// Returns true if the orphan runs or is paused: its memory and ports are taken.
    #[must_use]
    pub fn holds_capacity(&self) -> bool {
        !self.state.is_not_running()
    }
}

/// GPUs of a host by id.
pub type ObservedGpus = BTreeMap<GpuId, ObservedGpu>;

/// One GPU as observed.
#[derive(Clone, Debug)]
pub struct ObservedGpu {
    pub index: u32,
    pub name: String,
    pub capacity: Mebibytes,
    /// Memory that is not this manifest's: foreign processes, other projects, the driver itself, and memory without a
    /// known holder.
    pub foreign: Mebibytes,
    /// Foreign holders, shown in the arithmetic of a refusal.
    pub foreign_holders: Vec<String>,
    /// Memory used by all processes and the driver itself, as the driver reports it. `None`: only the manifest declares
    /// this GPU.
    pub used: Option<Mebibytes>,
    /// True if the driver reports how much each process holds.
    pub told: bool,
    /// Reason why nothing can be started on the GPU: it fell off the bus.
    pub lost: Option<String>,
    /// Reason why the GPU can't be read for now. Nothing is started on it, and nothing is stopped for it.
    pub unreadable: Option<String>,
    /// The GPU has no memory of its own: what is taken on it is taken from the host.
    pub is_unified: bool,
}

/// Host memory as observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedMemory {
    pub capacity: Mebibytes,
    /// Memory that is not available for starts; `None`: unknown.
    pub used: Option<Mebibytes>,
    /// Part of `used` that no counted service of this manifest holds.
    pub foreign: Mebibytes,
}

impl ObservedGpu {
    /// Creates a free GPU that only the manifest declares.
    #[must_use]
    pub fn plain(index: u32, capacity: Mebibytes) -> Self {
        Self {
            index,
            name: String::new(),
            capacity,
            foreign: Mebibytes::ZERO,
            foreign_holders: Vec::new(),
            used: None,
            told: false,
            lost: None,
            unreadable: None,
            is_unified: false,
        }
    }

    /// Returns the reason why nothing can be started on the GPU.
    #[must_use]
    pub fn unusable(&self) -> Option<&String> {
        self.lost.as_ref().or(self.unreadable.as_ref())
    }
}

/// Returns true if a driver reported these GPUs; otherwise only the manifest declares them.
#[must_use]
pub fn has_driver(gpus: &ObservedGpus) -> bool {
    gpus.values().any(|gpu| gpu.used.is_some() || gpu.unusable().is_some())
}

/// Returns the GPUs that can't be read: a GPU that is not found may be any of them.
pub fn unreadable(gpus: &ObservedGpus) -> impl Iterator<Item = &GpuId> {
    gpus.iter().filter(|(_, gpu)| gpu.unreadable.is_some()).map(|(id, _)| id)
}

/// Returns the present id of the GPU in an instance's marks. `gpu-1`, the id of a GPU that only the manifest declares,
/// is index 1 once a driver reports its UUID.
#[must_use]
pub fn resolve_marked<'a>(gpus: &'a ObservedGpus, marked: &str) -> Option<&'a GpuId> {
    if let Some((id, _)) = gpus.get_key_value(marked) {
        return Some(id);
    }
    let index: u32 = marked.strip_prefix("gpu-")?.parse().ok()?;
    let mut of_index = gpus.iter().filter(|(_, gpu)| gpu.index == index).map(|(id, _)| id);
    // The instances of one GPU may share its index, which is ambiguous then.
    of_index.next().filter(|_| of_index.next().is_none())
}

/// Returns the name of a GPU for people: `GPU 1`; by its id where the index is ambiguous.
#[must_use]
pub fn called(gpus: &ObservedGpus, id: &GpuId) -> String {
    let index = gpus.get(id).map(|gpu| gpu.index);
    let alone = gpus.values().filter(|gpu| Some(gpu.index) == index).count() == 1;
    index.filter(|_| alone).map_or_else(|| format!("GPU {id}"), |index| format!("GPU {index}"))
}

/// Holders of ports by number: there may be several on several addresses.
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
    /// Inserts a holder. The later one of just this port counts: a port that an engine publishes is its container's.
    pub fn insert(&mut self, endpoint: Endpoint, holder: PortHolder) {
        let all = self.0.entry(endpoint.port).or_default();
        match all.iter_mut().find(|(other, _)| *other == endpoint) {
            Some((_, before)) => *before = holder,
            None => all.push((endpoint, holder)),
        }
    }

    /// Returns the holders that conflict with a service that needs this port.
    pub fn of(&self, endpoint: &Endpoint) -> impl Iterator<Item = &PortHolder> {
        let all = self.0.get(&endpoint.port).into_iter().flatten();
        all.filter(move |(held, _)| held.clashes(endpoint)).map(|(_, holder)| holder)
    }
}

/// Holder of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortHolder {
    /// A service of this manifest.
    Service(ServiceName),
    Orphan(ServiceName),
    /// Program and pid, for messages: `python3 (pid 4711)`.
    Foreign(String),
}
