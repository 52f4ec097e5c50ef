//! Running services that gave GPU memory back and lack it now: the memory that each lacks, the decision to wake it, and
//! the plan's record of those that are not woken.
//!
//! Not here: which services count as measured, which `memory` decides.

use crate::model::desired::{GpuRequest, Service};
use crate::model::observed::{ObservedService, called};
use crate::model::plan::{GivenBack, Reason, ReasonCode};
use crate::model::size::Mebibytes;
use crate::plan::decision::{Decision, Decisions};
use crate::plan::input::GpuIndex;
use crate::plan::judge::context::PlanContext;
use crate::plan::numbers::Number;
use crate::plan::reason::reason;

/// Tenths of its declared memory with which a service has its memory: declared sizes are round figures.
const HELD_TENTHS: u64 = 9;

/// GPUs on which a service lacks declared memory, with the amount; empty where it has its memory, or where that memory
/// is still free for it.
pub(crate) fn lacks(context: &PlanContext<'_>, number: Number) -> Vec<(GpuIndex, Mebibytes)> {
    let (service, seen) = (context.input.service(number), context.input.seen(number));
    // A service that selected another GPU than its own holds its memory there.
    let all = seen.measured.iter().flatten().map(|(_, held)| *held).sum();
    if has_its_memory(all, declared_on_all(service, seen)) {
        return Vec::new();
    }
    let declared = |gpu: GpuIndex| seen.declared_on(service, context.input.gpu_id(gpu));
    let here = context.lowered(number).iter();
    let here = here.filter(|lowered| !has_its_memory(lowered.measured, declared(lowered.gpu)));
    here.map(|lowered| (lowered.gpu, declared(lowered.gpu) - lowered.measured)).collect()
}

fn has_its_memory(held: Mebibytes, declared: Mebibytes) -> bool {
    held.0.saturating_mul(10) >= declared.0.saturating_mul(HELD_TENTHS)
}

/// GPU memory that a service declares on all GPUs that it was placed on.
fn declared_on_all(service: &Service, seen: &ObservedService) -> Mebibytes {
    let Some(amounts) = &seen.declared_by_gpu else {
        return Mebibytes(seen.declared(service).0.saturating_mul(placed_on(service, seen)));
    };
    amounts.keys().map(|gpu| seen.declared_on(service, gpu)).sum()
}

/// Number of GPUs that the service was placed on.
fn placed_on(service: &Service, seen: &ObservedService) -> u64 {
    let count = match (&seen.marks, &service.gpu) {
        (Some(marks), _) => marks.placed_on().count(),
        (None, GpuRequest::None) => 0,
        (None, GpuRequest::Auto | GpuRequest::Any(_)) => 1,
        (None, GpuRequest::All(refs)) => refs.len(),
        (None, GpuRequest::Count(count)) => *count as usize,
    };
    count as u64
}

/// Decision for a wanted service that matches the manifest but lacks memory; `None`: it lacks none.
pub(crate) fn wake(context: &PlanContext<'_>, number: Number, why: &Reason) -> Option<Decision> {
    let lacks = lacks(context, number);
    if lacks.is_empty() {
        return None;
    }
    let gpus = &context.input.observed.gpus;
    let unreadable = context.input.seen(number).gpus.iter().find_map(|id| gpus.get(id)?.unusable());
    if let Some(unreadable) = unreadable {
        let message = format!("{}; one of its GPUs can't be used for now: {unreadable}", sentence(context, number));
        return Some(Decision::Blocked(reason(ReasonCode::Unknown, message, None)));
    }
    let message = format!("{}; {}", sentence(context, number), why.message);
    Some(Decision::Wake(reason(ReasonCode::MemoryGivenBack, message, why.by.clone())))
}

/// `it runs, but gave 19 456 of its 20 480 MiB on GPU 0 back, and others have taken that since`.
pub(crate) fn sentence(context: &PlanContext<'_>, number: Number) -> String {
    let input = &context.input;
    let parts = lacks(context, number).into_iter().map(|(gpu, amount)| {
        let declared = input.seen(number).declared_on(input.service(number), input.gpu_id(gpu));
        let called = called(&input.observed.gpus, input.gpu_id(gpu));
        let amount = amount.to_string();
        format!("{} of its {declared} on {called}", amount.trim_end_matches(" MiB"))
    });
    let is_taken = context.lowered(number).iter().any(|lowered| lowered.is_taken);
    let since = if is_taken { "others have taken that since" } else { "was not woken since lcm evicted it" };
    format!("it is running, but gave back {}, and {since}", parts.collect::<Vec<_>>().join(" and "))
}

/// Services that count as measured and are not woken by these decisions: the memory that they gave back is not reserved
/// for them.
pub(crate) fn given_away(context: &PlanContext<'_>, decisions: &Decisions) -> Vec<GivenBack> {
    let input = &context.input;
    let not_woken = context.all_lowered().iter().filter(|lowered| !decisions.0[lowered.number].wakes());
    not_woken
        .map(|lowered| GivenBack {
            service: input.name(lowered.number).clone(),
            gpu: input.gpu_id(lowered.gpu).clone(),
            declared_mib: input
                .seen(lowered.number)
                .declared_on(input.service(lowered.number), input.gpu_id(lowered.gpu)),
            counts_mib: lowered.measured,
        })
        .collect()
}
