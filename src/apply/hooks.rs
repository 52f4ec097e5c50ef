//! Calls the hooks of a service around its start and its stop. One that is required and fails before a change prevents
//! it; whatever else a hook does, is written down and told.
//!
//! They belong to the service of the manifest: none is called for an orphan, a surplus copy or an older self, and none
//! where the undoing of a start that failed stops or starts something.

use tokio::time::Instant;

use super::pending;
use super::record::payload;
use super::run::{Run, millis};
use super::verdict::{Trouble, Verdict};
use crate::host::calls::HookCall;
use crate::model::call::Call;
use crate::model::desired::Service;
use crate::model::event::{CallOutcome, EventKind, Stage};
use crate::model::harmless;
use crate::model::hooks::{Hook, HookPayload, Payload, Point};
use crate::model::instance::Instance;
use crate::model::names::ServiceName;
use crate::model::pending::Due;
use crate::model::plan::{ReasonCode, Step};
use crate::store::{Called, Entry, PendingChange};

/// Half of what is kept of one output comes from its beginning, half from its end: an error is told in a line or two,
/// and a thousand calls come to four megabytes.
const OUTPUT_BYTES_MAX: usize = 4 << 10;
/// A script may stand where a program's name is expected.
const NAME_CHARS_MAX: usize = 60;
/// Of an output, with a step that failed for it.
const LOG_LINES: usize = 10;

/// A service at one point of a step.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) step: &'a Step,
    pub(super) service: &'a Service,
    pub(super) point: Point,
    /// What is there of it by now.
    pub(super) instance: Option<&'a Instance>,
}

/// Calls them one after the other; `Err`: the step is not to be taken, and nothing was done.
pub(super) async fn before(run: &Run<'_>, scene: Scene<'_>) -> Result<(), Verdict> {
    for hook in scene.service.hooks.at(scene.point) {
        if let Some(cut) = run.cut() {
            return Err(Verdict::Cut(cut));
        }
        match call(run, scene, hook).await {
            None => {}
            Some(_) if !hook.required => {}
            Some(trouble) => return Err(Verdict::Failed(trouble)),
        }
    }
    // It took its time.
    run.cut().map_or(Ok(()), |cut| Err(Verdict::Cut(cut)))
}

/// Calls them one after the other, whatever the earlier ones came to: the change is made.
pub(super) async fn after(run: &Run<'_>, scene: Scene<'_>) {
    for hook in scene.service.hooks.at(scene.point) {
        call(run, scene, hook).await;
    }
}

/// `Some`: it failed, and what that would mean where it is required.
async fn call(run: &Run<'_>, scene: Scene<'_>, hook: &Hook) -> Option<Trouble> {
    let Scene { step, point, instance, .. } = scene;
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

/// What a call came to, masked and bounded.
pub(super) struct CallReport<'a> {
    pub(super) payload: &'a HookPayload,
    pub(super) call: String,
    pub(super) outcome: CallOutcome,
    pub(super) took_ms: u64,
    pub(super) error: Option<String>,
    pub(super) output: String,
}

/// Records a call together with a change of the pending ones, and reports it. Returns the ids of those that are added.
pub(super) fn report(run: &Run<'_>, report: CallReport<'_>, pending: PendingChange<'_>) -> Vec<u64> {
    let CallReport { payload, call, outcome, took_ms, error, output } = report;
    let service: ServiceName = payload.service.clone();
    let called = Called {
        at: payload.at,
        project: payload.project.clone(),
        service: service.clone(),
        run: payload.run.clone(),
        hook: payload.hook.as_str().to_owned(),
        call: call.clone(),
        took_ms,
        error: error.clone(),
        output: output.clone(),
    };
    let entry = Entry { call: Some(&called), pending, ..Entry::of(&payload.project) };
    let added = run.context.store.write(&entry).unwrap_or_else(|error| {
        run.store_failed(&error);
        Vec::new()
    });
    run.say(EventKind::Hook { service, hook: payload.hook, call, outcome, error, output, took_ms });
    added
}

/// A call in one short line.
pub(super) fn named(run: &Run<'_>, call: &Call) -> String {
    // Masked as a whole: a part of a secret would not be known for one.
    let whole = run.mask(&call.to_string());
    let line = whole.lines().next().unwrap_or_default();
    let short: String = line.chars().take(NAME_CHARS_MAX).collect();
    if short == whole { short } else { format!("{short}…") }
}

fn vetoed(point: Point, what: &str, error: &str, output: &str) -> Trouble {
    let lines: Vec<String> =
        output.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(Into::into).collect();
    let said = lines.last().map(|line| format!(": {line}")).unwrap_or_default();
    let error = format!("vetoed by its {point} hook {what}, which {}{said}", predicate(error));
    // A single line is told with the error already.
    let log = if lines.len() > 1 { lines[lines.len().saturating_sub(LOG_LINES)..].to_vec() } else { Vec::new() };
    Trouble { code: ReasonCode::Vetoed, error, log }
}

/// `exits 1` reads on as it is, `connection refused` does not.
fn predicate(error: &str) -> String {
    let verbs = ["exits ", "did not ", "can't ", "answered "];
    if verbs.iter().any(|verb| error.starts_with(verb)) { error.to_owned() } else { format!("failed: {error}") }
}

/// Its beginning and its end, without what would meddle with a terminal.
pub(super) fn shortened(text: &str) -> String {
    let text = harmless::lines(text, false);
    if text.len() <= OUTPUT_BYTES_MAX {
        return text;
    }
    let head = &text[..text.floor_char_boundary(OUTPUT_BYTES_MAX / 2)];
    let tail = &text[text.ceil_char_boundary(text.len() - OUTPUT_BYTES_MAX / 2)..];
    format!("{head}\n…\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::{OUTPUT_BYTES_MAX, shortened};

    #[test]
    fn of_a_long_output_both_ends_are_kept() {
        assert_eq!(shortened("well\r\n\u{1b}[31mdone\tnow"), "well\ndone\tnow");
        let text = format!("first\n{}last", "é".repeat(OUTPUT_BYTES_MAX));
        let short = shortened(&text);
        assert!(short.starts_with("first\n") && short.ends_with("last") && short.contains("\n…\n"));
        assert!(short.len() <= OUTPUT_BYTES_MAX + 10, "{}", short.len());
    }
}
