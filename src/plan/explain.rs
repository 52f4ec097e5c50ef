//! Sentences for what is not done: the arithmetic of a GPU that is too full, and what became of a dependency.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::desired::Service;
use crate::model::names::{GpuId, ServiceName};
use crate::model::room::{GpuRoom, Holder};
use crate::plan::decide::Decision;

/// More GPUs than this are counted, not listed.
const LISTED_MAX: usize = 4;

/// Every GPU's arithmetic, worked out once: many may be refused for the same reason.
pub(super) struct Sums {
    room: BTreeMap<GpuId, GpuRoom>,
    /// Who sits on each.
    holders: BTreeMap<GpuId, BTreeSet<ServiceName>>,
    /// Of those who could be made to give way.
    priorities: BTreeMap<ServiceName, i64>,
    /// By GPU and by the priority of who asks.
    lines: RefCell<BTreeMap<(GpuId, i64), Line>>,
}

/// One GPU's arithmetic, with and without those who matter less than who asks.
struct Line {
    all: String,
    without: String,
    left_without: i64,
}

impl Sums {
    pub(super) fn of(room: BTreeMap<GpuId, GpuRoom>, priorities: BTreeMap<ServiceName, i64>) -> Self {
        let names = |gpu: &GpuRoom| gpu.holders.iter().filter_map(|held| held.service.clone()).collect();
        let holders = room.iter().map(|(id, gpu)| (id.clone(), names(gpu))).collect();
        Self { room, holders, priorities, lines: RefCell::default() }
    }

    /// Why a service fits on none of the GPUs that would do, which are in their order: what each has, less all that is
    /// on it at the plan's end.
    pub(super) fn arithmetic(&self, service: &Service, priority: i64, gpus: &[GpuId]) -> String {
        let need = service.vram;
        let line = |id: &GpuId| self.line(id, priority, service);
        let mut lines: Vec<String> = gpus.iter().take(LISTED_MAX).filter_map(line).collect();
        if gpus.len() > LISTED_MAX {
            lines.push(format!("and {} more are as full", gpus.len() - LISTED_MAX));
        }
        format!("it needs {need}; {}", lines.join("; "))
    }

    fn line(&self, id: &GpuId, priority: i64, service: &Service) -> Option<String> {
        let gpu = self.room.get(id)?;
        // Whoever sits there itself is no part of its own refusal.
        if self.holders.get(id).is_some_and(|holders| holders.contains(&service.name)) {
            return Some(self.both(gpu, priority, Some(&service.name)).of(service));
        }
        let mut lines = self.lines.borrow_mut();
        Some(lines.entry((id.clone(), priority)).or_insert_with(|| self.both(gpu, priority, None)).of(service))
    }

    fn both(&self, gpu: &GpuRoom, priority: i64, except: Option<&ServiceName>) -> Line {
        let mut without = gpu.clone();
        let theirs = |held: &Holder| self.priorities.get(held.service.as_ref()?);
        without.holders.retain(|held| theirs(held).is_none_or(|other| *other >= priority));
        let (all, left_without) = (gpu.arithmetic(except), without.left(except));
        Line { all, without: without.arithmetic(except), left_without }
    }
}

impl Line {
    /// Where it would not fit without all that matters less either, that is not what stands in its way.
    fn of(&self, service: &Service) -> String {
        let lower_matter = u64::try_from(self.left_without).is_ok_and(|left| left >= service.vram.0);
        if lower_matter { self.all.clone() } else { self.without.clone() }
    }
}

/// What is the matter with a dependency, after "which".
pub(super) fn absence(decision: &Decision) -> String {
    match decision {
        Decision::Blocked(reason) => format!("is blocked: {}", reason.message),
        Decision::Preempt { blocked, .. } => format!("is blocked: {}", blocked.message),
        Decision::Held(reason) | Decision::GiveUp(reason) => format!("is held: {}", reason.message),
        Decision::Stop(reason) => format!("is stopped: {}", reason.message),
        Decision::Evict(reason) => format!("is evicted: {}", reason.message),
        Decision::Pause(reason) => format!("is paused: {}", reason.message),
        Decision::Leave(why) => format!("is not up: {why}"),
        Decision::Start { .. } | Decision::Recreate { .. } | Decision::Await(_) => "is on its way".to_owned(),
    }
}
