//! Carries out the graph of one plan: a step begins when all its needs are met, in the plan's order, so many at once.
//! A step that fails takes its dependents with it and nobody else.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use super::gate::permission::forbidden;
use super::journal::result::{fail, key, skip, succeed};
use super::journal::{attempts, pending};
use super::run::{Cancelled, OnFailure, Run, StepError, StepOutcome, millis, spoken};
use super::step::{evict, pause, start, stop, update, wake};
use crate::model::desired::Condition;
use crate::model::event::{EventKind, Outcome};
use crate::model::lifecycle::Action;
use crate::model::names::StepId;
use crate::model::plan::{Plan, ReasonCode, Step};

/// After an interrupt, an effect under way may finish for so long; with what follows that makes the promised 5 s.
const PATIENCE_INTERRUPTED: Duration = Duration::from_secs(4);

/// When the run's time is over, an effect under way may finish for so long: three times the usual grace of a stop.
const PATIENCE_OUT_OF_TIME: Duration = Duration::from_secs(30);

/// What a round came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) done: usize,
    pub(super) stale: usize,
    pub(super) failed: usize,
    /// Why no further step may begin: the host's lock is not held any more.
    pub(super) lock_lost: Option<String>,
}

/// Where a step of the graph stands.
#[derive(Debug)]
enum Fate {
    Waiting,
    UnderWay,
    Well,
    /// Its dependents can't begin.
    Lost,
}

/// Carries the plan out as far as it goes, and says how far.
pub(super) async fn execute(run: &Run<'_>, plan: &Plan, on_failure: OnFailure) -> Progress {
    run.ledger().launched.clear();
    let mut graph = Graph { plan, fates: plan.steps.iter().map(|step| (&step.id, Fate::Waiting)).collect() };
    let mut progress = Progress::default();
    let mut under_way = FuturesUnordered::new();
    let mut patience = pin!(patience(run));
    loop {
        graph.drop_lost(run);
        let halted = run.clock.cancelled().is_some() || (progress.failed > 0 && on_failure != OnFailure::Continue);
        while !halted && progress.lock_lost.is_none() && under_way.len() < run.context.options.parallelism.max(1) {
            let Some(step) = graph.next_ready(run) else { break };
            if let Err(reason) = (run.context.check_lock)() {
                progress.lock_lost = Some(reason);
                break;
            }
            graph.fates.insert(&step.id, Fate::UnderWay);
            under_way.push(carry(run, plan, step));
        }
        if under_way.is_empty() {
            break;
        }
        tokio::select! {
            biased;
            Some((step, verdict)) = under_way.next() => {
                let fate = count(&mut progress, &verdict);
                graph.fates.insert(&step.id, fate);
            }
            () = run.launched.notified() => {}
            cut = &mut patience => {
                drop_under_way(run, plan, cut);
                break;
            }
        }
    }
    graph.leave(run, &progress, on_failure);
    progress
}

fn count(progress: &mut Progress, verdict: &StepOutcome) -> Fate {
    match verdict {
        StepOutcome::Done | StepOutcome::NotNeeded => {
            progress.done += 1;
            Fate::Well
        }
        StepOutcome::Stale(_) => {
            progress.stale += 1;
            Fate::Lost
        }
        StepOutcome::Failed(_) | StepOutcome::Cancelled(Cancelled::OutOfTime) => {
            progress.failed += 1;
            Fate::Lost
        }
        StepOutcome::Cancelled(Cancelled::Interrupted) => Fate::Lost,
    }
}

/// Returns when effects under way have had their time after the run was cut short.
async fn patience(run: &Run<'_>) -> Cancelled {
    let cut = run.clock.when_cancelled().await;
    let time = match cut {
        Cancelled::Interrupted => PATIENCE_INTERRUPTED,
        Cancelled::OutOfTime => PATIENCE_OUT_OF_TIME,
    };
    tokio::time::sleep(time).await;
    cut
}

/// One step, from its first event to its last.
async fn carry<'p>(run: &Run<'_>, plan: &'p Plan, step: &'p Step) -> (&'p Step, StepOutcome) {
    let began = Instant::now();
    run.ledger().under_way.insert(step.id.clone());
    run.time_stages(&step.id);
    let (id, service) = (step.id.clone(), step.service.clone());
    run.say(EventKind::StepStarted { step: id, service, action: step.action, estimate_ms: step.estimate_ms });
    let verdict = match (forbidden(run, step), step.action) {
        (Some(stale), _) => stale,
        (None, Action::Stop) => stop::stop(run, step).await,
        (None, Action::Start) => start::start(run, plan, step).await,
        (None, Action::Remove) => stop::remove(run, step).await,
        (None, Action::Evict) => evict::evict(run, step).await,
        (None, Action::Pause) => pause::pause(run, step).await,
        (None, Action::Update) => update::update(run, step).await,
        (None, Action::Unpause) => update::unpause(run, step).await,
        (None, Action::Wake) => wake::wake(run, plan, step).await,
    };
    close(run, plan, step, (&verdict, began));
    (step, verdict)
}

