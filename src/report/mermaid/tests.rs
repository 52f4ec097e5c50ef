//! Diagrams, parsed by a strict reader of the subset of Mermaid that they use.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use regex_lite::Regex;

use super::{TOO_LARGE, plan};
use crate::model::lifecycle::{Action, State};
use crate::model::plan::{Plan, ReasonCode};
use crate::report::tests::{HOSTILE, empty, hostile, reason, step, switch};

/// Parsed diagram.
#[derive(Debug, Default)]
struct ParsedDiagram {
    /// Nodes by id: the shape's opening, and the label as shown.
    nodes: BTreeMap<String, (String, String)>,
    edges: Vec<(String, String)>,
    blocked: Vec<String>,
}

/// Parses a diagram; panics with the first invalid line.
fn read(diagram: &str) -> ParsedDiagram {
    let node =
        Regex::new(r#"^ +([nb][0-9]+|nothing)(\(\[|\[\[|\{\{|\[|>)"([^"]*)"(\]\)|\]\]|\}\}|\])$"#).expect("a pattern");
    let edge = Regex::new("^  (n[0-9]+) --> (n[0-9]+)$").expect("a pattern");
    let label = Regex::new("^([A-Za-z0-9 .,-]|#[0-9]+;|<br/>)+$").expect("a pattern");
    let closing = BTreeMap::from([("([", "])"), ("[[", "]]"), ("{{", "}}"), ("[", "]"), (">", "]")]);
    let (mut read, mut inside) = (ParsedDiagram::default(), false);
    let mut lines = diagram.lines();
    assert_eq!(lines.next(), Some("flowchart LR"));
    for line in lines {
        if let Some(parts) = node.captures(line) {
            assert_eq!(closing[&parts[2]], &parts[4], "{line}");
            assert!(label.is_match(&parts[3]), "{line}");
            assert!(
                !parts[3].starts_with(['-', '#', ' ']) && !parts[3].starts_with(|it: char| it.is_ascii_digit()),
                "{line}"
            );
            let was = read.nodes.insert(parts[1].to_owned(), (parts[2].to_owned(), shown(&parts[3])));
            assert!(was.is_none(), "declared twice: {line}");
            if inside {
                read.blocked.push(parts[1].to_owned());
            }
        } else if let Some(parts) = edge.captures(line) {
            assert!(!inside, "{line}");
            read.edges.push((parts[1].to_owned(), parts[2].to_owned()));
        } else {
            match line {
                "  subgraph blocked [\"Blocked\"]" if !inside => inside = true,
                "  end" if inside => inside = false,
                comment if comment.starts_with("  %% ") => {}
                other => panic!("no line of a flowchart: {other:?}"),
            }
        }
    }
    assert!(!inside, "a subgraph is left open");
    for (from, to) in &read.edges {
        assert!(read.nodes.contains_key(from) && read.nodes.contains_key(to), "{from} --> {to}");
    }
    read
}

/// Returns a label as a browser shows it.
fn shown(label: &str) -> String {
    let number = Regex::new("#([0-9]+);").expect("a pattern");
    let letter = |parts: &regex_lite::Captures<'_>| {
        parts[1].parse().ok().and_then(char::from_u32).expect("a letter").to_string()
    };
    number.replace_all(&label.replace("<br/>", "\n"), letter).into_owned()
}

#[test]
fn steps_are_nodes_and_needs_are_arrows() {
    let diagram = plan(&switch());
    assert_snapshot!(diagram);
    let read = read(&diagram);
    let labels: Vec<&str> = read.nodes.values().map(|(_, label)| label.as_str()).collect();
    assert!(labels.contains(&"start comfyui\ntakes 19 074 MiB on GPU 0\nabout 40 s"), "{labels:?}");
    assert_eq!(read.edges.len(), 3);
    assert_eq!(read.blocked, ["b0"]);
}

#[test]
fn every_action_has_a_shape_of_its_kind() {
    let why = || reason(ReasonCode::Requested, "asked for");
    let steps = [
        step(Action::Evict, "a", State::Online, 5, why()),
        step(Action::Stop, "a", State::Online, 5, why()),
        step(Action::Remove, "a", State::Offline, 0, why()),
        step(Action::Start, "b", State::Offline, 5, why()),
        step(Action::Pause, "c", State::Online, 0, why()),
    ];
    let read = read(&plan(&Plan { steps: steps.to_vec(), ..empty() }));
    let shapes: Vec<&str> = read.nodes.values().map(|(shape, _)| shape.as_str()).collect();
    assert_eq!(shapes, ["{{", "[", "[[", "([", "["]);
}

#[test]
fn without_steps_it_is_a_diagram_all_the_same() {
    let read = read(&plan(&empty()));
    assert_eq!(read.nodes["nothing"], ("[".to_owned(), "Nothing to do".to_owned()));
    assert!(read.edges.is_empty());
}

#[test]
fn every_name_is_shown_as_it_is() {
    let read = read(&plan(&hostile()));
    for position in 0..4 {
        let (_, label) = &read.nodes[&format!("n{position}")];
        assert!(label.contains(&format!("{HOSTILE}{position}")), "{label}");
    }
    for name in ["end", "subgraph", "o1", "x", "click", "style", "1. a", "- a", "style a:#f"] {
        let one = step(Action::Start, name, State::Offline, 0, reason(ReasonCode::Requested, ""));
        let read = self::read(&plan(&Plan { steps: vec![one], ..empty() }));
        assert_eq!(read.nodes["n0"].1, format!("start {name}"));
    }
}

#[test]
fn a_diagram_that_is_too_large_is_marked() {
    let why = || reason(ReasonCode::Requested, "");
    let mut steps: Vec<_> = (0..40).map(|at| step(Action::Stop, &format!("s{at}"), State::Online, 0, why())).collect();
    let stops: Vec<_> = steps.iter().map(|step| step.id.clone()).collect();
    let start = |at| {
        let mut start = step(Action::Start, &format!("t{at}"), State::Offline, 0, why());
        start.needs.clone_from(&stops);
        start
    };
    steps.extend((0..12).map(start));
    let plan_of = |steps: &[crate::model::plan::Step]| plan(&Plan { steps: steps.to_vec(), ..empty() });
    assert!(!plan_of(&steps).contains(TOO_LARGE));
    steps.push(start(12));
    let diagram = plan_of(&steps);
    assert!(diagram.contains(TOO_LARGE));
    assert_eq!(read(&diagram).edges.len(), 520);
}
