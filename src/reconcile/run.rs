//! A run: under the host's lock, a project is changed as it was approved, and the run is recorded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::watch;
use tracing::info;

use crate::apply::{self, Interrupt, Options, RecordedSnapshot, RunContext, RunResult};
use crate::model::converged::Converged;
use crate::model::desired::Desired;
use crate::model::event::{Event, EventKind};
use crate::model::job::{JobEnd, JobState, JobStatus};
use crate::model::names::ServiceName;
use crate::model::network::NetworkLine;
use crate::model::plan::{Plan, Purpose};
use crate::model::snapshot::Proposal;
use crate::reconcile::approval::Approval;
use crate::reconcile::error::ReconcileError;
use crate::reconcile::proposal::{self, Cycle};
use crate::reconcile::report::{RunReport, RunStatus};
use crate::reconcile::{lock, one_shot, run_notices, wire};
use crate::store::sqlite::Sqlite;
use crate::store::{Author, Grant, Journal as _, RunBegun, RunEnd, RunRecord, StoreError};

/// Command that a run carries out.
#[derive(Clone, Copy)]
pub(crate) struct RunCommand<'a> {
    /// Command line for the lock and the history: `lcm apply`.
    pub(crate) name: &'static str,
    /// Longest wait for the host's lock.
    pub(crate) lock_timeout: Duration,
    pub(crate) options: &'a Options,
    /// Exit code of a result, as the history records it.
    pub(crate) exit_code: fn(RunStatus) -> u8,
}

/// Receiver of the events of a run.
pub(crate) trait RunListener: Sync {
    /// Returns the signal that requests an early end of the run.
    fn interrupt(&self) -> &watch::Receiver<Option<Interrupt>>;

    /// Reports that the first effect is imminent.
    fn begins(&self);

    /// Takes the function that records a run which is ended at once.
    fn on_cut_off(&self, record: CutOff);

    fn event(&self, event: Event);

    /// Reports that the run has ended, and will be recorded next.
    fn ended(&self, report: &RunReport);
}

/// Records the end of a run that a second signal ends at once.
pub(crate) type CutOff = Box<dyn FnOnce(Interrupt) -> BoxFuture<'static, ()> + Send>;

/// A run that holds the host's lock.
pub(crate) struct ActiveRun<'a> {
    pub(crate) cycle: Cycle<'a>,
    command: RunCommand<'a>,
    author: Author,
    began: Timestamp,
    lock: Grant,
    /// True once the caller knows that the store fails, which is reported once.
    store_failure_reported: AtomicBool,
}

/// Takes the lock, proves that the run can be recorded, and closes the records of runs that were killed.
pub(crate) async fn begin<'a>(cycle: Cycle<'a>, command: RunCommand<'a>) -> Result<ActiveRun<'a>, ReconcileError> {
    let Cycle { caller, project, request, .. } = cycle;
    let began = project.driver().now();
    let author = Author { by: lock::who(caller.environment()), run: run_id(began) };
    let lock = lock::take(caller, command.name, project, command.lock_timeout).await?;
    info!(target: "reconcile", run = author.run, command = command.name, "run begins under the host's lock");
    let run = ActiveRun { cycle, command, author, began, lock, store_failure_reported: AtomicBool::new(false) };
    project.ensure_writable(request.purpose, |error| report_store(&run, error)).await?;
    project.rename_former().await.unwrap_or_else(|error| report_store(&run, &error));
    close_killed(&run).await.unwrap_or_else(|error| report_store(&run, &error));
    Ok(run)
}

/// Returns the plan for the machine as it is now, and records the changes since the last run.
pub(crate) async fn propose_for_run(run: &ActiveRun<'_>) -> Result<Proposal, ReconcileError> {
    let Cycle { project, request, .. } = run.cycle;
    if request.purpose != Purpose::Down {
        project.require_holds().await?;
    }
    let snapshot = proposal::observe(run.cycle, BTreeMap::new()).await?;
    let recorded = RecordedSnapshot { desired: &project.desired, snapshot: &snapshot, author: &run.author };
    apply::record_seen(project.store(), recorded).await.unwrap_or_else(|error| report_store(run, &error));
    proposal::propose_for(run.cycle, snapshot)
}

