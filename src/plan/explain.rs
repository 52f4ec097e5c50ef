//! Sentences for what is not done: the arithmetic of a GPU that is too full, and what became of a dependency.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::names::{GpuId, ServiceName};
use crate::model::room::GpuRoom;
use crate::model::size::Mebibytes;
use crate::plan::decide::Decision;

/// More GPUs than this are counted, not listed.
const LISTED_MAX: usize = 4;

/// Every GPU's arithmetic, worked out once: many may be refused for the same reason.
pub(super) struct Sums {
    room: BTreeMap<GpuId, GpuRoom>,
    /// Those who sit on each, and the line for whoever does not.
    lines: BTreeMap<GpuId, (BTreeSet<ServiceName>, String)>,
}

impl Sums {
    pub(super) fn of(room: BTreeMap<GpuId, GpuRoom>) -> Self {
        let holders = |gpu: &GpuRoom| gpu.holders.iter().map(|held| held.service.clone()).collect();
        let lines = room.iter().map(|(id, gpu)| (id.clone(), (holders(gpu), gpu.arithmetic(None)))).collect();
        Self { room, lines }
    }

    /// Why `name` fits on none of the GPUs that would do, which are in their order: what each has, less all that is on
    /// it at the plan's end.
    pub(super) fn arithmetic(&self, name: &ServiceName, need: Mebibytes, gpus: &[GpuId]) -> String {
        let line = |id: &GpuId| match self.lines.get(id) {
            Some((holders, line)) if !holders.contains(name) => Some(line.clone()),
            Some(_) | None => self.room.get(id).map(|gpu| gpu.arithmetic(Some(name))),
        };
        let mut lines: Vec<String> = gpus.iter().take(LISTED_MAX).filter_map(line).collect();
        if gpus.len() > LISTED_MAX {
            lines.push(format!("and {} more are as full", gpus.len() - LISTED_MAX));
        }
        format!("it needs {need}; {}", lines.join("; "))
    }
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
