//! Steps of a plan as a Mermaid flowchart, which GitHub and many wikis draw, with arrows for dependencies.
//!
//! Only the oldest and simplest syntax is used, and every label is in quotes, with all characters that Mermaid could
//! interpret written by number. No colours: shape and words distinguish steps, in a light theme and in a dark one.

use std::fmt::Write as _;

use crate::model::lifecycle::Action;
use crate::model::plan::{Plan, Step};
use crate::model::safe_text;
use crate::report::output::Output;
use crate::report::table::about;
use crate::report::timeline::edges;
use crate::report::view::memory::step_memory;

/// Limits of Mermaid's default settings, which GitHub keeps: beyond these it shows an error in place of the picture.
const EDGES_MAX: usize = 500;
const BYTES_MAX: usize = 50_000;

/// Returns the whole diagram, ending in a newline.
#[must_use]
pub fn plan(plan: &Plan) -> Output {
    let mut nodes = String::new();
    for (position, step) in plan.steps.iter().enumerate() {
        let (open, close) = shape(step.action);
        let _ = writeln!(nodes, "  n{position}{open}\"{}\"{close}", label(&words(plan, step)));
    }
    if plan.steps.is_empty() {
        nodes.push_str("  nothing[\"Nothing to do\"]\n");
    }
    let edges = edges(plan);
    for (from, to) in &edges {
        let _ = writeln!(nodes, "  n{from} --> n{to}");
    }
    nodes.push_str(&blocked(plan));
    let too_large = edges.len() > EDGES_MAX || nodes.len() + HEAD.len() > BYTES_MAX;
    let warning = if too_large { TOO_LARGE } else { "" };
    Output::new(format!("{HEAD}{warning}{nodes}"))
}

const HEAD: &str = "flowchart LR\n";

const TOO_LARGE: &str = "  %% Larger than Mermaid draws as it is set up by default: 500 edges, 50 000 characters.\n";

/// Returns the shape of an action: starts are round, stops have corners; evictions and removals have their own shapes.
fn shape(action: Action) -> (&'static str, &'static str) {
    match action {
        Action::Start | Action::Unpause | Action::Wake => ("([", "])"),
        Action::Stop | Action::Pause => ("[", "]"),
        Action::Remove => ("[[", "]]"),
        Action::Evict | Action::Update | Action::Scale => ("{{", "}}"),
    }
}

/// Returns the lines of a node. The first word is a verb, never a sign: Mermaid takes a leading `-` for a list.
fn words(plan: &Plan, step: &Step) -> Vec<String> {
    let mut lines = vec![format!("{} {}", step.action, step.service)];
    lines.extend(step.copies.map(|copies| copies.to_string()));
    lines.extend(step_memory(plan, step));
    lines.extend(step.estimate_ms.map(|estimate| format!("about {}", about(estimate))));
    lines
}

fn blocked(plan: &Plan) -> String {
    if plan.blocked.is_empty() {
        return String::new();
    }
    let mut text = "  subgraph blocked [\"Blocked\"]\n".to_owned();
    for (position, blocked) in plan.blocked.iter().enumerate() {
        let words = [format!("blocked {}", blocked.service), blocked.reason.code.as_str().replace('_', " ")];
        let _ = writeln!(text, "    b{position}>\"{}\"]", label(&words));
    }
    text.push_str("  end\n");
    text
}

fn label(lines: &[String]) -> String {
    lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("<br/>")
}

/// Escapes all but letters, digits and harmless characters by number: a name can't produce a quote, Markdown, HTML or a
/// keyword of Mermaid.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in safe_text::line(text).chars() {
        match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '.' | ',' | '-' => escaped.push(letter),
            letter => {
                let _ = write!(escaped, "#{};", u32::from(letter));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
