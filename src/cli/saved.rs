//! Saved plans: read, and combined with the options of the command line. Only an approved plan is carried out.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::args::{NarrowArgs, PlanningArgs};
use crate::cli::exit::Exit;
use crate::cli::stop::{Code, EarlyExit};
use crate::manifest::ModeSelection;

use crate::model::mode_set::ModeSet;
use crate::model::names::ServiceName;
use crate::model::plan::{FORMAT, FORMAT_1, Plan, SavedRequest};
use crate::reconcile::comparison;
use crate::reconcile::files;

/// Reads a plan that `lcm plan --out` wrote. Errors: an unreadable file, or another format.
pub(super) fn read(path: &Path) -> Result<Plan, EarlyExit> {
    let wrong = |reason: String| {
        EarlyExit::refused(Code::SavedPlan, format!("can't read {} as a plan: {reason}", path.display()))
    };
    let text = files::read(path).map_err(|error| wrong(error.to_string()))?;
    // The format first: a newer plan may have fields that this version can't read.
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let format = value.get("format").and_then(serde_json::Value::as_str).unwrap_or("missing");
    if ![FORMAT, FORMAT_1].contains(&format) {
        return Err(wrong(format!("its format is {format}; this lcm reads {FORMAT} and {FORMAT_1}")));
    }
    let plan: Plan = serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
    Ok(Plan { format: FORMAT.to_owned(), modes: ModeSet::names(plan.mode.as_ref()), ..plan })
}

/// Takes the mode and goals of a saved plan. Errors: another mode on the command line.
pub(super) fn choose(saved: &Plan, choice: &mut ModeSelection) -> Result<(), EarlyExit> {
    if let (Some(asked), saved_mode) = (&choice.mode, &saved.mode)
        && saved_mode.as_ref() != Some(asked)
    {
        let saved_mode = saved_mode.as_ref().map_or_else(|| "no mode".to_owned(), |mode| format!("mode {mode}"));
        return Err(EarlyExit::new(
            Exit::Usage,
            Code::SavedPlan,
            format!("the saved plan is for {saved_mode}, but --mode is {asked}"),
        ));
    }
    choice.mode.clone_from(&saved.mode);
    choice.goals.extend(saved.goals.iter().cloned());
    Ok(())
}

/// Takes the planning options of a saved plan. Errors: an option that the plan was not made with.
pub(super) fn narrow(saved: &Plan, planning: &mut PlanningArgs) -> Result<(), EarlyExit> {
    let SavedRequest { targets, excludes, strict, prune, repack } = &saved.request;
    let NarrowArgs { targets: only, excludes: without } = &mut planning.narrow;
    for (option, asked, saved) in [("--target", &*only, targets), ("--exclude", &*without, excludes)] {
        let named: BTreeSet<ServiceName> = asked.iter().cloned().collect();
        if !named.is_empty() && named != *saved {
            let (saved, named) = (comparison::listed(saved), comparison::listed(&named));
            let message = format!("the saved plan was made with {option} {saved}, but {option} is {named}");
            return Err(EarlyExit::new(Exit::Usage, Code::SavedPlan, message));
        }
    }
    let flags = [("--strict", planning.strict, *strict), ("--prune", planning.prune, *prune)];
    for (option, asked, saved) in flags.into_iter().chain([("--repack", planning.repack, *repack)]) {
        if asked && !saved {
            return Err(EarlyExit::new(
                Exit::Usage,
                Code::SavedPlan,
                format!("the saved plan was made without {option}"),
            ));
        }
    }
    *only = targets.iter().cloned().collect();
    *without = excludes.iter().cloned().collect();
    (planning.strict, planning.prune, planning.repack) = (*strict, *prune, *repack);
    Ok(())
}

#[cfg(test)]
mod tests;
