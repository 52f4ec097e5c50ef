//! The document `lcm.status/2`, made of the desired state, the observed state and the records of a store.

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::budget::{self, Budget};
use crate::model::capacity::{GpuCapacity, HostCapacity};
use crate::model::claim::{ClaimFact, Claimant};
use crate::model::copies::Copies;
use crate::model::desired::{Desired, Goal, Service};
use crate::model::facts::Estimates;
use crate::model::holds::{HoldRecord, ModeOverride, author};
use crate::model::job::JobStatus;
use crate::model::lifecycle::State;
use crate::model::mode_set::ModeSet;
use crate::model::names::{GoalName, GpuId, ModeName, ProjectName, ServiceName};
use crate::model::observed::{Observed, ObservedGpu, ObservedService, Ownership};
use crate::model::rules::Case;
use crate::model::size::Mebibytes;
use crate::report::history::OpenRun;
use crate::report::status::address;
use crate::report::status::memory::{MemoryStatus, memory_status};

/// Version of the status's JSON.
pub const FORMAT: &str = "lcm.status/2";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Status {
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    pub project: ProjectName,
    /// Active mode; the names of several modes are sorted and joined by `+`. `null` if the manifest has no modes, or
    /// none is chosen.
    pub mode: Option<ModeSet>,
    /// Names of the active modes.
    #[serde(default)]
    pub modes: Vec<ModeName>,
    /// Mode override (`lcm switch`) that is in force; absent if the manifest or the command line sets the mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched: Option<HoldLine>,
    pub host: String,
    /// Address and version of the engine, if one was queried.
    pub engine: Option<String>,
    #[schemars(with = "String")]
    pub observed_at: Timestamp,
    pub services: Vec<ServiceLine>,
    /// Orphans: containers and processes that lcm started for this project, but whose services are not in the manifest.
    pub orphans: Vec<OrphanStatus>,
    /// Processes and containers that carry this project's marks without proof that they belong to it; absent if there
    /// are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claimed: Vec<ClaimFact>,
    pub gpus: Vec<GpuStatus>,
    /// Host memory; present only if a service declares `ram` or a GPU uses the host's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStatus>,
    pub goals: Vec<GoalLine>,
    /// Last completed run, whether or not it changed anything.
    pub last_run: Option<LastRun>,
    /// Run whose end is not recorded: it is in progress, or was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_run: Option<OpenRun>,
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceLine {
    pub name: ServiceName,
    pub runtime: String,
    /// State of the service; the best guess where `known` is false.
    pub state: State,
    pub known: bool,
    /// States that lcm may change the service to next, according to the lifecycle and the manifest's rules, at this
    /// time and in this mode.
    pub next: Vec<State>,
    /// True if lcm started the service, or adopted it: as an existing container (`container`), by a `pid_file`, or with
    /// `lcm adopt`.
    pub owned: bool,
    pub operational: bool,
    pub available: bool,
    pub priority: i64,
    pub gpus: Vec<GpuId>,
    /// Declared GPU memory on each of the service's GPUs, in MiB.
    pub vram_declared_mib: Mebibytes,
    /// Measured GPU memory on each of the service's GPUs, in MiB; `null`: the driver does not report it.
    pub vram_measured_mib: Option<Mebibytes>,
    /// Declared host memory, in MiB; absent if the service declares none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram_declared_mib: Option<Mebibytes>,
    /// Measured host memory of the service's processes, in MiB; absent if it is not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram_measured_mib: Option<Mebibytes>,
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    pub reason: String,
    /// First process of a running service; `null` for a container and for a service that does not run.
    #[serde(default)]
    pub pid: Option<i32>,
    /// Short id of the container of a running service; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Local URL of a running service, without a path: of its health probe, or of its first port. A port whose protocol
    /// is not known has the scheme `tcp`. `null` if no port is known, or the service does not run.
    #[serde(default)]
    pub url: Option<String>,
    /// Copies (replicas) of the service; absent if there is one copy, ready and up to date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<Copies>,
    /// Hold of an operator; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldLine>,
    /// State of the job; absent if the service is no job, or if its state is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobStatus>,
    /// Restart attempts; absent if there were none, or if they no longer count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetLine>,
    pub estimates: EstimatesLine,
}

#[cfg(test)]
impl ServiceLine {
    /// Returns a known service of lcm's own without further details.
    pub(in crate::report) fn plain(name: &str, state: State) -> Self {
        Self {
            name: name.into(),
            runtime: "process".to_owned(),
            state,
            known: true,
            next: Vec::new(),
            owned: true,
            operational: state.is_operational(),
            available: state.is_available(),
            priority: 0,
            gpus: Vec::new(),
            vram_declared_mib: Mebibytes::ZERO,
            vram_measured_mib: None,
            ram_declared_mib: None,
            ram_measured_mib: None,
            since: None,
            reason: String::new(),
            pid: None,
            container: None,
            url: None,
            copies: None,
            hold: None,
            job: None,
            budget: None,
            estimates: EstimatesLine::default(),
        }
    }
}

/// Restart budget of a service, and how much of it is used up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetLine {
    pub attempts: u32,
    pub spent: u32,
    #[schemars(with = "String")]
    pub last_at: Timestamp,
    /// True if lcm does not start the service for now, because the next attempt is not due or there is no automatic
    /// attempt.
    pub held: bool,
    /// Time of the next attempt. `null` means: if `held` is false, the next attempt can be made at once; if `held` is
    /// true, there is no automatic attempt.
    #[schemars(with = "Option<String>")]
    pub due: Option<Timestamp>,
}

