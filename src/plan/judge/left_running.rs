//! Services that the mode merely does not name, and that keep running while a wanted service can't start: a switch of
//! modes stops nothing in vain where the obstacle is known beforehand.
//!
//! The first placement stops them all. Only where it leaves a wanted service blocked, a second one treats them as kept,
//! below all others: only a service that starts and needs their memory or port preempts them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::model::lifecycle::State;
use crate::model::plan::{Left, Purpose, Reason, ReasonCode, Request};
use crate::plan::decision::{Decision, Decisions};
use crate::plan::input::PlanInput;
use crate::plan::judge::context::PlanContext;
use crate::plan::numbers::Number;
use crate::plan::summary::OwnerKind;
use crate::plan::want::Want;

/// Maximum number of blocked services that are listed; more are counted.
const LISTED_MAX: usize = 4;

/// Services that could keep running, each with the reason for which it would be stopped; empty where nothing waits.
pub(crate) fn candidates(context: &PlanContext<'_>, decisions: &Decisions) -> BTreeMap<Number, Rc<Reason>> {
    let input = &context.input;
    if !may_leave(input.request) || waiting(input, decisions).next().is_none() {
        return BTreeMap::new();
    }
    let off = |number: Number| match (&decisions.0[number], input.want(number)) {
        (Decision::Stop(_), Want::Off(why)) if may_run_on(context, number) => Some((number, why.clone())),
        (_, _) => None,
    };
    let mut left: BTreeMap<Number, Rc<Reason>> = input.all().filter_map(off).collect();
    // A running dependent that is not a candidate would protect a candidate from preemption: that one is stopped as
    // before.
    let holds = |above: &Number| input.summary(*above).holds_capacity && !decisions.0[*above].stops();
    let mut open: Vec<Number> = left.keys().copied().filter(|it| input.dependents(*it).iter().any(holds)).collect();
    while let Some(number) = open.pop() {
        if left.remove(&number).is_some() {
            open.extend(input.bases(number));
        }
    }
    left
}

fn may_leave(request: &Request) -> bool {
    request.purpose == Purpose::Apply && !request.force && !request.strict
}

/// Returns true if the mode merely does not name the service, and it could be stopped at any time.
fn may_run_on(context: &PlanContext<'_>, number: Number) -> bool {
    let Want::Off(why) = context.input.want(number) else { return false };
    let seen = context.input.summary(number);
    why.code == ReasonCode::NotInMode
        && seen.holds_capacity
        && seen.is_known
        && !seen.has_hold
        && matches!(seen.owner, OwnerKind::Ours | OwnerKind::Adopted)
        && !matches!(seen.state, State::Suspended | State::Maintenance | State::Stopping)
        && context.protected.any(number).is_none()
}

/// Wanted services that do not run, and can't be started.
fn waiting<'a>(input: &'a PlanInput<'_>, decisions: &'a Decisions) -> impl Iterator<Item = Number> + 'a {
    let wanted = |number: &Number| input.wants.is_wanted(*number) && !input.summary(*number).holds_capacity;
    decisions.those(|decision| decision.blocked().is_some()).filter(wanted)
}

/// Returns true if the second placement starts every service that the first one starts, and some service still waits. A
/// service that is only retried does not count.
pub(crate) fn costs_nothing(first: (&PlanInput<'_>, &Decisions), second: (&PlanInput<'_>, &Decisions)) -> bool {
    let ((input, first), (again, second)) = (first, second);
    let fails = |number: &Number| first.0[*number].starts() && !second.0[*number].starts() && !input.is_retry(*number);
    !input.all().any(|number| fails(&number)) && waiting(again, second).next().is_some()
}

/// Lines of the plan about services left running.
pub(crate) fn lines(input: &PlanInput<'_>, decisions: &Decisions) -> Vec<Left> {
    let left =
        input.wants.left_running.iter().filter(|(number, _)| matches!(decisions.0[**number], Decision::Leave(_)));
    let mut left = left.peekable();
    if left.peek().is_none() {
        return Vec::new();
    }
    let waits_for: BTreeSet<_> = waiting(input, decisions).map(|number| input.name(number).clone()).collect();
    let mut names: Vec<String> = waits_for.iter().take(LISTED_MAX).map(ToString::to_string).collect();
    if let Some(more) = waits_for.len().checked_sub(LISTED_MAX).filter(|more| *more > 0) {
        names.push(format!("{more} more"));
    }
    let blocked = names.join(", ");
    let line = |(number, why): (&Number, &Rc<Reason>)| Left {
        service: input.name(*number).clone(),
        state: input.summary(*number).state,
        waits_for: waits_for.iter().cloned().collect(),
        message: format!("{}; it keeps running until {blocked} can start", why.message),
    };
    left.map(line).collect()
}

/// Reason of a stop after all: `cause` names the preempting service, or the dependency.
pub(crate) fn stopped(why: &Reason, cause: &str, by: String) -> Reason {
    Reason { code: why.code, message: format!("{}; {cause}", why.message), by: Some(by) }
}
