//! Rounds of one run: observe, plan, execute, and again while that makes progress, until the project has converged or
//! nothing more can be done.

use super::execute::execute;
use super::journal::seen::{RecordedSnapshot, record_seen};
use super::journal::{attempts, measure, notify, pending, result};
use super::networks;
use super::rollback;
use super::run::{Cancelled, OnFailure, Run, RunContext, RunResult, StepError};
use super::step::log::log_tail;
use super::step::prepare;
use crate::model::event::EventKind;
use crate::model::lifecycle::Action;
use crate::model::mode_set::ModeSet;
use crate::model::names::{ServiceName, StepId};
use crate::model::plan::{Plan, Purpose, ReasonCode, Request, Step};
use crate::model::snapshot::Snapshot;
use crate::store::{Recalled, recall};

/// Largest number of rounds: two are usual after a failure, one more for each change from outside. A run that has not
/// converged by then competes with another actor.
const ROUNDS_MAX: u32 = 5;

/// Observes, plans and executes in rounds while that makes progress. `first` is the plan that was shown and approved.
pub async fn apply(context: RunContext<'_>, first: &Plan) -> RunResult {
    let run = Run::new(context);
    let (project, mode) = (context.desired.project.clone(), context.desired.mode.clone());
    run.emit(EventKind::Run { project, modes: ModeSet::names(mode.as_ref()), mode });
    let work = async {
        // Boxed: the future is as large as everything that its steps wait for.
        let end = run.with_heartbeat(Box::pin(rounds(&run, first))).await;
        run.notices.close();
        end
    };
    let (end, ()) = tokio::join!(work, notify::serve(&run));
    measure::close(&run).await;
    let interrupted = *context.interrupt.borrow();
    let ledger = std::mem::take(&mut *run.ledger());
    let lock_lost = matches!(end, Err(EarlyEnd::LockLost(_)));
    let (last_plan, refused) = match end {
        Ok(plan) => (Some(plan), None),
        Err(EarlyEnd::LockLost(reason) | EarlyEnd::Refused(reason)) => (None, Some(reason)),
        Err(EarlyEnd::Unapproved { plan, reason }) => (Some(*plan), Some(reason)),
        Err(EarlyEnd::Interrupted) => (None, None),
    };
    RunResult {
        changed: ledger.changed,
        done: ledger.done,
        settled: ledger.made,
        skipped: u32::try_from(ledger.skipped.len()).unwrap_or(u32::MAX),
        failures: ledger.failures,
        interrupted,
        refused,
        lock_lost,
        last_plan,
    }
}

/// Reason for which a run ends before its last round.
enum EarlyEnd {
    Interrupted,
    /// Another run may change the same services by now.
    LockLost(String),
    Refused(String),
    /// The present state needs steps that were not approved.
    Unapproved {
        plan: Box<Plan>,
        reason: String,
    },
}

/// Returns the plan for the state that the last round left behind.
async fn rounds(run: &Run<'_>, first: &Plan) -> Result<Plan, EarlyEnd> {
    let on_failure = run.context.options.on_failure;
    let mut plan = first.clone();
    for round in 1..=ROUNDS_MAX {
        match prepared(run, plan).await? {
            Prepared::Go(ready) => plan = *ready,
            Prepared::Halt => return replan(run).await,
        }
        plan = within_approved(run, plan)?;
        attempts::forget(run, &plan).await;
        let steps = plan.steps.iter().map(|step| step.id.clone()).collect();
        run.emit(EventKind::Planned { round, steps });
        pending::settle(run, &mut plan).await;
        if run.clock.cancelled() == Some(Cancelled::Interrupted) {
            return Err(EarlyEnd::Interrupted);
        }
        if plan.steps.is_empty() {
            return without_networks(run, plan).await;
        }
        if run.context.request.purpose == Purpose::Restart {
            run.ledger().restarting.extend(restarting(&plan));
        }
        let progress = execute(run, &plan, on_failure).await;
        if run.clock.cancelled() == Some(Cancelled::Interrupted) {
            return Err(EarlyEnd::Interrupted);
        }
        if let Some(reason) = progress.lock_lost {
            return Err(EarlyEnd::LockLost(reason));
        }
        if progress.failed > 0 && on_failure == OnFailure::Rollback {
            roll_back(run, &plan, round).await;
        }
        plan = without_networks(run, replan(run).await?).await?;
        if relapses(run, &plan).await {
            if on_failure == OnFailure::Rollback {
                roll_back(run, &plan, round).await;
            }
            plan = replan(run).await?;
            if on_failure != OnFailure::Continue {
                return Ok(plan);
            }
        }
        let something_new = plan.steps.iter().any(|step| !run.ledger().failed.contains(&step.id));
        let moved = progress.done > 0 || progress.stale > 0 || progress.failed > 0;
        let halted = progress.failed > 0 && on_failure != OnFailure::Continue;
        if !moved || !something_new || halted || run.clock.cancelled().is_some() {
            return Ok(plan);
        }
    }
    run.warn(&format!("did not converge after {ROUNDS_MAX} rounds: another actor keeps changing these services"));
    Ok(plan)
}