/// Applies an approved plan, and records the result.
pub(crate) async fn carry_out(
    run: &ActiveRun<'_>,
    approval: &Approval,
    listener: &dyn RunListener,
) -> Result<RunReport, ReconcileError> {
    let Cycle { caller, project, request, .. } = run.cycle;
    let plan = &approval.proposal().plan;
    keep_approved(run, plan).await?;
    project.driver().record(&project.desired.project).await;
    let (outcome, took_ms) = if plan.is_idle() && plan.settled().next().is_none() {
        forget_recovered(run, plan).await;
        (nothing_to_do(run, plan, listener), None)
    } else {
        listener.begins();
        record_begin(run).await?;
        if !project.is_simulated() {
            listener.on_cut_off(record_cut_off(run));
        }
        let began = project.driver().now();
        let outcome = apply_plan(run, approval, listener).await;
        let took = project.driver().now().duration_since(began).as_millis();
        (outcome, Some(u64::try_from(took).unwrap_or_default()))
    };
    settle_owner(run, &outcome)?;
    if request.purpose == Purpose::Down {
        forget_jobs(run, plan).await;
    }
    let undone = one_shot::undone(caller, project, request, plan).await;
    // Before the last event: a snapshot that can't be written back has not changed.
    project.close(caller).await?;
    let status = RunStatus::of_outcome(&outcome);
    keep_converged(run, status).await.unwrap_or_else(|error| report_store(run, &error));
    let report = RunReport {
        run: run.author.run.clone(),
        began: run.began,
        ended: project.driver().now(),
        approved_by: approval.by(),
        outcome,
        status,
        took_ms,
        warnings: plan.warnings.clone(),
        undone,
    };
    let RunResult { done, skipped, failures, .. } = &report.outcome;
    let run_id = report.run.as_str();
    info!(target: "reconcile", run = run_id, status = ?report.status, done, skipped, failed = failures.len(), "run ended");
    listener.ended(&report);
    record_end(run, &report).await;
    let delivered = run_notices::deliver_all(project, &|line| caller.warn(line)).await;
    delivered.unwrap_or_else(|error| report_store(run, &error));
    Ok(report)
}

/// Reports once that the store fails.
fn report_store(run: &ActiveRun<'_>, error: &StoreError) {
    if !run.store_failure_reported.swap(true, Ordering::Relaxed) {
        run.cycle.caller.warn(&format!("the history is not kept in this run: {error}"));
    }
}

/// Records the approved owner, mode and resumed services of the project, before the plan is applied.
async fn keep_approved(run: &ActiveRun<'_>, plan: &Plan) -> Result<(), ReconcileError> {
    let Cycle { caller, project, request, .. } = run.cycle;
    if !plan.steps.is_empty() || request.purpose != Purpose::Down {
        project.own(caller)?;
    }
    project.keep_mode(request.purpose).await?;
    one_shot::keep_resumed(project, request).await
}

/// Records what is left after a run: nothing of the previous owner, or nothing at all.
fn settle_owner(run: &ActiveRun<'_>, outcome: &RunResult) -> Result<(), ReconcileError> {
    let Cycle { caller, project, request, .. } = run.cycle;
    let Some(plan) = &outcome.last_plan else { return Ok(()) };
    if outcome.failures.is_empty() && plan.steps.is_empty() {
        project.forget_previous(caller)?;
    }
    if request.purpose == Purpose::Down && is_all_gone(plan) { project.disown(caller) } else { Ok(()) }
}

/// Returns true if, after a down, nothing is left to be stopped, removed or reported.
fn is_all_gone(plan: &Plan) -> bool {
    let keeps_network = plan.networks.iter().any(NetworkLine::is_removable);
    plan.steps.is_empty()
        && !keeps_network
        && plan.blocked.is_empty()
        && plan.held.is_empty()
        && plan.orphans.is_empty()
}

