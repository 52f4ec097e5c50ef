//! Plan as Markdown, for a comment on a pull request: the result in the first line, then the steps, with details folded
//! away. The last line is an invisible mark, by which a bot finds its own comment again.
//!
//! Every plan fits into one comment on GitHub: entries that do not fit are left out whole and counted, with the command
//! that shows them.

mod escape;

use std::fmt::Write as _;

use crate::model::lifecycle::State;
use crate::model::plan::{Placement, Plan};
use crate::report::mermaid;
use crate::report::output::Output;
use crate::report::table::figure;
use crate::report::view::entry::{self, Entry};
use crate::report::view::memory::{MemoryRow, memory_rows};
use crate::report::view::{self, PlanView, ServiceNote};

use escape::{code, fenced, prose};

/// Most bytes of a comment. GitHub takes 65 536 characters; no text has fewer bytes than characters, and the rest is
/// for a bot's additions.
const BYTES_MAX: usize = 65_000;

/// Most bytes of the first lines: goals and engines may be many.
const HEAD_BYTES_MAX: usize = 2_000;

/// Most bytes of each section, so that none crowds out the others. The remainder goes to the folded sections.
const STEPS_BYTES_MAX: usize = 22_000;
const GPUS_BYTES_MAX: usize = 6_000;
const NOT_DONE_BYTES_MAX: usize = 10_000;
const WARNINGS_BYTES_MAX: usize = 5_000;
const DIFFERENCES_BYTES_MAX: usize = 4_000;

/// Most steps of a graph; a larger one is hard to read, and its bytes are better spent on words.
const GRAPH_STEPS_MAX: usize = 40;
const GRAPH_BYTES_MAX: usize = 6_000;

/// Bytes kept back from the changed definitions, so that a long one leaves some for the sections after it.
const BEHIND_DIFFS_BYTES: usize = 5_000;

/// Most bytes of a line that counts the omitted entries.
const MORE_BYTES_MAX: usize = 200;

/// Returns the whole comment, ending in a newline.
#[must_use]
pub fn plan(view: PlanView<'_>) -> Output {
    let plan = view.plan;
    let mark = mark(plan);
    let mut comment = Comment { text: head(view), bytes_max: BYTES_MAX - mark.len(), how: how(view) };
    let differences = view.saved().map_or(&[][..], |(_, standing)| standing.differences());
    comment.section(DIFFERENCES_BYTES_MAX, "\n", differences.iter().map(|line| format!("- {}\n", prose(line))), "");
    let entries = entry::entries(plan);
    comment.section(STEPS_BYTES_MAX, STEPS_HEAD, entries.iter().map(|entry| step_row(plan, entry)), "");
    if !entries.is_empty() {
        comment.section(GPUS_BYTES_MAX, GPUS_HEAD, memory_rows(plan).iter().map(gpu_row), "");
    }
    let pending = view::pending(plan);
    comment.section(NOT_DONE_BYTES_MAX, "\n**Pending calls**\n\n", pending.iter().map(note_line), "");
    let networks = view::networks(plan);
    comment.section(NOT_DONE_BYTES_MAX, "\n**Networks**\n\n", networks.iter().map(note_line), "");
    let left = view::left_running(plan);
    comment.section(NOT_DONE_BYTES_MAX, "\n**Left running**\n\n", left.iter().map(note_line), "");
    let not_done = view::not_done(plan);
    comment.section(NOT_DONE_BYTES_MAX, "\n**Not done**\n\n", not_done.iter().map(note_line), "");
    let warnings = plan.warnings.iter().map(|warning| format!("- **warning:** {}\n", prose(warning)));
    comment.section(WARNINGS_BYTES_MAX, "\n", warnings, "");
    comment.graph(plan);
    let diffs = entries.iter().filter_map(|entry| entry.diff().map(|diff| changed(entry, diff)));
    let headroom = comment.headroom().saturating_sub(BEHIND_DIFFS_BYTES);
    comment.section(headroom, &folded_head("Changed definitions"), diffs, FOLD_END);
    let long = entries.iter().filter(|entry| entry.route(true) != entry.route(false));
    let routes = long.map(|entry| format!("- {}: {}\n", code(&entry.service.to_string()), entry.route(true)));
    comment.section(BEHIND_DIFFS_BYTES / 2, &folded_head("Whole routes"), routes, FOLD_END);
    let headroom = comment.headroom();
    comment.section(headroom, &folded_head("Kept"), view::kept(plan).iter().map(note_line), FOLD_END);
    Output::new(format!("{}\n{mark}", comment.text))
}

const STEPS_HEAD: &str = "\n| | service | route | memory and order | why |\n|---|---|---|---|---|\n";

const GPUS_HEAD: &str = "\n| GPU, MiB | before | peak | after | capacity | reserve |\n|---|---:|---:|---:|---:|---:|\n";