/// Removes networks that nothing uses any more, and returns the plan for what is left.
async fn without_networks(run: &Run<'_>, plan: Plan) -> Result<Plan, EarlyEnd> {
    if networks::remove(run, &plan).await { replan(run).await } else { Ok(plan) }
}

/// Returns services with a stop and a start in one plan.
fn restarting(plan: &Plan) -> impl Iterator<Item = ServiceName> {
    let stops = |step: &&Step| step.action == Action::Stop;
    let again =
        |stop: &&Step| plan.steps.iter().any(|step| step.action == Action::Start && step.service == stop.service);
    plan.steps.iter().filter(stops).filter(again).map(|step| step.service.clone())
}

/// Returns the plan if all its steps are approved.
fn within_approved(run: &Run<'_>, plan: Plan) -> Result<Plan, EarlyEnd> {
    let Some(approved) = run.context.approved else { return Ok(plan) };
    let is_new = |step: &&Step| approved.step(&step.id).is_none_or(|other| other.gpus != step.gpus);
    let added: Vec<&str> = plan.steps.iter().filter(is_new).map(|step| step.id.as_str()).collect();
    if added.is_empty() {
        return Ok(plan);
    }
    let (evicted, updated) = {
        let ledger = run.ledger();
        (ledger.not_evicted.is_empty(), ledger.not_updated.is_empty())
    };
    let because = match (evicted, updated) {
        (true, true) => "the state has changed",
        (false, _) => "an eviction failed",
        (true, false) => "settings could not be changed in place",
    };
    let reason = format!("{because}, and the saved plan does not contain {}; plan again", added.join(", "));
    Err(EarlyEnd::Unapproved { plan: Box::new(plan), reason })
}

/// Fails services that this run started and that are down again: they are not started a second time, neither by the
/// plan nor once their budgets allow it. Returns true if there are any.
async fn relapses(run: &Run<'_>, plan: &Plan) -> bool {
    let fell = |code| matches!(code, ReasonCode::Exited | ReasonCode::Unhealthy);
    let starts = plan.steps.iter().filter(|step| step.action == Action::Start && fell(step.reason.code));
    let again = starts.map(|step| (&step.service, &step.reason.message));
    let spent = plan.held.iter().filter(|held| held.reason.code.is_of_budget());
    let held = spent.map(|held| (&held.service, &held.reason.message));
    let fallen: Vec<_> = again.chain(held).filter(|(service, _)| run.ledger().came_up.contains(*service)).collect();
    for (service, message) in &fallen {
        let error = format!("started, but did not stay up: {message}");
        let log = log_tail(run, service).await;
        attempts::relapsed(run, service).await;
        let step = StepId::new(format!("{}:{service}", Action::Start));
        result::fail(run, (&step, service), &StepError { code: ReasonCode::StartFailed, error, log }, 0);
    }
    !fallen.is_empty()
}

/// Result of the preparation of a plan.
enum Prepared {
    Go(Box<Plan>),
    /// A preparation failed, and this run stops at the first failure.
    Halt,
}

