//! Starts, stops and restarts of single services: the restart budget that they reset, and the steps by which the next
//! apply would undo them.

use std::collections::BTreeSet;

use crate::model::budget;
use crate::model::desired::Service;
use crate::model::lifecycle::Action;
use crate::model::names::ServiceName;
use crate::model::plan::{Plan, Purpose, Request, Step};
use crate::model::snapshot::{Planner as _, Snapshot};
use crate::plan::judge_commands::needed;
use crate::reconcile::caller::Caller;
use crate::reconcile::error::ReconcileError;
use crate::reconcile::project::Project;
use crate::store::StoreError;

/// Returns the snapshot with the attempts of the targets as they count from now on: an explicit start or restart
/// resumes them.
pub(crate) fn resume(project: &Project, snapshot: Snapshot, request: &Request) -> Snapshot {
    if resumed(project, request).next().is_none() {
        return snapshot;
    }
    let mut facts = snapshot.facts;
    let now = facts.observed_at;
    for service in resumed(project, request) {
        let leave = budget::resumed(service, now);
        match facts.history.get_mut(&service.name) {
            Some(past) => past.attempts = leave,
            None if leave.is_some() => facts.history.entry(service.name.clone()).or_default().attempts = leave,
            None => {}
        }
    }
    project.planner().observe(facts)
}

/// Keeps the attempts that [`resume`] planned with, before the plan is applied.
pub(crate) async fn keep_resumed(project: &Project, request: &Request) -> Result<(), ReconcileError> {
    if resumed(project, request).next().is_none() {
        return Ok(());
    }
    let unusable = |error: StoreError| ReconcileError::Store(error.to_string());
    let (name, now) = (&project.desired.project, project.driver().now());
    let known = project.store().last_known(name).await.map_err(unusable)?;
    for service in resumed(project, request) {
        let leave = budget::resumed(service, now);
        let were_tried = known.get(&service.name).is_some_and(|past| past.attempts.is_some());
        if were_tried || leave.is_some() {
            project.store().set_attempts(name, &service.name, leave.as_ref()).await.map_err(unusable)?;
        }
    }
    Ok(())
}

fn resumed<'a>(project: &'a Project, request: &'a Request) -> impl Iterator<Item = &'a Service> {
    let starts = matches!(request.purpose, Purpose::Start | Purpose::Restart);
    request.targets.iter().filter(move |_| starts).filter_map(|name| project.desired.services.get(name))
}

/// Returns the steps by which the next apply would undo a one-shot's `plan`, stops first.
pub(crate) async fn undone(caller: &dyn Caller, project: &Project, request: &Request, plan: &Plan) -> Vec<Step> {
    let desired = &project.desired;
    let no_mode = desired.mode.is_none() && !desired.modes.is_empty();
    if !request.purpose.is_one_shot() || no_mode {
        return Vec::new();
    }
    let mut touched = needed(desired, &request.targets);
    touched.extend(request.targets.iter().chain(plan.steps.iter().map(|step| &step.service)).cloned());
    // Without a snapshot or a plan, no difference is known.
    let Ok(snapshot) = project.snapshot(caller).await else { return Vec::new() };
    let Ok(next) = project.plan(&snapshot, &Request::default()) else { return Vec::new() };
    let steps = |action: Action| next.steps.iter().filter(move |step| step.action == action);
    let named = |action: Action| -> BTreeSet<&ServiceName> { steps(action).map(|step| &step.service).collect() };
    let (starts, stops) = (named(Action::Start), named(Action::Stop));
    let one_way = |step: &&Step| starts.contains(&step.service) != stops.contains(&step.service);
    let steps = steps(Action::Stop).chain(steps(Action::Start));
    steps.filter(one_way).filter(|step| touched.contains(&step.service)).cloned().collect()
}
