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
use crate::model::names::{ContainerName, GoalName, GpuId, ModeName, ProjectName, ServiceName};
use crate::model::rules::Rules;
use crate::model::secret::{Masker, Secret};
use crate::model::size::Mebibytes;
use crate::model::spec::Spec;

pub use self::memory::{Evict, Wake};
pub use self::plain::{GRACE_DEFAULT, GRACE_MAX, ORPHAN_GRACE_MAX, PROBE_TIMEOUT_DEFAULT};
pub use self::probes::{Busy, BusyProbe, Health, HttpProbe, Pointer, Probe};

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
    /// A remote engine that the manifest names; `None` is the local one.
    pub engine_host: Option<String>,
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
    Word,
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
    pub runtime: Runtime,
    pub stop: StopPolicy,
    /// On each GPU that it uses.
    pub vram: Mebibytes,
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
    /// The container that carries this service, where one does.
    #[must_use]
    pub fn container_name(&self) -> Option<&ContainerName> {
        match &self.runtime {
            Runtime::Process(_) => None,
            Runtime::Container(container) => Some(&container.name),
            Runtime::Existing(existing) => Some(&existing.container),
        }
    }

    /// Whether its container may be stopped though the engine removes it then.
    #[must_use]
    pub fn accepts_auto_remove(&self) -> bool {
        match &self.runtime {
            Runtime::Existing(existing) => existing.accepts_auto_remove,
            Runtime::Process(_) | Runtime::Container(_) => false,
        }
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

#[derive(Clone, Debug)]
pub enum Runtime {
    /// A process tree that lcm starts under its shim.
    Process(Box<Process>),
    /// A container that lcm creates, recreates on change, and removes on `down`.
    Container(Box<Container>),
    /// A container that somebody else made: started and stopped, never created or removed.
    Existing(ExistingContainer),
}

impl Runtime {
    /// The word that manifests and reports use.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Process(_) => "process",
            Self::Container(_) | Self::Existing(_) => "docker",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Process {
    pub command: Command,
    /// Absolute.
    pub cwd: PathBuf,
    /// The whole of what the manifest gives; the fixed part is the driver's.
    pub environment: BTreeMap<String, EnvValue>,
    /// Names taken over from lcm's own environment, where they are set.
    pub inherit: BTreeSet<String>,
    pub log: LogPolicy,
    pub pid_file: Option<PidFile>,
    /// Absolute path of a file that holds the pid of the first process while that runs.
    pub writes_pid: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run as it is; never empty.
    Exec(Vec<String>),
    /// `shell -c line`.
    Shell { shell: String, line: String },
}

impl Command {
    /// The program and its arguments.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Exec(words) => words.clone(),
            Self::Shell { shell, line } => vec![shell.clone(), "-c".to_owned(), line.clone()],
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    Plain(String),
    /// `None`: it is wanted and not there; [`Service::missing_secrets`] says where it was looked for.
    Secret(Option<Secret>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPolicy {
    pub max_size_bytes: u64,
    /// Rotated copies kept beside the one being written.
    pub files: u32,
}

/// A process that somebody else started, known by the file that holds its pid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PidFile {
    /// Absolute.
    pub path: PathBuf,
    /// Must stand in the process's arguments.
    pub matching: String,
}

#[derive(Clone, Debug)]
pub struct Container {
    /// `container_name`, else `PROJECT-SERVICE`.
    pub name: ContainerName,
    pub image: String,
    pub pull: PullPolicy,
    pub command: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub environment: BTreeMap<String, EnvValue>,
    pub ports: Vec<PublishedPort>,
    /// As the engine takes them: `name-or-absolute-path:target[:ro]`.
    pub volumes: Vec<String>,
    pub networks: Vec<String>,
    pub user: Option<String>,
    pub shm_size_bytes: Option<u64>,
    pub ipc: Option<String>,
    /// `host:container[:rwm]`.
    pub devices: Vec<String>,
    pub ulimits: BTreeMap<String, Ulimit>,
    pub labels: BTreeMap<String, String>,
    pub healthcheck: Option<ImageHealthcheck>,
    pub gpu_access: GpuAccess,
}

#[derive(Clone, Debug)]
pub struct ExistingContainer {
    pub container: ContainerName,
    /// It may be stopped though the engine removes it then (`auto_remove: accept`).
    pub accepts_auto_remove: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    Missing,
    Always,
    Never,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedPort {
    /// The host's address; `None` is all of them.
    pub address: Option<String>,
    /// `None`: the engine picks one, so it claims no room.
    pub host: Option<u16>,
    pub container: u16,
    pub protocol: Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ulimit {
    pub soft: i64,
    pub hard: i64,
}

/// A health check that the engine itself runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageHealthcheck {
    /// As the engine takes it: `["CMD", …]`, `["CMD-SHELL", …]`, `["NONE"]`.
    pub test: Vec<String>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub retries: Option<u32>,
    pub start_period: Option<Duration>,
}

/// How a container gets its GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuAccess {
    /// A device request by UUID.
    Request,
    /// `NVIDIA_VISIBLE_DEVICES` alone.
    Environment,
    /// Nothing, for containers that only play one.
    None,
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

/// Something that lcm calls: a program, or an address.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    Http { method: String, url: String, json: Option<serde_json::Value> },
    Exec(Vec<String>),
}
