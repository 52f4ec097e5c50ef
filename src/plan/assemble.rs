//! Assembly of a plan around its steps: services kept, blocked, held and orphaned, the GPUs, and the warnings.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::desired::OrphanPolicy;
use crate::model::job::JobStatus;
use crate::model::mode_set::ModeSet;
use crate::model::names::{GpuId, ServiceName};
use crate::model::network::NetworkLine;
use crate::model::observed::{ObservedService, called};
use crate::model::plan::{
    Blocked, FORMAT, GpuLine, Held, Kept, MemoryLine, OrphanLine, PendingStatus, Placement, Plan, ReasonCode,
    SavedRequest, Step,
};
use crate::model::size::Mebibytes;
use crate::model::step::MemoryPool;
use crate::plan::decision::{Decision, Decisions};
use crate::plan::flow::Flow;
use crate::plan::input::PlanInput;
use crate::plan::judge::context::PlanContext;
use crate::plan::judge::protected::by_rule;
use crate::plan::judge::{drift, given_back, left_running, orphans, recover};
use crate::plan::{networks, pending, selection};

const HOST_NOT_MEASURED: &str = "host memory in use is not measured; using the sizes in the manifest";
const HOST_NOT_READ: &str =
    "host memory was not read; the sizes in the manifest are shown, but not compared with the host's memory";
const NOT_MEASURED: &str = "GPU memory is not measured: no GPU driver found; using the sizes in the manifest";

/// Returns the plan of these decisions and steps.
pub(super) fn assemble(
    context: &PlanContext<'_>,
    decisions: Decisions,
    placement: Placement,
    steps: Vec<Step>,
) -> Plan {
    let input = &context.input;
    let flow = Flow::new(&steps);
    let (gpus, memory) = (gpu_lines(context, &flow, &steps), memory_line(context, &flow, &steps));
    let given_back = given_back::given_away(context, &decisions);
    let left = left_running::lines(input, &decisions);
    let pending = pending::lines(input, &steps);
    let networks = networks::lines(input, &steps);
    let ServicesByOutcome { kept, blocked, held } = by_outcome(input, decisions);
    Plan {
        format: FORMAT.to_owned(),
        project: input.desired.project.clone(),
        mode: input.desired.mode.clone(),
        modes: ModeSet::names(input.desired.mode.as_ref()),
        goals: input.desired.active_goals().into_iter().collect(),
        request: SavedRequest::of(input.request),
        host: input.observed.host.clone(),
        host_identity: input.observed.host_identity.clone(),
        engine: input.observed.engine.clone(),
        observed_at: input.observed.observed_at,
        placement,
        changes: !steps.is_empty()
            || pending.iter().any(|line| line.status == PendingStatus::Due)
            || networks.iter().any(NetworkLine::is_removable),
        kept,
        blocked,
        left,
        held,
        pending,
        orphans: orphans(input),
        networks,
        claimed: input.observed.claimed.clone(),
        jobs: jobs(input),
        given_back,
        recovered: recover::recovered(input),
        warnings: warnings(input, (&gpus, memory.as_ref()), &steps),
        gpus,
        memory,
        steps,
    }
}

/// Jobs whose state is known.
fn jobs(input: &PlanInput<'_>) -> BTreeMap<ServiceName, JobStatus> {
    let status = |(name, seen): (&ServiceName, &ObservedService)| Some((name.clone(), (**seen.job.as_ref()?).clone()));
    input.observed.services.iter().filter_map(status).collect()
}

/// Services to list beside the steps; some are stopped too.
#[derive(Default)]
struct ServicesByOutcome {
    kept: Vec<Kept>,
    blocked: Vec<Blocked>,
    held: Vec<Held>,
}

