//! Steps on a time line: a row each, a bar for its duration, and arrows from the steps that it waits for.

use maud::{Markup, html};

use crate::model::lifecycle::Action;
use crate::model::plan::{Plan, Step};
use crate::report::table::about;
use crate::report::timeline::{OTHER_DRAWN_MS, START_DRAWN_MS, StepSpan, Timeline};
use crate::report::view::memory::step_memory;

use super::escape::{prose, text};

/// Most ticks, at whole seconds, minutes or hours: as many as fit on a phone.
const TICKS_MAX: u64 = 5;
const TICKS_MS: [u64; 16] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000,
    3_600_000, 7_200_000,
];

/// Least width of a bar, in percent of the axis, so that every bar can be seen.
const SHARE_MIN: f64 = 0.8;

/// Most arrows; more would be a tangle, and each panel lists the steps that its step waits for.
const ARROWS_MAX: usize = 400;

/// Returns the legend, with the durations drawn for steps without an estimate.
pub(super) fn legend(plan: &Plan, line: &Timeline) -> Markup {
    let has_unestimated = |start: bool| {
        let mut steps = plan.steps.iter().zip(&line.spans);
        steps.any(|(step, span)| !span.is_estimated && (step.action == Action::Start) == start)
    };
    let drawn: Vec<String> =
        [(true, "a start is drawn as", START_DRAWN_MS), (false, "another step as", OTHER_DRAWN_MS)]
            .into_iter()
            .filter(|(start, _, _)| has_unestimated(*start))
            .map(|(_, what, drawn)| format!("{what} {}", about(drawn)))
            .collect();
    html! {
        ul.legend {
            li { svg.key aria-hidden="true" { rect.bar.stop width="100%" height="100%" rx="1" {} } " stop" }
            li { svg.key aria-hidden="true" { rect.bar.start width="100%" height="100%" rx="7" {} } " start" }
            @if line.spans.iter().any(|span| !span.is_estimated) {
                li {
                    svg.key aria-hidden="true" {
                        rect.bar.stop.unestimated x="1" y="1" width="26" height="12" rx="1" {}
                    }
                    " no estimate yet"
                }
            }
        }
        p.note {
            "Each step begins when every step that it waits for is done."
            @if !drawn.is_empty() {
                (prose(&format!(" Without an estimate, {}.", drawn.join(", "))))
            }
            @if line.edges.len() > ARROWS_MAX { " Arrows are left out: there are too many." }
        }
    }
}

/// Returns the moments along the top.
pub(super) fn axis(line: &Timeline) -> Markup {
    let anchor = |at: u64, x: f64| match at {
        0 => "start",
        _ if x > 90.0 => "end",
        _ => "middle",
    };
    let marks = ticks(line.end_ms).map(|at| (at, share(at, line)));
    html! {
        svg.axis aria-hidden="true" width="100%" height="100%" {
            @for (at, x) in marks {
                line x1={ (x) "%" } x2={ (x) "%" } y1="22" y2="100%" {}
                text x={ (x) "%" } y="14" text-anchor=(anchor(at, x)) { (prose(&moment(at))) }
            }
        }
    }
}

/// Returns a row for each step. Without the script a row links to the panel of its step, further down.
pub(super) fn rows(plan: &Plan, line: &Timeline) -> Markup {
    html! {
        div.rows {
            (arrows(plan, line))
            ol.list-of-rows aria-labelledby="steps-title" {
                @for (position, (step, span)) in plan.steps.iter().zip(&line.spans).enumerate() {
                    (row(plan, line, position, step, *span))
                }
            }
        }
    }
}

fn row(plan: &Plan, line: &Timeline, position: usize, step: &Step, span: StepSpan) -> Markup {
    let (x, width) = (share(span.begin_ms, line), width(span, line));
    let (class, corner) = if is_start(step.action) { ("start", 7) } else { ("stop", 1) };
    html! {
        li {
            a.row id={ "row-" (position) } href={ "#step-" (position) } data-x={ (x) "%" } data-width={ (width) "%" } {
                span.what {
                    (title(step, class))
                    span.unseen { ", " }
                    span.small {
                        @if let Some(copies) = step.copies { (prose(&copies.to_string())) " · " }
                        @if let Some(memory) = step_memory(plan, step) { (prose(&memory)) " · " }
                        (prose(&lasts(span)))
                    }
                    span.unseen { ", begins at " (prose(&moment(span.begin_ms))) }
                }
                svg.track aria-hidden="true" width="100%" height="100%" {
                    rect.bar.(class).unestimated[!span.is_estimated] x={ (x) "%" } y="32%" width={ (width) "%" }
                        height="36%" rx=(corner) {}
                }
            }
        }
    }
}

