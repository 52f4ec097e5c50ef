//! GPUs of a service, and its memory on each.

use crate::manifest::resolve::context::ResolveContext;
use crate::manifest::wire::service::{GpuIdValue, GpuValue, ServiceBlock};
use crate::manifest::wire::vram::{VramEntry, VramValue};
use crate::model::desired::{GpuRef, GpuRequest, VramAmount, VramShare};
use crate::model::size::Mebibytes;
use crate::syntax::located::Located;
use crate::syntax::problem::Problem;

/// Returns the GPUs that a service requests.
pub(super) fn gpu(context: &mut ResolveContext<'_>, written: &Located<ServiceBlock>) -> GpuRequest {
    let ids = |ids: &[GpuIdValue]| {
        ids.iter()
            .map(|id| match id {
                GpuIdValue::Index(index) => GpuRef::Index(*index),
                GpuIdValue::Uuid(uuid) => GpuRef::Uuid(uuid.clone()),
            })
            .collect()
    };
    let needs_memory = written.vram.as_ref().is_some_and(|vram| vram.is_some());
    let Some(gpu) = &written.gpu else {
        return if needs_memory { auto(written) } else { GpuRequest::None };
    };
    let which = if let GpuValue::AsIndex(which) = &gpu.value { which } else { &gpu.value };
    match which {
        GpuValue::None => {
            if needs_memory {
                let problem = Problem::warning("lcm::manifest::gpu", "`vram` has no effect with `gpu: none`")
                    .at(context.place(gpu.span), "no GPU");
                context.problems.push(problem);
            }
            GpuRequest::None
        }
        // The visitor never nests one `as` form in another.
        GpuValue::Auto | GpuValue::AsIndex(_) => auto(written),
        GpuValue::All(all) => GpuRequest::All(ids(all)),
        GpuValue::Any(any) => GpuRequest::Any(ids(any)),
        GpuValue::Count(count) => GpuRequest::Count(*count),
    }
}

/// One GPU, or as many as `vram` has entries.
fn auto(written: &Located<ServiceBlock>) -> GpuRequest {
    match written.vram.as_ref().map(|vram| &vram.value) {
        Some(VramValue::ByGpu(entries)) if entries.len() > 1 => {
            GpuRequest::Count(u32::try_from(entries.len()).unwrap_or(u32::MAX))
        }
        Some(VramValue::Each(_) | VramValue::ByGpu(_)) | None => GpuRequest::Auto,
    }
}

/// Returns the largest fixed amount, and the amounts by GPU where they differ or are shares.
pub(super) fn vram(
    context: &mut ResolveContext<'_>,
    written: &Located<ServiceBlock>,
    gpu: &GpuRequest,
) -> (Mebibytes, Option<Box<[VramAmount]>>) {
    let Some(vram) = &written.vram else { return (Mebibytes::ZERO, None) };
    let entries = match &vram.value {
        VramValue::Each(entry) => std::slice::from_ref(entry),
        VramValue::ByGpu(entries) => {
            check_count(context, vram, entries.len(), gpu);
            &entries[..]
        }
    };
    let amounts: Vec<VramAmount> = entries.iter().map(amount).collect();
    let fixed = amounts.iter().map(|amount| match amount {
        VramAmount::Fixed(amount) => *amount,
        VramAmount::Share(_) => Mebibytes::ZERO,
    });
    let most = fixed.max().unwrap_or_default();
    match amounts[..] {
        [VramAmount::Fixed(_)] => (most, None),
        _ => (most, Some(amounts.into())),
    }
}

fn amount(entry: &VramEntry) -> VramAmount {
    match entry {
        VramEntry::Amount(size) => VramAmount::Fixed(Mebibytes::needed(size.0)),
        VramEntry::Share(hundredths) => VramAmount::Share(VramShare(*hundredths)),
    }
}

/// Checks that a list has an entry for each GPU.
fn check_count(context: &mut ResolveContext<'_>, vram: &Located<VramValue>, entries: usize, gpu: &GpuRequest) {
    let count = match gpu {
        // `vram` has no effect, which is a warning of its own.
        GpuRequest::None => return,
        GpuRequest::Auto | GpuRequest::Any(_) => 1,
        GpuRequest::All(refs) => refs.len(),
        GpuRequest::Count(count) => *count as usize,
    };
    if count == entries {
        return;
    }
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (of_list, of_gpus) = (plural(entries), plural(count));
    let message = format!("`vram` lists {entries} amount{of_list}, but the service uses {count} GPU{of_gpus}");
    let help = "write one entry for each GPU, or one amount for all of them";
    context.error_with_help("lcm::manifest::size", vram.span, (message, "this list"), help.to_owned());
}

/// Returns true if the service loads alone; warns where it uses no GPU.
pub(super) fn exclusive_start(
    context: &mut ResolveContext<'_>,
    written: &Located<ServiceBlock>,
    gpu: &GpuRequest,
) -> bool {
    let Some(exclusive) = written.exclusive_start.as_ref().filter(|exclusive| exclusive.value) else { return false };
    if *gpu == GpuRequest::None {
        let message = "`exclusive_start` has no effect for a service that uses no GPU";
        let problem =
            Problem::warning("lcm::manifest::gpu", message).at(context.place(exclusive.span), "no other start waits");
        context.problems.push(problem.help("set `gpu` or `vram`, or remove it"));
    }
    true
}