/// Deletes attempts that do not count any more; where there are steps, applying them does that.
async fn forget_recovered(run: &ActiveRun<'_>, plan: &Plan) {
    let Cycle { caller, project, .. } = run.cycle;
    for service in &plan.recovered {
        if let Err(error) = project.store().set_attempts(&plan.project, service, None).await {
            caller.warn(&format!("{error}; earlier attempts of {service} still count"));
        }
    }
}

/// Records that earlier ends of the jobs of a `down` do not count any more: the next apply runs them again.
async fn forget_jobs(run: &ActiveRun<'_>, plan: &Plan) {
    let Cycle { caller, project, request, .. } = run.cycle;
    let goes = |name: &ServiceName| {
        (request.targets.is_empty() || request.targets.contains(name)) && !request.excludes.contains(name)
    };
    let ended = |(name, status): &(&ServiceName, &JobStatus)| status.state != JobState::Due && goes(name);
    for (name, _) in plan.jobs.iter().filter(ended) {
        let end = JobEnd::forgotten(project.driver().now());
        if let Err(error) = project.store().record_job_end(&plan.project, name, &end).await {
            caller.warn(&format!("{error}; the last run of {name} still counts"));
        }
    }
}

fn nothing_to_do(run: &ActiveRun<'_>, plan: &Plan, listener: &dyn RunListener) -> RunResult {
    let (project, mode, modes) = (plan.project.clone(), plan.mode.clone(), plan.modes.clone());
    listener.event(Event::new(run.cycle.project.driver().now(), EventKind::Run { project, mode, modes }));
    RunResult {
        changed: false,
        done: 0,
        skipped: 0,
        settled: 0,
        failures: Vec::new(),
        interrupted: None,
        refused: None,
        lock_lost: false,
        last_plan: Some(plan.clone()),
    }
}

async fn apply_plan(run: &ActiveRun<'_>, approval: &Approval, listener: &dyn RunListener) -> RunResult {
    let Cycle { project, request, saved, .. } = run.cycle;
    let Proposal { snapshot, plan } = approval.proposal();
    let earlier = project.store().pending(&project.desired.project).await.unwrap_or_default();
    let planner = project.planner();
    let orphans = &snapshot.observed.orphans;
    let orphans = orphans.iter().map(|orphan| (orphan.service.clone(), orphan.stop.clone())).collect();
    let context = RunContext {
        driver: project.driver(),
        store: project.store(),
        store_failure_reported: &run.store_failure_reported,
        author: &run.author,
        desired: &project.desired,
        request,
        approved: saved.map(|_| plan),
        planner: &planner,
        earlier: &earlier,
        orphans: &orphans,
        options: run.command.options,
        events: &|event| listener.event(event),
        interrupt: listener.interrupt(),
        check_lock: &|| lock::check(&run.lock),
    };
    apply::apply(context, plan).await
}

/// Records runs that were killed: under the lock, no other run of this host is in progress.
async fn close_killed(run: &ActiveRun<'_>) -> Result<(), StoreError> {
    let (project, name) = (run.cycle.project, &run.cycle.project.desired.project);
    let killed = project.store().runs_begun(name).await?;
    if killed.is_empty() {
        return Ok(());
    }
    let notices: Vec<_> = killed.iter().flat_map(|killed| run_notices::of_killed(project, killed)).collect();
    project.store().close_killed(run.lock.token(), name, &notices).await
}

/// Records the run before its first effect. Refused if another run has taken the lock since.
async fn record_begin(run: &ActiveRun<'_>) -> Result<(), ReconcileError> {
    let desired = &run.cycle.project.desired;
    let begun = RunBegun {
        id: run.author.run.clone(),
        manifest: desired.entry.display().to_string(),
        project: desired.project.clone(),
        command: run.command.name.to_owned(),
        by: run.author.by.clone(),
        began: run.began,
        mode: desired.mode.clone(),
    };
    match run.cycle.project.store().begin_run(run.lock.token(), &begun).await {
        Ok(()) => Ok(()),
        Err(error @ StoreError::Fenced { .. }) => Err(ReconcileError::LockLost(error.to_string())),
        Err(error @ (StoreError::Unusable { .. } | StoreError::Full { .. } | StoreError::Newer { .. })) => {
            report_store(run, &error);
            Ok(())
        }
    }
}

