//! Rollback after a failure: services that this run started are stopped, and those that it stopped are started again. It is
//! a plan of its own, carried out by the same executor. A service that can't be restored as it was is reported and left.

use std::collections::BTreeMap;

use super::run::{Moved, Run};
use crate::model::copies::CopiesChange;
use crate::model::desired::Service;
use crate::model::lifecycle::{Action, State, route};
use crate::model::names::{ServiceName, StepId};
use crate::model::plan::{Expect, Plan, Reason, ReasonCode, Step};
use crate::runtime::RunState;

/// Returns the plan that undoes the moves in the ledger; `None`: there is nothing to undo.
pub(super) async fn plan_back(run: &Run<'_>, forward: &Plan) -> Option<Plan> {
    let (started, stopped, states) = {
        let ledger = run.ledger();
        (ledger.started.clone(), ledger.stopped.clone(), ledger.states.clone())
    };
    // Dependents were started after their dependencies, and are stopped first.
    let mut stops = Vec::new();
    for moved in started.iter().rev() {
        let again = stopped.iter().any(|other| other.step.service == moved.step.service);
        if again {
            run.warn(&format!("{} was made anew; it is left as it is, its older self is gone", moved.step.service));
        } else if let Some(step) = stop_of(run, moved, &stops, &states).await {
            stops.push(step);
        }
    }
    let mut starts: Vec<Step> = Vec::new();
    // Dependents were stopped before their dependencies, and are started last.
    for moved in stopped.iter().rev() {
        let anew = started.iter().any(|other| other.step.service == moved.step.service);
        if !anew && let Some(step) = start_of(run, moved, &stops, &starts).await {
            starts.push(step);
        }
    }
    stops.extend(starts);
    let rolled_out = run.ledger().rolled_out.clone();
    for moved in rolled_out.iter().rev() {
        if let Some(step) = rollout_of(run, moved, &stops).await {
            stops.push(step);
        }
    }
    (!stops.is_empty()).then(|| Plan { steps: stops, changes: true, ..forward.clone() })
}

/// Returns the stop of a service that this run started, if it still runs.
async fn stop_of(
    run: &Run<'_>,
    moved: &Moved,
    earlier: &[Step],
    states: &BTreeMap<ServiceName, State>,
) -> Option<Step> {
    let desired = run.context.desired;
    let name = &moved.step.service;
    let service = desired.services.get(name)?;
    let look = run.context.driver.look(&desired.project, service).await.ok()?;
    match look.life {
        RunState::Running | RunState::Degraded(_) => {}
        RunState::Absent | RunState::Ended(_) | RunState::Suspended => return None,
    }
    if moved.instance.is_some() && look.instance != moved.instance {
        return None;
    }
    let state = states.get(name).copied().unwrap_or(State::Online);
    // A failed service with processes left is in error.
    let state = if state.is_not_running() { State::Error } else { state };
    let route = route(Action::Stop, state)?;
    let expect = Expect { instance: look.instance, state };
    let depends =
        |step: &&Step| desired.services.get(&step.service).is_some_and(|service| service.depends_on.contains_key(name));
    let needs = earlier.iter().filter(depends).map(|step| step.id.clone()).collect();
    Some(step_back(&moved.step, Action::Stop, route, expect, needs))
}

/// Returns the start of a service that this run stopped, if the manifest still has the spec that ran before.
async fn start_of(run: &Run<'_>, moved: &Moved, stops: &[Step], earlier: &[Step]) -> Option<Step> {
    let name = &moved.step.service;
    if !moved.step.route.first().is_some_and(|state| state.is_operational()) {
        return None;
    }
    let desired = run.context.desired;
    let Some(service) = desired.services.get(name) else {
        run.warn(&format!("{name} can't be started again: the manifest does not know it"));
        return None;
    };
    let look = run.context.driver.look(&desired.project, service).await.ok()?;
    let same = look.spec.is_none_or(|carried| service.spec.has_hash(&carried));
    if !same {
        run.warn(&format!("{name} can't be started again as it was: the manifest has another spec for it by now"));
        return None;
    }
    match look.life {
        RunState::Absent | RunState::Ended(_) => {}
        RunState::Running | RunState::Degraded(_) | RunState::Suspended => return None,
    }
    let expect = Expect { instance: look.instance, state: State::Offline };
    let needs = stops.iter().map(|step| step.id.clone()).chain(dependencies(service, earlier)).collect();
    route(Action::Start, State::Offline).map(|route| step_back(&moved.step, Action::Start, route, expect, needs))
}

/// Returns the step to the previous number of copies, or to their previous revision, if the copies are as this run left
/// them.
async fn rollout_of(run: &Run<'_>, moved: &Moved, earlier: &[Step]) -> Option<Step> {
    let (forward, desired) = (&moved.step, run.context.desired);
    let (service, change) = (desired.services.get(&forward.service)?, forward.copies?);
    let look = run.context.driver.look(&desired.project, service).await.ok()?;
    let is_as_left = look.life == RunState::Running
        && look.instance == moved.instance
        && look.copies.is_some_and(|copies| copies.wanted == change.to);
    if !is_as_left {
        run.warn(&format!("{} has other copies by now than this run left; they stay as they are", forward.service));
        return None;
    }
    let route = route(forward.action, State::Online)?;
    let expect = Expect { instance: look.instance, state: State::Online };
    let needs = earlier.iter().map(|step| step.id.clone()).collect();
    let copies = Some(CopiesChange { from: change.to, to: change.from, ..change });
    Some(Step { copies, ..step_back(forward, forward.action, route, expect, needs) })
}

fn dependencies<'a>(service: &'a Service, earlier: &'a [Step]) -> impl Iterator<Item = StepId> + 'a {
    earlier.iter().filter(|step| service.depends_on.contains_key(&step.service)).map(|step| step.id.clone())
}

fn step_back(forward: &Step, action: Action, route: &[State], expect: Expect, needs: Vec<StepId>) -> Step {
    let message = "This run failed, and goes back to what ran before.".to_owned();
    Step {
        id: StepId::new(format!("{action}:{}", forward.service)),
        action,
        route: route.to_vec(),
        needs,
        reason: Reason { code: ReasonCode::Requested, message, by: None },
        expect,
        spec: None,
        diff: None,
        estimate_ms: None,
        ..forward.clone()
    }
}
