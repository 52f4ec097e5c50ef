//! GPU memory that running services count for.
//!
//! A running service counts as the larger of declared and measured. On a GPU where all of that fits, the memory that a
//! service gave back is still free, and is reserved for it. Where it does not fit, services that hold less than they
//! declare count as measured, in ascending priority, until the rest fits.

use smallvec::SmallVec;

use crate::model::names::GpuId;
use crate::model::observed::ObservedService;
use crate::model::size::Mebibytes;
use crate::plan::input::{GpuIndex, PlanInput};
use crate::plan::numbers::{Number, Rows};
use crate::plan::want::Want;

/// Known GPUs of each service, in their order, with the memory that the service counts for on each.
pub(super) type Seats = Rows<(GpuIndex, Mebibytes)>;

/// Service that counts as measured on one GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lowered {
    pub(super) number: Number,
    pub(super) gpu: GpuIndex,
    pub(super) measured: Mebibytes,
    /// True if other programs have taken the memory that the service gave back.
    pub(super) is_taken: bool,
}

/// Lowers the seats that have to count as measured, and returns them by service.
pub(super) fn lower(input: &PlanInput<'_>, seats: &mut Seats) -> Vec<Lowered> {
    let gpus = input.observed.gpus.values().zip(taken(input, seats));
    let over = gpus.map(|(gpu, taken)| {
        // A GPU that can't be read can't be compared.
        let is_read = gpu.unusable().is_none();
        if is_read { taken + input.desired.reserve + gpu.foreign - gpu.capacity } else { Mebibytes::ZERO }
    });
    let mut over: Vec<Mebibytes> = over.collect();
    let requested = &input.request.given_back;
    let sleeps = |number: Number| input.summary(number).is_asleep && input.wants.is_wanted(number);
    let fits = over.iter().all(|over| *over == Mebibytes::ZERO);
    if requested.is_empty() && fits && !input.all().any(sleeps) {
        return Vec::new();
    }
    let mut order: Vec<Number> = input.all().filter(|number| may_count_less(input, *number)).collect();
    order.sort_by_key(|number| (rank(input.want(*number)), input.priority(*number), *number));
    let (mut lowered, mut free) = (Vec::new(), vec![Mebibytes::ZERO; over.len()]);
    for number in order {
        for (gpu, counts) in seats.of(number).iter().copied() {
            let measured = measured_on(input.seen(number), input.gpu_id(gpu));
            let is_given_away =
                requested.iter().any(|(name, id)| name == input.name(number) && id == input.gpu_id(gpu));
            // A service that lcm put to sleep has to be woken, whether its memory is free or not.
            let is_forced = is_given_away || sleeps(number);
            if measured < counts && (is_forced || over[gpu] > Mebibytes::ZERO) {
                let gained = counts - measured;
                let is_taken = over[gpu] > Mebibytes::ZERO;
                free[gpu] += gained - over[gpu];
                over[gpu] = over[gpu] - gained;
                lowered.push((Lowered { number, gpu, measured, is_taken }, counts, is_forced));
            }
        }
    }
    // A service lowered first may count in full again, where a later one freed more than was missing.
    let mut still_lowered = Vec::new();
    for (lowered, counts, is_forced) in lowered.into_iter().rev() {
        let lacks = counts - lowered.measured;
        let fits = !is_forced && over[lowered.gpu] == Mebibytes::ZERO && lacks <= free[lowered.gpu];
        if fits {
            free[lowered.gpu] = free[lowered.gpu] - lacks;
        } else {
            still_lowered.push(lowered);
        }
    }
    let mut lowered = still_lowered;
    lowered.sort_by_key(|lowered| (lowered.number, lowered.gpu));
    for &Lowered { number, gpu, measured, .. } in &lowered {
        if let Some((_, counts)) = seats.of_mut(number).iter_mut().find(|(other, _)| *other == gpu) {
            *counts = measured;
        }
    }
    lowered
}

/// Sort key: unwanted services first, then kept ones, then wanted ones.
fn rank(want: &Want) -> u8 {
    match want {
        Want::Off(_) => 0,
        Want::Kept => 1,
        Want::Wanted(_) => 2,
    }
}

/// Returns true if the service answers, is managed by lcm, and is measured. A loading one holds little only for now,
/// one under an operator's hold counts in full, and one that is kept evicted counts as the manifest allows.
fn may_count_less(input: &PlanInput<'_>, number: Number) -> bool {
    let (summary, seen) = (input.summary(number), input.seen(number));
    summary.holds_capacity
        && summary.is_known
        && summary.is_ours()
        && !summary.has_hold
        && summary.state.is_operational()
        && seen.measured.is_some()
        && !input.is_kept_evicted(number)
}

fn measured_on(seen: &ObservedService, gpu: &GpuId) -> Mebibytes {
    seen.measured.as_ref().and_then(|measured| measured.get(gpu)).copied().unwrap_or_default()
}

/// Known GPUs of a service with the full memory that it takes on each.
pub(super) fn seat(input: &PlanInput<'_>, number: Number) -> SmallVec<[(GpuIndex, Mebibytes); 1]> {
    let gpus = input.seen(number).gpus.iter();
    gpus.filter_map(|id| Some((input.gpu(id)?, full_on(input, number, id)))).collect()
}

/// GPU memory that a service takes on `gpu` while it runs, including memory that it gave back. A kept and evicted
/// service takes no more than an eviction leaves it.
pub(super) fn full_on(input: &PlanInput<'_>, number: Number, gpu: &GpuId) -> Mebibytes {
    let (service, seen) = (input.service(number), input.seen(number));
    match &service.evict {
        Some(evict) if input.is_kept_evicted(number) => {
            if seen.gpus.contains(gpu) {
                evict.resident
            } else {
                Mebibytes::ZERO
            }
        }
        Some(_) | None => seen.memory_on(service, gpu),
    }
}

/// Host memory that a service counts for: its own, and its seats on GPUs without memory of their own.
pub(super) fn on_host(input: &PlanInput<'_>, number: Number, seats: &Seats) -> Mebibytes {
    let is_unified = |gpu: GpuIndex| input.observed.gpus[input.gpu_id(gpu)].is_unified;
    let seats = seats.of(number).iter().filter(|(gpu, _)| is_unified(*gpu)).map(|(_, amount)| *amount);
    input.seen(number).ram(input.service(number)) + seats.sum()
}

/// GPU memory that services and orphans of this project hold on each GPU now.
pub(super) fn taken(input: &PlanInput<'_>, seats: &Seats) -> Vec<Mebibytes> {
    let mut taken = vec![Mebibytes::ZERO; input.observed.gpus.len()];
    for (gpu, amount) in seats.all() {
        taken[*gpu] += *amount;
    }
    for orphan in input.observed.orphans.iter().filter(|orphan| orphan.holds_capacity()) {
        for (id, taken) in input.observed.gpus.keys().zip(&mut taken) {
            *taken += if orphan.gpus.contains(id) { orphan.vram } else { Mebibytes::ZERO };
        }
    }
    taken
}
