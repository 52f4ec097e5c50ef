//! The steps on a time line: a row each, its bar where it would be under way, and arrows from what it waits for.

use std::fmt::Write as _;

use crate::model::lifecycle::Action;
use crate::model::plan::{Plan, Step};
use crate::report::table::about;
use crate::report::timeline::{OTHER_DRAWN_MS, START_DRAWN_MS, Span, Timeline};
use crate::report::view::memory::step_memory;

use super::escape::{prose, text};

/// Ticks at whole seconds, minutes or hours: as many as a phone has room for.
const TICKS_MAX: u64 = 5;
const TICKS_MS: [u64; 16] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000,
    3_600_000, 7_200_000,
];

/// A bar is never so short that it can't be seen, in hundredths of the width.
const SHARE_MIN: f64 = 0.8;

/// More arrows than this are a tangle; each step names what it waits for in words.
const ARROWS_MAX: usize = 400;

/// What signs and lines mean, and how long is drawn what nobody knows.
pub(super) fn legend(plan: &Plan, line: &Timeline) -> String {
    let mut parts = vec![
        "<li><svg class=\"key\" aria-hidden=\"true\"><rect class=\"bar goes\" width=\"100%\" height=\"100%\" rx=\"1\"/></svg> goes</li>",
        "<li><svg class=\"key\" aria-hidden=\"true\"><rect class=\"bar comes\" width=\"100%\" height=\"100%\" rx=\"7\"/></svg> comes up</li>",
    ];
    if line.spans.iter().any(|span| !span.told) {
        parts.push(
            "<li><svg class=\"key\" aria-hidden=\"true\"><rect class=\"bar goes untold\" x=\"1\" y=\"1\" width=\"26\" height=\"12\" rx=\"1\"/></svg> \
             no earlier run tells how long</li>",
        );
    }
    let untold = |start: bool| {
        let mut steps = plan.steps.iter().zip(&line.spans);
        steps.any(|(step, span)| !span.told && (step.action == Action::Start) == start)
    };
    let drawn: Vec<String> =
        [(true, "a start is drawn as", START_DRAWN_MS), (false, "another step as", OTHER_DRAWN_MS)]
            .into_iter()
            .filter(|(start, _, _)| untold(*start))
            .map(|(_, what, drawn)| format!("{what} {}", about(drawn)))
            .collect();
    let drawn = if drawn.is_empty() {
        String::new()
    } else {
        format!(" Where no earlier run tells how long it takes, {}.", drawn.join(", "))
    };
    let arrows = if line.edges.len() > ARROWS_MAX { " Arrows are left out: there are too many." } else { "" };
    format!(
        "<ul class=\"legend\">{}</ul>\n<p class=\"note\">Each step begins when all that it waits for is done.{}{arrows}</p>\n",
        parts.concat(),
        prose(&drawn)
    )
}

/// Moments along the top.
pub(super) fn axis(line: &Timeline) -> String {
    let mut html = String::from("<svg class=\"axis\" aria-hidden=\"true\" width=\"100%\" height=\"100%\">\n");
    for at in ticks(line.end_ms) {
        let x = share(at, line);
        let anchor = if at == 0 {
            "start"
        } else if x > 90.0 {
            "end"
        } else {
            "middle"
        };
        let _ = writeln!(
            html,
            "<line x1=\"{x}%\" x2=\"{x}%\" y1=\"22\" y2=\"100%\"/><text x=\"{x}%\" y=\"14\" text-anchor=\"{anchor}\">{}</text>",
            prose(&moment(at))
        );
    }
    html.push_str("</svg>\n");
    html
}

/// A row each. Without the script a row leads to what is said of its step, further down.
pub(super) fn rows(plan: &Plan, line: &Timeline) -> String {
    let mut html = String::from("<div class=\"rows\">\n");
    html.push_str(&arrows(plan, line));
    html.push_str("<ol class=\"list-of-rows\" aria-labelledby=\"steps-title\">\n");
    for (position, (step, span)) in plan.steps.iter().zip(&line.spans).enumerate() {
        html.push_str(&row(plan, line, position, step, *span));
    }
    html.push_str("</ol>\n</div>\n");
    html
}

