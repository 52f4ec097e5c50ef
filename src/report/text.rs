//! A plan for people: what will be done and why, what it frees or takes, what it waits for, and why the rest is not
//! done. With nothing to do it is one line, which says what was looked at.
//!
//! Reasons are the planner's own sentences; nothing is explained here that the plan does not say.

mod entry;
mod gpus;
mod looked;

use std::fmt::Write as _;

use crate::model::desired::ModeSource;
use crate::model::lifecycle::State;
use crate::model::plan::{Placement, Plan, Purpose};
use crate::model::words::Switched;
use crate::report::fold::folded;
use crate::report::style::{Paint, Style};
use crate::report::table::{self, Cell, counted};

pub use looked::Looked;

/// Reasons stand below what they are the reasons of, and further in.
const INDENT: &str = "    ";

/// All but the first line and the last ones stand in by this.
const BLOCK_INDENT: usize = 2;

/// A plan, and what its text needs besides.
#[derive(Clone, Copy, Debug)]
pub struct PlanText<'a> {
    pub plan: &'a Plan,
    pub purpose: Purpose,
    pub mode_source: ModeSource,
    /// The word that the mode follows, where it follows one.
    pub switched: Option<&'a Switched>,
    pub looked: &'a Looked,
    /// Whole routes, and what is kept, line by line.
    pub verbose: bool,
    pub style: Style,
}

/// The whole text, ending in a newline.
#[must_use]
pub fn plan(view: PlanText<'_>) -> String {
    let PlanText { plan, style, .. } = view;
    let mut text = String::new();
    if plan.steps.is_empty() {
        text.push_str(&nothing(view));
        text.push('\n');
        push_block(&mut text, &rows(view));
    } else {
        text.push_str(&style.paint(Paint::Strong, &head(view)));
        text.push('\n');
        push_block(&mut text, &gpus::lines(&plan.gpus, style));
        push_block(&mut text, &rows(view));
    }
    if !plan.warnings.is_empty() {
        text.push('\n');
    }
    for warning in &plan.warnings {
        let _ = writeln!(text, "{} {warning}", style.paint(Paint::Warn, "warning:"));
    }
    if !plan.steps.is_empty() {
        let _ = write!(text, "\nPlan: {}.\n", summary(plan));
        if plan.placement == Placement::Bounded {
            text.push_str("The placing is sound, but not proven to be the best.\n");
        }
    }
    folded(&text, style)
}

/// `lcm plan · studio · mode video (manifest) · goals narrate · host box · engine … 20.10`
fn head(view: PlanText<'_>) -> String {
    let plan = view.plan;
    let mut parts = vec![plan.project.to_string()];
    let command = match view.purpose {
        Purpose::Down => "lcm down",
        Purpose::Apply => {
            parts.push(mode(view));
            if !plan.goals.is_empty() {
                let goals: Vec<&str> = plan.goals.iter().map(crate::model::names::GoalName::as_str).collect();
                parts.push(format!("goals {}", goals.join(", ")));
            }
            "lcm plan"
        }
        Purpose::Start => "lcm start",
        Purpose::Stop => "lcm stop",
        Purpose::Restart => "lcm restart",
    };
    parts.push(format!("host {}", plan.host));
    parts.extend(plan.engine.iter().map(|engine| format!("engine {engine}")));
    format!("{command} · {}", parts.join(" · "))
}

fn mode(view: PlanText<'_>) -> String {
    let source = match (view.mode_source, view.switched) {
        (ModeSource::Manifest, _) => "manifest".to_owned(),
        (ModeSource::CommandLine, _) => "command line".to_owned(),
        (ModeSource::Word, Some(switched)) => switched.by_whom(),
        (ModeSource::Word, None) => "switched".to_owned(),
    };
    view.plan.mode.as_ref().map_or_else(|| "all services".to_owned(), |mode| format!("mode {mode} ({source})"))
}

/// The one line of a plan without steps.
fn nothing(view: PlanText<'_>) -> String {
    let plan = view.plan;
    let looked = view.looked.to_string();
    if !plan.blocked.is_empty() {
        let mode = switched_mode(view).map(|mode| format!(" in {mode}")).unwrap_or_default();
        return format!("Nothing can be done now{mode}: {} ({looked}).", summary(plan));
    }
    let running = plan.kept.iter().filter(|kept| !kept.state.is_not_running()).count();
    match view.purpose {
        Purpose::Apply => {}
        Purpose::Down if plan.held.is_empty() => {
            return format!("Nothing to do: nothing of {} runs ({looked}).", plan.project);
        }
        Purpose::Down => {
            return format!("Nothing to do: nothing of {} runs but what is held ({looked}).", plan.project);
        }
        Purpose::Start | Purpose::Restart => {
            return format!("Nothing to do: {} ({looked}).", named(plan, "runs", "run"));
        }
        Purpose::Stop => return format!("Nothing to do: {} ({looked}).", named(plan, "is off", "are off")),
    }
    let one = plan.kept.len() == 1;
    let them = if one { "it" } else { "them" };
    let mode = switched_mode(view).or_else(|| plan.mode.as_ref().map(|mode| format!("mode {mode}")));
    let wish = mode.map_or_else(|| "wanted".to_owned(), |mode| format!("{mode} wants {them}"));
    let (services, are) = (counted(plan.kept.len(), "service", "services"), if one { "is" } else { "are" });
    let off = plan.kept.len() - running;
    let held = if plan.held.is_empty() { String::new() } else { format!(", {} held", plan.held.len()) };
    format!(
        "Nothing to do: {services} of {} {are} as {wish} ({running} running, {off} off{held}; {looked}).",
        plan.project
    )
}

