//! Capacity of each GPU, and the memory that services count for on it: the planner's arithmetic, for refusals and for
//! waiting services.

use std::collections::BTreeMap;

use crate::model::capacity::{GpuCapacity, HostCapacity, MemoryCapacity, MemoryHolder};
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

/// Name of the host's memory within a sentence.
const HOST_MEMORY: &str = "host memory";

/// Returns every GPU and the host's memory as they are now, before any change that a plan would make.
#[must_use]
pub fn capacity(desired: &Desired, observed: &Observed, request: &Request) -> HostCapacity {
    let wants = want::wants(desired, request);
    let context = PlanContext::new(PlanInput::new(desired, observed, request, &wants));
    let memory = match (observed.memory.unknown(), host(&context, &|_| true)) {
        (Some(why), _) => Some(MemoryCapacity::Unknown(why.to_owned())),
        (None, known) => known.map(MemoryCapacity::Known),
    };
    HostCapacity { gpus: gpus(&context, &|_| true, &|_| true), unknown: observed.gpus_unknown.clone(), memory }
}

/// Returns the host's memory with the services for which `counts` returns true; `None`: it is not counted, or unknown.
pub(super) fn host(context: &PlanContext<'_>, counts: &dyn Fn(Number) -> bool) -> Option<GpuCapacity> {
    let input = &context.input;
    let memory = input.memory()?;
    let held = |number: &Number| context.host_memory(*number) > Mebibytes::ZERO && counts(*number);
    let holders = input.all().filter(held).map(|number| MemoryHolder {
        counts: context.host_memory(number),
        measured: on_host(input, number),
        ..holder(input, number)
    });
    Some(GpuCapacity {
        index: 0,
        called: HOST_MEMORY.to_owned(),
        capacity: memory.capacity,
        reserve: input.desired.host_reserve,
        foreign: memory.foreign,
        foreign_holders: Vec::new(),
        used: memory.used,
        told: true,
        lost: None,
        unreadable: None,
        holders: holders.collect(),
    })
}

/// Host memory that is measured for a service, with that on GPUs without memory of their own.
fn on_host(input: &PlanInput<'_>, number: Number) -> Option<Mebibytes> {
    let (service, seen) = (input.service(number), input.seen(number));
    let own = if service.ram > Mebibytes::ZERO { seen.ram_measured? } else { Mebibytes::ZERO };
    let is_unified = |id: &&GpuId| input.observed.gpus.get(*id).is_some_and(|gpu| gpu.is_unified);
    let on = |id: &GpuId| Some(seen.measured.as_ref()?.get(id).copied().unwrap_or_default());
    let on_gpus: Option<Mebibytes> = seen.gpus.iter().filter(is_unified).map(on).sum();
    Some(own + on_gpus?)
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
