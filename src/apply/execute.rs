//! Carries out the graph of one plan: a step begins when all its needs are met, in the plan's order, up to a number of
//! parallel steps. When a step fails, its dependents are skipped, and no other step.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use super::gate::permission::forbidden;
use super::journal::result::{fail, key, skip, succeed};
use super::journal::{attempts, pending};
use super::run::{Cancelled, OnFailure, Run, StepError, StepOutcome, duration_text, millis};
use super::step::{copies, evict, pause, start, stop, update, wake};
use crate::model::desired::Condition;
use crate::model::event::{EventKind, Outcome};
use crate::model::lifecycle::Action;
use crate::model::names::StepId;
use crate::model::plan::{Plan, ReasonCode, Step};

/// Time for effects under way after an interrupt: an interrupted run ends within 5 s in all.
const EFFECTS_TIME_INTERRUPTED: Duration = Duration::from_secs(4);

/// Time for effects under way after the run's timeout: three times the usual grace of a stop.
const EFFECTS_TIME_OUT_OF_TIME: Duration = Duration::from_secs(30);

/// Result of the steps of one plan.
#[derive(Clone, Debug, Default)]
pub(super) struct RoundProgress {
    pub(super) done: usize,
    pub(super) stale: usize,
    pub(super) failed: usize,
    /// Reason for which no further step may begin: the host's lock is not held any more.
    pub(super) lock_lost: Option<String>,
}

/// State of a step of the graph.
#[derive(Debug)]
enum NodeState {
    Waiting,
    UnderWay,
    Succeeded,
    /// Failed, stale or cancelled: its dependents can't begin.
    Lost,
}

/// Carries the plan out as far as possible, and returns the progress.
pub(super) async fn execute(run: &Run<'_>, plan: &Plan, on_failure: OnFailure) -> RoundProgress {
    run.ledger().launched.clear();
    let mut graph = StepGraph { plan, states: plan.steps.iter().map(|step| (&step.id, NodeState::Waiting)).collect() };
    let mut progress = RoundProgress::default();
    let mut under_way = FuturesUnordered::new();
    let mut effects_over = pin!(effects_over(run));
    loop {
        graph.drop_lost(run);
        let halted = run.clock.cancelled().is_some() || (progress.failed > 0 && on_failure != OnFailure::Continue);
        while !halted && progress.lock_lost.is_none() && under_way.len() < run.context.options.parallelism.max(1) {
            let Some(step) = graph.next_ready(run) else { break };
            if let Err(reason) = (run.context.check_lock)() {
                progress.lock_lost = Some(reason);
                break;
            }
            graph.states.insert(&step.id, NodeState::UnderWay);
            under_way.push(carry(run, plan, step));
        }
        if under_way.is_empty() {
            break;
        }
        tokio::select! {
            biased;
            Some((step, outcome)) = under_way.next() => {
                let state = count(&mut progress, &outcome);
                graph.states.insert(&step.id, state);
            }
            () = run.launched.notified() => {}
            cancelled = &mut effects_over => {
                drop_under_way(run, plan, cancelled);
                break;
            }
        }
    }
    graph.leave(run, &progress, on_failure);
    progress
}

fn count(progress: &mut RoundProgress, outcome: &StepOutcome) -> NodeState {
    match outcome {
        StepOutcome::Done | StepOutcome::NotNeeded => {
            progress.done += 1;
            NodeState::Succeeded
        }
        StepOutcome::Stale(_) => {
            progress.stale += 1;
            NodeState::Lost
        }
        StepOutcome::Failed(_) | StepOutcome::Cancelled(Cancelled::OutOfTime) => {
            progress.failed += 1;
            NodeState::Lost
        }
        StepOutcome::Cancelled(Cancelled::Interrupted) => NodeState::Lost,
    }
}

/// Returns when effects under way have had their time after the run was cancelled.
async fn effects_over(run: &Run<'_>) -> Cancelled {
    let cancelled = run.clock.when_cancelled().await;
    let time = match cancelled {
        Cancelled::Interrupted => EFFECTS_TIME_INTERRUPTED,
        Cancelled::OutOfTime => EFFECTS_TIME_OUT_OF_TIME,
    };
    tokio::time::sleep(time).await;
    cancelled
}

/// Carries out one step, from its first event to its last.
async fn carry<'p>(run: &Run<'_>, plan: &'p Plan, step: &'p Step) -> (&'p Step, StepOutcome) {
    let began = Instant::now();
    run.ledger().under_way.insert(step.id.clone());
    run.time_stages(&step.id);
    let (id, service) = (step.id.clone(), step.service.clone());
    run.emit(EventKind::StepStarted { step: id, service, action: step.action, estimate_ms: step.estimate_ms });
    let outcome = match (forbidden(run, step).await, step.action) {
        (Some(stale), _) => stale,
        (None, Action::Stop) => stop::stop(run, step).await,
        (None, Action::Start) => start::start(run, plan, step).await,
        (None, Action::Remove) => stop::remove(run, step).await,
        (None, Action::Evict) => evict::evict(run, step).await,
        (None, Action::Pause) => pause::pause(run, step).await,
        (None, Action::Update) if step.is_rolling() => copies::roll_out(run, plan, step).await,
        (None, Action::Update) => update::update(run, step).await,
        (None, Action::Scale) => copies::roll_out(run, plan, step).await,
        (None, Action::Unpause) => update::unpause(run, step).await,
        (None, Action::Wake) => wake::wake(run, plan, step).await,
    };
    close(run, plan, step, (&outcome, began)).await;
    (step, outcome)
}

