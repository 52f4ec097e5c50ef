//! Panel for each step: its reason, its route, the steps that it waits for, its changes. With the script one panel is
//! shown at a time, without it all are.

use maud::{Markup, PreEscaped, html};

use crate::model::lifecycle::State;
use crate::model::plan::{Plan, Step};
use crate::model::safe_text;
use crate::report::timeline::Timeline;
use crate::report::view::memory::step_memory;

use super::escape::{prose, text};
use super::stage::{is_start, lasts, moment, sign};

pub(super) fn panels(plan: &Plan, line: &Timeline) -> Markup {
    html! { div.panels { @for position in 0..plan.steps.len() { (panel(plan, line, position)) } } }
}

fn panel(plan: &Plan, line: &Timeline, position: usize) -> Markup {
    let step = &plan.steps[position];
    let class = if is_start(step.action) { "start" } else { "stop" };
    html! {
        section.panel id={ "step-" (position) } aria-labelledby={ "step-" (position) "-title" } {
            h3 id={ "step-" (position) "-title" } {
                span.sign.(class) aria-hidden="true" { (sign(step.action)) }
                " " (step.action.as_str()) " "
                b { (text(&step.service.to_string())) }
            }
            p.why { (prose(&sentence(&step.reason.message))) }
            dl {
                @for (term, description) in terms(plan, line, position) {
                    div { dt { (term) } dd { (description) } }
                }
            }
            @if let Some(diff) = &step.diff { (changed(diff, position)) }
        }
    }
}

/// Returns the terms of a step's panel, and their descriptions.
fn terms(plan: &Plan, line: &Timeline, position: usize) -> Vec<(&'static str, Markup)> {
    let (step, span) = (&plan.steps[position], line.spans[position]);
    let route: Vec<&str> = step.route.iter().copied().map(State::as_str).collect();
    let took = if span.is_estimated {
        format!("{} → {}, {}", moment(span.begin_ms), moment(span.end_ms), lasts(span))
    } else {
        format!("from {}; no estimate yet", moment(span.begin_ms))
    };
    let waits = |(from, to): &(usize, usize)| (*to == position).then_some(*from);
    let waited = |(from, to): &(usize, usize)| (*from == position).then_some(*to);
    let copies = step.copies.map(|copies| ("Copies", prose(&copies.to_string())));
    let route = ("Route", prose(&route.join(" → ")));
    let others = [
        ("Memory", prose(&step_memory(plan, step).unwrap_or_else(|| "none".to_owned()))),
        ("Waits for", links(plan, line.edges.iter().filter_map(waits).collect())),
        ("Waited for by", links(plan, line.edges.iter().filter_map(waited).collect())),
        ("When", prose(&took)),
        ("Expects", text(&format!("it is {}", step.expect.state))),
        ("Reason", reason(step)),
    ];
    [route].into_iter().chain(copies).chain(others).collect()
}

fn reason(step: &Step) -> Markup {
    html! {
        code { (step.reason.code.as_str()) }
        @if let Some(by) = &step.reason.by { ", by " (text(by)) }
    }
}

/// Returns a reason as a sentence of its own; the planner's reasons are parts of sentences.
fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if message.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

/// Returns links to the panels of steps, or `nothing`.
fn links(plan: &Plan, mut positions: Vec<usize>) -> Markup {
    positions.sort_unstable();
    html! {
        @if positions.is_empty() { "nothing" }
        @for (at, position) in positions.iter().enumerate() {
            @let step = &plan.steps[*position];
            @if at > 0 { ", " }
            a href={ "#step-" (position) } { (step.action.as_str()) " " (text(&step.service.to_string())) }
        }
    }
}

/// Returns the lines of a diff, each by its kind; the signs have the same meaning.
fn changed(diff: &str, position: usize) -> Markup {
    html! {
        h4 id={ "step-" (position) "-diff" } { "Changes" }
        pre.diff tabindex="0" role="region" aria-labelledby={ "step-" (position) "-diff" } {
            @for line in diff.lines() {
                @let set = PreEscaped(safe_text::no_command(text(line).into_string()));
                @match line.chars().next() {
                    Some('+') => ins { (set) },
                    Some('-') => del { (set) },
                    Some('@') => span.hunk { (set) },
                    Some(_) | None => { (set) }
                }
                "\n"
            }
        }
    }
}
