//! Tally of a run: counted from its events, and summarized in one sentence.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use crate::apply::RunResult;
use crate::model::event::{
    Event, EventKind, Outcome as StepOutcome, ServiceCounts, Stage, StageTime, StageTotal, StepTime,
};
use crate::model::lifecycle::Action;
use crate::model::names::{ServiceName, StepId};
use crate::model::plan::Blocked;
use crate::report::table::took;

/// Counts and message of the last event of a run.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    pub(crate) changed: bool,
    pub(crate) done: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
    pub(crate) blocked: u32,
    pub(crate) message: String,
}

/// Counts of a run, from its events.
#[derive(Debug, Default)]
pub(crate) struct RunTally {
    /// Start of the run, by the clock of the events and by the machine's own.
    began: Option<(Timestamp, Instant)>,
    actions: BTreeMap<StepId, Action>,
    done: BTreeMap<Action, BTreeSet<ServiceName>>,
    ended: StepCounts,
    stages: BTreeMap<Stage, StageTotal>,
}

/// Numbers of steps, by outcome.
#[derive(Clone, Copy, Debug, Default)]
struct StepCounts {
    succeeded: u32,
    failed: u32,
    skipped: u32,
}

impl RunTally {
    pub(crate) fn count(&mut self, event: &Event) {
        self.began.get_or_insert_with(|| (event.at, Instant::now()));
        match &event.kind {
            EventKind::Prepared { step, took_ms, .. } => {
                self.add_all(step, &[StageTime { stage: Stage::Prepare, took_ms: *took_ms }]);
            }
            EventKind::StepStarted { step, action, .. } => {
                self.actions.insert(step.clone(), *action);
            }
            EventKind::StepDone { step, service, outcome, stages, .. } => {
                self.ended.succeeded += 1;
                self.add_all(step, stages);
                if let (Some(action), StepOutcome::Done) = (self.actions.get(step), outcome) {
                    self.done.entry(*action).or_default().insert(service.clone());
                }
            }
            EventKind::StepFailed { step, stages, .. } => {
                self.ended.failed += 1;
                self.add_all(step, stages);
            }
            EventKind::StepSkipped { .. } => self.ended.skipped += 1,
            EventKind::Run { .. }
            | EventKind::Planned { .. }
            | EventKind::Stage { .. }
            | EventKind::Transition { .. }
            | EventKind::Hook { .. }
            | EventKind::Heartbeat { .. }
            | EventKind::Warning { .. }
            | EventKind::Result { .. } => {}
        }
    }

    fn add_all(&mut self, step: &StepId, times: &[StageTime]) {
        for StageTime { stage, took_ms } in times.iter().copied() {
            let longest = || StepTime { step: step.clone(), took_ms };
            let total = self.stages.entry(stage);
            let total = total.or_insert_with(|| StageTotal { stage, took_ms: 0, steps: 0, longest: longest() });
            total.took_ms = total.took_ms.saturating_add(took_ms);
            total.steps += 1;
            if took_ms > total.longest.took_ms {
                total.longest = longest();
            }
        }
    }

    /// Returns the time of all steps, by stage.
    pub(crate) fn stages(&self) -> Vec<StageTotal> {
        self.stages.values().cloned().collect()
    }

    /// Returns the time since the first event, in ms.
    pub(crate) fn took_ms(&self, at: Timestamp) -> u64 {
        let took = self.began.map_or(0, |(began, _)| at.duration_since(began).as_millis());
        u64::try_from(took).unwrap_or_default()
    }

    /// Returns the present time by the clock of the events, which is not the machine's own in a simulation.
    pub(crate) fn now(&self) -> Timestamp {
        let since = |(began, here): (Timestamp, Instant)| {
            SignedDuration::try_from(here.elapsed()).ok().and_then(|took| began.checked_add(took).ok())
        };
        self.began.and_then(since).unwrap_or_else(Timestamp::now)
    }

    pub(crate) fn services(&self) -> ServiceCounts {
        let count = |action: Action| self.done.get(&action).map_or(0, |services| number(services.len()));
        ServiceCounts {
            evicted: count(Action::Evict),
            stopped: count(Action::Stop),
            removed: count(Action::Remove),
            paused: count(Action::Pause),
            unpaused: count(Action::Unpause),
            updated: count(Action::Update),
            scaled: count(Action::Scale),
            woken: count(Action::Wake),
            started: count(Action::Start),
        }
    }

    /// Returns the counts of a run that is cut off here.
    pub(crate) fn so_far(&self) -> Ending {
        let StepCounts { succeeded, failed, skipped } = self.ended;
        let under_way = number(self.actions.len()).saturating_sub(succeeded + failed);
        Ending {
            changed: !self.actions.is_empty(),
            done: succeeded,
            failed,
            skipped: skipped + under_way,
            blocked: 0,
            message: "interrupted twice, so lcm quit at once".to_owned(),
        }
    }

    /// Returns the summary, as `1 stopped, 2 started, 1 failed in 12.3 s`.
    pub(crate) fn sentence(&self, outcome: &RunResult, took_ms: u64) -> String {
        let mut parts: Vec<String> = Vec::new();
        for action in Action::ALL {
            let count = self.done.get(&action).map_or(0, BTreeSet::len);
            if count > 0 {
                parts.push(format!("{count} {}", past(action)));
            }
        }
        match outcome.settled {
            0 => {}
            1 => parts.push("1 pending call made".to_owned()),
            several => parts.push(format!("{several} pending calls made")),
        }
        let blocked = blocked(outcome).count();
        let skipped = usize::try_from(outcome.skipped).unwrap_or(usize::MAX);
        for (count, word) in [(outcome.failures.len(), "failed"), (skipped, "skipped"), (blocked, "blocked")] {
            if count > 0 {
                parts.push(format!("{count} {word}"));
            }
        }
        let summary = if parts.is_empty() { "nothing was done".to_owned() } else { parts.join(", ") };
        format!("{summary} in {}", took(took_ms))
    }
}

/// Returns the blocked services without a failure of their own, which is reported separately.
pub(crate) fn blocked(outcome: &RunResult) -> impl Iterator<Item = &Blocked> {
    let blocked = outcome.last_plan.iter().flat_map(|plan| &plan.blocked);
    blocked.filter(|blocked| !outcome.failures.iter().any(|failure| failure.service == blocked.service))
}

/// Converts a count to the type of the events.
pub(crate) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn past(action: Action) -> &'static str {
    match action {
        Action::Evict => "evicted",
        Action::Stop => "stopped",
        Action::Remove => "removed",
        Action::Pause => "paused",
        Action::Unpause => "unpaused",
        Action::Update => "updated",
        Action::Scale => "scaled",
        Action::Wake => "woken",
        Action::Start => "started",
    }
}