fn by_outcome(input: &PlanInput<'_>, decisions: Decisions) -> ServicesByOutcome {
    let mut services = ServicesByOutcome::default();
    for (number, decision) in decisions.0.into_iter().enumerate() {
        let service = || input.name(number).clone();
        match decision {
            // Listed under `left`, with the services that it waits for.
            Decision::Leave(_) if input.wants.left_running.contains_key(&number) => {}
            Decision::Leave(message) => {
                services.kept.push(Kept { service: service(), state: input.summary(number).state, message });
            }
            Decision::Blocked(reason) => services.blocked.push(Blocked { service: service(), reason }),
            Decision::Preempt { blocked, .. } => {
                services.blocked.push(Blocked { service: service(), reason: *blocked });
            }
            Decision::Held(reason) | Decision::GiveUp(reason) => {
                let hold = input.seen(number).hold.as_ref().filter(|_| is_hold(reason.code));
                let since = hold.map(|hold| hold.since).or_else(|| recover::since(input, number, &reason));
                services.held.push(Held { service: service(), reason, by: hold.map(|hold| hold.by.clone()), since });
            }
            Decision::Start { .. }
            | Decision::Await(_)
            | Decision::Wake(_)
            | Decision::Recreate { .. }
            | Decision::Stop(_)
            | Decision::Pause(_)
            | Decision::Update(_)
            | Decision::Roll(_)
            | Decision::ScaleUp(_)
            | Decision::ScaleDown(_)
            | Decision::Unpause(_)
            | Decision::Evict(_) => {}
        }
    }
    services.blocked.extend(protected_orphans(input));
    services
}

/// Orphans that should be stopped, but that a rule protects.
fn protected_orphans(input: &PlanInput<'_>) -> impl Iterator<Item = Blocked> {
    let due = input.observed.orphans.iter().filter(|orphan| orphans::should_stop(input, orphan));
    due.filter_map(|orphan| {
        let why = orphans::protection(input, orphan)?;
        let message = format!("it should be stopped (not in the manifest), but can't be: {why}");
        Some(Blocked { service: orphan.service.clone(), reason: by_rule(message) })
    })
}

/// Returns true if the code is that of an operator's hold.
fn is_hold(code: ReasonCode) -> bool {
    matches!(code, ReasonCode::Maintenance | ReasonCode::Suspended | ReasonCode::Terminated)
}

fn orphans(input: &PlanInput<'_>) -> Vec<OrphanLine> {
    let lines = input.observed.orphans.iter().map(|orphan| {
        let held = || match &orphan.hold {
            Some(hold) => {
                let (kind, whom, name) = (hold.kind, hold.attribution(), &orphan.service);
                format!("held by `lcm {kind}` ({whom}); `lcm resume {name}` releases it")
            }
            None => "left as it is: operator holds can't be read".to_owned(),
        };
        let message = match (orphans::stops(input, orphan), input.desired.orphans) {
            (false, _) if !orphans::may_stop(input, orphan) => held(),
            (true, _) => "this plan stops it".to_owned(),
            (false, _) if orphans::should_stop(input, orphan) => "a rule keeps it from being stopped".to_owned(),
            (false, OrphanPolicy::Report) => "only reported; `lcm apply --prune` stops and removes it".to_owned(),
            (false, OrphanPolicy::Stop) => "left as it is".to_owned(),
        };
        OrphanLine {
            service: orphan.service.clone(),
            instance: orphan.instance.clone(),
            carrier: orphan.carrier.clone(),
            state: orphan.state,
            message: orphan.carrier.as_ref().map_or_else(|| message.clone(), |carrier| format!("{carrier}; {message}")),
        }
    });
    lines.collect()
}

fn gpu_lines(context: &PlanContext<'_>, flow: &Flow<'_>, steps: &[Step]) -> Vec<GpuLine> {
    let takes = amounts(steps, Step::takes_on);
    let frees = amounts(steps, Step::frees_on);
    let of = |amounts: &BTreeMap<&GpuId, Mebibytes>, gpu| amounts.get(gpu).copied().unwrap_or_default();
    let mut lines: Vec<GpuLine> = context
        .input
        .observed
        .gpus
        .iter()
        .zip(context.taken())
        .map(|((id, gpu), taken)| {
            let before = gpu.foreign + taken;
            GpuLine {
                id: id.clone(),
                index: gpu.index,
                capacity_mib: gpu.capacity,
                reserve_mib: context.input.desired.reserve,
                foreign_mib: gpu.foreign,
                measured_mib: gpu.used,
                before_mib: before,
                peak_mib: before + flow.worst_addition(MemoryPool::Gpu(id)),
                after_mib: before + of(&takes, id) - of(&frees, id),
            }
        })
        .collect();
    lines.sort_by(|a, b| (a.index, &a.id).cmp(&(b.index, &b.id)));
    lines
}

