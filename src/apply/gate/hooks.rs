//! Calls the hooks of a service around its start and its stop. One that is required and fails before a change prevents
//! it; whatever else a hook does, is written down and told.
//!
//! They belong to the service of the manifest: none is called for an orphan, a surplus copy or an older self, and none
//! where the undoing of a start that failed stops or starts something.

use tokio::time::Instant;

use crate::apply::journal::call::{CallReport, named, report, shortened};
use crate::apply::journal::payload::payload;
use crate::apply::journal::pending;
use crate::apply::run::{Run, StepError, StepOutcome, millis};
use crate::host::calls::HookCall;
use crate::model::desired::Service;
use crate::model::event::{CallOutcome, Stage};
use crate::model::hooks::{Hook, HookPayload, Payload, Point};
use crate::model::observed::Instance;
use crate::model::pending::Due;
use crate::model::plan::{ReasonCode, Step};
use crate::store::PendingChange;

/// Of an output, with a step that failed for it.
const LOG_LINES: usize = 10;

/// A service at one point of a step.
#[derive(Clone, Copy)]
pub(in crate::apply) struct HookPoint<'a> {
    pub(in crate::apply) step: &'a Step,
    pub(in crate::apply) service: &'a Service,
    pub(in crate::apply) point: Point,
    /// What is there of it by now.
    pub(in crate::apply) instance: Option<&'a Instance>,
}

/// Calls them one after the other; `Err`: the step is not to be taken, and nothing was done.
pub(in crate::apply) async fn before(run: &Run<'_>, scene: HookPoint<'_>) -> Result<(), StepOutcome> {
    for hook in scene.service.hooks.at(scene.point) {
        if let Some(cut) = run.clock.cancelled() {
            return Err(StepOutcome::Cancelled(cut));
        }
        match call(run, scene, hook).await {
            None => {}
            Some(_) if !hook.required => {}
            Some(trouble) => return Err(StepOutcome::Failed(trouble)),
        }
    }
    // It took its time.
    run.clock.cancelled().map_or(Ok(()), |cut| Err(StepOutcome::Cancelled(cut)))
}

/// Calls them one after the other, whatever the earlier ones came to: the change is made.
pub(in crate::apply) async fn after(run: &Run<'_>, scene: HookPoint<'_>) {
    for hook in scene.service.hooks.at(scene.point) {
        call(run, scene, hook).await;
    }
}

/// `Some`: it failed, and what that would mean where it is required.
async fn call(run: &Run<'_>, scene: HookPoint<'_>, hook: &Hook) -> Option<StepError> {
    let HookPoint { step, point, instance, .. } = scene;
    let what = named(run, &hook.call);
    let is_before = matches!(point, Point::PreStart | Point::PreStop);
    // A veto is asked for the change that is made now: what an earlier run was answered says nothing of it.
    if is_before
        && !hook.required
        && let Some(earlier) = pending::acknowledged(run, step, point, hook)
    {
        let detail = format!("{point}: {what} was called by run {} already", earlier.payload.run);
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
        None => CallOutcome::Well,
        Some(_) if prevents => CallOutcome::Vetoed,
        Some(_) => CallOutcome::Failed,
    };
    let took_ms = millis(began.elapsed());
    let (error, output) = (answer.error.map(|error| run.mask(&error)), shortened(&run.mask(&answer.output)));
    let told = CallReport { payload: &payload, call: what.clone(), outcome, took_ms, error: error.clone(), output };
    let output = told.output.clone();
    if is_before {
        acknowledge(run, step, hook, told);
    } else {
        let done: Vec<u64> = pending::made(run, &step.id, point, (&hook.call, &hook.cwd)).into_iter().collect();
        report(run, told, PendingChange { done: &done, ..PendingChange::default() });
    }
    error.map(|error| vetoed(point, &what, &error, &output))
}

/// Records that a hook before a change was called: the run that repeats the change does not call it again.
fn acknowledge(run: &Run<'_>, step: &Step, hook: &Hook, told: CallReport<'_>) {
    let is_vetoed = told.outcome == CallOutcome::Vetoed;
    let call = pending::recorded(run, (&hook.call, &hook.cwd), Due::Acknowledged, told.payload.clone());
    let add = if is_vetoed { &[][..] } else { std::slice::from_ref(&call) };
    for id in report(run, told, PendingChange { add, ..PendingChange::default() }) {
        pending::commit(run, &step.id, id, &call);
    }
}

fn vetoed(point: Point, what: &str, error: &str, output: &str) -> StepError {
    let lines: Vec<String> =
        output.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(Into::into).collect();
    let said = lines.last().map(|line| format!(": {line}")).unwrap_or_default();
    let error = format!("vetoed by its {point} hook {what}, which {}{said}", predicate(error));
    // A single line is told with the error already.
    let log = if lines.len() > 1 { lines[lines.len().saturating_sub(LOG_LINES)..].to_vec() } else { Vec::new() };
    StepError { code: ReasonCode::Vetoed, error, log }
}

/// `exits 1` reads on as it is, `connection refused` does not.
fn predicate(error: &str) -> String {
    let verbs = ["exits ", "did not ", "can't ", "answered "];
    if verbs.iter().any(|verb| error.starts_with(verb)) { error.to_owned() } else { format!("failed: {error}") }
}
