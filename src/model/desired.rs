//! Desired state: the manifest after includes, templates, variables and defaults, with nothing left to resolve.
//!
//! Not serializable on purpose: it carries secrets. The part that may be written down is in [`crate::model::spec`].

mod memory;
mod plain;
mod probes;
mod programs;
mod vram;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::converged::FileText;
use crate::model::endpoint::Endpoint;
use crate::model::hooks::{Hooks, Notifier};
use crate::model::job::Job;
use crate::model::mode_set::ModeSet;
use crate::model::names::{GoalName, GpuId, ModeName, ObjectName, ProjectName, RuntimeName, ServiceName};
use crate::model::rules::Rules;
use crate::model::secret::{Masker, Secret};
use crate::model::size::Mebibytes;
use crate::model::spec::Spec;
use crate::model::workload::Workload;

pub use self::memory::{Evict, Wake};
pub use self::probes::{Busy, BusyProbe, Health, HttpProbe, Pointer, Probe};
pub use self::vram::{VramAmount, VramShare};

/// Docker's default grace period.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(10);
/// Longest grace period. A service that needs a day to stop is waited for rather than stopped.
pub const GRACE_MAX: Duration = Duration::from_hours(24);
/// Longest grace period of an orphan, whose own setting is followed up to the time that large databases take to write
/// themselves to disk.
pub const ORPHAN_GRACE_MAX: Duration = Duration::from_mins(10);

/// Deadline of one probe. A service that answers at all answers sooner, on the busiest machine.
pub const PROBE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// A whole manifest, resolved for one run: its mode and active goals are settled.
#[derive(Clone, Debug)]
pub struct Desired {
    pub project: ProjectName,
    /// Former names of the project (`renamed_from`): services under them count as this project's.
    pub aliases: BTreeSet<ProjectName>,
    /// `--take-over`: services of another machine at a shared engine become this machine's.
    pub take_over: bool,
    /// Uid of the previous owner, whose process trees the present owner takes over.
    pub previous_owner: Option<u32>,
    /// The active modes. `None` where the manifest has no modes: then all services are wanted.
    pub mode: Option<ModeSet>,
    pub mode_source: ModeSource,
    /// The mode that the entry file itself names, whichever mode is in force.
    pub own_mode: Option<ModeSet>,
    /// The entry file only includes others and names a mode: it is an explicit choice, as `--mode` is.
    pub entry_is_choice: bool,
    /// The entry file, absolute.
    pub entry: PathBuf,
    /// The entry came through standard input or another descriptor: its path names no file.
    pub is_streamed: bool,
    /// The file that names the project, absolute: the same for every entry file of one checkout.
    pub named_in: PathBuf,
    /// True if the manifest that was applied last manages the project, in any folder.
    pub newest_checkout: bool,
    /// Goals requested with `--goal`, in addition to those of the mode.
    pub goals_requested: BTreeSet<GoalName>,
    pub orphans: OrphanPolicy,
    /// Memory kept free on every GPU.
    pub reserve: Mebibytes,
    /// Host memory kept free.
    pub host_reserve: Mebibytes,
    pub declared_gpus: Vec<DeclaredGpu>,
    /// Address of a runtime's endpoint that the manifest names; a runtime without one uses its local endpoint.
    pub endpoints: BTreeMap<RuntimeName, String>,
    pub services: BTreeMap<ServiceName, Service>,
    pub modes: BTreeMap<ModeName, Mode>,
    pub goals: BTreeMap<GoalName, Goal>,
    pub rules: Rules,
    pub notify: Vec<Notifier>,
    /// Values that no text may show, wherever they occur in it.
    pub secrets: Vec<Secret>,
    /// Findings that the reader should know, and that stop nothing.
    pub warnings: Vec<String>,
    /// The entry file and all that it includes, as read.
    pub files: Arc<[FileText]>,
}

