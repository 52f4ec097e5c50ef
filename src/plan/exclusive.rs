//! Order of exclusive starts (`exclusive_start`): while such a service loads, nothing else starts or frees memory on its
//! GPUs. Every stop there comes before it, and the starts there come one after the other, in plan order.

use std::collections::BTreeMap;

use crate::model::names::GpuId;
use crate::model::plan::Step;
use crate::plan::input::PlanInput;
use crate::plan::judge::context::PlanContext;
use crate::plan::numbers::Number;
use crate::plan::steps::{Position, Steps};

/// Steps by the GPUs on which a service starts exclusively; empty where none does.
#[derive(Debug, Default)]
pub(super) struct ExclusiveStarts {
    /// True if some service starts exclusively.
    is_needed: bool,
    /// Steps that free memory on each GPU.
    stops: BTreeMap<GpuId, Vec<Position>>,
    /// Starts so far on each GPU since the last exclusive one, which all later ones need.
    starts: BTreeMap<GpuId, GpuStarts>,
}

#[derive(Debug, Default)]
struct GpuStarts {
    /// Last exclusive start.
    last: Option<Position>,
    /// Other starts after it.
    since: Vec<Position>,
}

impl ExclusiveStarts {
    /// Collects the steps that free memory, if any of the services that start does so exclusively.
    pub(super) fn of(input: &PlanInput<'_>, starting: &[Number], steps: &Steps<'_>) -> Self {
        if !starting.iter().any(|number| input.service(*number).exclusive_start) {
            return Self::default();
        }
        let mut all = Self { is_needed: true, ..Self::default() };
        for (at, step) in steps.iter().enumerate() {
            for gpu in step.gpus.iter().filter(|_| step.frees_memory()) {
                all.stops.entry(gpu.clone()).or_default().push(at);
            }
        }
        all
    }

    /// Steps that have to come before a start on these GPUs.
    pub(super) fn needs(&self, context: &PlanContext<'_>, number: Number, gpus: &[GpuId]) -> Vec<Position> {
        if !self.is_needed {
            return Vec::new();
        }
        let is_exclusive = context.input.service(number).exclusive_start;
        // One that loads already can't wait for stops any more.
        let is_awaited = gpus.is_empty();
        let mut needs = Vec::new();
        for gpu in occupied(&context.input, number, gpus) {
            let stops = self.stops.get(gpu).filter(|_| is_exclusive && !is_awaited);
            needs.extend(stops.into_iter().flatten());
            let Some(starts) = self.starts.get(gpu) else { continue };
            needs.extend(starts.last);
            needs.extend(starts.since.iter().filter(|_| is_exclusive));
        }
        needs
    }

    /// Records a start for the later ones on its GPUs.
    pub(super) fn begin(&mut self, input: &PlanInput<'_>, number: Number, at: Position, step: &Step) {
        if !self.is_needed {
            return;
        }
        for gpu in occupied(input, number, &step.gpus) {
            let starts = self.starts.entry(gpu.clone()).or_default();
            if input.service(number).exclusive_start {
                *starts = GpuStarts { last: Some(at), since: Vec::new() };
            } else {
                starts.since.push(at);
            }
        }
    }
}

/// GPUs on which a service loads. A start that is only awaited names none, and loads where it runs.
fn occupied<'a>(input: &PlanInput<'a>, number: Number, gpus: &'a [GpuId]) -> &'a [GpuId] {
    if gpus.is_empty() { &input.seen(number).gpus } else { gpus }
}
