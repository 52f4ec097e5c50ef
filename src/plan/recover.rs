//! Services that do not stay up: brought back within their budgets, held when those are spent, and tried again later
//! without making room. The arithmetic is the model's; here are the decisions.

use jiff::Timestamp;

use crate::model::budget::{Budget, is_void};
use crate::model::lifecycle::State;
use crate::model::names::ServiceName;
use crate::model::plan::{Reason, ReasonCode};
use crate::plan::decide::{Decision, Scene};
use crate::plan::judge::reason;
use crate::plan::numbers::Number;

/// What becomes of a service that its budget keeps from being brought up; `None`: it may be.
pub(super) fn held(scene: &Scene<'_>, number: Number) -> Option<Decision> {
    let budget = scene.budget(number);
    if !budget.holds() {
        return None;
    }
    let why = why(scene, number, budget, trouble(scene, number))?;
    // What is soon tried again may yet recover by itself, and its room would be taken in vain.
    let is_spent = matches!(budget, Budget::Spent { .. });
    Some(if is_spent && scene.glance(number).holds_room { Decision::GiveUp(why) } else { Decision::Held(why) })
}

/// A changed service whose new self does not come up runs on as it was.
pub(super) fn runs_on(scene: &Scene<'_>, number: Number, change: &Reason) -> Option<Decision> {
    let budget = Budget::of_start(scene.service(number), scene.seen(number), scene.observed.observed_at);
    if !budget.holds() {
        return None;
    }
    why(scene, number, budget, &format!("it runs on as it was: {}", change.message)).map(Decision::Blocked)
}

/// What failed in this run, and has spent its budget by that, makes room in this very run. What could not be stopped is
/// not stopped again.
pub(super) fn given_up(scene: &Scene<'_>, number: Number, prevented: &Reason) -> Option<Decision> {
    let (budget, seen) = (scene.budget(number), scene.glance(number));
    let is_spent = matches!(budget, Budget::Spent { .. });
    let is_up = seen.state.is_operational() || seen.state == State::Starting;
    let goes = is_spent
        && seen.is_ours()
        && seen.holds_room
        && !is_up
        && !matches!(prevented.code, ReasonCode::StopFailed | ReasonCode::Vetoed);
    goes.then(|| why(scene, number, budget, &prevented.message).map(Decision::GiveUp))?
}

/// A retry takes what is free, when everybody else has had theirs: where that does not do, it is held on.
pub(super) fn left_out(scene: &Scene<'_>, number: Number, lack: Reason) -> Decision {
    let budget = scene.budget(number);
    let Some(why) = Some(budget).filter(|_| scene.is_retry(number)).and_then(|budget| {
        let message = format!("{}; {}", trouble(scene, number), lack.message);
        why(scene, number, budget, &message)
    }) else {
        return Decision::Blocked(lack);
    };
    let seen = scene.glance(number);
    match (seen.holds_room, seen.state.is_operational() || seen.state == State::Starting) {
        (true, true) => Decision::Blocked(why),
        (true, false) if may_go(scene, number) => Decision::GiveUp(why),
        (true, false) | (false, _) => Decision::Held(why),
    }
}

/// No rule keeps it from being stopped, and nothing that an operator holds runs above it.
fn may_go(scene: &Scene<'_>, number: Number) -> bool {
    let holds = |other: &Number| scene.glance(*other).has_word && scene.glance(*other).holds_room;
    scene.firm.any(number).is_none() && !scene.dependents(number).iter().any(holds)
}

/// What keeps it from being up. Of one that lcm itself has stopped, how it ended says nothing.
fn trouble<'a>(scene: &Scene<'a>, number: Number) -> &'a str {
    let seen = scene.seen(number);
    let is_stopped = seen.state == State::Offline && !seen.ended_by_itself && seen.unknown.is_none();
    if is_stopped { "its last start did not come to anything, and lcm has stopped it" } else { &seen.detail }
}

fn why(scene: &Scene<'_>, number: Number, budget: Budget, trouble: &str) -> Option<Reason> {
    let sentence = budget.sentence(scene.service(number), scene.observed.observed_at)?;
    Some(reason(ReasonCode::BudgetSpent, format!("{trouble}; {sentence}"), None))
}

/// Since when its budget holds it.
pub(super) fn since(scene: &Scene<'_>, number: Number, held: &Reason) -> Option<Timestamp> {
    let seen = scene.seen(number);
    let ended = || seen.exit.as_ref().and_then(|exit| exit.at);
    let tried = seen.attempts.as_ref().filter(|attempts| attempts.count > 0).map(|attempts| attempts.last_at);
    if held.code == ReasonCode::BudgetSpent { tried.or_else(ended) } else { None }
}

/// Those of which earlier attempts do not count any more.
pub(super) fn recovered(scene: &Scene<'_>) -> Vec<ServiceName> {
    let is_void = |number: &Number| {
        let (service, seen) = (scene.service(*number), scene.seen(*number));
        let attempts = seen.attempts.as_ref();
        attempts.is_some_and(|attempts| is_void(service, attempts, seen, scene.observed.observed_at))
    };
    let tried = scene.all().filter(|number| scene.glance(*number).has_attempts);
    tried.filter(is_void).map(|number| scene.name(number).clone()).collect()
}
