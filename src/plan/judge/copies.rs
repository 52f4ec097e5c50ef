//! Copies of services whose runtime runs several: changes of their number, and updates that replace them one by one.
//! `place` decides whether their memory fits.

use crate::model::copies::{CopiesChange, number_of};
use crate::model::lifecycle::State;
use crate::model::names::GpuId;
use crate::model::plan::{Reason, ReasonCode};
use crate::model::size::Mebibytes;
use crate::model::workload::{Capability, Origin};
use crate::plan::decision::Decision;
use crate::plan::input::{GpuIndex, PlanInput};
use crate::plan::judge::bring_up::bring_up;
use crate::plan::judge::context::PlanContext;
use crate::plan::judge::drift::is_renamed;
use crate::plan::numbers::Number;
use crate::plan::reason::reason;

/// Current and desired number of copies.
pub(crate) fn scale_of(input: &PlanInput<'_>, number: Number) -> CopiesChange {
    let (service, seen) = (input.service(number), input.seen(number));
    CopiesChange::scale(seen.copies.map_or(1, |copies| copies.wanted), service.copies)
}

/// Rolling update of a service to the wanted number of copies, with the memory that it gives back at its end.
pub(crate) fn roll_of(context: &PlanContext<'_>, number: Number) -> CopiesChange {
    let CopiesChange { from, to, .. } = scale_of(&context.input, number);
    let change = CopiesChange::roll(from, to);
    let gpus = context.input.seen(number).gpus.iter();
    let returned = |gpu: &GpuId| of_copies(context, number, gpu, change.surge) + freed_on(context, number, gpu);
    let least = gpus.map(returned).min().unwrap_or_default();
    let ram = context.input.service(number).ram_of(change.surge) + freed_ram(context, number);
    CopiesChange { returns_mib: least, returns_ram_mib: ram, ..change }
}

/// GPU memory of this many copies of a running service on one of its GPUs.
fn of_copies(context: &PlanContext<'_>, number: Number, gpu: &GpuId, copies: u32) -> Mebibytes {
    let (service, seen) = (context.input.service(number), context.input.seen(number));
    Mebibytes(seen.one_copy_on(service, gpu).0.saturating_mul(u64::from(copies)))
}

/// Host memory that a service frees by a scale-down: at most what it holds beyond the copies that stay.
pub(crate) fn freed_ram(context: &PlanContext<'_>, number: Number) -> Mebibytes {
    let (service, seen) = (context.input.service(number), context.input.seen(number));
    let CopiesChange { from, to, .. } = scale_of(&context.input, number);
    service.ram_of(from.saturating_sub(to)).min(seen.ram(service) - service.ram_of(to))
}

/// Host memory that a change of copies takes, beside what the service holds.
pub(crate) fn added_ram(context: &PlanContext<'_>, number: Number, decision: &Decision) -> Mebibytes {
    context.input.service(number).ram_of(added_copies(context, number, decision))
}

/// Host memory that a service counts for after a scale-down, if one is decided.
pub(crate) fn host_seat(context: &PlanContext<'_>, number: Number, decision: &Decision) -> Mebibytes {
    let held = context.host_memory(number);
    if !matches!(decision, Decision::ScaleDown(_)) || held == Mebibytes::ZERO {
        return held;
    }
    let gpus = context.input.seen(number).gpus.iter();
    let freed: Vec<(GpuId, Mebibytes)> = gpus.map(|gpu| (gpu.clone(), freed_on(context, number, gpu))).collect();
    held - freed_ram(context, number) - context.on_unified(&freed)
}

/// GPU memory that a service frees on `gpu` by a scale-down: at most what it holds beyond the copies that stay.
pub(crate) fn freed_on(context: &PlanContext<'_>, number: Number, gpu: &GpuId) -> Mebibytes {
    let CopiesChange { from, to, .. } = scale_of(&context.input, number);
    let beyond = context.memory_on(number, gpu) - of_copies(context, number, gpu, to);
    of_copies(context, number, gpu, from.saturating_sub(to)).min(beyond)
}

/// Known GPUs of a service, with the memory that it counts for on each after a scale-down, if one is decided.
pub(crate) fn seat<'a>(
    context: &'a PlanContext<'_>,
    number: Number,
    decision: &'a Decision,
) -> impl Iterator<Item = (GpuIndex, Mebibytes)> + 'a {
    let is_down = matches!(decision, Decision::ScaleDown(_));
    context.seat(number).iter().map(move |(gpu, held)| {
        let freed = || freed_on(context, number, context.input.gpu_id(*gpu));
        (*gpu, if is_down { *held - freed() } else { *held })
    })
}

/// Peak GPU memory of a service on each GPU during a change that adds copies; `None`: the change adds none.
pub(crate) fn need(context: &PlanContext<'_>, number: Number, decision: &Decision) -> Option<Mebibytes> {
    let added = || context.input.service(number).vram_of(added_copies(context, number, decision));
    decision.adds_copies().then(|| context.memory_max(number) + added())
}

