//! Comparison of an approved plan with a plan made now: exactly what was approved is applied, or nothing is.

use std::collections::BTreeSet;

use crate::model::host::HostIdentity;
use crate::model::names::{ProjectName, ServiceName, StepId};
use crate::model::plan::{Plan, Step};
use crate::reconcile::error::ReconcileError;

/// Refuses a saved plan that differs from the plan made now.
pub(crate) fn check(saved: &Plan, now: &Plan) -> Result<(), ReconcileError> {
    let differences = differences(saved, now);
    if differences.is_empty() {
        return Ok(());
    }
    Err(ReconcileError::Stale(differences))
}

/// Returns the differences, a line each; empty where the plan made now does the same.
pub(crate) fn differences(saved: &Plan, now: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(of_project(saved, &now.project));
    lines.extend(of_host(saved, &now.host, now.host_identity.as_ref()));
    for step in &saved.steps {
        match now.step(&step.id) {
            None => lines.push(format!("- {}: no longer planned{}", step.id, why_not(now, &step.service))),
            Some(other) => lines.extend(of_step(step, other)),
        }
    }
    let added = now.steps.iter().filter(|step| saved.step(&step.id).is_none());
    lines.extend(added.map(|step| format!("+ {}: now planned, {}", step.id, step.reason.message)));
    lines
}

/// Returns the difference if the plan was made for another project.
pub(crate) fn of_project(saved: &Plan, project: &ProjectName) -> Option<String> {
    (saved.project != *project).then(|| format!("it was made for {}; this is {project}", saved.project))
}

/// Returns the difference if the plan was made on another host: by the hosts' ids, and by their names where the ids do
/// not decide.
pub(crate) fn of_host(saved: &Plan, host: &str, identity: Option<&HostIdentity>) -> Option<String> {
    let by_ids = saved.host_identity.as_ref().zip(identity).and_then(|(one, other)| one.is_same(other));
    match by_ids {
        Some(true) => None,
        Some(false) if saved.host == host => {
            Some(format!("it was made on another machine that is also named {host}: the machine ids differ"))
        }
        None if saved.host == host => None,
        Some(false) | None => Some(format!("it was made on {}; this is {host}", saved.host)),
    }
}

/// Returns the reason for which the plan made now takes no action on a service.
fn why_not(now: &Plan, service: &ServiceName) -> String {
    let blocked = now.blocked.iter().map(|blocked| (&blocked.service, &blocked.reason.message));
    let held = now.held.iter().map(|held| (&held.service, &held.reason.message));
    let kept = now.kept.iter().map(|kept| (&kept.service, &kept.message));
    let left = now.left.iter().map(|left| (&left.service, &left.message));
    let why = blocked.chain(held).chain(kept).chain(left).find(|(name, _)| *name == service);
    why.map(|(_, message)| format!(", {message}")).unwrap_or_default()
}

fn of_step(saved: &Step, now: &Step) -> Vec<String> {
    let id = &saved.id;
    let mut lines = Vec::new();
    if (&saved.service, saved.action) != (&now.service, now.action) {
        lines.push(format!("~ {id}: {} {} instead of {} {}", now.action, now.service, saved.action, saved.service));
    }
    if saved.gpus != now.gpus {
        lines.push(format!("~ {id}: on {} instead of {}", listed(&now.gpus), listed(&saved.gpus)));
    }
    let needs = |step: &Step| step.needs.iter().cloned().collect::<BTreeSet<StepId>>();
    let (before, after) = (needs(saved), needs(now));
    if before != after {
        lines.push(format!("~ {id}: waits for {} instead of {}", listed(&after), listed(&before)));
    }
    if saved.spec != now.spec {
        lines.push(format!("~ {id}: its definition changed"));
    }
    lines
}

/// Returns names in one line.
pub(crate) fn listed<N: std::fmt::Display>(names: impl IntoIterator<Item = N>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
