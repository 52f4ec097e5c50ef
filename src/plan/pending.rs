//! Pending calls of hooks and notifiers from earlier runs: which of them an apply makes now, keeps for later, or drops.
//!
//! Not here: calls that belong to a step of this plan. The step records them again, and makes them.

use crate::model::lifecycle::{Action, State};
use crate::model::pending::{Due, PendingCall};
use crate::model::plan::{PendingLine, PendingStatus, Step};
use crate::plan::input::PlanInput;

/// One line for each pending call that no step of the plan takes over.
pub(super) fn lines(input: &PlanInput<'_>, steps: &[Step]) -> Vec<PendingLine> {
    let pending = &input.observed.pending;
    if pending.is_empty() {
        return Vec::new();
    }
    let masker = input.desired.masker();
    let line = |call: &PendingCall| {
        let (status, reason) = if call.is_in(input.desired, &masker) {
            judge(input, steps, call)?
        } else {
            (PendingStatus::Dropped, "no longer in the manifest".to_owned())
        };
        Some(PendingLine {
            id: call.id,
            service: call.service().clone(),
            run: call.payload.run.clone(),
            since: call.payload.at,
            status,
            message: format!("{}: {reason}", call.what()),
        })
    };
    pending.iter().filter_map(line).collect()
}

/// Returns the status of a call with its reason; `None`: there is nothing to report.
fn judge(input: &PlanInput<'_>, steps: &[Step], call: &PendingCall) -> Option<(PendingStatus, String)> {
    let end = match call.due {
        Due::Acknowledged => return None,
        Due::Now => return Some((PendingStatus::Due, format!("run {} did not make the call", call.payload.run))),
        Due::Reached(end) => end,
    };
    let service = call.service();
    let action = if end.is_not_running() { Action::Stop } else { Action::Start };
    // A job that runs is merely awaited: the calls after its start are due now.
    let repeats = |step: &Step| step.service == *service && step.action == action && !step.awaits_running_job();
    if steps.iter().any(repeats) {
        return None;
    }
    let Some(seen) = input.observed.services.get(service) else {
        return Some((PendingStatus::Dropped, "its service is no longer in the manifest".to_owned()));
    };
    if let Some(hold) = &seen.hold {
        return Some((PendingStatus::Waiting, format!("the service is held ({})", hold.attribution())));
    }
    if let Some(reason) = &seen.unknown {
        return Some((PendingStatus::Waiting, format!("the state of the service is not known ({reason})")));
    }
    Some(match reached(end, seen.state, seen.holds_capacity) {
        Reached::Yes => (
            PendingStatus::Due,
            format!("{service} is {}, and run {} did not make the call", seen.state, call.payload.run),
        ),
        Reached::NotYet => (PendingStatus::Waiting, format!("{service} is {}", seen.state)),
        Reached::Never => (PendingStatus::Dropped, format!("{service} is {}: it did not become {end}", seen.state)),
    })
}

enum Reached {
    Yes,
    NotYet,
    Never,
}

/// Progress of a step that should end in `end`, judged by the observed state.
fn reached(end: State, now: State, is_running: bool) -> Reached {
    let is_up = now.is_operational();
    match (end, now) {
        (_, State::Starting | State::Deploying | State::Stopping | State::Updating | State::Scaling) => Reached::NotYet,
        (State::Suspended, State::Suspended) => Reached::Yes,
        (_, State::Suspended) if !end.is_not_running() => Reached::NotYet,
        _ if end.is_not_running() && !is_running => Reached::Yes,
        _ if end.is_operational() && is_up => Reached::Yes,
        _ => Reached::Never,
    }
}
