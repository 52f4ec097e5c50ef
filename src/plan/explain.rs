//! Sentences for what is not done: the arithmetic of a GPU that is too full, and what became of a dependency.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::model::desired::Service;
use crate::model::names::{GpuId, ServiceName};
use crate::model::room::GpuRoom;
use crate::plan::decide::Decision;

/// More GPUs than this are counted, not listed.
const LISTED_MAX: usize = 4;

/// Every GPU's arithmetic, worked out once: many may be refused for the same reason.
pub(super) struct Sums {
    room: BTreeMap<GpuId, GpuRoom>,
    /// Of those who could be made to give way.
    priorities: BTreeMap<ServiceName, i64>,
    /// By GPU and by the priority of who asks.
    lines: RefCell<BTreeMap<(GpuId, i64), Line>>,
}

/// One GPU's arithmetic, with and without those who matter less than who asks.
#[derive(Clone)]
struct Line {
    all: String,
    without: String,
    left_without: i64,
}

impl Sums {
    pub(super) fn of(room: BTreeMap<GpuId, GpuRoom>, priorities: BTreeMap<ServiceName, i64>) -> Self {
        Self { room, priorities, lines: RefCell::default() }
    }

    /// Why a service fits on none of the GPUs that would do, which are in their order: what each has, less all that is
    /// on it at the plan's end.
    pub(super) fn arithmetic(&self, service: &Service, priority: i64, gpus: &[GpuId]) -> String {
        let need = service.vram;
        let line = |id: &GpuId| {
            let line = self.line(id, priority, &service.name)?;
            // Where it would not fit without all that matters less either, that is not what stands in its way.
            let lower_matter = u64::try_from(line.left_without).is_ok_and(|left| left >= need.0);
            Some(if lower_matter { line.all } else { line.without })
        };
        let mut lines: Vec<String> = gpus.iter().take(LISTED_MAX).filter_map(line).collect();
        if gpus.len() > LISTED_MAX {
            lines.push(format!("and {} more are as full", gpus.len() - LISTED_MAX));
        }
        format!("it needs {need}; {}", lines.join("; "))
    }

    fn line(&self, id: &GpuId, priority: i64, name: &ServiceName) -> Option<Line> {
        let gpu = self.room.get(id)?;
        let made = || {
            let mut without = gpu.clone();
            without.holders.retain(|held| self.priorities.get(&held.service).is_none_or(|other| *other >= priority));
            let (except, left_without) = (Some(name), without.left(Some(name)));
            Line { all: gpu.arithmetic(except), without: without.arithmetic(except), left_without }
        };
        // Whoever sits there itself is no part of its own refusal.
        if gpu.holders.iter().any(|held| held.service == *name) {
            return Some(made());
        }
        Some(self.lines.borrow_mut().entry((id.clone(), priority)).or_insert_with(made).clone())
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
