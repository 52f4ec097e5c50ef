//! Golden comments of hand-made plans, and the remainder of a large one.

use insta::assert_snapshot;

use super::plan;
use crate::model::lifecycle::{Action, State};
use crate::model::plan::{Blocked, Plan, Purpose, ReasonCode};
use crate::report::tests::{empty, gpu, hostile, kept, reason, step, switch, view};
use crate::report::view::{Freshness, PlanOrigin, PlanView};

/// GitHub's limit, in characters.
const LETTERS_MAX: usize = 65_536;

fn shown(of: &Plan) -> String {
    plan(view(of, Purpose::Apply)).to_string()
}

#[test]
fn a_comment_says_it_in_its_first_line_and_folds_the_rest() {
    assert_snapshot!(shown(&switch()));
}

#[test]
fn nothing_to_do_is_short() {
    let text = shown(&Plan { kept: switch().kept, ..empty() });
    assert!(text.starts_with("**Nothing to do: 2 services of studio already match mode video"), "{text}");
    assert_snapshot!(text);
}

#[test]
fn a_saved_plan_shows_its_freshness() {
    let standing = Freshness::Stale(vec!["- stop:ollama: no longer planned".to_owned()]);
    let of = switch();
    let view = PlanView { plan: &of, purpose: Purpose::Apply, origin: PlanOrigin::Saved(&standing) };
    let text = plan(view);
    assert!(text.contains("made on box at 2026-11-20 10:00:00 UTC. It is stale"), "{text}");
    assert!(text.contains("\n- - stop:ollama: no longer planned\n"), "{text}");
}

#[test]
fn no_name_breaks_out() {
    let text = shown(&hostile());
    let outside = outside_of_fences(&text);
    assert!(outside.ends_with(" -->\n") && outside.matches("<!--").count() == 1, "one mark, at the end: {outside}");
    assert!(!outside.contains("<script") && !outside.contains("@kim") && !outside.contains("#77"), "{outside}");
    // Rows have as many cells as their heads.
    for row in outside.lines().filter(|line| line.starts_with("| `")) {
        assert_eq!(row.matches('|').count(), 6, "{row}");
    }
    assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
}

/// Within a fence everything is text but the fence itself.
fn outside_of_fences(text: &str) -> String {
    let (mut outside, mut fence): (String, Option<String>) = (String::new(), None);
    for line in text.lines() {
        let ticks: String = line.chars().take_while(|letter| *letter == '`').collect();
        match &fence {
            None if ticks.len() >= 3 => fence = Some(ticks),
            Some(open) if line.len() == ticks.len() && ticks.len() >= open.len() => fence = None,
            Some(_) => {}
            None => outside.extend([line, "\n"]),
        }
    }
    assert!(fence.is_none(), "a fence is left open");
    outside
}

#[test]
fn the_largest_plan_fits_and_says_what_is_left_out() {
    let long = "a reason that goes on and on, ".repeat(12);
    let why = || reason(ReasonCode::WantedByMode, &long);
    let mut steps: Vec<_> =
        (0..900).map(|at| step(Action::Start, &format!("service-{at}"), State::Offline, 100, why())).collect();
    for step in &mut steps {
        step.diff = Some("+ é\n".repeat(300));
    }
    let blocked =
        (0..900).map(|at| Blocked { service: format!("blocked-{at}").as_str().into(), reason: why() }).collect();
    let of = Plan {
        steps,
        blocked,
        kept: (0..900).map(|at| kept(&format!("kept-{at}"), State::Online, &long)).collect(),
        gpus: (0..900).map(|at| gpu(&format!("GPU-{at}"), at)).collect(),
        warnings: vec![long.clone(); 900],
        goals: (0..900).map(|at| format!("goal-{at}").as_str().into()).collect(),
        ..empty()
    };
    let text = shown(&of);
    assert!(text.len() <= LETTERS_MAX, "{} bytes", text.len());
    assert!(
        text.starts_with("**Plan: 0 to stop, 900 to start") || text.starts_with("**0 to stop, 900 to start"),
        "{}",
        &text[..200]
    );
    assert!(text.ends_with("\n<!-- lcm plan: studio video -->\n"));
    assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    // Each section shows some entries, and counts the others.
    let more: Vec<&str> = text.lines().filter(|line| line.starts_with("… and ")).collect();
    assert_eq!(more.len(), 6, "{more:?}");
    assert!(more.iter().all(|line| line.ends_with(" more: `lcm plan -v` shows them.")), "{more:?}");
    let rows = text.lines().filter(|line| line.starts_with("| `+` start | `service-")).count();
    assert_eq!(more[0], format!("… and {} more: `lcm plan -v` shows them.", 900 - rows));
}