/// Prepares the starts of the plan, and plans again without services that can't be prepared.
async fn prepared(run: &Run<'_>, mut plan: Plan) -> Result<Prepared, EarlyEnd> {
    // Each iteration takes at least one service out of the plan.
    for _ in 0..=run.context.desired.services.len() {
        let failed = match prepare::prepare(run, &plan).await {
            Ok(failed) => failed,
            Err(Cancelled::Interrupted) => return Err(EarlyEnd::Interrupted),
            // The executor finds the same, and reports it for each step.
            Err(Cancelled::OutOfTime) => 0,
        };
        if failed == 0 {
            break;
        }
        if run.context.options.on_failure != OnFailure::Continue {
            return Ok(Prepared::Halt);
        }
        plan = replan(run).await?;
    }
    Ok(Prepared::Go(Box::new(plan)))
}

/// Rolls back. The rollback is reported like any other plan, as part of the round that failed.
async fn roll_back(run: &Run<'_>, plan: &Plan, round: u32) {
    attempts::spend(run).await;
    let Some(back) = rollback::plan_back(run, plan).await else { return };
    run.clock.restart();
    run.warn("a step failed; rolling back to the state before this run");
    run.emit(EventKind::Planned { round, steps: back.steps.iter().map(|step| step.id.clone()).collect() });
    execute(run, &back, OnFailure::Continue).await;
}

/// Requests the start of services that this run has stopped for a restart, and no further restart of those that it has
/// started.
fn continue_restart(run: &Run<'_>, request: &mut Request) {
    let ledger = run.ledger();
    let stopped = ledger.stopped.iter().map(|moved| &moved.step.service);
    let stopped: Vec<&ServiceName> = stopped.filter(|name| ledger.restarting.contains(*name)).collect();
    request.targets.extend(stopped.iter().copied().cloned());
    request.restarted.extend(stopped.into_iter().chain(&ledger.came_up).cloned());
}

/// Observes once, and returns the plan for that snapshot.
async fn replan(run: &Run<'_>) -> Result<Plan, EarlyEnd> {
    let snapshot = observe(run).await?;
    let recorded = RecordedSnapshot { desired: run.context.desired, snapshot: &snapshot, author: run.context.author };
    if let Err(error) = record_seen(run.context.store, recorded).await {
        run.store_failed(&error);
    }
    measure::keep_largest(run, &snapshot, run.context.request);
    let mut request = run.context.request.clone();
    request.prevented.extend(run.ledger().prevented.clone());
    request.not_evicted.extend(run.ledger().not_evicted.values().cloned());
    request.not_updated.extend(run.ledger().not_updated.iter().cloned());
    match request.purpose {
        Purpose::Restart => continue_restart(run, &mut request),
        // A job that is named runs once.
        Purpose::Start => request.restarted.extend(run.ledger().came_up.iter().cloned()),
        Purpose::Apply | Purpose::Down | Purpose::Stop => {}
    }
    run.context.planner.plan(&snapshot, &request).map_err(|error| EarlyEnd::Refused(error.to_string()))
}

/// Builds the snapshot of this moment: readings of the driver, and the history, holds and pending calls of the store.
async fn observe(run: &Run<'_>) -> Result<Snapshot, EarlyEnd> {
    let context = &run.context;
    // The run's timeout does not bound this: a run that is out of time still reports the plan that is left.
    let mut facts = tokio::select! {
        biased;
        () = run.clock.interrupted() => return Err(EarlyEnd::Interrupted),
        facts = context.driver.observe(context.desired) => facts,
    };
    let Recalled { holds, journal } = recall(context.store, [&context.desired.project], &mut facts).await;
    if let Err(error) = holds {
        run.holds_unreadable(&error);
        facts.merge_holds(run.ledger().holds.clone());
        facts.holds_unknown = Some(error.to_string());
    }
    if let Err(error) = journal {
        run.store_failed(&error);
    }
    // The calls of this run are made by its own steps.
    facts.pending.retain(|call| !run.is_own(call));
    Ok(context.planner.observe(facts))
}
