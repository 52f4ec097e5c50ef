//! GPUs of a plan by name, and the memory that one step takes or frees on them.

use crate::model::lifecycle::Action;
use crate::model::names::GpuId;
use crate::model::plan::{Plan, Step};
use crate::report::table::{self, joined};

/// Returns `takes 19 074 MiB on GPU 0`, of one step alone.
pub(in crate::report) fn step_memory(plan: &Plan, step: &Step) -> Option<String> {
    let verb = match step.action {
        Action::Start if step.awaits_running_job() => "frees",
        Action::Start | Action::Wake | Action::Unpause | Action::Update => "takes",
        Action::Scale if !step.is_scale_down() => "takes",
        Action::Evict => "keeps running, frees",
        Action::Stop | Action::Pause | Action::Remove | Action::Scale => "frees",
    };
    let some = step.vram_mib.0 > 0 && !step.gpus.is_empty();
    let returns = step.copies.map(|copies| copies.returns_mib).filter(|returns| returns.0 > 0);
    let is_freed = step.job.is_some_and(|job| job.frees_memory) && step.takes_memory();
    let returns = returns.or(Some(step.vram_mib).filter(|_| is_freed));
    let meanwhile = returns.map(|returns| format!(", frees {returns} at its end")).unwrap_or_default();
    some.then(|| format!("{verb} {} on {}{meanwhile}", step.vram_mib, gpus(plan, &step.gpus)))
}

/// Returns `GPU 0`, `each of GPU 0 and 1`; by id where an index is not unique.
pub(in crate::report) fn gpus(plan: &Plan, ids: &[GpuId]) -> String {
    let names: Vec<String> = ids.iter().map(|id| gpu_name(plan, id)).collect();
    let each = if names.len() > 1 { "each of " } else { "" };
    format!("{each}GPU {}", joined(&names))
}

/// Returns `0`; by id where an index is not unique.
pub(in crate::report) fn gpu_name(plan: &Plan, id: &GpuId) -> String {
    table::gpu_name(id, plan.gpus.iter().map(|line| (&line.id, line.index)))
}
