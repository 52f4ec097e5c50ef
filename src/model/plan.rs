//! A plan: what will be done, in which order and why, and why all the rest is not. Its JSON is `lcm.plan/2`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::claim::{ClaimFact, Claimant};
use crate::model::copies::CopiesChange;
use crate::model::host::HostIdentity;
use crate::model::instance::Instance;
use crate::model::lifecycle::{Action, State};
use crate::model::names::{GoalName, GpuId, ModeName, ProjectName, ServiceName, StepId};
use crate::model::size::Mebibytes;

/// The version of the plan's JSON.
pub const FORMAT: &str = "lcm.plan/2";

/// The version before instances named their runtime. It is read, and written no more.
pub const FORMAT_1: &str = "lcm.plan/1";

/// What one run narrows or widens; not part of the manifest.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Only these, and what they depend on; empty: all.
    pub targets: BTreeSet<ServiceName>,
    pub excludes: BTreeSet<ServiceName>,
    /// Nothing is done while anything wanted is blocked.
    pub strict: bool,
    /// Stop orphans even where the manifest only reports them.
    pub prune: bool,
    /// Services may be moved to make room for their equals.
    pub repack: bool,
    /// What the mode does not name is stopped, whether or not what is wanted can start.
    pub force: bool,
    /// What this run has found out: these can't be started now, for this reason, so nothing is stopped for them.
    pub prevented: BTreeMap<ServiceName, Reason>,
    /// And these were asked to give their memory back, in vain: they are stopped where it is needed.
    pub unevicted: BTreeSet<ServiceName>,
    /// Their settings were to be changed in place, in vain: they are made anew.
    pub unmended: BTreeSet<ServiceName>,
    /// The plan that is carried out gives away what these gave back on these GPUs: they count as what is measured there.
    pub given_back: BTreeSet<(ServiceName, GpuId)>,
    /// For [`Purpose::Restart`]: these have been stopped or started by this run already, and only have to be up.
    pub restarted: BTreeSet<ServiceName>,
    /// Another checkout manages the project: what runs is left as it is, for this reason.
    pub other_checkout: Option<String>,
    pub purpose: Purpose,
}

impl Request {
    /// Reason for which nothing that runs is stopped, restarted or recreated. What an operator asks for by name is done.
    #[must_use]
    pub fn keeps_running(&self) -> Option<&str> {
        match self.purpose {
            Purpose::Apply | Purpose::Start => self.other_checkout.as_deref(),
            Purpose::Down | Purpose::Stop | Purpose::Restart => None,
        }
    }
}

/// What of a request a plan keeps, so that it can be made again when it is carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Asked")]
pub struct SavedRequest {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub targets: BTreeSet<ServiceName>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub excludes: BTreeSet<ServiceName>,
    #[serde(skip_serializing_if = "is_not")]
    pub strict: bool,
    #[serde(skip_serializing_if = "is_not")]
    pub prune: bool,
    #[serde(skip_serializing_if = "is_not")]
    pub repack: bool,
}

impl SavedRequest {
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let Request { targets, excludes, strict, prune, repack, .. } = request;
        Self { targets: targets.clone(), excludes: excludes.clone(), strict: *strict, prune: *prune, repack: *repack }
    }

    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_not(flag: &bool) -> bool {
    !flag
}

/// What the plan is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Bring up what is wanted, stop what is not.
    #[default]
    Apply,
    /// Stop everything of the project, remove the containers that lcm created.
    Down,
    /// Bring up the targets and what they depend on, and leave everything else as it is, but for what must make room.
    Start,
    /// Stop the targets, and what runs and depends on them.
    Stop,
    /// Stop and start the targets, and with them what depends on them with `restart: true`.
    Restart,
}

