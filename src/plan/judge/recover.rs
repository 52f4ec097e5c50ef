//! Services that do not stay up: restarted within their budgets, held when those are spent, and retried later without
//! preempting others. `model::budget` has the arithmetic; here are the decisions.

use jiff::Timestamp;

use crate::model::budget::{Budget, is_void};
use crate::model::lifecycle::State;
use crate::model::names::ServiceName;
use crate::model::plan::{Reason, ReasonCode};
use crate::plan::decision::Decision;
use crate::plan::input::PlanInput;
use crate::plan::judge::context::PlanContext;
use crate::plan::numbers::Number;
use crate::plan::reason::reason;

/// Decision for a service whose budget forbids a start; `None` where it allows one.
pub(super) fn held(input: &PlanInput<'_>, number: Number) -> Option<Decision> {
    let budget = input.budget(number);
    if !budget.holds() {
        return None;
    }
    let why = why(input, number, budget, cause(input, number))?;
    // A service whose next attempt is due soon may recover by itself; stopping it would free its memory in vain.
    let is_spent = matches!(budget, Budget::Spent { .. });
    Some(if is_spent && input.summary(number).holds_capacity { Decision::GiveUp(why) } else { Decision::Held(why) })
}

/// Decision for a changed service whose new revision fails to start: the previous revision keeps running.
pub(super) fn runs_on(input: &PlanInput<'_>, number: Number, change: &Reason) -> Option<Decision> {
    let budget = Budget::of_start(input.service(number), input.seen(number), input.observed.observed_at);
    if !budget.holds() {
        return None;
    }
    why(input, number, budget, &format!("the previous revision keeps running: {}", change.message))
        .map(Decision::Blocked)
}

/// Decision for a service that failed in this run and thereby spent its budget: it frees its memory in the same run. A
/// service whose stop failed is not stopped again.
pub(super) fn given_up(input: &PlanInput<'_>, number: Number, prevented: &Reason) -> Option<Decision> {
    let (budget, seen) = (input.budget(number), input.summary(number));
    let is_spent = matches!(budget, Budget::Spent { .. });
    let is_up = seen.state.is_operational() || seen.state == State::Starting;
    let goes = is_spent
        && seen.is_ours()
        && seen.holds_capacity
        && !is_up
        && !matches!(prevented.code, ReasonCode::StopFailed | ReasonCode::Vetoed);
    goes.then(|| why(input, number, budget, &prevented.message).map(Decision::GiveUp))?
}

/// Decision for a service that does not fit. A retry takes only what all others leave; without that it stays held.
pub(crate) fn blocked_or_held(context: &PlanContext<'_>, number: Number, lack: Reason) -> Decision {
    let input = &context.input;
    let budget = input.budget(number);
    let Some(why) = Some(budget).filter(|_| input.is_retry(number)).and_then(|budget| {
        let message = format!("{}; {}", cause(input, number), lack.message);
        why(input, number, budget, &message)
    }) else {
        return Decision::Blocked(lack);
    };
    let seen = input.summary(number);
    match (seen.holds_capacity, seen.state.is_operational() || seen.state == State::Starting) {
        (true, true) => Decision::Blocked(why),
        (true, false) if may_go(context, number) => Decision::GiveUp(why),
        (true, false) | (false, _) => Decision::Held(why),
    }
}

/// Returns true if no rule protects the service from being stopped, and no held dependent runs.
fn may_go(context: &PlanContext<'_>, number: Number) -> bool {
    let input = &context.input;
    let holds = |other: &Number| input.summary(*other).has_hold && input.summary(*other).holds_capacity;
    context.protected.any(number).is_none() && !input.dependents(number).iter().any(holds)
}

/// Cause for which a service is not up. For one that lcm itself has stopped, that stop is not the cause.
fn cause<'a>(input: &PlanInput<'a>, number: Number) -> &'a str {
    let seen = input.seen(number);
    let is_stopped = seen.state == State::Offline && !seen.ended_by_itself && seen.unknown.is_none();
    if is_stopped { "its last start failed, and lcm stopped it" } else { &seen.detail }
}

fn why(input: &PlanInput<'_>, number: Number, budget: Budget, cause: &str) -> Option<Reason> {
    let sentence = budget.sentence(input.service(number), input.observed.observed_at)?;
    Some(reason(code(budget), format!("{cause}; {sentence}"), None))
}

fn code(budget: Budget) -> ReasonCode {
    match budget {
        Budget::Waits { .. } | Budget::Spent { due: Some(_), .. } => ReasonCode::Backoff,
        Budget::Open | Budget::Spent { due: None, .. } | Budget::Retry { .. } => ReasonCode::BudgetSpent,
    }
}

/// Time since which the budget of a service holds it.
pub(crate) fn since(input: &PlanInput<'_>, number: Number, held: &Reason) -> Option<Timestamp> {
    let seen = input.seen(number);
    let ended = || seen.exit.as_ref().and_then(|exit| exit.at);
    let tried = seen.attempts.as_ref().filter(|attempts| attempts.count > 0).map(|attempts| attempts.last_at);
    if held.code.is_of_budget() { tried.or_else(ended) } else { None }
}

/// Services whose earlier attempts no longer count.
pub(crate) fn recovered(input: &PlanInput<'_>) -> Vec<ServiceName> {
    let is_void = |number: &Number| {
        let (service, seen) = (input.service(*number), input.seen(*number));
        let attempts = seen.attempts.as_ref();
        attempts.is_some_and(|attempts| is_void(service, attempts, seen, input.observed.observed_at))
    };
    let tried = input.all().filter(|number| input.summary(*number).has_attempts);
    tried.filter(is_void).map(|number| input.name(number).clone()).collect()
}