async fn close(run: &Run<'_>, plan: &Plan, step: &Step, (outcome, began): (&StepOutcome, Instant)) {
    let took_ms = millis(began.elapsed());
    // The effect of a cancelled step may still complete, and the calls that follow it are still due.
    if !matches!(outcome, StepOutcome::Cancelled(_)) {
        pending::close(run, step).await;
    }
    if let StepOutcome::Failed(error) = outcome {
        attempts::failed(run, plan, step, error.code).await;
    }
    // From here on the step is reported without a wait, so that it is reported once, also where the run gives it up.
    run.ledger().under_way.remove(&step.id);
    match outcome {
        StepOutcome::Done => succeed(run, step, Outcome::Done, took_ms),
        StepOutcome::NotNeeded => succeed(run, step, Outcome::NotNeeded, took_ms),
        StepOutcome::Stale(reason) => skip(run, step, &format!("stale: {reason}; planning again")),
        StepOutcome::Failed(error) => fail(run, key(step), error, took_ms),
        StepOutcome::Cancelled(Cancelled::Interrupted) => skip(run, step, "interrupted while it was under way"),
        StepOutcome::Cancelled(Cancelled::OutOfTime) => {
            fail(run, key(step), &out_of_time(run, "while the step was under way"), took_ms);
        }
    }
}

fn out_of_time(run: &Run<'_>, when: &str) -> StepError {
    let time = duration_text(run.context.options.timeout);
    StepError::new(ReasonCode::StartFailed, format!("the run timed out after {time} {when}"))
}

/// Gives up the steps under way: the next run observes their effects.
fn drop_under_way(run: &Run<'_>, plan: &Plan, cancelled: Cancelled) {
    let under_way = std::mem::take(&mut run.ledger().under_way);
    for step in plan.steps.iter().filter(|step| under_way.contains(&step.id)) {
        match cancelled {
            Cancelled::Interrupted => {
                skip(run, step, "interrupted while it was under way; the next run reads its result");
            }
            Cancelled::OutOfTime => {
                fail(run, key(step), &out_of_time(run, "while the step was under way"), millis(run.clock.elapsed()));
            }
        }
    }
}

struct StepGraph<'p> {
    plan: &'p Plan,
    states: BTreeMap<&'p StepId, NodeState>,
}

impl<'p> StepGraph<'p> {
    /// Returns the first step, in the order of the plan, whose needs are all met.
    fn next_ready(&self, run: &Run<'_>) -> Option<&'p Step> {
        let ready = |step: &&Step| step.needs.iter().all(|need| self.is_met(run, step, need));
        self.waiting().find(ready)
    }

    /// Skips steps that can't begin any more, and their dependents.
    fn drop_lost(&mut self, run: &Run<'_>) {
        // In the plan's order needs come first, so that one pass reaches every dependent.
        for step in &self.plan.steps {
            if !matches!(self.states.get(&step.id), Some(NodeState::Waiting)) {
                continue;
            }
            let lost = step.needs.iter().find(|need| self.is_lost(need));
            let reason = match lost {
                Some(need) => format!("it needs {need}, which did not succeed"),
                None if run.ledger().failed.contains(&step.id) => "it failed earlier in this run".to_owned(),
                None => continue,
            };
            self.states.insert(&step.id, NodeState::Lost);
            skip(run, step, &reason);
        }
    }

    /// Reports the steps that have not begun by the end of the graph.
    fn leave(&mut self, run: &Run<'_>, progress: &RoundProgress, on_failure: OnFailure) {
        let left: Vec<&Step> = self.waiting().collect();
        let mut reported = progress.failed > 0;
        for step in left {
            match run.clock.cancelled() {
                Some(Cancelled::Interrupted) => skip(run, step, "interrupted before it began"),
                Some(Cancelled::OutOfTime) if reported => skip(run, step, "the run timed out"),
                Some(Cancelled::OutOfTime) => {
                    reported = true;
                    fail(run, key(step), &out_of_time(run, "before the step could begin"), 0);
                }
                None if progress.lock_lost.is_some() => {
                    skip(run, step, "the host's lock was lost before it began");
                }
                None if progress.failed > 0 && on_failure != OnFailure::Continue => {
                    skip(run, step, "an earlier step failed, and this run stops at the first failure");
                }
                None => skip(run, step, "the steps that it needs never completed"),
            }
        }
    }

    fn waiting(&self) -> impl Iterator<Item = &'p Step> {
        self.plan.steps.iter().filter(|step| matches!(self.states.get(&step.id), Some(NodeState::Waiting)))
    }

    fn is_lost(&self, need: &StepId) -> bool {
        matches!(self.states.get(need), Some(NodeState::Lost) | None)
    }

    /// Returns true if a need is met. A dependency with the condition `service_started` is met before it is healthy.
    fn is_met(&self, run: &Run<'_>, step: &Step, need: &StepId) -> bool {
        match self.states.get(need) {
            Some(NodeState::Succeeded) => return true,
            // Started, and failed or ended already.
            Some(NodeState::Lost) | None => return false,
            Some(NodeState::Waiting | NodeState::UnderWay) => {}
        }
        let Some(needed) = self.plan.step(need).filter(|needed| needed.action == Action::Start) else { return false };
        let dependent = run.context.desired.services.get(&step.service);
        let condition =
            dependent.and_then(|service| service.depends_on.get(&needed.service)).map(|edge| edge.condition);
        step.action == Action::Start && condition == Some(Condition::Started) && run.ledger().launched.contains(need)
    }
}
