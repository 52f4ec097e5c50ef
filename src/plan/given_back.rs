//! GPU memory that running services gave back and others have taken since.
//!
//! A running service counts as the larger of declared and measured. On a GPU where all of that fits, what a service gave
//! back is still free, and is reserved for it. Where it does not fit, services that hold less than they declare count as
//! what is measured, the least important ones first, until the rest fits.

use crate::model::desired::{GpuRequest, Service};
use crate::model::names::GpuId;
use crate::model::observed::{ObservedService, called};
use crate::model::plan::{GivenBack, Reason, ReasonCode};
use crate::model::size::Mebibytes;
use crate::plan::decide::{Decision, Decisions, Gpu, Scene};
use crate::plan::judge::reason;
use crate::plan::numbers::Number;
use crate::plan::want::Want;

/// Declared sizes are round figures: a service that holds nine tenths of its own has its memory.
const HELD_TENTHS: u64 = 9;

/// A service that counts as what is measured of it on one GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lowered {
    pub(super) number: Number,
    pub(super) gpu: Gpu,
    pub(super) measured: Mebibytes,
    /// Others have what it gave back.
    pub(super) is_taken: bool,
}

/// Seats that count less than the larger of declared and measured; by service.
pub(super) fn lowered(scene: &Scene<'_>) -> Vec<Lowered> {
    let gpus = scene.observed.gpus.values().zip(scene.taken());
    let over = gpus.map(|(gpu, taken)| {
        // Of a GPU that can't be read there is nothing to compare.
        let is_read = gpu.unusable().is_none();
        if is_read { taken + scene.desired.reserve + gpu.foreign - gpu.capacity } else { Mebibytes::ZERO }
    });
    let mut over: Vec<Mebibytes> = over.collect();
    let asked = &scene.request.given_back;
    let sleeps = |number: Number| scene.glance(number).is_asleep && scene.wants.is_wanted(number);
    let fits = over.iter().all(|over| *over == Mebibytes::ZERO);
    if asked.is_empty() && fits && !scene.all().any(sleeps) {
        return Vec::new();
    }
    let mut order: Vec<Number> = scene.all().filter(|number| may_count_less(scene, *number)).collect();
    order.sort_by_key(|number| (rank(scene.want(*number)), scene.priority(*number), *number));
    let (mut lowered, mut free) = (Vec::new(), vec![Mebibytes::ZERO; over.len()]);
    for number in order {
        for (gpu, counts) in scene.seat(number).iter().copied() {
            let measured = measured_on(scene.seen(number), scene.gpu_id(gpu));
            let is_given_away = asked.iter().any(|(name, id)| name == scene.name(number) && id == scene.gpu_id(gpu));
            // What lcm put to sleep has to be woken, whether its memory is free or not.
            let is_asked = is_given_away || sleeps(number);
            if measured < counts && (is_asked || over[gpu] > Mebibytes::ZERO) {
                let gained = counts - measured;
                let is_taken = over[gpu] > Mebibytes::ZERO;
                free[gpu] += gained - over[gpu];
                over[gpu] = over[gpu] - gained;
                lowered.push((Lowered { number, gpu, measured, is_taken }, counts, is_asked));
            }
        }
    }
    // What was lowered first may have its memory yet, where one that came later made more free than was missing.
    let mut left = Vec::new();
    for (lowered, counts, is_asked) in lowered.into_iter().rev() {
        let lacks = counts - lowered.measured;
        let fits = !is_asked && over[lowered.gpu] == Mebibytes::ZERO && lacks <= free[lowered.gpu];
        if fits {
            free[lowered.gpu] = free[lowered.gpu] - lacks;
        } else {
            left.push(lowered);
        }
    }
    let mut lowered = left;
    lowered.sort_by_key(|lowered| (lowered.number, lowered.gpu));
    lowered
}

/// What goes anyway before what may stay, and that before what is wanted.
fn rank(want: &Want) -> u8 {
    match want {
        Want::Off(_) => 0,
        Want::Kept => 1,
        Want::Wanted(_) => 2,
    }
}

