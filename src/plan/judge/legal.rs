//! Check of the first decisions against the lifecycle and the rules of the manifest: a service that may not be started,
//! stopped or removed now is blocked, with the rule that forbids it.

use std::collections::BTreeSet;

use crate::model::lifecycle::{Action, State};
use crate::model::plan::{Purpose, Reason, ReasonCode};
use crate::model::rules::way::Refusal;
use crate::plan::decision::{Decision, Decisions};
use crate::plan::input::PlanInput;
use crate::plan::judge::context::PlanContext;
use crate::plan::judge::drift::is_renamed;
use crate::plan::judge::protected::by_rule;
use crate::plan::numbers::Number;
use crate::plan::summary::OwnerKind;

/// Replaces decisions without a legal route by blocks that name the rule.
pub(super) fn hold_to_rules(context: &PlanContext<'_>, decisions: &mut Decisions) {
    for number in context.input.all() {
        if let Some(refused) = refused(context, number, &decisions.0[number]) {
            decisions.0[number] = refused;
        }
    }
}

/// Decision instead of one that a rule forbids.
fn refused(context: &PlanContext<'_>, number: Number, decision: &Decision) -> Option<Decision> {
    let input = &context.input;
    let state = input.summary(number).state;
    let removed = input.seen(number).is_removed_by_stop;
    let code = if removed { ReasonCode::AutoRemove } else { ReasonCode::Rule };
    let blocked = |message: String| Some(Decision::Blocked(Reason { code, ..by_rule(message) }));
    match decision {
        Decision::Start { .. } => match start_refusal(input, number, state) {
            Some(why) => blocked(format!("it can't be started: {why}")),
            None => None,
        },
        Decision::Await(_) => {
            let why = input.way(number, Action::Start, state).err()?;
            blocked(format!("it is starting, but can't become online: {why}"))
        }
        Decision::Recreate { reason, .. } => {
            let cant_stop = || Some(format!("it can't be stopped: {}", context.protected.own(number)?));
            let cant_start =
                || Some(format!("it could not be started again: {}", start_refusal(input, number, State::Offline)?));
            let why = cant_stop().or_else(cant_start).or_else(|| along(context, number))?;
            blocked(format!("{}; it needs a restart, but {why}", reason.message))
        }
        Decision::Stop(reason) => {
            // The route of a terminated service was checked with its hold; only a dependent can still forbid the stop.
            let by_hold = reason.code == ReasonCode::Terminated && context.protected.own(number).is_some();
            if let Some(why) = context.protected.any(number).filter(|_| !by_hold) {
                return blocked(format!("it should be stopped ({}), but can't be: {why}", reason.message));
            }
            let why = stays(input, number, State::Offline)?;
            let message = format!("{}; its container stays: {why}", reason.message);
            Some(Decision::Stop(Reason { message, ..reason.clone() }))
        }
        Decision::Pause(reason) => {
            let why = input.way(number, Action::Pause, state).err()?;
            let message = format!("{}; it can't be paused: {why}", reason.message);
            Some(Decision::Held(Reason { message, ..reason.clone() }))
        }
        Decision::GiveUp(reason) => {
            let why = context.protected.any(number)?;
            let message = format!("{}; it can't be stopped: {why}", reason.message);
            Some(Decision::Held(Reason { message, ..reason.clone() }))
        }
        Decision::Leave(_) => {
            let why = stays(input, number, state)?;
            blocked(format!("its container should be removed (requested by `lcm down`), but can't be: {why}"))
        }
        Decision::Update(reason) | Decision::Unpause(reason) => {
            let action = decision.changed_as_it_runs().map_or(Action::Update, |(action, _)| action);
            let why = input.way(number, action, state).err()?;
            blocked(format!("{}; it can't be changed in place: {why}", reason.message))
        }
        Decision::Roll(reason) | Decision::ScaleUp(reason) | Decision::ScaleDown(reason) => {
            let (action, _) = decision.rollout()?;
            let why = input.way(number, action, state).err()?;
            let done = if action == Action::Scale { "scaled" } else { "updated" };
            blocked(format!("{}; it can't be {done}: {why}", reason.message))
        }
        Decision::Wake(_)
        | Decision::Evict(_)
        | Decision::Preempt { .. }
        | Decision::Blocked(_)
        | Decision::Held(_) => None,
    }
}

/// Reason that forbids a start from a state; where an old container must be removed first, also one that forbids that.
fn start_refusal(input: &PlanInput<'_>, number: Number, from: State) -> Option<String> {
    let removed = || is_renamed(input, number).then(|| input.way(number, Action::Remove, from).err()).flatten();
    input.way(number, Action::Start, from).err().or_else(removed)
}

/// Sentence about a dependent that would be recreated along with a service, but can't be.
fn along(context: &PlanContext<'_>, number: Number) -> Option<String> {
    let input = &context.input;
    if input.desired.rules.deny.is_empty() {
        return None;
    }
    let (mut open, mut seen) = (vec![number], BTreeSet::new());
    while let Some(base) = open.pop() {
        let name = input.name(base);
        let restarts =
            |other: &Number| input.service(*other).depends_on[name].restart && input.summary(*other).holds_capacity;
        for dependent in input.dependents(base).iter().copied().filter(restarts) {
            let cant_start = || start_refusal(input, dependent, State::Offline);
            if let Some(why) = context.protected.own(dependent).map(str::to_owned).or_else(cant_start) {
                let name = input.name(dependent);
                return Some(format!("{name}, which restarts with it, can't be restarted: {why}"));
            }
            if seen.insert(dependent) {
                open.push(dependent);
            }
        }
    }
    None
}

/// Rule that keeps a container from being removed on `down`.
fn stays(input: &PlanInput<'_>, number: Number, state: State) -> Option<String> {
    let seen = input.summary(number);
    let own = seen.owner == OwnerKind::Ours && seen.is_container;
    let goes = input.request.purpose == Purpose::Down && input.is_in_scope(number) && seen.is_known;
    if !(own && goes) {
        return None;
    }
    match input.way_of(input.name(number), Action::Remove, state) {
        Err(refusal @ Refusal::Denied(_)) => Some(refusal.to_string()),
        Err(Refusal::NoRoute { .. }) | Ok(_) => None,
    }
}