/// Hold or mode override of an operator, in force until it is released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldLine {
    /// Kind of the hold: `maintain`, `suspend`, `terminate` or `switch`.
    #[serde(rename = "hold")]
    pub kind: String,
    pub by: String,
    #[schemars(with = "String")]
    pub since: Timestamp,
    pub reason: Option<String>,
}

impl HoldLine {
    /// Returns `kim at 2026-11-21T14:02:05Z, reason: rendering`.
    pub(super) fn author(&self) -> String {
        author(&self.by, self.since, self.reason.as_deref())
    }

    pub(in crate::report) fn of_switch(switched: &ModeOverride) -> Self {
        let ModeOverride { mode: _, entry: _, own_mode: _, by, since, reason } = switched;
        Self { kind: "switch".to_owned(), by: by.clone(), since: *since, reason: reason.clone() }
    }

    fn of(said: &HoldRecord) -> Self {
        let HoldRecord { kind: word, by, since, reason, metadata: _ } = said;
        Self { kind: word.to_string(), by: by.clone(), since: *since, reason: reason.clone() }
    }
}

/// Estimates from earlier runs of the service; `null`: not measured yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EstimatesLine {
    /// Milliseconds from the start request until the service is healthy.
    pub ready_ms: Option<u64>,
    /// Milliseconds from the stop request until the service's memory is free.
    pub stopped_ms: Option<u64>,
    /// Most memory that the service has used on one GPU, in MiB.
    pub vram_mib: Option<Mebibytes>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OrphanLine")]
pub struct OrphanStatus {
    pub name: ServiceName,
    /// Container of the orphan, or its first process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<Claimant>,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GpuLine")]
pub struct GpuStatus {
    pub id: GpuId,
    pub index: u32,
    pub name: String,
    pub capacity_mib: Mebibytes,
    pub reserve_mib: Mebibytes,
    /// Foreign memory: used by processes that do not belong to this manifest, in MiB.
    pub foreign_mib: Mebibytes,
    /// Names of the programs that use foreign memory.
    pub foreign_holders: Vec<String>,
    /// Memory declared by the services and orphans that run on the GPU, in MiB.
    pub declared_mib: Mebibytes,
    /// Memory in use by all processes together, as measured by the driver, in MiB; `null`: not measured.
    pub measured_mib: Option<Mebibytes>,
    /// Memory that counts as used, in MiB: foreign memory plus, for each running service, the larger of declared and
    /// measured memory; for an evicted service, the memory that it may keep.
    pub used_mib: Mebibytes,
    /// Memory that is free for further services, in MiB.
    pub free_mib: Mebibytes,
    /// True if the GPU is known only from the manifest, not from a driver.
    pub declared: bool,
    /// Reason why the GPU can't be used any more, such as having fallen off the bus; `null` if it can.
    pub lost: Option<String>,
    /// Reason why the GPU can't be read for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoalLine {
    pub name: GoalName,
    /// True if the mode names the goal, or it was requested.
    pub active: bool,
    /// True if all services that the goal needs are operational, and its jobs are done.
    pub met: bool,
    pub priority: i64,
    pub services: Vec<ServiceName>,
}

/// Last apply or down that changed something or failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LastRun {
    pub command: String,
    pub by: String,
    #[schemars(with = "String")]
    pub ended_at: Timestamp,
    /// End of the run: `completed`, `interrupted`, `terminated`, `hung_up` or `killed`.
    #[serde(default = "completed")]
    pub end: String,
    pub exit_code: u8,
    pub first_error: Option<String>,
}