fn row(plan: &Plan, line: &Timeline, position: usize, step: &Step, span: Span) -> String {
    let (x, width) = (share(span.begin_ms, line), width(span, line));
    let (class, corner) = if comes(step.action) { ("comes", 7) } else { ("goes", 1) };
    let untold = if span.told { "" } else { " untold" };
    let lasts = lasts(span);
    let small: Vec<String> = step_memory(plan, step).into_iter().chain([lasts]).map(|part| prose(&part)).collect();
    format!(
        "<li><a class=\"row\" id=\"row-{position}\" href=\"#step-{position}\" data-x=\"{x}%\" data-width=\"{width}%\">\
         <span class=\"what\"><span class=\"title\"><span class=\"sign {class}\" aria-hidden=\"true\">{}</span> {} <b>{}</b></span>\
         <span class=\"unseen\">, </span><span class=\"small\">{}</span><span class=\"unseen\">, begins at {}</span></span>\
         <svg class=\"track\" aria-hidden=\"true\" width=\"100%\" height=\"100%\">\
         <rect class=\"bar {class}{untold}\" x=\"{x}%\" y=\"32%\" width=\"{width}%\" height=\"36%\" rx=\"{corner}\"/></svg></a></li>\n",
        sign(step.action),
        step.action,
        text(&step.service.to_string()),
        small.join(" · "),
        prose(&moment(span.begin_ms)),
    )
}

/// From the middle of a bar along its row, then down to where the other begins.
fn arrows(plan: &Plan, line: &Timeline) -> String {
    if line.edges.len() > ARROWS_MAX {
        return String::new();
    }
    let rows = plan.steps.len().max(1);
    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    let middle = |position: usize| (position as f64 + 0.5) / rows as f64 * 100.0;
    let mut html = String::from(
        "<svg class=\"arrows\" aria-hidden=\"true\" width=\"100%\" height=\"100%\">\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"17\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\">\
         <path d=\"M0 0.5 L8 4 L0 7.5 Z\"/></marker></defs>\n",
    );
    for (from, to) in &line.edges {
        let x1 = share(line.spans[*from].begin_ms, line) + width(line.spans[*from], line) / 2.0;
        let x2 = share(line.spans[*to].begin_ms, line);
        let (y1, y2) = (middle(*from), middle(*to));
        let _ = writeln!(
            html,
            "<g data-from=\"{from}\" data-to=\"{to}\"><line x1=\"{x1:.2}%\" y1=\"{y1:.3}%\" x2=\"{x2}%\" y2=\"{y1:.3}%\"/>\
             <line x1=\"{x2}%\" y1=\"{y1:.3}%\" x2=\"{x2}%\" y2=\"{y2:.3}%\" marker-end=\"url(#tip)\"/></g>"
        );
    }
    html.push_str("</svg>\n");
    html
}

/// Whether it brings something up.
pub(super) fn comes(action: Action) -> bool {
    match action {
        Action::Start | Action::Unpause | Action::Wake => true,
        Action::Evict | Action::Stop | Action::Remove | Action::Pause | Action::Update => false,
    }
}

pub(super) fn sign(action: Action) -> &'static str {
    match action {
        Action::Start | Action::Unpause | Action::Wake => "+",
        Action::Stop | Action::Remove | Action::Pause => "−",
        Action::Evict | Action::Update => "~",
    }
}

/// `about 40 s`, or that no earlier run tells.
pub(super) fn lasts(span: Span) -> String {
    if span.told { format!("about {}", about(span.end_ms - span.begin_ms)) } else { "time not known".to_owned() }
}

/// `0 s`, `1.5 s`, `2 min 30 s`
pub(super) fn moment(at_ms: u64) -> String {
    match at_ms {
        0 => "0 s".to_owned(),
        1..10_000 if !at_ms.is_multiple_of(1_000) => format!("{}.{} s", at_ms / 1_000, at_ms % 1_000 / 100),
        _ => about(at_ms),
    }
}

/// Where a moment stands, in hundredths of the width: two digits are a tenth of a pixel.
pub(super) fn share(at_ms: u64, line: &Timeline) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    let share = at_ms as f64 / line.end_ms.max(1) as f64 * 100.0;
    (share.min(100.0 - SHARE_MIN) * 100.0).round() / 100.0
}

fn width(span: Span, line: &Timeline) -> f64 {
    let end = if span.end_ms >= line.end_ms { 100.0 } else { share(span.end_ms, line) };
    ((end - share(span.begin_ms, line)).max(SHARE_MIN) * 100.0).round() / 100.0
}

fn ticks(end_ms: u64) -> impl Iterator<Item = u64> {
    let apart = TICKS_MS.into_iter().find(|apart| end_ms / apart <= TICKS_MAX);
    let apart = apart.unwrap_or_else(|| (end_ms / TICKS_MAX).max(1));
    (0..=end_ms / apart).map(move |tick| tick * apart)
}