fn close(run: &Run<'_>, plan: &Plan, step: &Step, (verdict, began): (&StepOutcome, Instant)) {
    let took_ms = millis(began.elapsed());
    run.ledger().under_way.remove(&step.id);
    // One that was cut short may yet come to its end, and what follows that is still to be called.
    if !matches!(verdict, StepOutcome::Cancelled(_)) {
        pending::close(run, step);
    }
    match verdict {
        StepOutcome::Done => succeed(run, step, Outcome::Done, took_ms),
        StepOutcome::NotNeeded => succeed(run, step, Outcome::NotNeeded, took_ms),
        StepOutcome::Stale(reason) => skip(run, step, &format!("stale: {reason}; it is planned anew")),
        StepOutcome::Failed(trouble) => {
            attempts::failed(run, plan, step, trouble.code);
            fail(run, key(step), trouble, took_ms);
        }
        StepOutcome::Cancelled(Cancelled::Interrupted) => skip(run, step, "interrupted while it was under way"),
        StepOutcome::Cancelled(Cancelled::OutOfTime) => {
            fail(run, key(step), &out_of_time(run, "while it was under way"), took_ms)
        }
    }
}

fn out_of_time(run: &Run<'_>, when: &str) -> StepError {
    let time = spoken(run.context.options.timeout);
    StepError::new(ReasonCode::StartFailed, format!("the run's time of {time} is over {when}"))
}

/// Their patience is over: what they were doing is found by the next run.
fn drop_under_way(run: &Run<'_>, plan: &Plan, cut: Cancelled) {
    let under_way = std::mem::take(&mut run.ledger().under_way);
    for step in plan.steps.iter().filter(|step| under_way.contains(&step.id)) {
        match cut {
            Cancelled::Interrupted => {
                skip(run, step, "interrupted while it was under way; the next run finds how it went on");
            }
            Cancelled::OutOfTime => {
                fail(run, key(step), &out_of_time(run, "while it was under way"), millis(run.clock.elapsed()));
            }
        }
    }
}

struct Graph<'p> {
    plan: &'p Plan,
    fates: BTreeMap<&'p StepId, Fate>,
}

impl<'p> Graph<'p> {
    /// The first step of the plan's order whose needs are all met.
    fn next_ready(&self, run: &Run<'_>) -> Option<&'p Step> {
        let ready = |step: &&Step| step.needs.iter().all(|need| self.is_met(run, step, need));
        self.waiting().find(ready)
    }

    /// Leaves out what can't begin any more, and what that takes with it.
    fn drop_lost(&mut self, run: &Run<'_>) {
        // In the plan's order needs come first, so that one pass reaches all.
        for step in &self.plan.steps {
            if !matches!(self.fates.get(&step.id), Some(Fate::Waiting)) {
                continue;
            }
            let lost = step.needs.iter().find(|need| self.is_lost(need));
            let reason = match lost {
                Some(need) => format!("it needs {need}, which did not succeed"),
                None if run.ledger().failed.contains(&step.id) => "it failed earlier in this run".to_owned(),
                None => continue,
            };
            self.fates.insert(&step.id, Fate::Lost);
            skip(run, step, &reason);
        }
    }

    /// What is left when the graph has come to its end.
    fn leave(&mut self, run: &Run<'_>, progress: &Progress, on_failure: OnFailure) {
        let left: Vec<&Step> = self.waiting().collect();
        let mut told = progress.failed > 0;
        for step in left {
            match run.clock.cancelled() {
                Some(Cancelled::Interrupted) => skip(run, step, "interrupted before it began"),
                Some(Cancelled::OutOfTime) if told => skip(run, step, "the run's time is over"),
                Some(Cancelled::OutOfTime) => {
                    told = true;
                    fail(run, key(step), &out_of_time(run, "before it could begin"), 0);
                }
                None if progress.lock_lost.is_some() => {
                    skip(run, step, "the lock of this host was lost before it began");
                }
                None if progress.failed > 0 && on_failure != OnFailure::Continue => {
                    skip(run, step, "a step failed before, and this run goes no further then");
                }
                None => skip(run, step, "its needs were never met"),
            }
        }
    }

    fn waiting(&self) -> impl Iterator<Item = &'p Step> {
        self.plan.steps.iter().filter(|step| matches!(self.fates.get(&step.id), Some(Fate::Waiting)))
    }

    fn is_lost(&self, need: &StepId) -> bool {
        matches!(self.fates.get(need), Some(Fate::Lost) | None)
    }

    /// A dependency that need only be started is met before it is healthy.
    fn is_met(&self, run: &Run<'_>, step: &Step, need: &StepId) -> bool {
        match self.fates.get(need) {
            Some(Fate::Well) => return true,
            // Started, and over already.
            Some(Fate::Lost) | None => return false,
            Some(Fate::Waiting | Fate::UnderWay) => {}
        }
        let Some(needed) = self.plan.step(need).filter(|needed| needed.action == Action::Start) else { return false };
        let dependent = run.context.desired.services.get(&step.service);
        let condition =
            dependent.and_then(|service| service.depends_on.get(&needed.service)).map(|edge| edge.condition);
        step.action == Action::Start && condition == Some(Condition::Started) && run.ledger().launched.contains(need)
    }
}
