//! Audit of memory: no order of the steps overcommits a GPU or the host, each start takes what its service declares, and
//! nothing starts or frees memory beside a service that loads alone. Shares no code with placement or the ledger.

use std::collections::BTreeSet;

use crate::model::desired::{Desired, Service};
use crate::model::lifecycle::{Action, State};
use crate::model::names::GpuId;
use crate::model::observed::{Observed, ObservedService};
use crate::model::plan::{Plan, Step};
use crate::model::size::Mebibytes;
use crate::model::step::MemoryPool;
use crate::model::vram::{in_visible_order, vram_on_each};
use crate::plan::flow::Flow;

/// One memory of the plan, with its bounds.
struct PoolBounds<'a> {
    of: MemoryPool<'a>,
    /// Name within a sentence.
    name: String,
    /// Name at the beginning of a finding.
    title: String,
    before: Mebibytes,
    peak: Mebibytes,
    reserve: Mebibytes,
    capacity: Mebibytes,
}

/// Lists the faults of the plan's memory.
pub(super) fn faults(plan: &Plan, desired: &Desired, observed: &Observed) -> Vec<String> {
    let mut findings = Vec::new();
    let flow = Flow::new(&plan.steps);
    for line in &plan.gpus {
        let Some(gpu) = observed.gpus.get(&line.id) else {
            findings.push(format!("GPU {} is not observed", line.id));
            continue;
        };
        let name = format!("GPU {}", line.index);
        let pool = PoolBounds {
            of: MemoryPool::Gpu(&line.id),
            title: name.clone(),
            name,
            before: line.before_mib,
            peak: line.peak_mib,
            reserve: desired.reserve,
            capacity: gpu.capacity,
        };
        pool.faults(&flow, &mut findings);
    }
    if let Some(line) = &plan.memory {
        match observed.memory.known() {
            Some(memory) => {
                let pool = PoolBounds {
                    of: MemoryPool::Host,
                    name: "the host".to_owned(),
                    title: "host memory".to_owned(),
                    before: line.before_mib,
                    peak: line.peak_mib,
                    reserve: desired.host_reserve,
                    capacity: memory.capacity,
                };
                pool.faults(&flow, &mut findings);
            }
            None => findings.push("host memory is not observed".to_owned()),
        }
    }
    for step in &plan.steps {
        for gpu in step.gpus.iter().filter(|gpu| !observed.gpus.contains_key(*gpu)) {
            findings.push(format!("{}: GPU {gpu} is not observed", step.id));
        }
        let both = desired.services.get(&step.service).zip(observed.services.get(&step.service));
        let Some((service, seen)) = both.filter(|_| step.action == Action::Start) else { continue };
        findings.extend(wrong_amounts(step, service, seen, observed));
    }
    findings
}

impl PoolBounds<'_> {
    fn faults(&self, flow: &Flow<'_>, findings: &mut Vec<String>) {
        let Self { title, name, before, reserve, capacity, .. } = self;
        let addition = flow.worst_addition(self.of);
        let peak = *before + addition;
        if addition.0 > 0 && peak + *reserve > *capacity {
            findings.push(format!("{title} may reach {peak}, with a reserve of {reserve} of {capacity}"));
        }
        let usable = *capacity - *reserve;
        // A memory may be overcommitted before the plan; but nothing starts on top of that.
        if *before > usable
            && let Some(added) = flow.worst_with_a_start(self.of)
            && before.0.saturating_add_signed(added) > usable.0
        {
            findings.push(format!("a service may start on {name} while {title} is still overcommitted"));
        }
        if self.peak != peak {
            findings.push(format!("{title}: its peak is {peak}, not {}", self.peak));
        }
    }
}