impl Purpose {
    /// Whether it is about its targets alone, whatever the mode says.
    #[must_use]
    pub fn is_one_shot(self) -> bool {
        match self {
            Self::Apply | Self::Down => false,
            Self::Start | Self::Stop | Self::Restart => true,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    pub project: ProjectName,
    pub mode: Option<ModeName>,
    pub goals: Vec<GoalName>,
    /// What narrowed or widened it; not there where nothing did.
    #[serde(default, skip_serializing_if = "SavedRequest::is_nothing")]
    pub request: SavedRequest,
    pub host: String,
    /// Digests of the host's ids, which tell it from another of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_identity: Option<HostIdentity>,
    /// Engine and version, where one was asked.
    pub engine: Option<String>,
    #[schemars(with = "String")]
    pub observed_at: Timestamp,
    pub placement: Placement,
    /// Whether there is anything to do.
    pub changes: bool,
    pub steps: Vec<Step>,
    pub kept: Vec<Kept>,
    pub blocked: Vec<Blocked>,
    /// Runs on though the mode does not name it, while something wanted can't start; not there where nothing does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Left>,
    pub held: Vec<Held>,
    /// Calls of hooks and notifiers that earlier runs have left; not there where none is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingLine>,
    pub orphans: Vec<OrphanLine>,
    /// Carries this project's marks and is not proven to be ours; not there where nothing does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claimed: Vec<ClaimFact>,
    pub gpus: Vec<GpuLine>,
    /// Running services that count less than they declare, and are not woken; not there where none does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_back: Vec<GivenBack>,
    /// Services whose earlier attempts do not count any more: well for long since, or of another spec by now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recovered: Vec<ServiceName>,
    pub warnings: Vec<String>,
}

impl Plan {
    /// Nothing to do, and nothing to say.
    #[must_use]
    pub fn empty(project: ProjectName, host: impl Into<String>, observed_at: Timestamp) -> Self {
        Self {
            format: FORMAT.to_owned(),
            project,
            mode: None,
            goals: Vec::new(),
            request: SavedRequest::default(),
            host: host.into(),
            host_identity: None,
            engine: None,
            observed_at,
            placement: Placement::Optimal,
            changes: false,
            steps: Vec::new(),
            kept: Vec::new(),
            blocked: Vec::new(),
            left: Vec::new(),
            held: Vec::new(),
            pending: Vec::new(),
            orphans: Vec::new(),
            claimed: Vec::new(),
            gpus: Vec::new(),
            given_back: Vec::new(),
            recovered: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Pending calls that an apply of this plan settles.
    pub fn settled(&self) -> impl Iterator<Item = &PendingLine> {
        self.pending.iter().filter(|line| line.status != PendingStatus::Waiting)
    }

    /// Whether an apply of this plan changes nothing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.steps.is_empty() && self.pending.iter().all(|line| line.status != PendingStatus::Due)
    }

    #[must_use]
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// No better one exists.
    Optimal,
    /// Never wrong, but a better one may exist.
    Bounded,
}

/// One action on one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// `stop:ollama`; a service has at most one step of each action.
    pub id: StepId,
    pub service: ServiceName,
    pub action: Action,
    /// States passed, the present one first.
    pub route: Vec<State>,
    /// Steps that must have succeeded first.
    pub needs: Vec<StepId>,
    pub gpus: Vec<GpuId>,
    /// On each of `gpus`: taken by a start, a scale up or a rolling update, freed by a stop or a scale down.
    pub vram_mib: Mebibytes,
    /// On those of `gpus` where it is another amount; not there where it is the same on all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub uneven_mib: BTreeMap<GpuId, Mebibytes>,
    /// What a scale or a rolling update does to the number of copies, and a start of several; else not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<CopiesChange>,
    pub reason: Reason,
    pub expect: Expect,
    /// Spec hash that a start leaves on the thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<String>,
    /// What changed in the resolved spec, masked, as a unified diff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// How long it takes, by what was measured in earlier runs: a stop until its room is back, a start until it is
    /// healthy, each from its own begin. `null`: nothing was measured yet.
    pub estimate_ms: Option<u64>,
}

/// What must hold when the step begins, or it is stale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The thing that was seen; `None`: there was none.
    pub instance: Option<Instance>,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    pub code: ReasonCode,
    /// A whole sentence for people.
    pub message: String,
    /// The mode, goal or service on whose account.
    pub by: Option<String>,
}

/// Why something is done, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    WantedByMode,
    WantedByGoal,
    WantedByDependency,
    NotInMode,
    StoppedByMode,
    Preempted,
    Moved,
    Scaled,
    SpecChanged,
    SecretChanged,
    ImageChanged,
    Unhealthy,
    Exited,
    GpuLost,
    WrongGpu,
    Orphaned,
    Requested,
    #[serde(alias = "no_room")]
    NoCapacity,
    Rule,
    Unknown,
    ContainerMissing,
    PortTaken,
    NotOurs,
    /// Its container was renamed by hand.
    Renamed,
    SecretMissing,
    Dependency,
    Maintenance,
    Suspended,
    /// An operator wants it off.
    Terminated,
    BudgetSpent,
    /// Something that a start needs is not there: image, executable, folder.
    PrepareFailed,
    /// It failed earlier in this run, and is not tried twice in one.
    StartFailed,
    StopFailed,
    /// A hook that is required failed.
    Vetoed,
    /// Its real settings differ from the manifest's.
    SettingsChanged,
    /// It gave GPU memory back, and another has taken it.
    MemoryGivenBack,
    /// Its container would be removed by a stop.
    AutoRemove,
    /// It is a process, and lcm runs in a container.
    InContainer,
    /// It needs a GPU, and its engine is another machine's.
    RemoteEngine,
}

