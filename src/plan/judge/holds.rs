//! Decisions that follow from operator holds: services left as they are, stops and pauses still due, and what both mean
//! for dependents and dependencies. The observed state has the holds in it already.
//!
//! Where holds can't be read, any service may be in maintenance, suspended or terminated, so nothing is done that a hold
//! could forbid: a service that is as it should be stays, and everything else is blocked.

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
    let said = input.summary(number).has_hold.then(|| input.seen(number).hold.as_ref())??;
    Some(match said.kind {
        Hold::Maintain => held(said, ReasonCode::Maintenance, "it is left as it is"),
        Hold::Suspend => suspended(input, number, said),
        Hold::Terminate => terminated(context, number, said),
    })
}

fn held(said: &HoldRecord, code: ReasonCode, what: &str) -> Decision {
    let because = said.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    Decision::Held(reason(code, format!("{what}{because}"), Some(said.by.clone())))
}

fn suspended(input: &PlanInput<'_>, number: Number, said: &HoldRecord) -> Decision {
    let seen = input.seen(number);
    let held = |what: &str| held(said, ReasonCode::Suspended, what);
    if seen.state == State::Suspended {
        return held("it is paused");
    }
    if let Some(why) = &seen.unknown {
        return held(&format!("it is to be paused, and nothing is known of it ({why})"));
    }
    let ours = input.summary(number).is_ours();
    let asked = input.request.purpose == Purpose::Apply && input.prevented(number).is_none();
    if ours && asked && route(Action::Pause, seen.state).is_some() {
        let message = format!("it is to be paused ({})", said.by_whom());
        return Decision::Pause(reason(ReasonCode::Suspended, message, Some(said.by.clone())));
    }
    if seen.holds_capacity {
        return held(&format!("it is to be paused, and is {} by now", seen.state));
    }
    held("it is to be paused, and does not run by now")
}

fn terminated(context: &PlanContext<'_>, number: Number, said: &HoldRecord) -> Decision {
    let input = &context.input;
    let seen = input.seen(number);
    let held = |what: &str| held(said, ReasonCode::Terminated, what);
    if let Some(why) = &seen.unknown {
        return held(&format!("it is to be off, and whether it runs can't be told ({why})"));
    }
    let ours = input.summary(number).is_ours();
    if !seen.holds_capacity || !ours {
        return held("it is kept off");
    }
    let named = input.request.targets.contains(input.name(number));
    let asked = match input.request.purpose {
        Purpose::Apply | Purpose::Down => true,
        Purpose::Start | Purpose::Restart => false,
        Purpose::Stop => named,
    };
    if !asked || input.prevented(number).is_some() {
        return held("it is to be stopped");
    }
    if let Some(why) = context.protected.own(number).filter(|_| seen.is_removed_by_stop) {
        return held(&format!("it is to be stopped, and is not: {why}"));
    }
    let way = stop_route(ReasonCode::Terminated, seen.state).unwrap_or_default();
    let case = input.case(input.name(number));
    if let Some(Legality::Denied(denial)) = input.desired.rules.judge_route(&case, way) {
        return held(&format!("it is to be stopped, and can't be: {denial}"));
    }
    let message = format!("it is to be off for good ({})", said.by_whom());
    Decision::Stop(reason(ReasonCode::Terminated, message, Some(said.by.clone())))
}

/// Stops wanted services whose dependency an operator has terminated.
pub(super) fn stop_dependents(input: &PlanInput<'_>, decisions: &mut Decisions) {
    let terminated = |decision: &Decision| decision.stopped().is_some_and(|why| why.code == ReasonCode::Terminated);
    let mut open: Vec<Number> = decisions.those(terminated).collect();
    // Each is stopped once, so this ends.
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
    // Each is kept once, so this ends.
    while let Some(number) = open.pop() {
        for base in input.bases(number).iter().copied() {
            let stopped = matches!(&decisions.0[base], Decision::Stop(why) if why.code != ReasonCode::Terminated);
            if stopped {
                let message =
                    format!("it may go on running: {}, which an operator holds, depends on it", input.name(number));
                decisions.0[base] = Decision::Leave(message);
                open.push(base);
            } else if let Decision::GiveUp(why) = &decisions.0[base] {
                decisions.0[base] = Decision::Held(why.clone());
                open.push(base);
            }
        }
    }
}

/// Returns the decision, or its block where it would change something and holds are not known.
pub(super) fn unless_unreadable(input: &PlanInput<'_>, decision: Decision) -> Decision {
    let Some(why) = input.holds_unknown() else { return decision };
    // Waiting changes nothing, but what follows on it does.
    if let Decision::Await(_) = decision {
        return Decision::Leave(format!("it is starting, and is not waited for: holds are not known: {why}"));
    }
    match changes(&decision) {
        Some(change) => {
            let message = format!("{}; but whether an operator holds it is not known: {why}", change.message);
            Decision::Blocked(reason(ReasonCode::Unknown, message, None))
        }
        None => decision,
    }
}

/// Reason of a decision that touches the service.
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
