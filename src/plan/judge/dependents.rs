//! Dependents of services that are recreated or stopped: decisions that follow from the decision on a dependency.

use crate::model::lifecycle::State;
use crate::model::plan::{Purpose, ReasonCode};
use crate::plan::decision::{Decision, Decisions};
use crate::plan::input::PlanInput;
use crate::plan::judge::bring_up::bring_up;
use crate::plan::judge::left_running;
use crate::plan::numbers::Number;
use crate::plan::reason::reason;
use crate::plan::want::Want;

/// Recreates dependents of recreated services, where they declare `restart: true`.
pub(super) fn recreate(input: &PlanInput<'_>, decisions: &mut Decisions) {
    let recreated = decisions.those(|decision| matches!(decision, Decision::Recreate { .. }));
    // A service that is only retried restarts no dependent: it may well fail again.
    let mut open: Vec<Number> = recreated.filter(|number| !input.is_retry(*number)).collect();
    // Terminates: each service is recreated once.
    while let Some(number) = open.pop() {
        let name = input.name(number);
        let restarts = |dependent: &&Number| input.service(**dependent).depends_on[name].restart;
        for dependent in input.dependents(number).iter().filter(restarts).copied() {
            let seen = input.summary(dependent);
            let runs_well = matches!(
                decisions.0[dependent],
                Decision::Leave(_)
                    | Decision::Await(_)
                    | Decision::Wake(_)
                    | Decision::Update(_)
                    | Decision::Roll(_)
                    | Decision::ScaleUp(_)
                    | Decision::ScaleDown(_)
            ) && (input.wants.is_wanted(dependent) || input.request.purpose == Purpose::Restart)
                && input.is_in_scope(dependent)
                && seen.is_ours()
                && may_be_recreated(seen.state);
            if runs_well {
                let message = format!("{name}, a dependency with `restart: true`, is recreated");
                let why = reason(ReasonCode::Dependency, message, Some(name.to_string()));
                decisions.0[dependent] = bring_up(input, dependent, why, true);
                open.push(dependent);
            }
        }
    }
}

/// Returns true if the service answers or is starting.
fn may_be_recreated(state: State) -> bool {
    state.is_operational() || state == State::Starting
}

/// Returns true if the service is off after the plan.
fn goes(decision: &Decision) -> bool {
    matches!(decision, Decision::Stop(_) | Decision::GiveUp(_))
}

/// Stops kept services whose dependency is stopped.
pub(super) fn stop_kept(input: &PlanInput<'_>, decisions: &mut Decisions) {
    let mut open: Vec<Number> = decisions.those(goes).collect();
    while let Some(number) = open.pop() {
        for dependent in input.dependents(number).iter().copied() {
            let seen = input.summary(dependent);
            let kept = *input.want(dependent) == Want::Kept && seen.is_known && seen.holds_capacity;
            let untouched = matches!(decisions.0[dependent], Decision::Leave(_));
            if kept && untouched && input.is_in_scope(dependent) {
                let name = input.name(number);
                let message = format!("{name}, which it depends on, is stopped");
                let why = match input.wants.left_running.get(&dependent) {
                    Some(off) => left_running::stopped(off, &message, name.to_string()),
                    None => reason(ReasonCode::Dependency, message, Some(name.to_string())),
                };
                decisions.0[dependent] = Decision::Stop(why);
                open.push(dependent);
            }
        }
    }
}