fn completed() -> String {
    "completed".to_owned()
}

impl Status {
    #[must_use]
    pub fn of(desired: &Desired, observed: &Observed, headroom: &HostCapacity, last_run: Option<LastRun>) -> Self {
        let pairs =
            || desired.services.iter().filter_map(|(name, service)| Some((service, observed.services.get(name)?)));
        let warnings = observed.warnings.iter().cloned();
        let unread = [observed.gpus_unknown.as_ref(), observed.ports_unknown.as_ref()].into_iter().flatten().cloned();
        Self {
            format: FORMAT.to_owned(),
            project: desired.project.clone(),
            mode: desired.mode.clone(),
            modes: ModeSet::names(desired.mode.as_ref()),
            switched: None,
            host: observed.host.clone(),
            engine: observed.engine.clone(),
            observed_at: observed.observed_at,
            services: pairs()
                .map(|(service, seen)| service_line(desired, service, seen, observed.observed_at))
                .collect(),
            orphans: observed
                .orphans
                .iter()
                .map(|orphan| {
                    let carrier = orphan.carrier.clone();
                    OrphanStatus { name: orphan.service.clone(), carrier, state: orphan.state }
                })
                .collect(),
            claimed: observed.claimed.clone(),
            gpus: gpus(desired, observed, headroom),
            memory: memory_status(desired, observed, headroom),
            goals: goals(desired, observed),
            last_run,
            open_run: None,
            warnings: once(warnings.chain(unread)),
        }
    }

    /// Sets the mode override that is in force.
    #[must_use]
    pub fn switched_by(mut self, switched: Option<&ModeOverride>) -> Self {
        self.switched = switched.map(HoldLine::of_switch);
        self
    }

    /// Keeps only services in one of these states; an empty list keeps all.
    #[must_use]
    pub fn only(mut self, states: &[State]) -> Self {
        if !states.is_empty() {
            self.services.retain(|line| states.contains(&line.state));
            self.orphans.retain(|line| states.contains(&line.state));
        }
        self
    }
}

/// Removes repeated warnings, keeping the first of each.
fn once(warnings: impl Iterator<Item = String>) -> Vec<String> {
    let mut told = BTreeSet::new();
    warnings.filter(|warning| told.insert(warning.clone())).collect()
}

fn budget_line(service: &Service, seen: &ObservedService, now: Timestamp) -> Option<BudgetLine> {
    let counted = budget::counted(service, seen, now)?;
    let budget = Budget::of(service, seen, now);
    let due = match budget {
        Budget::Waits { due, .. } => Some(due),
        Budget::Spent { due, .. } => due,
        Budget::Open | Budget::Retry { .. } => None,
    };
    let (attempts, held) = (service.recover.attempts, budget.holds());
    Some(BudgetLine { attempts, spent: counted.count, last_at: counted.last_at, held, due })
}

