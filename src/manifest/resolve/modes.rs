//! Modes and goals, and the choice of those active in this run.

use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::choice::ModeSelection;
use crate::manifest::resolve::context::ResolveContext;
use crate::manifest::resolve::resolved::ResolvedService;
use crate::manifest::wire;
use crate::model::desired::{Goal, Mode, ModeSource, Others};
use crate::model::mode_set::ModeSet;
use crate::model::names::{GoalName, ModeName, ServiceName};
use crate::syntax::fault::suggest;
use crate::syntax::located::Located;
use crate::syntax::problem::Problem;
use crate::syntax::source::Span;

pub(super) fn goals(
    context: &mut ResolveContext<'_>,
    services: &BTreeMap<ServiceName, ResolvedService>,
) -> BTreeMap<GoalName, Goal> {
    let mut goals = BTreeMap::new();
    let input = context.input;
    for (name, written) in input.files.iter().flat_map(|file| &file.manifest.goals.0) {
        let goal = Goal {
            description: written.description.clone(),
            services: named(context, &written.services),
            phases: context.phases(&written.phases),
            priority: written.priority.unwrap_or_default(),
        };
        let needed = !written.services.is_empty()
            || services.values().any(|resolved| !resolved.service.phases.is_disjoint(&goal.phases));
        if !needed && !written.damaged {
            let problem =
                Problem::warning("lcm::manifest::goal", format!("the goal `{}` needs no service", name.value))
                    .at(context.place(name.span), "this goal")
                    .help("name `services`, or `phases` that some service lists");
            context.problems.push(problem);
        }
        goals.insert(GoalName::new(name.value.clone()), goal);
    }
    goals
}

/// Mode, and the places of entries that may contradict the rest.
#[derive(Debug)]
pub(super) struct ResolvedMode {
    pub mode: Mode,
    pub name: Span,
    pub stop: BTreeMap<ServiceName, Span>,
}

pub(super) fn modes(context: &mut ResolveContext<'_>) -> BTreeMap<ModeName, ResolvedMode> {
    let mut modes = BTreeMap::new();
    let input = context.input;
    for (name, written) in input.files.iter().flat_map(|file| &file.manifest.modes.0) {
        let goals = written.goals.iter().filter(|goal| context.known("goal", goal, &input.names.goals));
        let goals = goals.map(|goal| GoalName::new(goal.value.clone())).collect();
        let mode = Mode {
            description: written.description.clone(),
            services: named(context, &written.services),
            goals,
            stop: named(context, &written.stop),
            others: match written.others {
                Some(wire::OthersValue::Keep) => Others::Keep,
                Some(wire::OthersValue::Stop) | None => Others::Stop,
            },
        };
        let stop = written.stop.iter().map(|name| (ServiceName::new(name.value.clone()), name.span)).collect();
        modes.insert(ModeName::new(name.value.clone()), ResolvedMode { mode, name: name.span, stop });
    }
    modes
}

/// Returns the existing services of a list; reports the others.
pub(super) fn named(context: &mut ResolveContext<'_>, written: &[Located<String>]) -> BTreeSet<ServiceName> {
    let names = &context.input.names.services;
    written
        .iter()
        .filter(|name| context.known("service", name, names))
        .map(|name| ServiceName::new(name.value.clone()))
        .collect()
}

/// Modes of this run, and the places of those that the entry file names.
#[derive(Debug)]
pub(super) struct ChosenModes {
    pub active: Option<ModeSet>,
    pub source: ModeSource,
    /// The modes that the entry file itself names, with the place of its key.
    pub own: Option<(ModeSet, Span)>,
}

/// Returns the modes of this run: the command line's, else an operator's override, else the entry file's own.
pub(super) fn choose(context: &mut ResolveContext<'_>, choice: &ModeSelection) -> ChosenModes {
    let names = &context.input.names.modes;
    let entry = context.input.files.first().filter(|_| context.input.complete);
    let own = own(context);
    let (chosen, source) = match (&choice.mode, &choice.mode_override) {
        (Some(mode), _) => (Some(mode), ModeSource::CommandLine),
        (None, Some(word)) => (Some(word), ModeSource::Override),
        (None, None) => (None, ModeSource::Manifest),
    };
    if let Some(chosen) = chosen {
        let unknown = chosen.iter().filter(|mode| !names.contains_key(mode.as_str()) && context.input.complete);
        for mode in unknown {
            let near = suggest(mode.as_str(), names.keys().map(String::as_str));
            let help = match source {
                ModeSource::Override => format!("{near}; `lcm switch --clear` removes the mode override"),
                ModeSource::CommandLine | ModeSource::Manifest => near,
            };
            let message = format!("there is no mode `{mode}`");
            context.problems.push(Problem::error("lcm::manifest::unknown_mode", message).help(help));
        }
        return ChosenModes { active: Some(chosen.clone()), source, own };
    }
    if own.is_none()
        && !names.is_empty()
        && !choice.mode_optional
        && entry.is_some_and(|entry| !entry.keys.contains("mode"))
    {
        let list: Vec<&str> = names.keys().map(String::as_str).collect();
        let message = format!("no mode is selected; available: {}", list.join(", "));
        let help = "select one with `--mode`, or set `mode:` in the manifest";
        context.problems.push(Problem::error("lcm::manifest::no_mode", message).help(help));
    }
    ChosenModes { active: own.as_ref().map(|(own, _)| own.clone()), source, own }
}

/// Returns the modes that the entry file itself names, with the place of its key; reports unknown ones and an empty
/// list.
fn own(context: &mut ResolveContext<'_>) -> Option<(ModeSet, Span)> {
    let input = context.input;
    let written = input.files.first()?.manifest.mode.as_ref()?;
    if written.0.is_empty() && !written.damaged {
        let help = "name at least one mode, or remove the key";
        context.error_with_help("lcm::manifest::empty", written.span, ("this list is empty", "no entries"), help);
    }
    if input.complete {
        for mode in &written.0 {
            context.known("mode", mode, &input.names.modes);
        }
    }
    let modes = ModeSet::of(written.0.iter().map(|mode| ModeName::new(mode.value.clone())))?;
    Some((modes, written.span))
}

/// Returns true if the entry file includes others and names a mode, and has no other key.
pub(super) fn entry_is_choice(context: &ResolveContext<'_>) -> bool {
    let Some(entry) = context.input.files.first() else { return false };
    let is_part_of_choice =
        |key: &String| matches!(key.as_str(), "include" | "mode" | "version") || key.starts_with("x-");
    ["include", "mode"].iter().all(|key| entry.keys.contains(*key)) && entry.keys.iter().all(is_part_of_choice)
}

/// Reports goals of the command line that the manifest does not have.
pub(super) fn check_goals(context: &mut ResolveContext<'_>, choice: &ModeSelection) {
    let names = &context.input.names.goals;
    for goal in &choice.goals {
        if !names.contains_key(goal.as_str()) && context.input.complete {
            let help = suggest(goal.as_str(), names.keys().map(String::as_str));
            let problem =
                Problem::error("lcm::manifest::unknown_goal", format!("there is no goal `{goal}`")).help(help);
            context.problems.push(problem);
        }
    }
}
