//! Decisions that follow from operator holds: services left as they are, pending stops and pauses, and the effects of
//! both on dependents and dependencies. The observed state includes the holds already.
//!
//! Where holds can't be read, any service may be in maintenance, suspended or terminated, so nothing is done that a
//! hold could forbid: a service that matches the manifest stays, and everything else is blocked.

use crate::model::holds::{Hold, HoldRecord};
use crate::model::lifecycle::{Action, State, route};
use crate::model::plan::{Purpose, Reason, ReasonCode};
use crate::model::rules::Legality;
use crate::plan::decision::{Decision, Decisions};
use crate::plan::input::PlanInput;
use crate::plan::judge::context::PlanContext;
use crate::plan::numbers::Number;
use crate::plan::reason::reason;
use crate::plan::steps::stop_route;

/// Decision for a service under an operator's hold; `None` where there is none.
pub(super) fn held_by_operator(context: &PlanContext<'_>, number: Number) -> Option<Decision> {
    let input = &context.input;
    let hold = input.summary(number).has_hold.then(|| input.seen(number).hold.as_ref())??;
    Some(match hold.kind {
        Hold::Maintain => held(hold, ReasonCode::Maintenance, "it is held by `lcm maintain`"),
        Hold::Suspend => suspended(input, number, hold),
        Hold::Terminate => terminated(context, number, hold),
    })
}

fn held(hold: &HoldRecord, code: ReasonCode, what: &str) -> Decision {
    let because = hold.reason.as_ref().map(|why| format!(", reason: {why}")).unwrap_or_default();
    Decision::Held(reason(code, format!("{what}{because}"), Some(hold.by.clone())))
}

fn suspended(input: &PlanInput<'_>, number: Number, hold: &HoldRecord) -> Decision {
    let seen = input.seen(number);
    let held = |what: &str| held(hold, ReasonCode::Suspended, what);
    if seen.state == State::Suspended {
        return held("it is paused by `lcm suspend`");
    }
    if let Some(why) = &seen.unknown {
        return held(&format!("suspended, but its state is unknown ({why})"));
    }
    let ours = input.summary(number).is_ours();
    let is_due = input.request.purpose == Purpose::Apply && input.prevented(number).is_none();
    if ours && is_due && route(Action::Pause, seen.state).is_some() {
        let message = format!("suspended by {}", hold.author());
        return Decision::Pause(reason(ReasonCode::Suspended, message, Some(hold.by.clone())));
    }
    if seen.holds_capacity {
        return held(&format!("suspended, but it is {}", seen.state));
    }
    held("suspended, but it is not running")
}

fn terminated(context: &PlanContext<'_>, number: Number, hold: &HoldRecord) -> Decision {
    let input = &context.input;
    let seen = input.seen(number);
    let held = |what: &str| held(hold, ReasonCode::Terminated, what);
    if let Some(why) = &seen.unknown {
        return held(&format!("terminated, but its state is unknown ({why})"));
    }
    let ours = input.summary(number).is_ours();
    if !seen.holds_capacity || !ours {
        return held("it is kept off by `lcm terminate`");
    }
    let named = input.request.targets.contains(input.name(number));
    let is_due = match input.request.purpose {
        Purpose::Apply | Purpose::Down => true,
        Purpose::Start | Purpose::Restart => false,
        Purpose::Stop => named,
    };
    if !is_due || input.prevented(number).is_some() {
        return held("terminated, but not stopped yet");
    }
    if let Some(why) = context.protected.own(number).filter(|_| seen.is_removed_by_stop) {
        return held(&format!("terminated, but not stopped: {why}"));
    }
    let way = stop_route(ReasonCode::Terminated, seen.state).unwrap_or_default();
    let case = input.case(input.name(number));
    if let Some(Legality::Denied(denial)) = input.desired.rules.judge_route(&case, way) {
        return held(&format!("terminated, but it can't be stopped: {denial}"));
    }
    let message = format!("terminated by {}", hold.author());
    Decision::Stop(reason(ReasonCode::Terminated, message, Some(hold.by.clone())))
}