/// Returns `+ start comfyui`.
fn title(step: &Step, class: &str) -> Markup {
    html! {
        span.title {
            span.sign.(class) aria-hidden="true" { (sign(step.action)) }
            " " (step.action.as_str()) " "
            b { (text(&step.service.to_string())) }
        }
    }
}

/// Returns arrows: from the middle of a bar along its row, then down to the beginning of the other bar.
fn arrows(plan: &Plan, line: &Timeline) -> Markup {
    if line.edges.len() > ARROWS_MAX {
        return Markup::default();
    }
    let rows = plan.steps.len().max(1);
    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    let middle = |position: usize| format!("{:.3}%", (position as f64 + 0.5) / rows as f64 * 100.0);
    let middle_of_bar = |position: usize| {
        let span = line.spans[position];
        format!("{:.2}%", share(span.begin_ms, line) + width(span, line) / 2.0)
    };
    html! {
        svg.arrows aria-hidden="true" width="100%" height="100%" {
            defs {
                marker id="tip" viewBox="0 0 8 8" refX="17" refY="4" markerWidth="8" markerHeight="8"
                    markerUnits="userSpaceOnUse" orient="auto" {
                    path d="M0 0.5 L8 4 L0 7.5 Z" {}
                }
            }
            @for (from, to) in &line.edges {
                @let x2 = share(line.spans[*to].begin_ms, line);
                @let (y1, y2) = (middle(*from), middle(*to));
                g data-from=(from) data-to=(to) {
                    line x1=(middle_of_bar(*from)) y1=(y1) x2={ (x2) "%" } y2=(y1) {}
                    line x1={ (x2) "%" } y1=(y1) x2={ (x2) "%" } y2=(y2) marker-end="url(#tip)" {}
                }
            }
        }
    }
}

/// Returns true if an action starts or resumes a service.
pub(super) fn is_start(action: Action) -> bool {
    match action {
        Action::Start | Action::Unpause | Action::Wake => true,
        Action::Evict | Action::Stop | Action::Remove | Action::Pause | Action::Update | Action::Scale => false,
    }
}

pub(super) fn sign(action: Action) -> &'static str {
    match action {
        Action::Start | Action::Unpause | Action::Wake => "+",
        Action::Stop | Action::Remove | Action::Pause => "−",
        Action::Evict | Action::Update | Action::Scale => "~",
    }
}

/// Returns `about 40 s`, or `no estimate yet`.
pub(super) fn lasts(span: StepSpan) -> String {
    if span.is_estimated {
        format!("about {}", about(span.end_ms - span.begin_ms))
    } else {
        "no estimate yet".to_owned()
    }
}

/// Returns `0 s`, `1.5 s`, `2 min 30 s`.
pub(super) fn moment(at_ms: u64) -> String {
    match at_ms {
        0 => "0 s".to_owned(),
        1..10_000 if !at_ms.is_multiple_of(1_000) => format!("{}.{} s", at_ms / 1_000, at_ms % 1_000 / 100),
        _ => about(at_ms),
    }
}

/// Returns the place of a moment in percent of the width: two digits are a tenth of a pixel.
pub(super) fn share(at_ms: u64, line: &Timeline) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    let share = at_ms as f64 / line.end_ms.max(1) as f64 * 100.0;
    (share.min(100.0 - SHARE_MIN) * 100.0).round() / 100.0
}

fn width(span: StepSpan, line: &Timeline) -> f64 {
    let end = if span.end_ms >= line.end_ms { 100.0 } else { share(span.end_ms, line) };
    ((end - share(span.begin_ms, line)).max(SHARE_MIN) * 100.0).round() / 100.0
}

fn ticks(end_ms: u64) -> impl Iterator<Item = u64> {
    let apart = TICKS_MS.into_iter().find(|apart| end_ms / apart <= TICKS_MAX);
    let apart = apart.unwrap_or_else(|| (end_ms / TICKS_MAX).max(1));
    (0..=end_ms / apart).map(move |tick| tick * apart)
}