/// Line of the host's memory; `None`: the plan does not count it, or it is not known.
fn memory_line(context: &PlanContext<'_>, flow: &Flow<'_>, steps: &[Step]) -> Option<MemoryLine> {
    let memory = context.input.memory()?;
    let before = memory.foreign + context.host_taken();
    let sum = |of: fn(&Step, MemoryPool<'_>) -> Mebibytes| steps.iter().map(|step| of(step, MemoryPool::Host)).sum();
    let (takes, frees): (Mebibytes, Mebibytes) = (sum(Step::takes_from), sum(Step::frees_in));
    Some(MemoryLine {
        capacity_mib: memory.capacity,
        reserve_mib: context.input.desired.host_reserve,
        foreign_mib: memory.foreign,
        measured_mib: memory.used,
        before_mib: before,
        peak_mib: before + flow.worst_addition(MemoryPool::Host),
        after_mib: before + takes - frees,
    })
}

/// Returns the memory of all steps on each GPU, in MiB as `of` counts it.
fn amounts(steps: &[Step], of: impl Fn(&Step, &GpuId) -> Mebibytes) -> BTreeMap<&GpuId, Mebibytes> {
    let mut amounts: BTreeMap<&GpuId, Mebibytes> = BTreeMap::new();
    for step in steps {
        for gpu in &step.gpus {
            *amounts.entry(gpu).or_default() += of(step, gpu);
        }
    }
    amounts
}

fn warnings(input: &PlanInput<'_>, (gpus, memory): (&[GpuLine], Option<&MemoryLine>), steps: &[Step]) -> Vec<String> {
    let mut warnings = input.observed.warnings.clone();
    warnings.extend(drift::warnings(input));
    warnings.extend(selection::left_out(input));
    warnings.extend(input.request.other_checkout.clone());
    // Nothing starts on an unusable GPU anyway, and its own warning gives the reason.
    let is_usable = |id: &GpuId| input.observed.gpus.get(id).is_some_and(|gpu| gpu.unusable().is_none());
    let overcommitted = |gpu: &&GpuLine| gpu.before_mib + gpu.reserve_mib > gpu.capacity_mib && is_usable(&gpu.id);
    for gpu in gpus.iter().filter(overcommitted) {
        warnings.push(format!(
            "{} is overcommitted: {} in use plus a reserve of {} exceed its {}; nothing starts there until memory is freed",
            called(&input.observed.gpus, &gpu.id),
            gpu.before_mib,
            gpu.reserve_mib,
            gpu.capacity_mib
        ));
    }
    let declared =
        |id: &GpuId| input.observed.gpus.get(id).is_some_and(|gpu| gpu.used.is_none() && gpu.unusable().is_none());
    if steps.iter().any(|step| step.vram_mib > Mebibytes::ZERO && step.gpus.iter().any(declared)) {
        warnings.push(NOT_MEASURED.to_owned());
    }
    warnings.extend(about_host_memory(input, memory, steps));
    once(warnings)
}

fn about_host_memory(input: &PlanInput<'_>, memory: Option<&MemoryLine>, steps: &[Step]) -> Option<String> {
    match memory {
        Some(line) if line.before_mib + line.reserve_mib > line.capacity_mib => Some(format!(
            "host memory is overcommitted: {} in use plus a reserve of {} exceed its {}; no service that needs some \
             starts until memory is freed",
            line.before_mib, line.reserve_mib, line.capacity_mib
        )),
        Some(line) if line.measured_mib.is_some() => None,
        Some(_) => Some(HOST_NOT_MEASURED.to_owned()),
        None => {
            let is_needed = steps.iter().any(|step| step.ram_mib > Mebibytes::ZERO);
            (is_needed && input.observed.memory.unknown().is_none()).then(|| HOST_NOT_READ.to_owned())
        }
    }
}

/// Removes repeated warnings; the first of each stays.
fn once(warnings: Vec<String>) -> Vec<String> {
    let mut known = BTreeSet::new();
    warnings.into_iter().filter(|warning| known.insert(warning.clone())).collect()
}