/// Stops wanted services whose dependency an operator has terminated.
pub(super) fn stop_dependents(input: &PlanInput<'_>, decisions: &mut Decisions) {
    let terminated = |decision: &Decision| decision.stopped().is_some_and(|why| why.code == ReasonCode::Terminated);
    let mut open: Vec<Number> = decisions.those(terminated).collect();
    // Terminates: each service is stopped once.
    while let Some(number) = open.pop() {
        let name = input.name(number);
        for dependent in input.dependents(number).iter().copied() {
            let seen = input.summary(dependent);
            let may = match decisions.0[dependent] {
                Decision::Leave(_)
                | Decision::Await(_)
                | Decision::Wake(_)
                | Decision::Blocked(_)
                | Decision::Update(_)
                | Decision::Roll(_)
                | Decision::ScaleUp(_)
                | Decision::ScaleDown(_)
                | Decision::Unpause(_) => input.wants.is_wanted(dependent),
                Decision::Recreate { .. } => true,
                Decision::Start { .. }
                | Decision::Stop(_)
                | Decision::GiveUp(_)
                | Decision::Evict(_)
                | Decision::Pause(_)
                | Decision::Preempt { .. }
                | Decision::Held(_) => false,
            };
            if may && seen.is_ours() && seen.holds_capacity && seen.is_known && input.is_in_scope(dependent) {
                let because = |what: &str| {
                    let message = format!("{name}, which it depends on, {what}");
                    reason(ReasonCode::Dependency, message, Some(name.to_string()))
                };
                let blocked = because("is kept off by an operator");
                decisions.0[dependent] =
                    Decision::Preempt { reason: because("is stopped"), blocked: Box::new(blocked) };
                open.push(dependent);
            }
        }
    }
}

/// Keeps the dependencies of a held service running, unless an operator has terminated them.
pub(super) fn keep_bases(input: &PlanInput<'_>, decisions: &mut Decisions) {
    let runs_held = |number: &Number| {
        let seen = input.summary(*number);
        seen.has_hold && seen.holds_capacity && !decisions.0[*number].stops()
    };
    let mut open: Vec<Number> = input.all().filter(runs_held).collect();
    // Terminates: each service is kept once.
    while let Some(number) = open.pop() {
        for base in input.bases(number).iter().copied() {
            let stopped = matches!(&decisions.0[base], Decision::Stop(why) if why.code != ReasonCode::Terminated);
            if stopped {
                let message =
                    format!("it may keep running: {}, which an operator holds, depends on it", input.name(number));
                decisions.0[base] = Decision::Leave(message);
                open.push(base);
            } else if let Decision::GiveUp(why) = &decisions.0[base] {
                decisions.0[base] = Decision::Held(why.clone());
                open.push(base);
            }
        }
    }
}

/// Returns the decision; where holds can't be read and it would change something, a block instead.
pub(super) fn unless_unreadable(input: &PlanInput<'_>, decision: Decision) -> Decision {
    let Some(why) = input.holds_unknown() else { return decision };
    // Waiting changes nothing, but the steps after it do.
    if let Decision::Await(_) = decision {
        return Decision::Leave(format!("it is starting, and is not waited for: operator holds can't be read: {why}"));
    }
    match changes(&decision) {
        Some(change) => {
            let message = format!("{}; but operator holds can't be read: {why}", change.message);
            Decision::Blocked(reason(ReasonCode::Unknown, message, None))
        }
        None => decision,
    }
}

/// Reason of a decision that changes the service.
fn changes(decision: &Decision) -> Option<&Reason> {
    match decision {
        Decision::Start { reason, .. }
        | Decision::Recreate { reason, .. }
        | Decision::Preempt { reason, .. }
        | Decision::Wake(reason)
        | Decision::Update(reason)
        | Decision::Roll(reason)
        | Decision::ScaleUp(reason)
        | Decision::ScaleDown(reason)
        | Decision::Unpause(reason)
        | Decision::Pause(reason)
        | Decision::Stop(reason)
        | Decision::GiveUp(reason)
        | Decision::Evict(reason) => Some(reason),
        Decision::Leave(_) | Decision::Await(_) | Decision::Blocked(_) | Decision::Held(_) => None,
    }
}
