//! Plan: the steps to take, their order and reasons, and the reason for everything that is left. Its JSON is
//! `lcm.plan/2`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::claim::{ClaimFact, Claimant};
use crate::model::copies::CopiesChange;
use crate::model::host::HostIdentity;
use crate::model::instance::Instance;
use crate::model::job::{JobStatus, JobStep};
use crate::model::lifecycle::{Action, State};
use crate::model::mode_set::ModeSet;
use crate::model::names::{GoalName, GpuId, ModeName, ProjectName, ServiceName, StepId};
use crate::model::network::NetworkLine;
use crate::model::size::Mebibytes;

pub use crate::model::reason::{Reason, ReasonCode};

/// Version of the plan's JSON.
pub const FORMAT: &str = "lcm.plan/2";
/// Version before instances named their runtime. It is read, and no longer written.
pub const FORMAT_1: &str = "lcm.plan/1";

/// Options that narrow or widen one run; not part of the manifest.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Only these services and what they depend on; empty: all.
    pub targets: BTreeSet<ServiceName>,
    pub excludes: BTreeSet<ServiceName>,
    /// Nothing is done while a wanted service is blocked.
    pub strict: bool,
    /// Orphans are stopped even where the manifest only reports them.
    pub prune: bool,
    /// Services may be moved to free memory for services of the same priority.
    pub repack: bool,
    /// Services that the mode does not name are stopped, whether or not the wanted ones can start.
    pub force: bool,
    /// Services that this run found it can't start, with the reason: nothing is stopped for them.
    pub prevented: BTreeMap<ServiceName, Reason>,
    /// Services whose eviction failed in this run: they are stopped where their memory is needed.
    pub not_evicted: BTreeSet<ServiceName>,
    /// Services whose update in place failed in this run: they are recreated.
    pub not_updated: BTreeSet<ServiceName>,
    /// Memory that the plan being applied gives to others: on these GPUs the services count as measured.
    pub given_back: BTreeSet<(ServiceName, GpuId)>,
    /// Services that this run has stopped or started already: for [`Purpose::Restart`], they only have to be up; for
    /// [`Purpose::Start`], a job among them has run.
    pub restarted: BTreeSet<ServiceName>,
    /// Reason why running services are left unchanged: a manifest in a different folder manages the project.
    pub other_checkout: Option<String>,
    pub purpose: Purpose,
}

impl Request {
    /// Returns the reason to leave running services as they are; actions that an operator names are taken all the same.
    #[must_use]
    pub fn keeps_running(&self) -> Option<&str> {
        match self.purpose {
            Purpose::Apply | Purpose::Start => self.other_checkout.as_deref(),
            Purpose::Down | Purpose::Stop | Purpose::Restart => None,
        }
    }
}

/// Options that a plan stores, so that they are used again when the plan is applied.
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(amount: &Mebibytes) -> bool {
    *amount == Mebibytes::ZERO
}

/// Purpose of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Starts wanted services, stops the others.
    #[default]
    Apply,
    /// Stops every service of the project and removes the containers that lcm created.
    Down,
    /// Starts the targets and what they depend on; stops others only to free what these need.
    Start,
    /// Stops the targets, and running services that depend on them.
    Stop,
    /// Stops and starts the targets, and services that depend on them with `restart: true`.
    Restart,
}

impl Purpose {
    /// Returns true if the plan covers its targets alone, in any mode.
    #[must_use]
    pub fn is_one_shot(self) -> bool {
        match self {
            Self::Apply | Self::Down => false,
            Self::Start | Self::Stop | Self::Restart => true,
        }
    }
}

/// A plan: the steps to take, and the reason for each service that is left unchanged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    pub project: ProjectName,
    /// Active mode; the names of several modes are sorted and joined by `+`. `null` if the manifest has no modes.
    pub mode: Option<ModeSet>,
    /// Names of the active modes.
    #[serde(default)]
    pub modes: Vec<ModeName>,
    pub goals: Vec<GoalName>,
    /// Command-line options that restricted or extended the plan; absent if there were none.
    #[serde(default, skip_serializing_if = "SavedRequest::is_nothing")]
    pub request: SavedRequest,
    pub host: String,
    /// Digests of the host's ids, which distinguish it from another host with the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_identity: Option<HostIdentity>,
    /// Address and version of the container engine, if one was queried.
    pub engine: Option<String>,
    #[schemars(with = "String")]
    pub observed_at: Timestamp,
    pub placement: Placement,
    /// True if there is anything to do.
    pub changes: bool,
    pub steps: Vec<Step>,
    pub kept: Vec<Kept>,
    pub blocked: Vec<Blocked>,
    /// Running services outside the mode that keep running until all wanted services can start; absent if there are
    /// none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Left>,
    pub held: Vec<Held>,
    /// Pending hook and notifier calls: earlier runs recorded them, but did not make them; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingLine>,
    pub orphans: Vec<OrphanLine>,
    /// Networks that the plan creates or removes, or that stay though no service needs them; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkLine>,
    /// Processes and containers that carry this project's marks without proof that they belong to it; absent if there
    /// are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claimed: Vec<ClaimFact>,
    /// Jobs of the manifest whose state is known; absent if there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub jobs: BTreeMap<ServiceName, JobStatus>,
    pub gpus: Vec<GpuLine>,
    /// Host memory; present only if a service declares `ram` or a GPU uses the host's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryLine>,
    /// Running services that released GPU memory and are not woken by this plan: the plan counts their measured memory
    /// instead of the larger declared one; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_back: Vec<GivenBack>,
    /// Services whose earlier restart attempts no longer count, because they have been healthy for long enough or have
    /// a different spec now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recovered: Vec<ServiceName>,
    pub warnings: Vec<String>,
}

