//! A plan for people: what will be done and why, what it frees or takes, what it waits for, and why the rest is not
//! done. With nothing to do it is one line, which says what was looked at.
//!
//! Reasons are the planner's own sentences; nothing is explained here that the plan does not say.

mod gpus;

use std::fmt::Write as _;

use crate::model::lifecycle::State;
use crate::model::plan::Placement;
use crate::report::fold::folded;
use crate::report::style::{Paint, Style};
use crate::report::table::{self, Cell};
use crate::report::view::{self, View, entry};

/// Reasons stand below what they are the reasons of, and further in.
const INDENT: &str = "    ";

/// All but the first line and the last ones stand in by this.
const BLOCK_INDENT: usize = 2;

/// How a plan's text is set.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Whole routes, and what is kept, line by line.
    pub verbose: bool,
    pub style: Style,
}

/// The whole text, ending in a newline.
#[must_use]
pub fn plan(view: View<'_>, setting: Setting) -> String {
    let (plan, Setting { style, .. }) = (view.plan, setting);
    let mut text = String::new();
    if let Some((made, _)) = view.saved() {
        let _ = writeln!(text, "Saved plan, {made}.\n");
    }
    if plan.steps.is_empty() {
        text.push_str(&view.nothing());
        text.push('\n');
        push_block(&mut text, &rows(view, setting));
    } else {
        let head = format!("{} · {}", view.command(), view.parts().join(" · "));
        text.push_str(&style.paint(Paint::Strong, &head));
        text.push('\n');
        push_block(&mut text, &gpus::lines(&plan.gpus, style));
        push_block(&mut text, &rows(view, setting));
    }
    if !plan.warnings.is_empty() {
        text.push('\n');
    }
    for warning in &plan.warnings {
        let _ = writeln!(text, "{} {warning}", style.paint(Paint::Warn, "warning:"));
    }
    if !plan.steps.is_empty() {
        let _ = write!(text, "\n{}\n", view.headline());
        if plan.placement == Placement::Bounded {
            text.push_str("The placing is sound, but not proven to be the best.\n");
        }
    }
    if let Some((_, standing)) = view.saved() {
        let _ = write!(text, "\n{}\n", standing.sentence());
        push_lines(&mut text, standing.differences());
    }
    folded(&text, style)
}

/// Steps first, then all that is not done, each with its reason below it or beside it.
fn rows(view: View<'_>, setting: Setting) -> Vec<String> {
    let (plan, Setting { verbose, style }) = (view.plan, setting);
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
        below.push(reasons(entry, style));
    }
    let kept = if verbose { view::kept(plan) } else { Vec::new() };
    for line in kept.into_iter().chain(view::in_the_way(plan)) {
        let paint = if line.symbol == "=" { Paint::Dim } else { Paint::Warn };
        let verb = Cell::new(format!("{} {}", line.symbol, line.verb)).paint(paint);
        cells.push(vec![verb, Cell::new(line.service), Cell::new(line.state.map_or("", State::as_str))]);
        effects.push(String::new());
        below.push(vec![line.why]);
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

/// Why, and for a changed spec what changed.
fn reasons(entry: &entry::Entry<'_>, style: Style) -> Vec<String> {
    let diff = entry.diff().unwrap_or_default().lines().map(|line| format!("  {}", style.diff_line(line)));
    entry.reasons().into_iter().map(ToOwned::to_owned).chain(diff).collect()
}

fn push_block(text: &mut String, lines: &[String]) {
    if !lines.is_empty() {
        text.push('\n');
        push_lines(text, lines);
    }
}

fn push_lines(text: &mut String, lines: &[String]) {
    for line in lines {
        let _ = writeln!(text, "{:BLOCK_INDENT$}{line}", "");
    }
}

#[cfg(test)]
mod tests;