/// A mode that an operator switched to is told with whose it is, also where there is nothing to do.
fn switched_mode(view: PlanText<'_>) -> Option<String> {
    view.switched.map(|_| mode(view))
}

/// `comfyui and ollama run`
fn named(plan: &Plan, one: &str, several: &str) -> String {
    let names: Vec<String> = plan.request.targets.iter().map(ToString::to_string).collect();
    format!("{} {}", table::listed(&names), if names.len() == 1 { one } else { several })
}

/// Steps first, then all that is not done, each with its reason below it or beside it.
fn rows(view: PlanText<'_>) -> Vec<String> {
    let PlanText { plan, style, verbose, .. } = view;
    let entries = entry::entries(plan);
    let mut cells: Vec<Vec<Cell>> = Vec::new();
    let mut below: Vec<Vec<String>> = Vec::new();
    let mut effects: Vec<String> = Vec::new();
    for entry in &entries {
        let (symbol, paint) = entry.kind.symbol();
        let named = Cell::new(entry.service.as_str()).paint(Paint::Strong);
        let route = Cell::new(entry.route(verbose));
        cells.push(vec![Cell::new(format!("{symbol} {}", entry.kind.verb())).paint(paint), named, route]);
        effects.push(entry.effect(plan));
        below.push(entry.below(style));
    }
    for (symbol, verb, service, state, why) in not_done(plan, verbose) {
        let paint = if symbol == "=" { Paint::Dim } else { Paint::Warn };
        let state = state.map_or("", State::as_str);
        cells.push(vec![Cell::new(format!("{symbol} {verb}")).paint(paint), Cell::new(service), Cell::new(state)]);
        effects.push(String::new());
        below.push(vec![why]);
    }
    let beside: Vec<Vec<Cell>> = cells
        .iter()
        .zip(&effects)
        .map(|(row, effect)| row.iter().cloned().chain([Cell::new(effect)]).collect())
        .collect();
    let mut lines = table::lines(&beside, style);
    if !table::fit(&lines, BLOCK_INDENT, style) {
        // Too little room beside a step, so what it does stands below it, above its reasons.
        lines = table::lines(&cells, style);
        below.iter_mut().zip(effects).for_each(|(below, effect)| below.insert(0, effect));
    }
    let pairs = lines.into_iter().zip(below);
    pairs
        .flat_map(|(line, below)| {
            let below = below.into_iter().filter(|line| !line.is_empty()).map(|line| format!("{INDENT}{line}"));
            std::iter::once(line).chain(below).collect::<Vec<_>>()
        })
        .collect()
}

type NotDone<'a> = (&'static str, &'static str, &'a str, Option<State>, String);

fn not_done(plan: &Plan, verbose: bool) -> Vec<NotDone<'_>> {
    let kept = plan.kept.iter().filter(|_| verbose);
    let kept = kept.map(|kept| ("=", "kept", kept.service.as_str(), Some(kept.state), kept.message.clone()));
    let blocked = plan.blocked.iter().map(|blocked| {
        let why = format!("{}: {}", blocked.reason.code.as_str(), blocked.reason.message);
        ("!", "blocked", blocked.service.as_str(), None, why)
    });
    let held = plan.held.iter().map(|held| {
        let since = held.since.map(|since| format!("since {since:.0}"));
        let whom: Vec<String> = held.by.iter().cloned().chain(since).collect();
        let whom = if whom.is_empty() { String::new() } else { format!(" ({})", whom.join(", ")) };
        let why = format!("{}: {}{whom}", held.reason.code.as_str(), held.reason.message);
        ("!", "held", held.service.as_str(), None, why)
    });
    let orphans = plan.orphans.iter();
    let orphans =
        orphans.map(|orphan| ("?", "orphan", orphan.service.as_str(), Some(orphan.state), orphan.message.clone()));
    kept.chain(blocked).chain(held).chain(orphans).collect()
}

/// `1 to stop, 2 to start, 3 kept, 1 blocked`
fn summary(plan: &Plan) -> String {
    let entries = entry::entries(plan);
    let mut parts: Vec<String> = Vec::new();
    for kind in entry::Kind::ALL {
        let count = entries.iter().filter(|entry| entry.kind == kind).count();
        if count > 0 {
            parts.push(format!("{count} to {}", kind.verb()));
        }
    }
    for (count, word) in [(plan.kept.len(), "unchanged"), (plan.blocked.len(), "blocked"), (plan.held.len(), "held")] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    if !plan.orphans.is_empty() {
        parts.push(counted(plan.orphans.len(), "orphan", "orphans"));
    }
    parts.join(", ")
}

fn push_block(text: &mut String, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    text.push('\n');
    for line in lines {
        let _ = writeln!(text, "{:BLOCK_INDENT$}{line}", "");
    }
}

#[cfg(test)]
mod tests;
