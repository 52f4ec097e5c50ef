//! Sentences for what is not done: the arithmetic of a GPU that is too full, and what became of a dependency.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::names::{GpuId, ServiceName};
use crate::model::room::GpuRoom;
use crate::model::size::Mebibytes;
use crate::plan::decide::Decision;

/// More GPUs than this are counted, not listed.
const LISTED_MAX: usize = 4;

/// Why `name` fits on none of the sets: what each GPU has, less all that is on it at the plan's end.
pub(super) fn arithmetic(
    room: &BTreeMap<GpuId, GpuRoom>,
    name: &ServiceName,
    need: Mebibytes,
    sets: &[BTreeSet<GpuId>],
) -> String {
    let listed: BTreeSet<&GpuId> = sets.iter().flatten().collect();
    let mut gpus: Vec<&GpuRoom> = listed.into_iter().filter_map(|id| room.get(id)).collect();
    gpus.sort_by_key(|gpu| gpu.index);
    let mut lines: Vec<String> = gpus.iter().take(LISTED_MAX).map(|gpu| gpu.arithmetic(Some(name))).collect();
    if gpus.len() > LISTED_MAX {
        lines.push(format!("and {} more are as full", gpus.len() - LISTED_MAX));
    }
    format!("it needs {need}; {}", lines.join("; "))
}

/// What is the matter with a dependency, after "which".
pub(super) fn absence(decision: &Decision) -> String {
    match decision {
        Decision::Blocked(reason) => format!("is blocked: {}", reason.message),
        Decision::Preempt { blocked, .. } => format!("is blocked: {}", blocked.message),
        Decision::Held(reason) => format!("is held: {}", reason.message),
        Decision::Stop(reason) => format!("is stopped: {}", reason.message),
        Decision::Evict(reason) => format!("is evicted: {}", reason.message),
        Decision::Leave(why) => format!("is not up: {why}"),
        Decision::Start { .. } | Decision::Recreate { .. } | Decision::Await(_) => "is on its way".to_owned(),
    }
}
