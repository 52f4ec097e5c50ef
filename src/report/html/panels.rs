//! What there is to say of each step: why, by which way, what it waits for, what changes. With the script one is shown
//! at a time, without it all.

use std::fmt::Write as _;

use crate::model::harmless;
use crate::model::lifecycle::State;
use crate::model::plan::{Plan, Step};
use crate::report::timeline::Timeline;
use crate::report::view::memory::step_memory;

use super::escape::{prose, text};
use super::stage::{comes, lasts, moment, sign};

pub(super) fn panels(plan: &Plan, line: &Timeline) -> String {
    let mut html = String::from("<div class=\"panels\">\n");
    for position in 0..plan.steps.len() {
        html.push_str(&panel(plan, line, position));
    }
    html.push_str("</div>\n");
    html
}

fn panel(plan: &Plan, line: &Timeline, position: usize) -> String {
    let (step, span) = (&plan.steps[position], line.spans[position]);
    let class = if comes(step.action) { "comes" } else { "goes" };
    let mut html = format!(
        "<section class=\"panel\" id=\"step-{position}\" aria-labelledby=\"step-{position}-title\">\n\
         <h3 id=\"step-{position}-title\"><span class=\"sign {class}\" aria-hidden=\"true\">{}</span> {} <b>{}</b></h3>\n\
         <p class=\"why\">{}</p>\n<dl>\n",
        sign(step.action),
        step.action,
        text(&step.service.to_string()),
        prose(&sentence(&step.reason.message)),
    );
    let route: Vec<&str> = step.route.iter().copied().map(State::as_str).collect();
    let took = if span.told {
        format!("{} → {}, {}", moment(span.begin_ms), moment(span.end_ms), lasts(span))
    } else {
        format!("from {}; no earlier run tells how long", moment(span.begin_ms))
    };
    let waits = |(from, to): &(usize, usize)| (*to == position).then_some(*from);
    let waited = |(from, to): &(usize, usize)| (*from == position).then_some(*to);
    let pairs = [
        ("Route", prose(&route.join(" → "))),
        ("Memory", step_memory(plan, step).map_or_else(|| "none".to_owned(), |memory| prose(&memory))),
        ("Waits for", links(plan, line.edges.iter().filter_map(waits).collect(), "nothing")),
        ("Waited for by", links(plan, line.edges.iter().filter_map(waited).collect(), "nothing")),
        ("When", prose(&took)),
        ("Expects", text(&format!("it is {}", step.expect.state))),
        ("Reason", reason(step)),
    ];
    for (term, said) in pairs {
        let _ = writeln!(html, "<div><dt>{term}</dt><dd>{said}</dd></div>");
    }
    html.push_str("</dl>\n");
    if let Some(diff) = &step.diff {
        html.push_str(&changed(diff, position));
    }
    html.push_str("</section>\n");
    html
}

fn reason(step: &Step) -> String {
    let by = step.reason.by.as_ref().map(|by| format!(", by {}", text(by))).unwrap_or_default();
    format!("<code>{}</code>{by}", step.reason.code.as_str())
}

/// The planner's reasons are parts of sentences; here one stands alone.
fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if message.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

fn links(plan: &Plan, mut positions: Vec<usize>, none: &str) -> String {
    positions.sort_unstable();
    let link = |position: usize| {
        let step = &plan.steps[position];
        format!("<a href=\"#step-{position}\">{} {}</a>", step.action, text(&step.service.to_string()))
    };
    if positions.is_empty() { none.to_owned() } else { positions.into_iter().map(link).collect::<Vec<_>>().join(", ") }
}

/// Each line by what it says; the signs say it too.
fn changed(diff: &str, position: usize) -> String {
    let mut html = format!(
        "<h4 id=\"step-{position}-diff\">What changes</h4>\n<pre class=\"diff\" tabindex=\"0\" role=\"region\" aria-labelledby=\"step-{position}-diff\">"
    );
    for line in diff.lines() {
        let (open, close) = match line.chars().next() {
            Some('+') => ("<ins>", "</ins>"),
            Some('-') => ("<del>", "</del>"),
            Some('@') => ("<span class=\"hunk\">", "</span>"),
            Some(_) | None => ("", ""),
        };
        let _ = writeln!(html, "{open}{}{close}", harmless::no_command(text(line)));
    }
    html.push_str("</pre>\n");
    html
}
