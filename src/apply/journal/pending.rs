//! Journal of the calls that a run commits itself to. A step records its hooks and notifications before its effect; each
//! record is deleted once the call was made. Calls that an earlier run has left on record are settled before the first
//! step.
//!
//! A step that has calls to record fails if the store can't be written, except in `lcm down`: a killed run would forget
//! them.

use std::path::Path;

use tokio::time::Instant;

use super::call::{self, CallReport, named};
use super::payload::payload;
use crate::apply::run::{Commitment, Notice, Owed, Run, StepError, StepOutcome, millis};
use crate::host::calls::HookCall;
use crate::model::call::Call;
use crate::model::desired::Service;
use crate::model::event::CallOutcome;
use crate::model::hooks::{Hook, HookPayload, Notifier, Payload, Point, When};
use crate::model::lifecycle::{Action, State};
use crate::model::names::StepId;
use crate::model::pending::{Due, PendingCall, digest};
use crate::model::plan::{PendingLine, PendingStatus, Plan, Purpose, ReasonCode, Step};
use crate::store::{JournalEntry, PendingChange, StoreError};

/// Returns a call in the form in which it is recorded.
pub(in crate::apply) fn recorded(
    run: &Run<'_>,
    (call, cwd): (&Call, &Path),
    due: Due,
    payload: HookPayload,
) -> PendingCall {
    let digest = digest(run.masker(), payload.hook, call, cwd);
    PendingCall { id: 0, due, digest, call: named(run, call), payload, tries: 0 }
}

/// Records the calls that follow the step's effect, and takes over those of the same kind that an earlier run left.
/// `service`: owner of the hooks that are called; `notifies`: changes of the step are the service's own.
pub(in crate::apply) async fn begin(
    run: &Run<'_>,
    step: &Step,
    service: Option<&Service>,
    notifies: bool,
) -> Result<(), StepOutcome> {
    let end = step.route.last().copied().unwrap_or(step.expect.state);
    let hooks = service.map_or(&[][..], |service| service.hooks.at(point_after(step.action)));
    let of_hook = |hook: &Hook| {
        let payload = HookPayload { hook: point_after(step.action), ..payload(run, step) };
        recorded(run, (&hook.call, &hook.cwd), Due::Reached(end), payload)
    };
    let mut calls: Vec<PendingCall> = hooks.iter().map(of_hook).collect();
    let notifiers = run.context.desired.notify.iter().filter(|_| notifies);
    for notifier in notifiers {
        let wanted = step.route.windows(2).filter(|pair| notifier.wants(When::After, &step.service, pair[1]));
        calls.extend(wanted.map(|pair| {
            let payload = HookPayload { hook: Point::NotifyAfter, from: pair[0], to: pair[1], ..payload(run, step) };
            recorded(run, (&notifier.call, &notifier.cwd), Due::Reached(end), payload)
        }));
    }
    let (done, due) = taken_over(run, step, end);
    let pending = PendingChange { add: &calls, due: &due, done: &done, tried: &[] };
    match write(run, pending).await {
        Ok(ids) => {
            let commitments = ids.iter().zip(&calls).map(|(id, call)| Commitment::of(*id, call)).collect();
            run.ledger().committed.insert(step.id.clone(), commitments);
            post_earlier(run, &due);
            Ok(())
        }
        Err(error) if calls.is_empty() || run.context.request.purpose == Purpose::Down => {
            run.store_failed(&error);
            Ok(())
        }
        Err(error) => {
            let message = format!("its hooks and notifications can't be recorded, so it was not begun: {error}");
            Err(StepOutcome::Failed(StepError::new(ReasonCode::PrepareFailed, message)))
        }
    }
}

fn point_after(action: Action) -> Point {
    match action {
        Action::Start => Point::PostStart,
        Action::Stop => Point::PostStop,
        // These actions have no hooks.
        Action::Evict
        | Action::Wake
        | Action::Remove
        | Action::Pause
        | Action::Unpause
        | Action::Update
        | Action::Scale => Point::NotifyAfter,
    }
}

