//! Rollback after a failure: services that this run started are stopped, and those that it stopped are started again. A
//! rollback is a plan of its own, carried out by the same executor. A service that can't be restored as it was is
//! reported and left.

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
        let recreated = stopped.iter().any(|other| other.step.service == moved.step.service);
        if recreated {
            let name = &moved.step.service;
            run.warn(&format!("{name} is not rolled back: it was recreated, and its previous revision is gone"));
        } else if let Some(step) = stop_of(run, moved, &stops, &states).await {
            stops.push(step);
        }
    }
    let mut starts: Vec<Step> = Vec::new();
    // Dependents were stopped before their dependencies, and are started last.
    for moved in stopped.iter().rev() {
        let recreated = started.iter().any(|other| other.step.service == moved.step.service);
        if !recreated && let Some(step) = start_of(run, moved, &stops, &starts).await {
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
    let inspection = run.context.driver.inspect(&desired.project, service).await.ok()?;
    match inspection.run_state {
        RunState::Running | RunState::Degraded(_) => {}
        RunState::Absent | RunState::Ended(_) | RunState::Suspended => return None,
    }
    if moved.instance.is_some() && inspection.instance != moved.instance {
        return None;
    }
    let state = states.get(name).copied().unwrap_or(State::Online);
    // A failed service with processes left is in error.
    let state = if state.is_not_running() { State::Error } else { state };
    let route = route(Action::Stop, state)?;
    let expect = Expect { instance: inspection.instance, state };
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
        run.warn(&format!("{name} can't be restarted: it is not in the manifest"));
        return None;
    };
    let inspection = run.context.driver.inspect(&desired.project, service).await.ok()?;
    let same = inspection.spec.is_none_or(|carried| service.spec.has_hash(&carried));
    if !same {
        run.warn(&format!("{name} can't be restarted as it was: its spec in the manifest has changed"));
        return None;
    }
    match inspection.run_state {
        RunState::Absent | RunState::Ended(_) => {}
        RunState::Running | RunState::Degraded(_) | RunState::Suspended => return None,
    }
    let expect = Expect { instance: inspection.instance, state: State::Offline };
    let needs = stops.iter().map(|step| step.id.clone()).chain(dependencies(service, earlier)).collect();
    route(Action::Start, State::Offline).map(|route| step_back(&moved.step, Action::Start, route, expect, needs))
}

/// Returns the step back to the previous number of copies, or to their previous revision, if the copies are as this run
/// left them.
async fn rollout_of(run: &Run<'_>, moved: &Moved, earlier: &[Step]) -> Option<Step> {
    let (forward, desired) = (&moved.step, run.context.desired);
    let (service, change) = (desired.services.get(&forward.service)?, forward.copies?);
    let inspection = run.context.driver.inspect(&desired.project, service).await.ok()?;
    let is_as_left = inspection.run_state == RunState::Running
        && inspection.instance == moved.instance
        && inspection.copies.is_some_and(|copies| copies.wanted == change.to);
    if !is_as_left {
        run.warn(&format!("{} is not rolled back: its copies were changed again since this run", forward.service));
        return None;
    }
    let route = route(forward.action, State::Online)?;
    let expect = Expect { instance: inspection.instance, state: State::Online };
    let needs = earlier.iter().map(|step| step.id.clone()).collect();
    let copies = Some(CopiesChange { from: change.to, to: change.from, ..change });
    Some(Step { copies, ..step_back(forward, forward.action, route, expect, needs) })
}

fn dependencies<'a>(service: &'a Service, earlier: &'a [Step]) -> impl Iterator<Item = StepId> + 'a {
    earlier.iter().filter(|step| service.depends_on.contains_key(&step.service)).map(|step| step.id.clone())
}

fn step_back(forward: &Step, action: Action, route: &[State], expect: Expect, needs: Vec<StepId>) -> Step {
    let message = "This run failed, and is rolled back.".to_owned();
    Step {
        id: StepId::new(format!("{action}:{}", forward.service)),
        action,
        route: route.to_vec(),
        needs,
        reason: Reason { code: ReasonCode::Requested, message, by: None },
        expect,
        job: None,
        spec: None,
        diff: None,
        estimate_ms: None,
        ..forward.clone()
    }
}
