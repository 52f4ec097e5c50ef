//! Steps in progress: since when, and how long they take by earlier runs.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::event::{Event, EventKind};
use crate::model::names::StepId;
use crate::report::table::{about, step_text};

/// Steps in progress with an estimate.
#[derive(Debug, Default)]
pub(super) struct Waits(BTreeMap<StepId, Wait>);

#[derive(Debug)]
struct Wait {
    began: Timestamp,
    estimate_ms: u64,
}

impl Waits {
    /// Updates the steps by an event.
    pub(super) fn update(&mut self, event: &Event) {
        match &event.kind {
            EventKind::StepStarted { step, estimate_ms: Some(estimate_ms), .. } => {
                self.0.insert(step.clone(), Wait { began: event.at, estimate_ms: *estimate_ms });
            }
            EventKind::StepDone { step, .. }
            | EventKind::StepFailed { step, .. }
            | EventKind::StepSkipped { step, .. } => drop(self.0.remove(step)),
            EventKind::StepStarted { estimate_ms: None, .. }
            | EventKind::Run { .. }
            | EventKind::Planned { .. }
            | EventKind::Prepared { .. }
            | EventKind::Stage { .. }
            | EventKind::Transition { .. }
            | EventKind::Hook { .. }
            | EventKind::Heartbeat { .. }
            | EventKind::Warning { .. }
            | EventKind::Result { .. } => {}
        }
    }

    /// Returns `about 95 s`.
    pub(super) fn estimate(&self, step: &StepId) -> Option<String> {
        self.0.get(step).map(|wait| format!("about {}", about(wait.estimate_ms)))
    }

    /// Returns `start comfyui (about 95 s, 40 s so far)`; without an estimate the step's name alone.
    pub(super) fn label(&self, step: &StepId, now: Timestamp) -> String {
        let (Some(wait), Some(estimate)) = (self.0.get(step), self.estimate(step)) else { return step_text(step) };
        let so_far = u64::try_from(now.duration_since(wait.began).as_millis()).unwrap_or_default();
        format!("{} ({estimate}, {} so far)", step_text(step), about(so_far))
    }
}