/// Checks that a wait for a start that is under way takes no memory, and that the end of a job gives back at most what
/// it holds.
fn wrong_return(step: &Step, service: &Service, seen: &ObservedService, observed: &Observed) -> Option<String> {
    if step.job.is_none_or(|job| !job.frees_memory) {
        let takes_none = step.vram_mib == Mebibytes::ZERO && step.ram_mib == Mebibytes::ZERO;
        return (!takes_none).then(|| format!("{}: it has its memory already", step.id));
    }
    let is_unified = |id: &&GpuId| observed.gpus.get(*id).is_some_and(|gpu| gpu.is_unified);
    let on_host: Mebibytes = step.gpus.iter().filter(is_unified).map(|gpu| seen.memory_on(service, gpu)).sum();
    let is_too_much = step.gpus.iter().any(|gpu| step.vram_on(gpu) > seen.memory_on(service, gpu))
        || step.ram_mib > seen.ram(service) + on_host;
    is_too_much.then(|| format!("{}: its end gives back more memory than it holds", step.id))
}

/// Checks that a start takes exactly what its service declares, and a wait for one that is under way nothing.
fn wrong_amounts(step: &Step, service: &Service, seen: &ObservedService, observed: &Observed) -> Option<String> {
    if step.expect.state == State::Starting || step.is_await() {
        return wrong_return(step, service, seen, observed);
    }
    let copies = |one: Mebibytes| Mebibytes(one.0.saturating_mul(u64::from(service.copies)));
    let visible = in_visible_order(service, seen.gpu_request(service), step.gpus.clone(), &observed.gpus);
    let each: Vec<Mebibytes> = vram_on_each(service, &visible, &observed.gpus).into_iter().map(copies).collect();
    if visible != step.gpus || step.gpus.iter().zip(&each).any(|(gpu, amount)| step.vram_on(gpu) != *amount) {
        return Some(format!("{}: that is not the GPU memory that it declares", step.id));
    }
    let is_unified = |id: &GpuId| observed.gpus.get(id).is_some_and(|gpu| gpu.is_unified);
    let on_host = visible.iter().zip(&each).filter(|(id, _)| is_unified(id)).map(|(_, amount)| *amount);
    let host = copies(service.ram) + on_host.sum();
    (step.ram_mib != host).then(|| format!("{}: it declares {host} of host memory, not {}", step.id, step.ram_mib))
}

/// Lists the steps that may run while a service loads alone on one of their GPUs. `is_before`: the first step must have
/// succeeded before the second begins.
pub(super) fn beside_exclusive_starts(
    plan: &Plan,
    desired: &Desired,
    observed: &Observed,
    is_before: &dyn Fn(&Step, &Step) -> bool,
) -> Vec<String> {
    let mut findings = Vec::new();
    let is_exclusive = |step: &&Step| {
        step.action == Action::Start && desired.services.get(&step.service).is_some_and(|one| one.exclusive_start)
    };
    for alone in plan.steps.iter().filter(is_exclusive) {
        let own = loads_on(alone, observed);
        let is_awaited = alone.expect.state == State::Starting;
        for other in plan.steps.iter().filter(|other| other.id != alone.id) {
            let shares = loads_on(other, observed).intersection(&own).next().is_some();
            let is_apart = if other.frees_memory() {
                is_awaited || is_before(other, alone)
            } else if other.takes_memory() && !matches!(other.action, Action::Update if !other.is_rolling()) {
                is_before(other, alone) || is_before(alone, other)
            } else {
                true
            };
            if shares && !is_apart {
                findings.push(format!("{} may run while {} loads alone on its GPU", other.id, alone.service));
            }
        }
    }
    findings
}

/// GPUs of a step; those where the service runs, for the wait for a start that is under way.
fn loads_on<'a>(step: &'a Step, observed: &'a Observed) -> BTreeSet<&'a GpuId> {
    let awaited = step.action == Action::Start && step.expect.state == State::Starting;
    match observed.services.get(&step.service).filter(|_| awaited) {
        Some(seen) => seen.gpus.iter().collect(),
        None => step.gpus.iter().collect(),
    }
}
