//! What should be: the manifest after includes, templates, variables and defaults, with nothing left to look up.
//!
//! Not serializable on purpose: it carries secrets. What may leave is in [`crate::model::spec`].

mod memory;
mod plain;
mod probes;
mod programs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::converged::FileText;
use crate::model::endpoint::Endpoint;
use crate::model::hooks::{Hooks, Notifier};
use crate::model::names::{GoalName, GpuId, ModeName, ObjectName, ProjectName, RuntimeName, ServiceName};
use crate::model::rules::Rules;
use crate::model::secret::{Masker, Secret};
use crate::model::size::Mebibytes;
use crate::model::spec::Spec;
use crate::model::workload::Workload;

pub use self::memory::{Evict, Wake};
pub use self::probes::{Busy, BusyProbe, Health, HttpProbe, Pointer, Probe};

/// Docker's own grace.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(10);
/// A service that needs a day to stop is not stopped but waited for; a longer grace would be none.
pub const GRACE_MAX: Duration = Duration::from_hours(24);
/// Of an orphan: its own wish is followed up to the time that large databases take to write themselves down.
pub const ORPHAN_GRACE_MAX: Duration = Duration::from_mins(10);

/// Of one probe. Who answers at all answers sooner, on the busiest machine.
pub const PROBE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// A whole manifest, for one run: its mode and active goals are settled.
#[derive(Clone, Debug)]
pub struct Desired {
    pub project: ProjectName,
    /// Former names of the project (`renamed_from`): their things count as this project's.
    pub aliases: BTreeSet<ProjectName>,
    /// `--take-over`: another machine's things at a shared engine become this one's.
    pub take_over: bool,
    /// Owner before, whose process trees the present owner takes over.
    pub previous_owner: Option<u32>,
    /// `None` where the manifest has no modes: then all services are wanted.
    pub mode: Option<ModeName>,
    pub mode_source: ModeSource,
    /// What the entry file itself says, whoever chose.
    pub own_mode: Option<ModeName>,
    /// The entry file only includes others and names a mode: it is an explicit choice, as `--mode` is.
    pub entry_is_choice: bool,
    /// The entry file, absolute.
    pub entry: PathBuf,
    /// The entry came through standard input or another descriptor: its path names no file.
    pub is_streamed: bool,
    /// The file that names the project, absolute: the same for every entry file of one checkout.
    pub named_in: PathBuf,
    /// The manifest that was applied last manages the project, whatever folder it is in.
    pub newest_checkout: bool,
    /// Asked for with `--goal`; those that the mode names come on top.
    pub goals_requested: BTreeSet<GoalName>,
    pub orphans: OrphanPolicy,
    /// Kept free on every GPU.
    pub reserve: Mebibytes,
    pub declared_gpus: Vec<DeclaredGpu>,
    /// Address of a runtime's endpoint that the manifest names; without one it is the local one.
    pub endpoints: BTreeMap<RuntimeName, String>,
    pub services: BTreeMap<ServiceName, Service>,
    pub modes: BTreeMap<ModeName, Mode>,
    pub goals: BTreeMap<GoalName, Goal>,
    pub rules: Rules,
    pub notify: Vec<Notifier>,
    /// Values that no text may show, wherever they stand in it.
    pub secrets: Vec<Secret>,
    /// What the reader should know though it stops nothing.
    pub warnings: Vec<String>,
    /// The entry and all that it includes, as they were read.
    pub files: Arc<[FileText]>,
}

impl Desired {
    /// Returns true if marks with this project name are this project's, by its present name or a former one.
    #[must_use]
    pub fn is_own_project(&self, project: &str) -> bool {
        self.project.as_str() == project || self.aliases.iter().any(|alias| alias.as_str() == project)
    }

    /// Goals that count now: the mode's, and those asked for.
    #[must_use]
    pub fn active_goals(&self) -> BTreeSet<GoalName> {
        let mode = self.mode.as_ref().and_then(|name| self.modes.get(name));
        mode.map(|mode| mode.goals.clone())
            .unwrap_or_default()
            .into_iter()
            .chain(self.goals_requested.clone())
            .collect()
    }

    /// A masker of [`Desired::secrets`]. It is made anew at each call, and meant to be kept.
    #[must_use]
    pub fn masker(&self) -> Masker {
        Masker::of(self.secrets.iter())
    }

