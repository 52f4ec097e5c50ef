//! Plan as one self-contained page: no network, no fonts, no framework. Every drawing is also given in words, so that
//! the page has the same content without its script, for a screen reader, and on paper.
//!
//! Style and script are files next to this one; the page allows these two by their hashes, and nothing else. Places in
//! pictures are percentages of the width, as attributes: a style attribute would need an exception.

mod escape;
mod memory;
mod panels;
mod stage;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use maud::{Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use crate::model::plan::Placement;
use crate::report::output::Output;
use crate::report::table::counted;
use crate::report::timeline::{Timeline, timeline};
use crate::report::view::{self, Freshness, PlanView, ServiceNote};

use escape::{code, prose, text};

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// Returns the whole page, ending in a newline.
#[must_use]
pub fn plan(view: PlanView<'_>) -> Output {
    let plan = view.plan;
    let line = timeline(plan);
    Output::new(filled(|place| match place {
        "policy" => PreEscaped(policy()),
        "title" => text(&format!("{} · {}", headline(view).0, plan.project)),
        "style" => PreEscaped(STYLE.to_owned()),
        "script" => PreEscaped(SCRIPT.to_owned()),
        "command" => text(if view.saved().is_some() { "saved plan" } else { view.command() }),
        "project" => text(&plan.project.to_string()),
        // Each part stays on one line.
        "headline" => {
            let headline = headline(view).0;
            text(&headline.split(", ").map(|part| part.replace(' ', "\u{a0}")).collect::<Vec<_>>().join(", "))
        }
        "lede" => lede(view),
        "parts" => parts(view),
        "standing" => standing(view),
        "steps" => steps(view, &line),
        "not_done" => not_done(view),
        "warnings" => warnings(view),
        "kept" => kept(view),
        // A place without text is a mistake in the page, which a test finds.
        other => panic!("the page has no {other}"),
    }))
}

/// Returns the page with its `{{places}}` filled, each once: inserted text is not scanned again.
fn filled(place: impl Fn(&str) -> Markup) -> String {
    let mut pieces = PAGE.split("{{");
    let mut page = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or((piece, ""));
        page.push_str(&place(name).0);
        page.push_str(rest);
    }
    page
}

/// Returns the content security policy: nothing is loaded, sent or run except this style and script.
fn policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; style-src {}; script-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

/// Returns the plan's result in short, and a sentence with details.
fn headline(view: PlanView<'_>) -> (String, Option<String>) {
    if !view.plan.is_idle() {
        return (view::summary(view.plan), None);
    }
    let sentence = view.nothing();
    let split = sentence.split_once(": ").map(|(head, rest)| (head.to_owned(), Some(capital(rest))));
    split.unwrap_or((sentence, None))
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn lede(view: PlanView<'_>) -> Markup {
    let bounded = view.plan.placement == Placement::Bounded && !view.plan.steps.is_empty();
    let bounded = bounded.then(|| "The placement is valid, but may not be optimal.".to_owned());
    let sentences: Vec<String> = headline(view).1.into_iter().chain(bounded).collect();
    html! {
        @if !sentences.is_empty() {
            p.lede {
                @for (at, sentence) in sentences.iter().enumerate() {
                    @if at > 0 { " " }
                    (prose(sentence))
                }
            }
        }
    }
}

/// Returns the plan's mode and goals, its host, and the time of observation.
fn parts(view: PlanView<'_>) -> Markup {
    let at = view.plan.observed_at;
    html! {
        @for part in view.parts().iter().skip(1) { li { (prose(part)) } }
        li { time datetime=(at) { (at.strftime("%-d %B %Y, %H:%M:%S UTC")) } }
    }
}

/// Returns the freshness of a saved plan.
fn standing(view: PlanView<'_>) -> Markup {
    let Some((_, standing)) = view.saved() else { return Markup::default() };
    let class = match standing {
        Freshness::Valid => "holds",
        Freshness::Stale(_) => "stale",
        Freshness::Unknown(_) => "unknown",
    };
    html! {
        div.standing.(class) {
            p { (prose(&standing.sentence())) }
            @if !standing.differences().is_empty() { ul { (items(standing.differences())) } }
        }
    }
}

/// Returns the time line, the memory charts on the same axis, and the panel of each step.
fn steps(view: PlanView<'_>, line: &Timeline) -> Markup {
    let plan = view.plan;
    html! {
        @if !plan.steps.is_empty() {
            section aria-labelledby="steps-title" {
                h2 id="steps-title" { "Steps" }
                (stage::legend(plan, line))
                div.work {
                    div.stage {
                        (stage::axis(line))
                        (stage::rows(plan, line))
                        (memory::charts(plan, line))
                    }
                    (panels::panels(plan, line))
                }
                (memory::table(plan, line))
            }
        }
    }
}

fn not_done(view: PlanView<'_>) -> Markup {
    html! {
        (section("pending", "Pending calls", &view::pending(view.plan)))
        (section("networks", "Networks", &view::networks(view.plan)))
        (section("left", "Left running", &view::left_running(view.plan)))
        (section("not-done", "Not done", &view::not_done(view.plan)))
    }
}

fn section(id: &str, title: &str, lines: &[ServiceNote]) -> Markup {
    html! {
        @if !lines.is_empty() {
            section aria-labelledby=(id) {
                h2 id=(id) { (title) }
                (table(title, lines))
            }
        }
    }
}

fn table(title: &str, lines: &[ServiceNote]) -> Markup {
    html! {
        div.wide {
            table.list {
                caption.unseen { (title) }
                thead { tr { @for head in ["Status", "Service", "State", "Why"] { th scope="col" { (head) } } } }
                tbody {
                    @for ServiceNote { symbol, verb, service, state, why } in lines {
                        tr.(verb) {
                            td { span.sign aria-hidden="true" { (symbol) } " " (verb) }
                            th scope="row" { (code(service)) }
                            @match state {
                                Some(state) => td { (state.as_str()) },
                                None => td.none { "–" },
                            }
                            td { (prose(why)) }
                        }
                    }
                }
            }
        }
    }
}

fn warnings(view: PlanView<'_>) -> Markup {
    html! {
        @if !view.plan.warnings.is_empty() {
            section aria-labelledby="warnings" {
                h2 id="warnings" { "Warnings" }
                ul.warnings { (items(&view.plan.warnings)) }
            }
        }
    }
}

fn items(sentences: &[String]) -> Markup {
    html! { @for sentence in sentences { li { (prose(sentence)) } } }
}

/// Returns unchanged services; folded where the plan has steps.
fn kept(view: PlanView<'_>) -> Markup {
    let lines = view::kept(view.plan);
    html! {
        @if !lines.is_empty() {
            section aria-labelledby="kept" {
                h2 id="kept" { "Kept" }
                details open[view.plan.steps.is_empty()] {
                    summary { (counted(lines.len(), "unchanged service", "unchanged services")) }
                    (table("Kept", &lines))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