impl ReasonCode {
    /// As written in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WantedByMode => "wanted_by_mode",
            Self::WantedByGoal => "wanted_by_goal",
            Self::WantedByDependency => "wanted_by_dependency",
            Self::NotInMode => "not_in_mode",
            Self::StoppedByMode => "stopped_by_mode",
            Self::Preempted => "preempted",
            Self::Moved => "moved",
            Self::Scaled => "scaled",
            Self::SpecChanged => "spec_changed",
            Self::SecretChanged => "secret_changed",
            Self::ImageChanged => "image_changed",
            Self::Unhealthy => "unhealthy",
            Self::Exited => "exited",
            Self::GpuLost => "gpu_lost",
            Self::WrongGpu => "wrong_gpu",
            Self::Orphaned => "orphaned",
            Self::Requested => "requested",
            Self::NoCapacity => "no_capacity",
            Self::Rule => "rule",
            Self::Unknown => "unknown",
            Self::ContainerMissing => "container_missing",
            Self::PortTaken => "port_taken",
            Self::NotOurs => "not_ours",
            Self::Renamed => "renamed",
            Self::SecretMissing => "secret_missing",
            Self::Dependency => "dependency",
            Self::Maintenance => "maintenance",
            Self::Suspended => "suspended",
            Self::Terminated => "terminated",
            Self::BudgetSpent => "budget_spent",
            Self::PrepareFailed => "prepare_failed",
            Self::StartFailed => "start_failed",
            Self::StopFailed => "stop_failed",
            Self::Vetoed => "vetoed",
            Self::SettingsChanged => "settings_changed",
            Self::MemoryGivenBack => "memory_given_back",
            Self::AutoRemove => "auto_remove",
            Self::InContainer => "in_container",
            Self::RemoteEngine => "remote_engine",
        }
    }
}

/// A service that nothing is done to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    pub service: ServiceName,
    pub state: State,
    /// Why it is left as it is, as a sentence.
    pub message: String,
}

/// Wanted, but can't be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blocked {
    pub service: ServiceName,
    pub reason: Reason,
}

/// A running service that the mode does not name, and that is not stopped before what is wanted can start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Left {
    pub service: ServiceName,
    pub state: State,
    /// Wanted services that are blocked.
    pub waits_for: Vec<ServiceName>,
    /// Why it runs on, as a sentence.
    pub message: String,
}

/// Kept from running by an operator's word or a spent budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Held {
    pub service: ServiceName,
    pub reason: Reason,
    pub by: Option<String>,
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
}

/// A call of a hook or a notifier that an earlier run committed itself to and did not make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PendingLine {
    /// Key of its record in the store.
    pub id: u64,
    pub service: ServiceName,
    /// The run that committed itself to it.
    pub run: String,
    #[schemars(with = "String")]
    pub since: Timestamp,
    pub status: PendingStatus,
    /// The call and the reason for its status, as a sentence.
    pub message: String,
}

/// What an apply does about a pending call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PendingStatus {
    /// Makes it.
    Due,
    /// Keeps it for a later run.
    Waiting,
    /// Forgets it.
    Dropped,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrphanLine {
    pub service: ServiceName,
    pub instance: Instance,
    /// Its container, or its first process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<Claimant>,
    pub state: State,
    pub message: String,
}

/// A running service of which others have taken GPU memory that it gave back: that is not reserved for it any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenBack {
    pub service: ServiceName,
    pub gpu: GpuId,
    pub declared_mib: Mebibytes,
    /// As measured.
    pub counts_mib: Mebibytes,
}

/// One GPU before, at its worst and after, in MiB.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpuLine {
    pub id: GpuId,
    pub index: u32,
    pub capacity_mib: Mebibytes,
    pub reserve_mib: Mebibytes,
    pub foreign_mib: Mebibytes,
    /// In use by the driver's word, all processes together; `null`: nobody measures.
    #[serde(default)]
    pub measured_mib: Option<Mebibytes>,
    pub before_mib: Mebibytes,
    pub peak_mib: Mebibytes,
    pub after_mib: Mebibytes,
}
