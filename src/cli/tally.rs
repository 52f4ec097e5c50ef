//! What a run came to, in one sentence.

use std::collections::{BTreeMap, BTreeSet};

use crate::apply::Outcome;
use crate::model::event::{EventKind, Outcome as StepOutcome};
use crate::model::lifecycle::Action;
use crate::model::names::{ServiceName, StepId};
use crate::model::plan::Blocked;
use crate::report::table::took;

/// Counts what was done as it is told.
#[derive(Debug, Default)]
pub(super) struct Tally {
    actions: BTreeMap<StepId, Action>,
    done: BTreeMap<Action, BTreeSet<ServiceName>>,
}

impl Tally {
    pub(super) fn tell(&mut self, kind: &EventKind) {
        match kind {
            EventKind::StepStarted { step, action, .. } => {
                self.actions.insert(step.clone(), *action);
            }
            EventKind::StepDone { step, service, outcome: StepOutcome::Done, .. } => {
                if let Some(action) = self.actions.get(step) {
                    self.done.entry(*action).or_default().insert(service.clone());
                }
            }
            EventKind::StepDone { outcome: StepOutcome::NotNeeded, .. }
            | EventKind::Run { .. }
            | EventKind::Planned { .. }
            | EventKind::Stage { .. }
            | EventKind::Transition { .. }
            | EventKind::StepFailed { .. }
            | EventKind::StepSkipped { .. }
            | EventKind::Hook { .. }
            | EventKind::Heartbeat { .. }
            | EventKind::Warning { .. }
            | EventKind::Result { .. } => {}
        }
    }

    /// `1 stopped, 2 started, 1 failed in 12.3 s`
    pub(super) fn sentence(&self, outcome: &Outcome, took_ms: u64) -> String {
        let mut parts: Vec<String> = Vec::new();
        let count = |action: Action| self.done.get(&action).map_or(0, BTreeSet::len);
        for action in Action::ALL {
            if count(action) > 0 {
                parts.push(format!("{} {}", count(action), past(action)));
            }
        }
        let blocked = blocked(outcome).count();
        let skipped = usize::try_from(outcome.skipped).unwrap_or(usize::MAX);
        for (count, word) in [(outcome.failures.len(), "failed"), (skipped, "skipped"), (blocked, "blocked")] {
            if count > 0 {
                parts.push(format!("{count} {word}"));
            }
        }
        let did = if parts.is_empty() { "nothing was done".to_owned() } else { parts.join(", ") };
        format!("{did} in {}", took(took_ms))
    }
}

/// What is blocked by more than its own failure, which is told already.
pub(super) fn blocked(outcome: &Outcome) -> impl Iterator<Item = &Blocked> {
    let blocked = outcome.last_plan.iter().flat_map(|plan| &plan.blocked);
    blocked.filter(|blocked| !outcome.failures.iter().any(|failure| failure.service == blocked.service))
}

fn past(action: Action) -> &'static str {
    match action {
        Action::Evict => "evicted",
        Action::Stop => "stopped",
        Action::Remove => "removed",
        Action::Pause => "paused",
        Action::Unpause => "unpaused",
        Action::Start => "started",
    }
}
