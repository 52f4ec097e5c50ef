//! Calls the hooks of a service around its start and its stop. A required hook that fails before a change vetoes it; every
//! other result is only recorded and reported.
//!
//! Hooks belong to the service of the manifest: none is called for an orphan, a surplus copy or a previous revision, and
//! none while a failed start is undone.

use tokio::time::Instant;

use crate::apply::journal::call::{CallReport, named, report, shortened};
use crate::apply::journal::payload::payload;
use crate::apply::journal::pending;
use crate::apply::run::{Run, StepError, StepOutcome, millis};
use crate::host::calls::HookCall;
use crate::model::desired::Service;
use crate::model::event::{CallOutcome, Stage};
use crate::model::hooks::{Hook, HookPayload, Payload, Point};
use crate::model::instance::Instance;
use crate::model::pending::Due;
use crate::model::plan::{ReasonCode, Step};
use crate::store::PendingChange;

/// Lines of an output that a vetoed step reports.
const LOG_LINES: usize = 10;

/// Point of a step at which the hooks of its service are called.
#[derive(Clone, Copy)]
pub(in crate::apply) struct HookPoint<'a> {
    pub(in crate::apply) step: &'a Step,
    pub(in crate::apply) service: &'a Service,
    pub(in crate::apply) point: Point,
    /// Present instance of the service.
    pub(in crate::apply) instance: Option<&'a Instance>,
}

/// Calls the hooks one after the other; `Err`: outcome of a step that is vetoed or cancelled before it did anything.
pub(in crate::apply) async fn before(run: &Run<'_>, at: HookPoint<'_>) -> Result<(), StepOutcome> {
    for hook in at.service.hooks.at(at.point) {
        if let Some(cancelled) = run.clock.cancelled() {
            return Err(StepOutcome::Cancelled(cancelled));
        }
        match call(run, at, hook).await {
            None => {}
            Some(_) if !hook.required => {}
            Some(error) => return Err(StepOutcome::Failed(error)),
        }
    }
    // The run may have been cancelled during the calls.
    run.clock.cancelled().map_or(Ok(()), |cancelled| Err(StepOutcome::Cancelled(cancelled)))
}

/// Calls the hooks one after the other, also after a failed one: the change is made.
pub(in crate::apply) async fn after(run: &Run<'_>, at: HookPoint<'_>) {
    for hook in at.service.hooks.at(at.point) {
        call(run, at, hook).await;
    }
}

/// Calls one hook, and returns its error, which is that of the step if the hook is required. `None`: it succeeded.
async fn call(run: &Run<'_>, at: HookPoint<'_>, hook: &Hook) -> Option<StepError> {
    let HookPoint { step, point, instance, .. } = at;
    let what = named(run, &hook.call);
    let is_before = matches!(point, Point::PreStart | Point::PreStop);
    // A required hook judges the present change: its result in an earlier run does not count.
    if is_before
        && !hook.required
        && let Some(earlier) = pending::acknowledged(run, step, point, hook)
    {
        let detail = format!("{point}: {what} was already called by run {}", earlier.payload.run);
        run.stage(step, Stage::Hook, Some(detail));
        return None;
    }
    run.stage(step, Stage::Hook, Some(format!("{point}: {what}")));
    let payload = HookPayload { hook: point, instance: instance.cloned(), ..payload(run, step) };
    let began = Instant::now();
    let call = HookCall { call: &hook.call, cwd: &hook.cwd, timeout: hook.timeout, payload: Payload::Change(&payload) };
    let answer = run.context.driver.call(&call).await;
    let prevents = is_before && hook.required;
    let outcome = match &answer.error {
        None => CallOutcome::Succeeded,
        Some(_) if prevents => CallOutcome::Vetoed,
        Some(_) => CallOutcome::Failed,
    };
    let took_ms = millis(began.elapsed());
    let (error, output) = (answer.error.map(|error| run.mask(&error)), shortened(&run.mask(&answer.output)));
    let called = CallReport { payload: &payload, call: what.clone(), outcome, took_ms, error: error.clone(), output };
    let output = called.output.clone();
    if is_before {
        acknowledge(run, step, hook, called).await;
    } else {
        let done: Vec<u64> = pending::made(run, &step.id, point, (&hook.call, &hook.cwd)).into_iter().collect();
        report(run, called, PendingChange { done: &done, ..PendingChange::default() }).await;
    }
    error.map(|error| vetoed(point, &what, &error, &output))
}

/// Records that a hook before a change was called: a run that repeats the change does not call it again.
async fn acknowledge(run: &Run<'_>, step: &Step, hook: &Hook, called: CallReport<'_>) {
    let is_vetoed = called.outcome == CallOutcome::Vetoed;
    let call = pending::recorded(run, (&hook.call, &hook.cwd), Due::Acknowledged, called.payload.clone());
    let add = if is_vetoed { &[][..] } else { std::slice::from_ref(&call) };
    for id in report(run, called, PendingChange { add, ..PendingChange::default() }).await {
        pending::commit(run, &step.id, id, &call);
    }
}

fn vetoed(point: Point, what: &str, error: &str, output: &str) -> StepError {
    let lines: Vec<String> =
        output.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(Into::into).collect();
    let last = lines.last().map(|line| format!(": {line}")).unwrap_or_default();
    let error = format!("vetoed by its {point} hook {what}, which {}{last}", predicate(error));
    // A single line is part of the error already.
    let log = if lines.len() > 1 { lines[lines.len().saturating_sub(LOG_LINES)..].to_vec() } else { Vec::new() };
    StepError { code: ReasonCode::Vetoed, error, log }
}

/// Makes a predicate of an error: `exits 1` is one, `connection refused` is not.
fn predicate(error: &str) -> String {
    let verbs = ["exits ", "did not ", "can't ", "answered "];
    if verbs.iter().any(|verb| error.starts_with(verb)) { error.to_owned() } else { format!("failed: {error}") }
}