/// Without the empty lines GitHub takes the content for HTML.
fn folded_head(title: &str) -> String {
    format!("\n<details><summary>{title}</summary>\n\n")
}

const FOLD_END: &str = "\n</details>\n";

/// Text written so far, and its limit.
struct Comment {
    text: String,
    bytes_max: usize,
    /// Command that shows the omitted entries.
    how: &'static str,
}

impl Comment {
    fn headroom(&self) -> usize {
        self.bytes_max.saturating_sub(self.text.len())
    }

    /// Adds head, as many whole entries as fit, the number of further ones, and tail; nothing without entries.
    fn section(&mut self, bytes_max: usize, head: &str, entries: impl Iterator<Item = String>, tail: &str) {
        let headroom = bytes_max.min(self.headroom()).saturating_sub(head.len() + tail.len() + MORE_BYTES_MAX);
        let (mut body, mut left_out) = (String::new(), 0_usize);
        for entry in entries {
            // Later entries that would fit are left out too: the shown ones are the beginning.
            if left_out > 0 || body.len() + entry.len() > headroom {
                left_out += 1;
            } else {
                body.push_str(&entry);
            }
        }
        if left_out > 0 {
            let _ = write!(body, "\n… and {left_out} more: {} shows them.\n", self.how);
        }
        if !body.is_empty() && self.headroom() >= head.len() + body.len() + tail.len() {
            self.text.push_str(head);
            self.text.push_str(&body);
            self.text.push_str(tail);
        }
    }

    fn graph(&mut self, plan: &Plan) {
        if !(2..=GRAPH_STEPS_MAX).contains(&plan.steps.len()) {
            return;
        }
        let graph = mermaid::plan(plan);
        if graph.len() <= GRAPH_BYTES_MAX {
            let block = fenced("mermaid", &graph);
            self.section(
                GRAPH_BYTES_MAX + MORE_BYTES_MAX,
                &folded_head("As a graph"),
                std::iter::once(block),
                FOLD_END,
            );
        }
    }
}

fn how(view: PlanView<'_>) -> &'static str {
    if view.saved().is_some() { "`lcm show -v`" } else { "`lcm plan -v`" }
}

/// Returns the summary, then the plan's project, mode and host.
fn head(view: PlanView<'_>) -> String {
    let parts: Vec<String> = view.parts().iter().map(|part| prose(part)).collect();
    let mut head = format!("**{}**\n\n{}\n", prose(view.headline().trim_end_matches('.')), parts.join(" · "));
    if head.len() > HEAD_BYTES_MAX {
        head = format!("**{}**\n\n{}\n", prose(&view::summary(view.plan)), prose(&view.plan.project.to_string()));
    }
    if view.plan.placement == Placement::Bounded && !view.plan.steps.is_empty() {
        head.push_str("\nThe placement is valid, but may not be optimal.\n");
    }
    if let Some((made, standing)) = view.saved() {
        let _ = writeln!(head, "\nSaved plan, {}. {}", prose(&made), prose(&standing.sentence()));
    }
    head
}

fn step_row(plan: &Plan, entry: &Entry<'_>) -> String {
    let (symbol, _) = entry.kind.symbol();
    let (verb, service) = (entry.kind.verb(), code(&entry.service.to_string()));
    let why = prose(&entry.reasons().join("; "));
    format!("| `{symbol}` {verb} | {service} | {} | {} | {why} |\n", entry.route(false), prose(&entry.effect(plan)))
}

fn gpu_row(row: &MemoryRow<'_>) -> String {
    let gpu = &row.line;
    let figures = [gpu.before_mib, gpu.peak_mib, gpu.after_mib, gpu.capacity_mib, gpu.reserve_mib].map(figure);
    format!("| {} | {} |\n", prose(&row.name), figures.join(" | "))
}

fn note_line(note: &ServiceNote) -> String {
    let ServiceNote { symbol, verb, service, state, why } = note;
    let state = state.map(State::as_str).map(|state| format!(" ({state})")).unwrap_or_default();
    format!("- `{symbol}` {verb} {}{state}: {}\n", code(service), prose(why))
}

fn changed(entry: &Entry<'_>, diff: &str) -> String {
    format!("{}\n\n{}", code(&entry.service.to_string()), fenced("diff", diff))
}

/// Returns the mark, by project and mode, so that the comments of two plans of one project can coexist.
fn mark(plan: &Plan) -> String {
    let mode = plan.mode.as_ref().map(|mode| format!(" {}", mark_name(&mode.to_string()))).unwrap_or_default();
    format!("<!-- lcm plan: {}{mode} -->\n", mark_name(&plan.project.to_string()))
}

/// Escapes a name in the mark. A comment ends with the first `-->`, and a bot looks for a word.
fn mark_name(name: &str) -> String {
    name.chars().map(|letter| if letter.is_alphanumeric() || "-_.".contains(letter) { letter } else { '_' }).collect()
}

#[cfg(test)]
mod tests;
