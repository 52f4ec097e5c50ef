//! Steps that change the copies of a service: fewer of them, more of them, or each replaced by one of another spec.

use crate::model::lifecycle::Action;
use crate::model::names::GpuId;
use crate::model::plan::{Reason, Step};
use crate::model::size::Mebibytes;
use crate::plan::decision::{Decision, Decisions};
use crate::plan::diff::changed;
use crate::plan::judge::context::PlanContext;
use crate::plan::judge::copies;
use crate::plan::numbers::Number;
use crate::plan::steps::{plain, split};

/// Steps that remove surplus copies. Starts may draw on their memory.
pub(super) fn scale_downs(context: &PlanContext<'_>, decisions: &Decisions) -> impl Iterator<Item = (Number, Step)> {
    let input = &context.input;
    decisions.0.iter().enumerate().filter_map(move |(number, decision)| {
        let Decision::ScaleDown(why) = decision else { return None };
        let gpus: Vec<GpuId> = input.seen(number).gpus.iter().cloned().collect();
        let (vram_mib, uneven_mib) = split(&gpus, |gpu| copies::freed_on(context, number, gpu));
        let copies = Some(copies::scale_of(input, number));
        let ram_mib = context.host_memory(number) - copies::host_seat(context, number, decision);
        let step = plain(input, number, Action::Scale, why);
        Some((number, Step { gpus, vram_mib, uneven_mib, ram_mib, copies, ..step }))
    })
}

/// Step that adds copies of a service, or updates its copies one by one. Its memory is not drawn from the ledger yet.
pub(super) fn more(context: &PlanContext<'_>, number: Number, decision: &Decision, why: &Reason) -> Step {
    let input = &context.input;
    let (service, seen) = (input.service(number), input.seen(number));
    let added = |gpu: &GpuId| copies::added_on(context, number, decision, gpu);
    let (vram_mib, uneven_mib) = split(&seen.gpus, added);
    let on_gpus: Vec<(GpuId, Mebibytes)> = seen.gpus.iter().map(|gpu| (gpu.clone(), added(gpu))).collect();
    let step = |action: Action, change| Step {
        gpus: seen.gpus.iter().cloned().collect(),
        vram_mib,
        uneven_mib: uneven_mib.clone(),
        ram_mib: copies::added_ram(context, number, decision) + context.on_unified(&on_gpus),
        copies: Some(change),
        ..plain(input, number, action, why)
    };
    if decision.rolls() {
        Step {
            spec: Some(service.spec.hash().to_owned()),
            diff: changed(service, seen, why),
            estimate_ms: seen.estimates.ready_ms,
            ..step(Action::Update, copies::roll_of(context, number))
        }
    } else {
        step(Action::Scale, copies::scale_of(input, number))
    }
}