    /// Masks free text of the manifest, and the configs that are written on things and shown as diffs.
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

/// Who chose the mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeSource {
    Manifest,
    CommandLine,
    /// An operator's `lcm switch`.
    Override,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrphanPolicy {
    Report,
    Stop,
}

/// A GPU that the manifest vouches for: its figure goes over the driver's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredGpu {
    pub index: u32,
    pub uuid: Option<String>,
    pub capacity: Mebibytes,
    /// It has no memory of its own, and uses the host's.
    pub unified: bool,
}

impl DeclaredGpu {
    /// Whether it stands for this GPU. An instance of a partitioned GPU has no index of its own.
    #[must_use]
    pub fn is(&self, id: &GpuId, index: u32) -> bool {
        match &self.uuid {
            Some(uuid) => uuid == id.as_str(),
            None => self.index == index && !id.is_instance(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mode {
    pub description: Option<String>,
    pub services: BTreeSet<ServiceName>,
    pub goals: BTreeSet<GoalName>,
    /// Must be off in any case.
    pub stop: BTreeSet<ServiceName>,
    pub others: Others,
}

/// What becomes of running services that the mode does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    Stop,
    Keep,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    pub description: Option<String>,
    pub services: BTreeSet<ServiceName>,
    pub phases: BTreeSet<u32>,
    pub priority: i64,
}

/// One service, complete.
#[derive(Clone, Debug)]
pub struct Service {
    pub name: ServiceName,
    pub workload: Workload,
    pub stop: StopPolicy,
    /// Of one copy, on each GPU that it uses.
    pub vram: Mebibytes,
    /// Copies that should run; 1 for a runtime that does not scale.
    pub copies: u32,
    pub gpu: GpuRequest,
    /// It is told its GPUs by index, not by id.
    pub gpu_as_index: bool,
    pub priority: i64,
    pub phases: BTreeSet<u32>,
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// Large, and nothing that a plan asks of all: boxed, as what is seldom there, so that thousands of services lie
    /// closer.
    pub health: Box<Health>,
    pub busy: Option<Box<Busy>>,
    /// How long a busy service is waited for before it is stopped anyway; `None`: until apply's own timeout.
    pub drain: Option<Duration>,
    pub evict: Option<Box<Evict>>,
    pub wake: Option<Box<Wake>>,
    pub hooks: Box<Hooks>,
    pub recover: Recover,
    /// Host ports that it takes while it runs: published ones, and local ones that its probes ask.
    pub ports: BTreeSet<Endpoint>,
    /// Secrets that it needs and that are not there: where they should come from, and what is wrong there.
    pub missing_secrets: Vec<String>,
    pub spec: Spec,
    /// `lcm.yaml:12`, for messages.
    pub source: String,
}

impl Service {
    /// Name of the object at its runtime that carries this service, where one does.
    #[must_use]
    pub fn object(&self) -> Option<&ObjectName> {
        self.workload.object.as_ref()
    }

    /// GPU memory of so many copies, on each GPU that they use: all copies of a service share its GPUs.
    #[must_use]
    pub fn vram_of(&self, copies: u32) -> Mebibytes {
        Mebibytes(self.vram.0.saturating_mul(u64::from(copies)))
    }

    /// GPU memory of all wanted copies, on each GPU that they use.
    #[must_use]
    pub fn vram_total(&self) -> Mebibytes {
        self.vram_of(self.copies)
    }

    /// Whether it needs a GPU, or memory on one.
    #[must_use]
    pub fn needs_gpu_memory(&self) -> bool {
        self.wants_gpu() || self.vram > Mebibytes::ZERO
    }

    /// Whether it needs a GPU to start.
    #[must_use]
    pub fn wants_gpu(&self) -> bool {
        self.gpu != GpuRequest::None
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopPolicy {
    /// `None`: TERM for processes, the image's own for containers.
    pub signal: Option<String>,
    pub grace: Duration,
    /// Run instead of the signal; what is left after the grace is killed all the same.
    pub exec: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GpuRequest {
    None,
    /// One, wherever there is room.
    Auto,
    /// All of these together.
    All(Vec<GpuRef>),
    /// One of these.
    Any(Vec<GpuRef>),
    /// So many different ones.
    Count(u32),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GpuRef {
    Index(u32),
    Uuid(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    pub condition: Condition,
    /// Recreated together with what it depends on.
    pub restart: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Started,
    Healthy,
}

/// How often, and how soon, a service is brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recover {
    /// So often, until it has been well for a while.
    pub attempts: u32,
    /// Before the second attempt; twice as long before each further one.
    pub backoff: Duration,
    pub max_backoff: Duration,
}
