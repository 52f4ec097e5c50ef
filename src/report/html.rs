//! A plan as one page that needs nothing else: no network, no fonts, no framework. What is drawn is in words beside it,
//! so that the page says the same without its script, to a reader who does not see it, and on paper.
//!
//! Style and script are files beside this one; the page allows these two by their hashes, and nothing else. Places in
//! pictures are shares of their width, as attributes: a style attribute would need an exception.

mod escape;
mod memory;
mod panels;
mod stage;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use crate::model::plan::Placement;
use crate::report::output::Output;
use crate::report::table::counted;
use crate::report::timeline::{Timeline, timeline};
use crate::report::view::{self, NotDone, Standing, View};

use escape::{code, prose, text};

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// The whole page, ending in a newline.
#[must_use]
pub fn plan(view: View<'_>) -> Output {
    let plan = view.plan;
    let line = timeline(plan);
    Output::new(filled(|place| match place {
        "policy" => policy(),
        "title" => text(&format!("{} · {}", headline(view).0, plan.project)),
        "style" => STYLE.to_owned(),
        "script" => SCRIPT.to_owned(),
        "command" => if view.saved().is_some() { "saved plan" } else { view.command() }.to_owned(),
        "project" => text(&plan.project.to_string()),
        // Each part stays on one line.
        "headline" => {
            text(&headline(view).0).split(", ").map(|part| part.replace(' ', "\u{a0}")).collect::<Vec<_>>().join(", ")
        }
        "lede" => lede(view),
        "parts" => parts(view),
        "standing" => standing(view),
        "steps" => steps(view, &line),
        "not_done" => not_done(view),
        "warnings" => warnings(view),
        "kept" => kept(view),
        // A place that nobody fills is a mistake in the page, and one that a test finds.
        other => panic!("the page has no {other}"),
    }))
}

/// The page with its `{{places}}` filled, each once: what is put in is not looked at again.
fn filled(place: impl Fn(&str) -> String) -> String {
    let mut pieces = PAGE.split("{{");
    let mut page = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or((piece, ""));
        page.push_str(&place(name));
        page.push_str(rest);
    }
    page
}

/// Nothing is loaded from anywhere, sent anywhere or run but this script.
fn policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; style-src {}; script-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

/// What it comes to, and what more there is to say of that.
fn headline(view: View<'_>) -> (String, Option<String>) {
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

fn lede(view: View<'_>) -> String {
    let bounded = view.plan.placement == Placement::Bounded && !view.plan.steps.is_empty();
    let bounded = bounded.then(|| "The placing is sound, but not proven to be the best.".to_owned());
    let sentences: Vec<String> = headline(view).1.into_iter().chain(bounded).map(|line| prose(&line)).collect();
    if sentences.is_empty() { String::new() } else { format!("<p class=\"lede\">{}</p>\n", sentences.join(" ")) }
}

/// Whose it is, on which host, and as of when.
fn parts(view: View<'_>) -> String {
    let parts = view.parts().into_iter().skip(1).map(|part| format!("<li>{}</li>", prose(&part)));
    let at = view.plan.observed_at;
    let time = format!("<li><time datetime=\"{at}\">{}</time></li>", at.strftime("%-d %B %Y, %H:%M:%S UTC"));
    parts.chain([time]).collect()
}

/// What a saved plan is worth by now.
fn standing(view: View<'_>) -> String {
    let Some((_, standing)) = view.saved() else { return String::new() };
    let class = match standing {
        Standing::Holds => "holds",
        Standing::Stale(_) => "stale",
        Standing::Unknown(_) => "unknown",
    };
    let lines = items(standing.differences());
    let list = if lines.is_empty() { String::new() } else { format!("<ul>{lines}</ul>") };
    format!("<div class=\"standing {class}\"><p>{}</p>{list}</div>\n", prose(&standing.sentence()))
}

/// The time line, the memory below it on the same axis, and what there is to say of each step.
fn steps(view: View<'_>, line: &Timeline) -> String {
    let plan = view.plan;
    if plan.steps.is_empty() {
        return String::new();
    }
    let mut html = String::from("<section aria-labelledby=\"steps-title\">\n<h2 id=\"steps-title\">Steps</h2>\n");
    html.push_str(&stage::legend(plan, line));
    html.push_str("<div class=\"work\">\n<div class=\"stage\">\n");
    html.push_str(&stage::axis(line));
    html.push_str(&stage::rows(plan, line));
    html.push_str(&memory::charts(plan, line));
    html.push_str("</div>\n");
    html.push_str(&panels::panels(plan, line));
    html.push_str("</div>\n");
    html.push_str(&memory::table(plan, line));
    html.push_str("</section>\n");
    html
}

fn not_done(view: View<'_>) -> String {
    let pending = section("pending", "Pending calls", &view::pending(view.plan));
    let left = section("left", "Left running", &view::left_running(view.plan));
    pending + &left + &section("not-done", "Not done", &view::in_the_way(view.plan))
}

fn section(id: &str, title: &str, lines: &[NotDone]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    format!("<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{title}</h2>\n{}</section>\n", table(title, lines))
}

fn table(title: &str, lines: &[NotDone]) -> String {
    let mut html = format!(
        "<div class=\"wide\"><table class=\"list\"><caption class=\"unseen\">{title}</caption>\n<thead><tr><th scope=\"col\">What</th>\
         <th scope=\"col\">Service</th><th scope=\"col\">State</th><th scope=\"col\">Why</th></tr></thead>\n<tbody>\n"
    );
    for NotDone { symbol, verb, service, state, why } in lines {
        let state = state.map_or_else(|| "<td class=\"none\">–</td>".to_owned(), |state| format!("<td>{state}</td>"));
        let _ = writeln!(
            html,
            "<tr class=\"{verb}\"><td><span class=\"sign\" aria-hidden=\"true\">{symbol}</span> {verb}</td>\
             <th scope=\"row\">{}</th>{state}<td>{}</td></tr>",
            code(service),
            prose(why)
        );
    }
    html.push_str("</tbody></table></div>\n");
    html
}

fn warnings(view: View<'_>) -> String {
    if view.plan.warnings.is_empty() {
        return String::new();
    }
    let lines = items(&view.plan.warnings);
    format!(
        "<section aria-labelledby=\"warnings\">\n<h2 id=\"warnings\">Warnings</h2>\n<ul class=\"warnings\">\n{lines}</ul>\n</section>\n"
    )
}

fn items(sentences: &[String]) -> String {
    let items: Vec<String> = sentences.iter().map(|sentence| format!("<li>{}</li>\n", prose(sentence))).collect();
    items.concat()
}

/// Folded where there is something else to read.
fn kept(view: View<'_>) -> String {
    let lines = view::kept(view.plan);
    if lines.is_empty() {
        return String::new();
    }
    let open = if view.plan.steps.is_empty() { " open" } else { "" };
    format!(
        "<section aria-labelledby=\"kept\">\n<h2 id=\"kept\">Kept</h2>\n<details{open}><summary>{}</summary>\n{}\
         </details>\n</section>\n",
        counted(lines.len(), "service as it should be", "services as they should be"),
        table("Kept", &lines)
    )
}

#[cfg(test)]
mod tests;