/// Returns a function that records the end of a run which a second signal ends at once. It works beside the run, on a
/// connection of its own.
fn record_cut_off(run: &ActiveRun<'_>) -> CutOff {
    let store = Sqlite::at(&wire::state_folder(run.cycle.caller.environment()));
    let (record, exit_code, token) = (run_of(run), run.command.exit_code, run.lock.token());
    Box::new(move |interrupt| {
        let (end, exit_code) = (end_of(Some(interrupt)), exit_code(RunStatus::of_interrupt(interrupt)));
        let record = RunRecord { ended: Timestamp::now(), end, exit_code, ..record };
        // A run that can't be recorded here is recorded by the next run, as killed.
        Box::pin(async move { drop(store.record_run(token, &record, &[]).await) })
    })
}

/// Returns the record of the run, before its end is known.
fn run_of(run: &ActiveRun<'_>) -> RunRecord {
    let desired = &run.cycle.project.desired;
    RunRecord {
        id: run.author.run.clone(),
        manifest: desired.entry.display().to_string(),
        project: desired.project.clone(),
        command: run.command.name.to_owned(),
        by: run.author.by.clone(),
        began: run.began,
        ended: run.began,
        end: RunEnd::Interrupted,
        exit_code: (run.command.exit_code)(RunStatus::Interrupted),
        changed: true,
        first_error: None,
    }
}

fn end_of(interrupt: Option<Interrupt>) -> RunEnd {
    match interrupt {
        None => RunEnd::Completed,
        Some(Interrupt::Interrupted) => RunEnd::Interrupted,
        Some(Interrupt::Terminated) => RunEnd::Terminated,
        Some(Interrupt::HungUp) => RunEnd::HungUp,
    }
}

fn first_error(outcome: &RunResult) -> Option<String> {
    let failure = outcome.failures.first();
    // `stop:ollama` is shown as `stop ollama`.
    let error = failure.map(|failure| format!("{}: {}", failure.step.to_string().replacen(':', " ", 1), failure.error));
    error.or_else(|| outcome.refused.clone())
}

/// Records the end of a run, with the notices for notifiers.
async fn record_end(run: &ActiveRun<'_>, report: &RunReport) {
    let Cycle { project, request, .. } = run.cycle;
    let record = RunRecord {
        ended: report.ended,
        end: end_of(report.outcome.interrupted),
        exit_code: (run.command.exit_code)(report.status),
        changed: report.outcome.changed,
        first_error: first_error(&report.outcome),
        ..run_of(run)
    };
    let notices = run_notices::of_end(project, request, &record, report.status).await.unwrap_or_else(|error| {
        report_store(run, &error);
        Vec::new()
    });
    if let Err(error) = project.store().record_run(run.lock.token(), &record, &notices).await {
        report_store(run, &error);
    }
}

/// Keeps the manifest of a run that converged, for `lcm rollback`.
async fn keep_converged(run: &ActiveRun<'_>, status: RunStatus) -> Result<(), StoreError> {
    let Cycle { project, request, .. } = run.cycle;
    let Desired { mode, own_mode, goals_requested, entry, files, .. } = &project.desired;
    let is_whole = request.purpose == Purpose::Apply && request.targets.is_empty() && request.excludes.is_empty();
    if !is_whole || !status.is_converged() || files.is_empty() || project.is_simulated() {
        return Ok(());
    }
    let converged = Converged {
        run: run.author.run.clone(),
        at: project.driver().now(),
        mode: mode.clone(),
        own_mode: own_mode.clone(),
        goals: goals_requested.clone(),
        entry: entry.clone(),
        files: Arc::clone(files),
    };
    project.store().keep_converged(&project.desired.project, &converged).await
}

/// Returns the id of a run, its begin and its process: `20261121-153000-4711`. People read it, and runs are sorted by
/// it.
fn run_id(began: Timestamp) -> String {
    format!("{}-{}", began.strftime("%Y%m%d-%H%M%S"), std::process::id())
}