/// It answers, is ours, and what it holds is measured. What loads holds little only for now, what an operator holds
/// counts in full, and what may be kept evicted counts as the manifest allows it.
fn may_count_less(scene: &Scene<'_>, number: Number) -> bool {
    let (glance, seen) = (scene.glance(number), scene.seen(number));
    glance.holds_room
        && glance.is_known
        && glance.is_ours()
        && !glance.has_word
        && glance.state.is_operational()
        && seen.measured.is_some()
        && !scene.is_kept_evicted(number)
}

fn measured_on(seen: &ObservedService, gpu: &GpuId) -> Mebibytes {
    seen.measured.as_ref().and_then(|measured| measured.get(gpu)).copied().unwrap_or_default()
}

/// Where a service lacks memory that it declares, and how much; empty where it has its memory, or where that is still
/// free for it.
pub(super) fn lacks(scene: &Scene<'_>, number: Number) -> Vec<(Gpu, Mebibytes)> {
    let (service, seen) = (scene.service(number), scene.seen(number));
    // One that chose another GPU than it was given holds its memory there.
    let all = seen.measured.iter().flatten().map(|(_, held)| *held).sum();
    if has_its_memory(all, Mebibytes(service.vram.0.saturating_mul(placed_on(service, seen)))) {
        return Vec::new();
    }
    let here = scene.lowered(number).iter().filter(|lowered| !has_its_memory(lowered.measured, service.vram));
    here.map(|lowered| (lowered.gpu, service.vram - lowered.measured)).collect()
}

fn has_its_memory(held: Mebibytes, declared: Mebibytes) -> bool {
    held.0.saturating_mul(10) >= declared.0.saturating_mul(HELD_TENTHS)
}

/// How many GPUs it was given.
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

/// Decision for a wanted service that runs as it should, where it lacks memory; `None`: it does not.
pub(super) fn wake(scene: &Scene<'_>, number: Number, why: &Reason) -> Option<Decision> {
    let lacks = lacks(scene, number);
    if lacks.is_empty() {
        return None;
    }
    let gpus = &scene.observed.gpus;
    let unreadable = scene.seen(number).gpus.iter().find_map(|id| gpus.get(id)?.unusable());
    if let Some(unreadable) = unreadable {
        let message = format!("{}; a GPU of it can't be used for now: {unreadable}", sentence(scene, number));
        return Some(Decision::Blocked(reason(ReasonCode::Unknown, message, None)));
    }
    let message = format!("{}; {}", sentence(scene, number), why.message);
    Some(Decision::Wake(reason(ReasonCode::MemoryGivenBack, message, why.by.clone())))
}

/// `it runs, but gave 19 456 of its 20 480 MiB on GPU 0 back, and others have taken that since`.
pub(super) fn sentence(scene: &Scene<'_>, number: Number) -> String {
    let declared = scene.service(number).vram;
    let parts = lacks(scene, number).into_iter().map(|(gpu, amount)| {
        let called = called(&scene.observed.gpus, scene.gpu_id(gpu));
        let amount = amount.to_string();
        format!("{} of its {declared} on {called}", amount.trim_end_matches(" MiB"))
    });
    let is_taken = scene.lowered(number).iter().any(|lowered| lowered.is_taken);
    let since = if is_taken { "others have taken that since" } else { "was not woken since lcm evicted it" };
    format!("it runs, but gave back {}, and {since}", parts.collect::<Vec<_>>().join(" and "))
}

/// All that count less and are not woken by these decisions: what they gave back is not reserved for them.
pub(super) fn given_away(scene: &Scene<'_>, decisions: &Decisions) -> Vec<GivenBack> {
    let left = scene.all_lowered().iter().filter(|lowered| !decisions.0[lowered.number].wakes());
    left.map(|lowered| GivenBack {
        service: scene.name(lowered.number).clone(),
        gpu: scene.gpu_id(lowered.gpu).clone(),
        declared_mib: scene.service(lowered.number).vram,
        counts_mib: lowered.measured,
    })
    .collect()
}
