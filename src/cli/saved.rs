//! Saved plans: read, and held against a plan made now. What was agreed to is what is done, or nothing is.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::args::{NarrowArgs, PlanningArgs};
use crate::cli::exit::Exit;
use crate::cli::files;
use crate::cli::stop::{Code, Stop};
use crate::manifest::Choice;
use crate::model::host::HostIdentity;
use crate::model::names::{ProjectName, ServiceName, StepId};
use crate::model::plan::{Asked, FORMAT, Plan, Step};

/// Reads a plan that `lcm plan --out` wrote.
pub(super) fn read(path: &Path) -> Result<Plan, Stop> {
    let wrong =
        |reason: String| Stop::refused(Code::SavedPlan, format!("can't take {} for a plan: {reason}", path.display()));
    let text = files::read(path).map_err(|error| wrong(error.to_string()))?;
    // The format first: a newer plan has fields that this one would stumble over.
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let format = value.get("format").and_then(serde_json::Value::as_str).unwrap_or("not said");
    if format != FORMAT {
        return Err(wrong(format!("its format is {format}, and this lcm reads {FORMAT}")));
    }
    serde_json::from_value(value).map_err(|error| wrong(error.to_string()))
}

/// A saved plan brings its mode and goals along; another mode on the command line contradicts it.
pub(super) fn choose(saved: &Plan, choice: &mut Choice) -> Result<(), Stop> {
    if let (Some(asked), saved_mode) = (&choice.mode, &saved.mode)
        && saved_mode.as_ref() != Some(asked)
    {
        let saved_mode = saved_mode.as_ref().map_or_else(|| "no mode".to_owned(), |mode| format!("mode {mode}"));
        return Err(Stop::new(
            Exit::Usage,
            Code::SavedPlan,
            format!("the saved plan is for {saved_mode}, and --mode says {asked}"),
        ));
    }
    choice.mode.clone_from(&saved.mode);
    choice.goals.extend(saved.goals.iter().cloned());
    Ok(())
}

/// It brings along what narrowed or widened it, too; an option that it was not made with contradicts it.
pub(super) fn narrow(saved: &Plan, planning: &mut PlanningArgs) -> Result<(), Stop> {
    let Asked { targets, excludes, strict, prune, repack } = &saved.request;
    let NarrowArgs { targets: only, excludes: without } = &mut planning.narrow;
    for (option, asked, saved) in [("--target", &*only, targets), ("--exclude", &*without, excludes)] {
        let named: BTreeSet<ServiceName> = asked.iter().cloned().collect();
        if !named.is_empty() && named != *saved {
            let (saved, named) = (words(saved), words(&named));
            let message = format!("the saved plan was made with {option} {saved}, and {option} says {named}");
            return Err(Stop::new(Exit::Usage, Code::SavedPlan, message));
        }
    }
    let flags = [("--strict", planning.strict, *strict), ("--prune", planning.prune, *prune)];
    for (option, asked, saved) in flags.into_iter().chain([("--repack", planning.repack, *repack)]) {
        if asked && !saved {
            return Err(Stop::new(Exit::Usage, Code::SavedPlan, format!("the saved plan was made without {option}")));
        }
    }
    *only = targets.iter().cloned().collect();
    *without = excludes.iter().cloned().collect();
    (planning.strict, planning.prune, planning.repack) = (*strict, *prune, *repack);
    Ok(())
}

/// Refuses a plan that is not what would be done now.
pub(super) fn check(saved: &Plan, now: &Plan) -> Result<(), Stop> {
    let differences = differences(saved, now);
    if differences.is_empty() {
        return Ok(());
    }
    let advice = "plan again, and look at it again".to_owned();
    let stop = Stop::new(Exit::Stale, Code::Stale, "the saved plan is stale; nothing was done. Now:");
    Err(stop.with(differences, Some(advice)))
}

/// What differs, a line each; empty where the plan made now does the same.
pub(super) fn differences(saved: &Plan, now: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(of_project(saved, &now.project));
    lines.extend(of_host(saved, &now.host, now.host_identity.as_ref()));
    for step in &saved.steps {
        match now.step(&step.id) {
            None => lines.push(format!("- {}: not to be done any more{}", step.id, why_not(now, &step.service))),
            Some(other) => lines.extend(of_step(step, other)),
        }
    }
    let added = now.steps.iter().filter(|step| saved.step(&step.id).is_none());
    lines.extend(added.map(|step| format!("+ {}: to be done too, {}", step.id, step.reason.message)));
    lines
}

/// Where it is another project than the plan's.
pub(super) fn of_project(saved: &Plan, project: &ProjectName) -> Option<String> {
    (saved.project != *project).then(|| format!("it was made for {}; this is {project}", saved.project))
}

/// Where it is another host than the plan's: by the hosts' ids, and by their names where those don't tell.
pub(super) fn of_host(saved: &Plan, host: &str, identity: Option<&HostIdentity>) -> Option<String> {
    let by_ids = saved.host_identity.as_ref().zip(identity).and_then(|(one, other)| one.is_same(other));
    match by_ids {
        Some(true) => None,
        Some(false) if saved.host == host => {
            Some(format!("it was made on another machine of the name {host}, by its machine id"))
        }
        None if saved.host == host => None,
        Some(false) | None => Some(format!("it was made on {}; this is {host}", saved.host)),
    }
}

/// What the plan made now says of a service to which it does nothing.
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
        lines.push(format!("~ {id}: on {} instead of {}", words(&now.gpus), words(&saved.gpus)));
    }
    let needs = |step: &Step| step.needs.iter().cloned().collect::<BTreeSet<StepId>>();
    let (before, after) = (needs(saved), needs(now));
    if before != after {
        lines.push(format!("~ {id}: waits for {} instead of {}", words(&after), words(&before)));
    }
    if saved.spec != now.spec {
        lines.push(format!("~ {id}: its definition changed"));
    }
    lines
}

fn words<N: std::fmt::Display>(names: impl IntoIterator<Item = N>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