impl Desired {
    /// Returns true if marks with this project name are this project's, by its present name or a former one.
    #[must_use]
    pub fn is_own_project(&self, project: &str) -> bool {
        self.project.as_str() == project || self.aliases.iter().any(|alias| alias.as_str() == project)
    }

    /// Returns the active modes with their definitions, sorted; none where the manifest has no modes.
    pub fn active_modes(&self) -> impl Iterator<Item = (&ModeName, &Mode)> {
        self.mode.iter().flat_map(ModeSet::iter).filter_map(|name| self.modes.get_key_value(name))
    }

    /// Returns the goals in force: those of the active modes, and the requested ones.
    #[must_use]
    pub fn active_goals(&self) -> BTreeSet<GoalName> {
        self.active_modes().flat_map(|(_, mode)| &mode.goals).chain(&self.goals_requested).cloned().collect()
    }

    /// Returns true if plans count host memory: a service declares some, or a GPU has none of its own.
    #[must_use]
    pub fn counts_host_memory(&self) -> bool {
        self.declared_gpus.iter().any(|gpu| gpu.unified)
            || self.services.values().any(|service| service.ram > Mebibytes::ZERO)
    }

    /// Returns a masker of [`Desired::secrets`]. Each call builds it anew: keep it.
    #[must_use]
    pub fn masker(&self) -> Masker {
        Masker::of(self.secrets.iter())
    }

    /// Masks free text of the manifest, and the configs that are written on instances and shown as diffs.
    pub fn conceal(&mut self, masker: &Masker) {
        let rules = self.rules.allow.iter_mut().chain(&mut self.rules.deny);
        let described = self.modes.values_mut().map(|mode| &mut mode.description);
        let described = described.chain(self.goals.values_mut().map(|goal| &mut goal.description));
        for text in rules.map(|rule| &mut rule.reason).chain(described).flatten() {
            masker.mask_in_place(text);
        }
        for service in self.services.values_mut() {
            service.missing_secrets.iter_mut().for_each(|missing| masker.mask_in_place(missing));
            service.spec.conceal(masker);
        }
    }
}

/// Source of the mode in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeSource {
    Manifest,
    CommandLine,
    /// An operator's `lcm switch`.
    Override,
}

/// Treatment of orphans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrphanPolicy {
    Report,
    Stop,
}

/// A GPU that the manifest declares: its figure overrides the driver's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredGpu {
    pub index: u32,
    pub uuid: Option<String>,
    pub capacity: Mebibytes,
    /// The GPU has no memory of its own, and uses the host's.
    pub unified: bool,
}

impl DeclaredGpu {
    /// Returns true if the declaration is of this GPU. An instance of a partitioned GPU has no index of its own.
    #[must_use]
    pub fn is(&self, id: &GpuId, index: u32) -> bool {
        match &self.uuid {
            Some(uuid) => uuid == id.as_str(),
            None => self.index == index && !id.is_instance(),
        }
    }
}

/// A named set of services that run together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mode {
    pub description: Option<String>,
    pub services: BTreeSet<ServiceName>,
    pub goals: BTreeSet<GoalName>,
    /// Services that must be off.
    pub stop: BTreeSet<ServiceName>,
    pub others: Others,
}

/// Treatment of running services that the mode does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    Stop,
    Keep,
}

/// A named purpose that needs services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    pub description: Option<String>,
    pub services: BTreeSet<ServiceName>,
    pub phases: BTreeSet<u32>,
    pub priority: i64,
}