/// Returns the ids of the calls of an earlier run's step that this step makes instead, and of the notifications of its
/// changes that this step does not repeat.
fn taken_over(run: &Run<'_>, step: &Step, end: State) -> (Vec<u64>, Vec<u64>) {
    let same = |call: &&PendingCall| {
        let kind = match call.due {
            Due::Reached(other) => other.is_not_running() == end.is_not_running(),
            Due::Now | Due::Acknowledged => false,
        };
        kind && *call.service() == step.service
    };
    let repeats = |call: &PendingCall| call.is_hook() || step.route.iter().skip(1).any(|to| *to == call.payload.to);
    let (done, due): (Vec<&PendingCall>, Vec<&PendingCall>) =
        run.earlier.iter().filter(same).partition(|call| repeats(call));
    let ids = |calls: Vec<&PendingCall>| calls.into_iter().map(|call| call.id).collect();
    (ids(done), ids(due))
}

/// Record of a notification: one that the step committed itself to, or a new one.
pub(in crate::apply) enum NoticeRecord {
    Committed(u64),
    New(Box<PendingCall>),
}

/// Finds or makes the record of a notification of a change.
pub(in crate::apply) fn note(run: &Run<'_>, step: &StepId, notifier: &Notifier, payload: &HookPayload) -> NoticeRecord {
    let call = recorded(run, (&notifier.call, &notifier.cwd), Due::Now, payload.clone());
    let mut ledger = run.ledger();
    let commitments = ledger.committed.entry(step.clone()).or_default();
    let found = commitments
        .iter()
        .position(|other| other.digest == call.digest && other.to == payload.to && other.hook == payload.hook);
    match found {
        Some(at) => NoticeRecord::Committed(commitments.swap_remove(at).id),
        None => NoticeRecord::New(Box::new(call)),
    }
}

/// Takes the record of a hook that was called from the step that committed itself to it, and returns its id.
pub(in crate::apply) fn made(run: &Run<'_>, step: &StepId, point: Point, (call, cwd): (&Call, &Path)) -> Option<u64> {
    let digest = digest(run.masker(), point, call, cwd);
    let mut ledger = run.ledger();
    let commitments = ledger.committed.get_mut(step)?;
    let at = commitments.iter().position(|other| other.hook == point && other.digest == digest)?;
    Some(commitments.swap_remove(at).id)
}

/// Adds a record to those of a step.
pub(in crate::apply) fn commit(run: &Run<'_>, step: &StepId, id: u64, call: &PendingCall) {
    run.ledger().committed.entry(step.clone()).or_default().push(Commitment::of(id, call));
}

/// Returns the acknowledged call of this hook by an earlier run for the same change, and assigns it to this step.
pub(in crate::apply) fn acknowledged(run: &Run<'_>, step: &Step, point: Point, hook: &Hook) -> Option<PendingCall> {
    let (now, digest) = (run.context.driver.now(), digest(run.masker(), point, &hook.call, &hook.cwd));
    let is_it =
        |call: &&PendingCall| call.digest == digest && *call.service() == step.service && call.is_acknowledged_at(now);
    let found = run.earlier.iter().find(is_it)?;
    commit(run, &step.id, found.id, found);
    Some(found.clone())
}

/// Closes the record of a finished step: calls that it did not reach are not made any more.
pub(in crate::apply) async fn close(run: &Run<'_>, step: &Step) {
    let left = run.ledger().committed.remove(&step.id).unwrap_or_default();
    let before = match step.action {
        Action::Start => Some(Point::PreStart),
        Action::Stop => Some(Point::PreStop),
        Action::Evict
        | Action::Wake
        | Action::Remove
        | Action::Pause
        | Action::Unpause
        | Action::Update
        | Action::Scale => None,
    };
    // A call that an earlier run acknowledged counts for that change alone.
    let spent = run.earlier.iter().filter(|call| {
        call.due == Due::Acknowledged && *call.service() == step.service && Some(call.payload.hook) == before
    });
    let spent = spent.map(|call| call.id).filter(|id| left.iter().all(|commitment| commitment.id != *id));
    let done: Vec<u64> = left.iter().map(|commitment| commitment.id).chain(spent).collect();
    settle_ids(run, &done).await;
}

/// Deletes the records of calls.
pub(in crate::apply) async fn settle_ids(run: &Run<'_>, done: &[u64]) {
    if done.is_empty() {
        return;
    }
    if let Err(error) = write(run, PendingChange { done, ..PendingChange::default() }).await {
        run.store_failed(&error);
    }
}