/// GPU memory that a change of copies takes on one GPU, beside what the service holds.
pub(crate) fn added_on(context: &PlanContext<'_>, number: Number, decision: &Decision, gpu: &GpuId) -> Mebibytes {
    of_copies(context, number, gpu, added_copies(context, number, decision))
}

fn added_copies(context: &PlanContext<'_>, number: Number, decision: &Decision) -> u32 {
    match decision {
        Decision::Roll(_) => roll_of(context, number).added(),
        Decision::ScaleUp(_) => scale_of(&context.input, number).added(),
        _ => 0,
    }
}

/// Decision for a service with 0 desired copies: it stays off.
pub(super) fn none_wanted(input: &PlanInput<'_>, number: Number) -> Option<Decision> {
    if input.service(number).copies > 0 || !has(input, number, Capability::Scales) {
        return None;
    }
    let message = "0 copies of it are wanted".to_owned();
    Some(match (input.summary(number).holds_capacity, input.request.keeps_running()) {
        (false, _) => Decision::Leave(format!("it is off: {message}")),
        (true, Some(kept)) => Decision::Leave(format!("{message}, and it is left as it is: {kept}")),
        (true, None) => Decision::Stop(reason(ReasonCode::Scaled, message, None)),
    })
}

/// Decision for a running service that has more copies than wanted.
pub(super) fn scale_down(input: &PlanInput<'_>, number: Number) -> Option<Decision> {
    scale(input, number).filter(|_| scale_of(input, number).is_scale_down())
}

/// Decision for a running service whose number of copies differs from the desired one.
pub(super) fn scale(input: &PlanInput<'_>, number: Number) -> Option<Decision> {
    let change = scale_of(input, number);
    if change.from == change.to || !has(input, number, Capability::Scales) {
        return None;
    }
    let message = sentence(change);
    if let Some(kept) = input.request.keeps_running() {
        return Some(Decision::Leave(format!("{message}, and it is left as it is: {kept}")));
    }
    let why = reason(ReasonCode::Scaled, message, None);
    if change.is_scale_down() {
        return Some(Decision::ScaleDown(why));
    }
    Some(without_memory(input, number, &why).unwrap_or(Decision::ScaleUp(why)))
}

/// Decision for a running service that has changed, and whose copies are replaced one by one; `None`: it is recreated.
pub(super) fn roll(input: &PlanInput<'_>, number: Number, change: &Reason) -> Option<Decision> {
    let is_made_by_lcm = input.service(number).workload.origin == Origin::Created;
    let is_elsewhere = is_renamed(input, number) || input.seen(number).taken_over_from.is_some();
    let is_of_spec = match change.code {
        ReasonCode::SpecChanged
        | ReasonCode::SecretChanged
        | ReasonCode::ImageChanged
        | ReasonCode::SettingsChanged => true,
        // A service that moves to other GPUs, or whose restart was requested, is stopped and started.
        _ => false,
    };
    if !is_of_spec || !is_made_by_lcm || is_elsewhere || !has(input, number, Capability::Rolls) {
        return None;
    }
    let state = input.summary(number).state;
    if state == State::Busy {
        return Some(Decision::Leave(format!("{state}, and updated once it is idle: {}", change.message)));
    }
    Some(match bring_up(input, number, change.clone(), true) {
        Decision::Recreate { reason, .. } => without_memory(input, number, &reason).unwrap_or(Decision::Roll(reason)),
        blocked => blocked,
    })
}

/// Decision for a service whose additional copies need GPU memory, where free GPU memory is unknown.
fn without_memory(input: &PlanInput<'_>, number: Number, why: &Reason) -> Option<Decision> {
    let (seen, gpus) = (input.seen(number), &input.observed.gpus);
    if !input.service(number).declares_vram() {
        return None;
    }
    let unread = input.observed.gpus_unknown.clone();
    let unusable = || seen.gpus.iter().find_map(|id| gpus.get(id)?.unusable().cloned());
    let is_placed = !seen.gpus.is_empty() && seen.gpus.iter().all(|id| gpus.contains_key(id));
    let unplaced = || (!is_placed).then(|| "its GPUs are unknown".to_owned());
    let obstacle = unread.or_else(unusable).or_else(unplaced)?;
    let message = format!("{}; can't check the GPU memory for another copy: {obstacle}", why.message);
    Some(Decision::Blocked(reason(ReasonCode::Unknown, message, None)))
}

/// Sentence for a change of copies whose memory does not fit.
pub(crate) fn refused(input: &PlanInput<'_>, number: Number, decision: &Decision) -> String {
    match decision {
        Decision::Roll(why) => {
            let more = number_of(CopiesChange::roll(1, 1).surge);
            format!("it is not updated, because that takes {more} more at a time: {}", why.message)
        }
        _ => sentence(scale_of(input, number)),
    }
}

/// `it has 2 copies, and 3 are wanted`.
fn sentence(change: CopiesChange) -> String {
    let verb = if change.to == 1 { "is" } else { "are" };
    format!("it has {}, and {} {verb} wanted", number_of(change.from), change.to)
}

fn has(input: &PlanInput<'_>, number: Number, capability: Capability) -> bool {
    input.service(number).workload.capabilities.has(capability)
}
