//! Sentences for what is not done: the arithmetic of a GPU that is too full, and what became of a dependency.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::model::names::{GpuId, ServiceName};
use crate::model::size::Mebibytes;
use crate::plan::decide::{Decision, Scene};
use crate::plan::room::Seats;

/// More candidates than this are counted, not listed.
const LISTED_MAX: usize = 4;

/// Why `name` fits on none of the sets: what each GPU has, less all that stays on it.
pub(super) fn arithmetic(scene: &Scene<'_>, seats: &Seats, name: &ServiceName, sets: &[BTreeSet<GpuId>]) -> String {
    let need = scene.service(name).vram;
    let mut gpus: Vec<&GpuId> = sets.iter().flatten().collect();
    gpus.sort_by_key(|id| (scene.observed.gpus[*id].index, (*id).clone()));
    gpus.dedup();
    let mut lines: Vec<String> = gpus.iter().take(LISTED_MAX).map(|gpu| one_gpu(scene, seats, gpu)).collect();
    if gpus.len() > LISTED_MAX {
        lines.push(format!("and {} more are as full", gpus.len() - LISTED_MAX));
    }
    format!("it needs {need}; {}", lines.join("; "))
}

fn one_gpu(scene: &Scene<'_>, seats: &Seats, id: &GpuId) -> String {
    let gpu = &scene.observed.gpus[id];
    let number = |text: String| text.trim_end_matches(" MiB").to_owned();
    let mut line = format!("GPU {} has {}", gpu.index, number(gpu.capacity.to_string()));
    let mut left = i128::from(gpu.capacity.0);
    let mut subtract = |amount: Mebibytes, what: String| {
        if amount.0 > 0 {
            left -= i128::from(amount.0);
            let _ = write!(line, " − {} {what}", number(amount.to_string()));
        }
    };
    subtract(scene.desired.reserve, "reserve".to_owned());
    let holders = gpu.foreign_holders.join(", ");
    subtract(gpu.foreign, if holders.is_empty() { "foreign".to_owned() } else { format!("foreign ({holders})") });
    for orphan in &scene.observed.orphans {
        if !scene.stops_orphan(orphan) && orphan.holds_room() && orphan.gpus.contains(id) {
            subtract(orphan.vram, format!("orphan {}", orphan.service));
        }
    }
    for (service, amount) in seats.on(id) {
        subtract(amount, format!("{service} (priority {})", scene.priority(service)));
    }
    let sign = if left < 0 { "−" } else { "" };
    let rest = Mebibytes(u64::try_from(left.unsigned_abs()).unwrap_or(u64::MAX));
    let _ = write!(line, " = {sign}{}", number(rest.to_string()));
    line
}

/// What is the matter with a dependency, after "which".
pub(super) fn absence(decision: &Decision) -> String {
    match decision {
        Decision::Blocked(reason) => format!("is blocked: {}", reason.message),
        Decision::Preempt { blocked, .. } => format!("is blocked: {}", blocked.message),
        Decision::Held(reason) => format!("is held: {}", reason.message),
        Decision::Stop(reason) => format!("is stopped: {}", reason.message),
        Decision::Leave(why) => format!("is not up: {why}"),
        Decision::Start { .. } | Decision::Recreate { .. } | Decision::Await(_) => "is on its way".to_owned(),
    }
}
