//! GPUs of a plan by name, the host's memory beside them, and the memory that one step takes or frees.

use crate::model::lifecycle::Action;
use crate::model::names::GpuId;
use crate::model::plan::{GpuLine, MemoryLine, Plan, Step};
use crate::model::size::Mebibytes;
use crate::model::step::MemoryPool;
use crate::report::table::{self, figure, joined};

/// Name of the host's memory, where a GPU has its own.
pub(in crate::report) const HOST_MEMORY: &str = "host memory";

/// Memory of one GPU or of the host, with its name.
pub(in crate::report) struct MemoryRow<'a> {
    /// `0`, or `host memory`.
    pub(in crate::report) name: String,
    /// `GPU 0`, or `host memory`.
    pub(in crate::report) title: String,
    pub(in crate::report) pool: MemoryPool<'a>,
    pub(in crate::report) line: MemoryLine,
}

/// Returns the memory of all GPUs, and of the host where the plan counts it.
pub(in crate::report) fn memory_rows(plan: &Plan) -> Vec<MemoryRow<'_>> {
    let host = plan.memory.as_ref().map(|line| MemoryRow {
        name: HOST_MEMORY.to_owned(),
        title: HOST_MEMORY.to_owned(),
        pool: MemoryPool::Host,
        line: line.clone(),
    });
    plan.gpus.iter().map(|line| gpu_row(plan, line)).chain(host).collect()
}

fn gpu_row<'a>(plan: &Plan, line: &'a GpuLine) -> MemoryRow<'a> {
    let name = gpu_name(plan, &line.id);
    let memory = MemoryLine {
        capacity_mib: line.capacity_mib,
        reserve_mib: line.reserve_mib,
        foreign_mib: line.foreign_mib,
        measured_mib: line.measured_mib,
        before_mib: line.before_mib,
        peak_mib: line.peak_mib,
        after_mib: line.after_mib,
    };
    MemoryRow { title: format!("GPU {name}"), name, pool: MemoryPool::Gpu(&line.id), line: memory }
}

/// Returns `takes 19 074 MiB on GPU 0`, of one step alone.
pub(in crate::report) fn step_memory(plan: &Plan, step: &Step) -> Option<String> {
    let verb = match step.action {
        Action::Start if step.awaits_running_job() => "frees",
        Action::Start | Action::Wake | Action::Unpause | Action::Update => "takes",
        Action::Scale if !step.is_scale_down() => "takes",
        Action::Evict => "keeps running, frees",
        Action::Stop | Action::Pause | Action::Remove | Action::Scale => "frees",
    };
    let returns = step.copies.map(|copies| copies.returns_mib).filter(|returns| returns.0 > 0);
    let is_freed = step.job.is_some_and(|job| job.frees_memory) && step.takes_memory();
    let returns = returns.or(Some(step.vram_mib).filter(|_| is_freed));
    let meanwhile = returns.map(|returns| format!(", frees {returns} at its end")).unwrap_or_default();
    has_memory(step).then(|| format!("{verb} {}{meanwhile}", amounts(plan, step)))
}

/// Returns true if the step takes or frees memory.
pub(in crate::report) fn has_memory(step: &Step) -> bool {
    has_vram(step) || step.ram_mib > Mebibytes::ZERO
}

fn has_vram(step: &Step) -> bool {
    step.vram_mib > Mebibytes::ZERO && !step.gpus.is_empty()
}

/// Returns `19 074 MiB on GPU 0 and 24 576 MiB of host memory`.
pub(in crate::report) fn amounts(plan: &Plan, step: &Step) -> String {
    let of_host = (step.ram_mib > Mebibytes::ZERO).then(|| format!("{} of {HOST_MEMORY}", step.ram_mib));
    joined(&on_gpus(plan, step).into_iter().chain(of_host).collect::<Vec<_>>())
}

/// Returns `19 074 MiB on each of GPU 0 and 1`, or `18 000 MiB on GPU 1` and `8 000 MiB on GPU 0`.
fn on_gpus(plan: &Plan, step: &Step) -> Vec<String> {
    if !has_vram(step) {
        return Vec::new();
    }
    if step.uneven_mib.is_empty() {
        return vec![format!("{} on {}", step.vram_mib, gpus(plan, &step.gpus))];
    }
    step.gpus.iter().map(|gpu| format!("{} on GPU {}", step.vram_on(gpu), gpu_name(plan, gpu))).collect()
}

/// Returns the difference of two steps of one service: `frees 17 000 and takes 19 074 MiB on GPU 0`.
pub(in crate::report) fn exchanged(plan: &Plan, freed: &Step, taken: &Step) -> String {
    let is_even = freed.uneven_mib.is_empty() && taken.uneven_mib.is_empty();
    let without_ram = freed.ram_mib == Mebibytes::ZERO && taken.ram_mib == Mebibytes::ZERO;
    if freed.gpus == taken.gpus && amounts(plan, freed) == amounts(plan, taken) {
        return format!("frees and takes {}", amounts(plan, taken));
    }
    if freed.gpus != taken.gpus || !is_even || !without_ram {
        return format!("frees {}, takes {}", amounts(plan, freed), amounts(plan, taken));
    }
    let (freed, on) = (figure(freed.vram_mib), gpus(plan, &taken.gpus));
    format!("frees {freed} and takes {} on {on}", taken.vram_mib)
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
