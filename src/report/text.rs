//! Plan for people: the steps with their reasons, the memory that they free or take, the steps they wait for, and the
//! reasons why the rest is not done. A plan without steps is one line, with the inspected objects. The last line has
//! the counts, always in the same words.
//!
//! Reasons are the planner's own sentences; nothing is explained here that the plan does not contain.

mod blocks;
mod gpus;

use crate::model::lifecycle::State;
use crate::model::plan::{Placement, ReasonCode};
use crate::model::safe_text;
use crate::report::output::Output;
use crate::report::sheet::Sheet;
use crate::report::style::{Paint, Style};
use crate::report::table::{self, Cell};
use crate::report::view::entry::{self, Group};
use crate::report::view::memory::memory_rows;
use crate::report::view::{self, PlanView};

use blocks::ServiceRow;

/// Indent of all lines but the first and the last ones, in columns.
const BLOCK_INDENT: usize = 2;

/// Settings of a plan's text.
#[derive(Clone, Copy, Debug)]
pub struct TextOptions {
    /// True for whole routes, and for each unchanged service.
    pub verbose: bool,
    pub style: Style,
}

/// Returns the whole text, ending in a newline.
#[must_use]
pub fn plan(view: PlanView<'_>, setting: TextOptions) -> Output {
    let (plan, TextOptions { style, .. }) = (view.plan, setting);
    let mut sheet = Sheet::new();
    if let Some((made, _)) = view.saved() {
        sheet.line(format!("Saved plan, {made}.")).gap();
    }
    if plan.is_idle() {
        sheet.line(view.nothing());
    } else {
        for line in head(view, style) {
            sheet.line(style.paint(Paint::Strong, &line));
        }
    }
    // Where nothing can be done, the reason may be lack of memory.
    let lacks_capacity = plan.blocked.iter().any(|blocked| blocked.reason.code == ReasonCode::NoCapacity);
    if lacks_capacity || !plan.steps.is_empty() {
        push_block(&mut sheet, &gpus::lines(&memory_rows(plan), style));
    }
    for block in blocks::blocks(&rows(view, setting), BLOCK_INDENT, style) {
        push_block(&mut sheet, &block);
    }
    if !plan.warnings.is_empty() {
        sheet.gap();
    }
    for warning in &plan.warnings {
        sheet.line(format!("{} {}", style.paint(Paint::Warn, "warning:"), safe_text::line(warning)));
    }
    if plan.placement == Placement::Bounded && !plan.steps.is_empty() {
        sheet.gap().own("The placement is valid, but may not be optimal.");
    }
    if let Some((_, standing)) = view.saved() {
        sheet.gap().line(standing.sentence()).block(BLOCK_INDENT, standing.differences());
    }
    // Where one line reports that there is nothing to do, the counts belong to it.
    if sheet.height() > 1 {
        sheet.gap();
    }
    sheet.line(format!("Plan: {}.", view::summary(plan)));
    sheet.output(style)
}

/// Returns `lcm plan · studio · mode video (manifest) · goals narrate · host box · engine … 20.10`; wrapped between its
/// parts.
fn head(view: PlanView<'_>, style: Style) -> Vec<String> {
    let mut lines = vec![view.command().to_owned()];
    for part in view.parts() {
        let part = safe_text::line(&part);
        let with = lines.last().map(|line| format!("{line} · {part}")).filter(|with| table::fit([with], 0, style));
        match (with, lines.last_mut()) {
            (Some(with), Some(line)) => *line = with,
            (Some(_) | None, _) => lines.push(format!("{:BLOCK_INDENT$}{part}", "")),
        }
    }
    lines
}

/// Returns the rows of all services: stopped, changed, started, kept, and not done.
fn rows(view: PlanView<'_>, setting: TextOptions) -> Vec<ServiceRow> {
    let (plan, TextOptions { style, verbose }) = (view.plan, setting);
    let mut rows: Vec<ServiceRow> = Vec::new();
    for entry in entry::entries(plan) {
        let (symbol, paint) = entry.kind.symbol();
        let named = Cell::new(entry.service.to_string()).paint(Paint::Strong);
        let verb = Cell::new(format!("{symbol} {}", entry.kind.verb())).paint(paint);
        rows.push(ServiceRow {
            group: entry.kind.group(),
            cells: [verb, named],
            route: safe_text::line(&entry.route(verbose)),
            effect: safe_text::line(&entry.effect(plan)),
            reasons: entry.reasons().into_iter().map(safe_text::line).collect(),
            diff: entry.diff().unwrap_or_default().lines().map(|line| style.diff_line(line)).collect(),
        });
    }
    let kept = if verbose { view::kept(plan) } else { Vec::new() };
    let kept = kept.into_iter().map(|line| (Group::Kept, Paint::Dim, line));
    let left = view::left_running(plan).into_iter().map(|line| (Group::Left, Paint::Warn, line));
    let not_done = view::not_done(plan).into_iter().map(|line| (Group::NotDone, Paint::Warn, line));
    let pending = view::pending(plan).into_iter().map(|line| (Group::Pending, Paint::Warn, line));
    let networks = view::networks(plan).into_iter().map(|line| (Group::Networks, Paint::Dim, line));
    for (group, paint, line) in pending.chain(networks).chain(kept).chain(left).chain(not_done) {
        let verb = Cell::new(format!("{} {}", line.symbol, line.verb)).paint(paint);
        rows.push(ServiceRow {
            group,
            cells: [verb, Cell::new(&line.service)],
            route: line.state.map_or("", State::as_str).to_owned(),
            effect: String::new(),
            reasons: vec![safe_text::line(&line.why)],
            diff: Vec::new(),
        });
    }
    // Within a group they stay in the order of the plan.
    rows.sort_by_key(|row| row.group);
    rows
}

fn push_block(sheet: &mut Sheet, lines: &[String]) {
    if !lines.is_empty() {
        sheet.gap().block(BLOCK_INDENT, lines);
    }
}

#[cfg(test)]
mod tests;