/// Counts one more run that could not make these calls.
pub(in crate::apply) async fn count_try(run: &Run<'_>, tried: &[u64]) {
    if tried.is_empty() {
        return;
    }
    if let Err(error) = write(run, PendingChange { tried, ..PendingChange::default() }).await {
        run.store_failed(&error);
    }
}

async fn write(run: &Run<'_>, pending: PendingChange<'_>) -> Result<Vec<u64>, StoreError> {
    let PendingChange { add, due, done, tried } = pending;
    if add.is_empty() && due.is_empty() && done.is_empty() && tried.is_empty() {
        return Ok(Vec::new());
    }
    run.context.store.write(&JournalEntry { pending, ..JournalEntry::of(&run.context.desired.project) }).await
}

/// Makes the calls that the plan reports as due, and drops those that the plan drops. A cancelled run leaves the rest on
/// record.
pub(in crate::apply) async fn settle(run: &Run<'_>, plan: &mut Plan) {
    // A hook before a change counts for that change alone, which this plan does not repeat.
    let is_over = |call: &&PendingCall| {
        call.due == Due::Acknowledged && !plan.steps.iter().any(|step| step.service == *call.service())
    };
    let over: Vec<u64> = run.earlier.iter().filter(is_over).map(|call| call.id).collect();
    let over: Vec<u64> = over.into_iter().filter(|id| run.ledger().settled.insert(*id)).collect();
    settle_ids(run, &over).await;
    for line in plan.settled() {
        if run.clock.cancelled().is_some() || !run.ledger().settled.insert(line.id) {
            continue;
        }
        let Some(call) = run.earlier.iter().find(|call| call.id == line.id) else { continue };
        if line.status == PendingStatus::Dropped {
            run.warn(&format!("{}: dropped: {}", line.service, line.message));
            settle_ids(run, &[call.id]).await;
        } else if call.is_hook() {
            call_hook(run, line, call).await;
        } else {
            post_earlier(run, &[call.id]);
        }
    }
    plan.pending.retain(|line| line.status == PendingStatus::Waiting);
}

/// Hands notifications that an earlier run left to their notifiers.
fn post_earlier(run: &Run<'_>, ids: &[u64]) {
    for call in run.earlier.iter().filter(|call| ids.contains(&call.id) && !call.is_hook()) {
        let is_it = |notifier: &&Notifier| {
            call.digest == digest(run.masker(), call.payload.hook, &notifier.call, &notifier.cwd)
        };
        let owed = Owed { id: Some(call.id), tries: Some(call.tries) };
        for (at, _) in run.context.desired.notify.iter().enumerate().filter(|(_, notifier)| is_it(notifier)) {
            run.notices.post(at, Notice { owed, payload: call.payload.clone() });
        }
    }
}

async fn call_hook(run: &Run<'_>, line: &PendingLine, call: &PendingCall) {
    let Some(service) = run.context.desired.services.get(&line.service) else { return };
    let point = call.payload.hook;
    let is_it = |hook: &&Hook| call.digest == digest(run.masker(), point, &hook.call, &hook.cwd);
    let Some(hook) = service.hooks.at(point).iter().find(is_it) else { return };
    // When it was recorded, the service had not been started yet.
    let inspection = run.context.driver.inspect(&run.context.desired.project, service).await;
    let instance = inspection.ok().and_then(|inspection| inspection.instance).or_else(|| call.payload.instance.clone());
    let payload = HookPayload { instance, ..call.payload.clone() };
    let began = Instant::now();
    let hook_call =
        HookCall { call: &hook.call, cwd: &hook.cwd, timeout: hook.timeout, payload: Payload::Change(&payload) };
    let Ok(answer) = run.clock.unless_cancelled(run.context.driver.call(&hook_call)).await else { return };
    {
        let mut ledger = run.ledger();
        ledger.changed = true;
        ledger.made += 1;
    }
    let report = CallReport {
        payload: &payload,
        call: call.call.clone(),
        outcome: if answer.error.is_none() { CallOutcome::Succeeded } else { CallOutcome::Failed },
        took_ms: millis(began.elapsed()),
        error: answer.error.map(|error| run.mask(&error)),
        output: call::shortened(&run.mask(&answer.output)),
    };
    call::report(run, report, PendingChange { done: &[call.id], ..PendingChange::default() }).await;
}