impl Plan {
    #[must_use]
    pub fn empty(project: ProjectName, host: impl Into<String>, observed_at: Timestamp) -> Self {
        Self {
            format: FORMAT.to_owned(),
            project,
            mode: None,
            modes: Vec::new(),
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
            networks: Vec::new(),
            claimed: Vec::new(),
            jobs: BTreeMap::new(),
            gpus: Vec::new(),
            memory: None,
            given_back: Vec::new(),
            recovered: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Returns the pending calls that an apply of this plan settles.
    pub fn settled(&self) -> impl Iterator<Item = &PendingLine> {
        self.pending.iter().filter(|line| line.status != PendingStatus::Waiting)
    }

    /// Returns true if an apply of this plan changes nothing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.steps.is_empty()
            && self.pending.iter().all(|line| line.status != PendingStatus::Due)
            && !self.networks.iter().any(NetworkLine::is_removable)
    }

    #[must_use]
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// No better placement of the services on the GPUs exists.
    Optimal,
    /// The placement is valid, but a better one may exist: the search was cut short.
    Bounded,
}

/// One action on one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Action and service, such as `stop:ollama`. A service has at most one step per action.
    pub id: StepId,
    pub service: ServiceName,
    pub action: Action,
    /// States that the service goes through, beginning with the current one.
    pub route: Vec<State>,
    /// Steps that must succeed before this one begins.
    pub needs: Vec<StepId>,
    pub gpus: Vec<GpuId>,
    /// Memory on each of `gpus`, in MiB: taken by a start, a wake, a scale-up or a rolling update; freed by a stop, an
    /// eviction or a scale-down.
    pub vram_mib: Mebibytes,
    /// Memory on each GPU where the amount differs from `vram_mib`; absent if the amount is the same on all of `gpus`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub uneven_mib: BTreeMap<GpuId, Mebibytes>,
    /// Host memory, in MiB, that the step takes or frees, with the memory on GPUs that use the host's; absent if it is
    /// zero.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ram_mib: Mebibytes,
    /// Change in the number of copies (replicas), for a scaling, a rolling update, or a start of several copies; absent
    /// otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<CopiesChange>,
    /// Set for the start of a job; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobStep>,
    pub reason: Reason,
    pub expect: Expect,
    /// Hash of the spec; a start writes it into the marks of the new instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<String>,
    /// Change in the resolved spec, as a unified diff with secrets masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// Estimate from earlier runs, in milliseconds: a stop until its memory is free, a start until it is healthy.
    pub estimate_ms: Option<u64>,
}

/// State that the service must have when the step begins; in any other state, the step is stale and not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The instance that was observed; `null` if there was none.
    pub instance: Option<Instance>,
    pub state: State,
}

/// A service that is left unchanged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    pub service: ServiceName,
    pub state: State,
    /// Reason why the service is left unchanged, as a sentence.
    pub message: String,
}

/// A service or orphan for which a needed change can't be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blocked {
    pub service: ServiceName,
    pub reason: Reason,
}

/// A running service outside the mode that keeps running until all wanted services can start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Left {
    pub service: ServiceName,
    pub state: State,
    /// Blocked services for which it waits.
    pub waits_for: Vec<ServiceName>,
    /// Reason why the service keeps running, as a sentence.
    pub message: String,
}

/// A service that lcm does not change because an operator holds it, or does not start because its restart budget is
/// used up or its next attempt is not due yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Held {
    pub service: ServiceName,
    pub reason: Reason,
    pub by: Option<String>,
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
}

/// A pending hook or notifier call: an earlier run recorded it, but did not make it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PendingLine {
    /// Key of the call's record in lcm's store.
    pub id: u64,
    pub service: ServiceName,
    /// Id of the run that recorded the call.
    pub run: String,
    #[schemars(with = "String")]
    pub since: Timestamp,
    pub status: PendingStatus,
    /// The call and the reason for its status, as a sentence.
    pub message: String,
}

/// Effect of an apply on a pending call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PendingStatus {
    /// The call is made.
    Due,
    /// The call is kept for a later run.
    Waiting,
    /// The call is dropped.
    Dropped,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrphanLine {
    pub service: ServiceName,
    pub instance: Instance,
    /// Container of the orphan, or its first process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<Claimant>,
    pub state: State,
    pub message: String,
}

/// A running service that released GPU memory and is not woken by this plan: the released memory is not reserved for
/// the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenBack {
    pub service: ServiceName,
    pub gpu: GpuId,
    pub declared_mib: Mebibytes,
    /// Memory that the plan counts for the service on this GPU: the measured amount, in MiB.
    pub counts_mib: Mebibytes,
}

/// Memory of one GPU, in MiB: before the plan is applied, at its peak, and afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpuLine {
    pub id: GpuId,
    pub index: u32,
    pub capacity_mib: Mebibytes,
    pub reserve_mib: Mebibytes,
    pub foreign_mib: Mebibytes,
    /// Memory used by all processes together, in MiB, as the driver reports it; `null` if no driver measures it.
    #[serde(default)]
    pub measured_mib: Option<Mebibytes>,
    pub before_mib: Mebibytes,
    pub peak_mib: Mebibytes,
    pub after_mib: Mebibytes,
}

/// Memory of the host, in MiB: before the plan is applied, at its peak, and afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryLine {
    pub capacity_mib: Mebibytes,
    pub reserve_mib: Mebibytes,
    /// Memory in use that no counted service holds: other programs, and services without `ram`.
    pub foreign_mib: Mebibytes,
    /// Memory that is not available for starts, in MiB; `null` if it is unknown.
    pub measured_mib: Option<Mebibytes>,
    pub before_mib: Mebibytes,
    pub peak_mib: Mebibytes,
    pub after_mib: Mebibytes,
}
