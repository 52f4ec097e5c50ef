//! Capacity of each GPU, and the memory that services count for on it: the planner's arithmetic, for refusals and for
//! waiting services.

use std::collections::BTreeMap;

use crate::model::capacity::{GpuCapacity, HostCapacity, MemoryHolder};
use crate::model::desired::Desired;
use crate::model::names::GpuId;
use crate::model::observed::{Observed, Orphan, called};
use crate::model::plan::Request;
use crate::model::size::Mebibytes;
use crate::plan::input::PlanInput;
use crate::plan::judge::context::PlanContext;
use crate::plan::judge::orphans;
use crate::plan::numbers::Number;
use crate::plan::want;

/// Returns every GPU as it is now, before any change that a plan would make.
#[must_use]
pub fn capacity(desired: &Desired, observed: &Observed, request: &Request) -> HostCapacity {
    let wants = want::wants(desired, request);
    let context = PlanContext::new(PlanInput::new(desired, observed, request, &wants));
    HostCapacity { gpus: gpus(&context, &|_| true, &|_| true), unknown: observed.gpus_unknown.clone() }
}

/// Memory on a GPU that is not available to services: the reserve, foreign programs, and orphans that stay.
pub(super) fn taken_by_others(input: &PlanInput<'_>, gpu: &GpuId) -> Mebibytes {
    let orphans = input.observed.orphans.iter().filter(|orphan| !orphans::stops(input, orphan));
    let orphaned: Mebibytes =
        orphans.filter(|orphan| orphan.holds_capacity() && orphan.gpus.contains(gpu)).map(|orphan| orphan.vram).sum();
    input.desired.reserve + input.observed.gpus[gpu].foreign + orphaned
}

/// Returns every GPU with the services and orphans for which `counts` and `orphan_counts` return true.
pub(super) fn gpus(
    context: &PlanContext<'_>,
    counts: &dyn Fn(Number) -> bool,
    orphan_counts: &dyn Fn(&Orphan) -> bool,
) -> BTreeMap<GpuId, GpuCapacity> {
    let input = &context.input;
    let mut gpus: BTreeMap<GpuId, GpuCapacity> =
        input.observed.gpus.keys().map(|id| (id.clone(), empty(input, id))).collect();
    let orphans = input.observed.orphans.iter().filter(|orphan| orphan.holds_capacity() && orphan_counts(orphan));
    for orphan in orphans {
        for gpu in &orphan.gpus {
            let label = format!("orphan {}", orphan.service);
            let held = MemoryHolder { service: None, label, counts: orphan.vram, measured: None };
            gpus.entry(gpu.clone()).and_modify(|gpu| gpu.holders.push(held));
        }
    }
    for number in input.all().filter(|number| input.summary(*number).holds_capacity && counts(*number)) {
        let seen = input.seen(number);
        for gpu in &seen.gpus {
            let measured = seen.measured.as_ref().map(|measured| measured.get(gpu).copied().unwrap_or_default());
            let held = MemoryHolder { counts: context.memory_on(number, gpu), measured, ..holder(input, number) };
            gpus.entry(gpu.clone()).and_modify(|gpu| gpu.holders.push(held));
        }
    }
    gpus
}

/// Holder entry of a service, with no memory yet.
pub(super) fn holder(input: &PlanInput<'_>, number: Number) -> MemoryHolder {
    let name = input.name(number);
    let label = format!("{name} (priority {})", input.priority(number));
    MemoryHolder { service: Some(name.clone()), label, counts: Mebibytes::ZERO, measured: None }
}

fn empty(input: &PlanInput<'_>, id: &GpuId) -> GpuCapacity {
    let gpu = &input.observed.gpus[id];
    GpuCapacity {
        index: gpu.index,
        called: called(&input.observed.gpus, id),
        capacity: gpu.capacity,
        reserve: input.desired.reserve,
        foreign: gpu.foreign,
        foreign_holders: gpu.foreign_holders.clone(),
        used: gpu.used,
        told: gpu.told,
        lost: gpu.lost.clone(),
        unreadable: gpu.unreadable.clone(),
        holders: Vec::new(),
    }
}
