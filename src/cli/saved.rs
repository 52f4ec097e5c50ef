//! Saved plans: read, and held against a plan made now. What was agreed to is what is done, or nothing is.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::exit::Exit;
use crate::cli::files;
use crate::cli::stop::Stop;
use crate::manifest::Choice;
use crate::model::names::StepId;
use crate::model::plan::{FORMAT, Plan, Step};

/// Reads a plan that `lcm plan --out` wrote.
pub(super) fn read(path: &Path) -> Result<Plan, Stop> {
    let wrong = |reason: String| Stop::refused(format!("can't take {} for a plan: {reason}", path.display()));
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
        return Err(Stop::new(Exit::Usage, format!("the saved plan is for {saved_mode}, and --mode says {asked}")));
    }
    choice.mode.clone_from(&saved.mode);
    choice.goals.extend(saved.goals.iter().cloned());
    Ok(())
}

/// Refuses a plan that is not what would be done now.
pub(super) fn check(saved: &Plan, now: &Plan) -> Result<(), Stop> {
    let differences = differences(saved, now);
    if differences.is_empty() {
        return Ok(());
    }
    let lines = differences.join("\n  ");
    let advice = "plan again, with the same options as for apply, and look at it again";
    Err(Stop::new(Exit::Stale, format!("the saved plan is stale; nothing was done. Now:\n  {lines}\n{advice}")))
}

/// What differs, a line each; empty where the plan made now does the same.
fn differences(saved: &Plan, now: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if saved.project != now.project {
        lines.push(format!("the project is {}, and the plan was for {}", now.project, saved.project));
    }
    if saved.host != now.host {
        lines.push(format!("the host is {}, and the plan was for {}", now.host, saved.host));
    }
    for step in &saved.steps {
        match now.step(&step.id) {
            None => lines.push(format!("- {}: not to be done any more", step.id)),
            Some(other) => lines.extend(of_step(step, other)),
        }
    }
    let added = now.steps.iter().filter(|step| saved.step(&step.id).is_none());
    lines.extend(added.map(|step| format!("+ {}: to be done too, {}", step.id, step.reason.message)));
    lines
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