/// One service, resolved.
#[derive(Clone, Debug)]
pub struct Service {
    pub name: ServiceName,
    pub workload: Workload,
    /// Set for a service that runs to its end.
    pub job: Option<Job>,
    pub stop: StopPolicy,
    /// GPU memory of one copy, on each GPU that it uses; the largest fixed amount where `vram_by_gpu` has several.
    pub vram: Mebibytes,
    /// Amounts in place of `vram`, where they differ by GPU or are shares: one for each GPU, or several in the order in
    /// which the program sees its GPUs.
    pub vram_by_gpu: Option<Box<[VramAmount]>>,
    /// Host memory of one copy; zero: it is not counted.
    pub ram: Mebibytes,
    /// While the service loads, nothing else starts or releases memory on its GPUs.
    pub exclusive_start: bool,
    /// Copies that should run; 1 for a runtime that does not scale.
    pub copies: u32,
    pub gpu: GpuRequest,
    /// The service gets its GPUs by index, not by id.
    pub gpu_as_index: bool,
    pub priority: i64,
    pub phases: BTreeSet<u32>,
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// Boxed, as are rarely used fields: it is large, no plan reads it of all services, and thousands of services stay
    /// closer in memory.
    pub health: Box<Health>,
    pub busy: Option<Box<Busy>>,
    /// Longest wait for a busy service; then it is stopped anyway. `None`: no bound of its own. When the run's timeout
    /// comes first, also where this is set, the stop fails and the service runs on.
    pub drain: Option<Duration>,
    pub evict: Option<Box<Evict>>,
    pub wake: Option<Box<Wake>>,
    pub hooks: Box<Hooks>,
    pub recover: Recover,
    /// Host ports that the service takes while it runs: published ones, and local ones that its probes connect to.
    pub ports: BTreeSet<Endpoint>,
    /// Secrets that the service needs and that are missing: where each should come from, and what is wrong there.
    pub missing_secrets: Vec<String>,
    pub spec: Spec,
    /// Place in the manifest, for messages: `lcm.yaml:12`.
    pub source: String,
}

impl Service {
    /// Returns the name of the object at the runtime that carries this service, where there is one.
    #[must_use]
    pub fn object(&self) -> Option<&ObjectName> {
        self.workload.object.as_ref()
    }

    /// Returns the GPU memory of this many copies, on each GPU that they use: all copies of a service share its GPUs.
    #[must_use]
    pub fn vram_of(&self, copies: u32) -> Mebibytes {
        Mebibytes(self.vram.0.saturating_mul(u64::from(copies)))
    }

    /// Returns the GPU memory of all wanted copies, on each GPU that they use.
    #[must_use]
    pub fn vram_total(&self) -> Mebibytes {
        self.vram_of(self.copies)
    }

    /// Returns true if the service needs a GPU, or memory on one.
    #[must_use]
    pub fn needs_gpu_memory(&self) -> bool {
        self.wants_gpu() || self.declares_vram()
    }

    /// Returns true if the service starts only after this job has completed.
    #[must_use]
    pub fn awaits_end_of(&self, job: &ServiceName) -> bool {
        self.depends_on.get(job).is_some_and(|dependency| dependency.condition == Condition::Completed)
    }

    /// Returns true if the service needs a GPU to start.
    #[must_use]
    pub fn wants_gpu(&self) -> bool {
        self.gpu != GpuRequest::None
    }
}

/// How a service is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopPolicy {
    /// `None`: TERM for processes, the image's own for containers.
    pub signal: Option<String>,
    pub grace: Duration,
    /// Command that is run instead of the signal; what is left after the grace period is killed all the same.
    pub exec: Option<Vec<String>>,
}

/// GPUs that a service requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GpuRequest {
    None,
    /// One GPU, any that has enough free memory.
    Auto,
    /// All of these together.
    All(Vec<GpuRef>),
    /// One of these.
    Any(Vec<GpuRef>),
    /// This many different ones.
    Count(u32),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GpuRef {
    Index(u32),
    Uuid(String),
}

/// Dependency of a service on another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    pub condition: Condition,
    /// The service is recreated together with the one that it depends on.
    pub restart: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Started,
    Healthy,
    /// The other service is a job, and has ended with exit code 0 under its present spec.
    Completed,
}

/// Limits on starting a service again that does not stay up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recover {
    /// Attempts in a row that use up the budget.
    pub attempts: u32,
    /// Wait before the second attempt; doubled before each further one.
    pub backoff: Duration,
    pub max_backoff: Duration,
}