fn service_line(desired: &Desired, service: &Service, seen: &ObservedService, now: Timestamp) -> ServiceLine {
    let case = Case { service: &service.name, mode: desired.mode.as_ref(), at: now };
    let known = seen.unknown.is_none();
    let owned = match &seen.ownership {
        Ownership::Ours | Ownership::Adopted => true,
        Ownership::Absent | Ownership::Missing { .. } | Ownership::Foreign { .. } | Ownership::Renamed { .. } => false,
    };
    let mut reason = seen.unknown.as_ref().map_or_else(|| seen.detail.clone(), |why| format!("unknown: {why}"));
    if let Ownership::Foreign { holder } = &seen.ownership
        && !reason.contains(holder)
    {
        reason = format!("{reason}; it belongs to {holder}");
    }
    if let Some(spent) = Budget::of(service, seen, now).sentence(service, now) {
        reason = format!("{reason}; {spent}");
    }
    let Estimates { ready_ms, stopped_ms, memory } = seen.estimates;
    ServiceLine {
        name: service.name.clone(),
        runtime: service.workload.runtime.as_str().to_owned(),
        state: seen.state,
        known,
        next: desired.rules.next(&case, seen.state).collect(),
        owned,
        operational: known && seen.state.is_operational(),
        available: known && seen.state.is_available(),
        priority: service.priority,
        gpus: seen.gpus.iter().cloned().collect(),
        vram_declared_mib: if seen.declared_by_gpu.is_some() { seen.declared(service) } else { service.vram_total() },
        vram_measured_mib: seen.measured_most(),
        ram_declared_mib: Some(service.ram_of(service.copies)).filter(|ram| *ram > Mebibytes::ZERO),
        ram_measured_mib: seen.ram_measured.filter(|_| service.ram > Mebibytes::ZERO),
        since: seen.since,
        reason,
        pid: seen.pid,
        container: address::short_id(seen),
        url: address::url(service, seen),
        copies: seen.copies_shown(),
        job: seen.job.as_deref().cloned(),
        budget: budget_line(service, seen, now),
        hold: seen.hold.as_deref().map(HoldLine::of),
        estimates: EstimatesLine { ready_ms, stopped_ms, vram_mib: memory },
    }
}

fn gpus(desired: &Desired, observed: &Observed, headroom: &HostCapacity) -> Vec<GpuStatus> {
    let lines = headroom.gpus.iter().filter_map(|(id, headroom)| Some((id, observed.gpus.get(id)?, headroom)));
    let mut lines: Vec<GpuStatus> =
        lines.map(|(id, gpu, headroom)| gpu_line(desired, observed, (id, gpu), headroom)).collect();
    lines.sort_by(|a, b| a.index.cmp(&b.index).then_with(|| a.id.cmp(&b.id)));
    lines
}

fn gpu_line(
    desired: &Desired,
    observed: &Observed,
    (id, gpu): (&GpuId, &ObservedGpu),
    headroom: &GpuCapacity,
) -> GpuStatus {
    let services = desired.services.iter().filter_map(|(name, service)| Some((service, observed.services.get(name)?)));
    let services = services.filter(|(_, seen)| seen.holds_capacity && seen.gpus.contains(id));
    let orphans = observed.orphans.iter().filter(|orphan| orphan.holds_capacity() && orphan.gpus.contains(id));
    let declared =
        services.map(|(service, seen)| seen.declared_on(service, id)).chain(orphans.map(|orphan| orphan.vram)).sum();
    let used = gpu.foreign + headroom.holders.iter().map(|held| held.counts).sum();
    GpuStatus {
        id: id.clone(),
        index: gpu.index,
        name: gpu.name.clone(),
        capacity_mib: gpu.capacity,
        reserve_mib: desired.reserve,
        foreign_mib: gpu.foreign,
        foreign_holders: gpu.foreign_holders.clone(),
        declared_mib: declared,
        measured_mib: gpu.used,
        used_mib: used,
        free_mib: if gpu.unusable().is_some() { Mebibytes::ZERO } else { gpu.capacity - desired.reserve - used },
        declared: gpu.used.is_none() && gpu.unusable().is_none(),
        lost: gpu.lost.clone(),
        unreadable: gpu.unreadable.clone(),
    }
}

fn goals(desired: &Desired, observed: &Observed) -> Vec<GoalLine> {
    let active = desired.active_goals();
    let lines = desired.goals.iter().map(|(name, goal)| {
        let services = needed(desired, goal);
        let operational = |service: &ServiceName| {
            let stands = |seen: &ObservedService| seen.state.is_operational() || seen.is_done_job();
            observed.services.get(service).is_some_and(|seen| seen.unknown.is_none() && stands(seen))
        };
        GoalLine {
            name: name.clone(),
            active: active.contains(name),
            met: services.iter().all(operational),
            priority: goal.priority,
            services: services.into_iter().collect(),
        }
    });
    lines.collect()
}

/// Returns the services that the goal names, or that have one of its phases.
pub(in crate::report) fn needed(desired: &Desired, goal: &Goal) -> BTreeSet<ServiceName> {
    let of_phase = desired.services.values().filter(|service| !service.phases.is_disjoint(&goal.phases));
    goal.services.iter().cloned().chain(of_phase.map(|service| service.name.clone())).collect()
}
