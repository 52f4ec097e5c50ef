//! Golden texts of hand-made plans.

use insta::assert_snapshot;

use super::{TextOptions, plan};
use crate::model::lifecycle::{Action, State};
use crate::model::plan::{GpuLine, Placement, Plan, Purpose, ReasonCode};
use crate::model::size::Mebibytes;
use crate::report::style::Style;
use crate::report::tests::{empty, gpu, reason, step, switch, view};
use crate::report::view::{Freshness, PlanOrigin, PlanView};

fn shown(plan_of: &Plan, purpose: Purpose, verbose: bool) -> String {
    set(plan_of, purpose, verbose, Style::PLAIN)
}

fn set(plan_of: &Plan, purpose: Purpose, verbose: bool, style: Style) -> String {
    plan(view(plan_of, purpose), TextOptions { verbose, style }).to_string()
}

#[test]
fn a_plan_says_what_why_and_after_what() {
    assert_snapshot!(shown(&switch(), Purpose::Apply, false));
}

#[test]
fn more_is_said_when_asked_for() {
    assert_snapshot!(shown(&switch(), Purpose::Apply, true));
}

#[test]
fn a_narrow_terminal_gets_whole_words_below_each_other() {
    let style = Style { width: Some(60), ..Style::PLAIN };
    let text = set(&switch(), Purpose::Apply, true, style);
    assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    assert_snapshot!(text);
}

#[test]
fn a_terminal_gets_bars() {
    let style = Style { width: Some(80), bars: true, ..Style::PLAIN };
    let still = GpuLine { peak_mib: Mebibytes(17_678), after_mib: Mebibytes(17_678), ..gpu("GPU-bbbb", 1) };
    let over = GpuLine { before_mib: Mebibytes(25_000), peak_mib: Mebibytes(25_000), ..gpu("GPU-cccc", 10) };
    let plan = Plan { gpus: vec![gpu("GPU-aaaa", 0), still, over], warnings: Vec::new(), ..switch() };
    let text = set(&plan, Purpose::Apply, false, style);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_snapshot!(text);
}

#[test]
fn nothing_to_do_is_reported_with_the_inspected_objects() {
    let kept = switch().kept;
    let plan = Plan { kept, ..empty() };
    assert_eq!(
        shown(&plan, Purpose::Apply, false),
        "Nothing to do: 2 services of studio already match mode video (1 running, 1 off; inspected 3 containers, \
         2 process trees and 1 GPU).\nPlan: 0 to stop, 0 to start, 2 kept, 0 blocked.\n"
    );
    let plan = Plan { mode: None, kept: plan.kept[..1].to_vec(), ..plan };
    assert_eq!(
        shown(&plan, Purpose::Apply, false),
        "Nothing to do: 1 service of studio already matches the manifest (1 running, 0 off; inspected 3 containers, \
         2 process trees and 1 GPU).\nPlan: 0 to stop, 0 to start, 1 kept, 0 blocked.\n"
    );
    assert_eq!(
        shown(&empty(), Purpose::Down, false),
        "Nothing to do: no service of studio is running (inspected 3 containers, 2 process trees and 1 GPU).\n\
         Plan: 0 to stop, 0 to start, 0 kept, 0 blocked.\n"
    );
}

/// Rows from three on share one sentence.
#[test]
fn a_shared_reason_is_shown_once() {
    let start = |service: &str| {
        let why = reason(ReasonCode::WantedByMode, "wanted by mode video");
        step(Action::Start, service, State::Registered, 0, why)
    };
    let text = |services: &[&str]| {
        let steps = services.iter().map(|service| start(service)).collect();
        shown(&Plan { changes: true, steps, ..empty() }, Purpose::Apply, false)
    };
    assert_eq!(text(&["a", "b"]).matches("      wanted by mode video\n").count(), 2);
    assert_eq!(text(&["a", "b", "c"]).matches("wanted by mode video").count(), 1);
    assert!(text(&["a", "b", "c"]).contains("→ online\n      all 3: wanted by mode video\n"));
}

#[test]
fn a_restart_shows_which_half_waits_for_which_services() {
    let why = || reason(ReasonCode::SpecChanged, "its definition changed");
    let mut off = step(Action::Stop, "web", State::Online, 0, why());
    off.needs = vec!["stop:a".into(), "stop:b".into()];
    let mut on = step(Action::Start, "web", State::Offline, 0, why());
    on.needs = vec![off.id.clone(), "start:c".into(), "stop:a".into()];
    let others = [(Action::Stop, "a"), (Action::Stop, "b"), (Action::Start, "c")].map(|(action, service)| {
        let from = if action == Action::Stop { State::Online } else { State::Offline };
        step(action, service, from, 0, why())
    });
    let plan = Plan { changes: true, steps: others.into_iter().chain([off, on]).collect(), ..empty() };
    let text = shown(&plan, Purpose::Apply, false);
    assert!(text.contains("stops after a and b have stopped, starts after c is up and a has stopped\n"), "{text}");
}

#[test]
fn what_is_blocked_is_said_even_where_nothing_is_done() {
    let Plan { kept, blocked, warnings, .. } = switch();
    assert_snapshot!(shown(&Plan { kept, blocked, warnings, ..empty() }, Purpose::Apply, false));
}

#[test]
fn down_removes_and_moves_name_both_gpus() {
    let requested = || reason(ReasonCode::Requested, "requested by `lcm down`");
    let stop = step(Action::Stop, "ollama", State::Online, 17_167, requested());
    let mut remove = step(Action::Remove, "ollama", State::Offline, 0, requested());
    remove.needs = vec![stop.id.clone()];
    let moved = || reason(ReasonCode::Moved, "comfyui needs GPU 0 whole");
    let off = step(Action::Stop, "tts", State::Idle, 4_000, moved());
    let mut on = step(Action::Start, "tts", State::Offline, 4_000, moved());
    on.gpus = vec!["GPU-bbbb".into(), "GPU-cccc".into()];
    on.needs = vec![off.id.clone(), "remove:ollama".into()];
    let gpus = vec![gpu("GPU-aaaa", 0), gpu("GPU-bbbb", 1), gpu("GPU-cccc", 10)];
    let plan =
        Plan { changes: true, placement: Placement::Bounded, steps: vec![stop, remove, off, on], gpus, ..empty() };
    assert_snapshot!(shown(&plan, Purpose::Down, true));
}

#[test]
fn colour_is_decoration() {
    let colored = set(&switch(), Purpose::Apply, false, Style { colored: true, bars: true, ..Style::PLAIN });
    let plain = regex_lite::Regex::new("\u{1b}\\[[0-9]+m").expect("a pattern").replace_all(&colored, "").into_owned();
    assert_eq!(plain, set(&switch(), Purpose::Apply, false, Style { bars: true, ..Style::PLAIN }));
    assert_ne!(plain, colored);
}

#[test]
fn a_saved_plan_says_when_where_and_what_it_is_worth() {
    let text = |plan_of: &Plan, standing: &Freshness| {
        let view = PlanView { plan: plan_of, purpose: Purpose::Apply, origin: PlanOrigin::Saved(standing) };
        plan(view, TextOptions { verbose: false, style: Style::PLAIN })
    };
    let stale = Freshness::Stale(vec!["- stop:ollama: no longer planned".to_owned()]);
    assert_snapshot!(text(&switch(), &stale));
    let unknown = Freshness::Unknown("there is no lcm.yaml".to_owned());
    assert_snapshot!(text(&Plan { kept: switch().kept, ..empty() }, &unknown));
}

/// Foreign texts: a plan's file may come from any source.
#[test]
fn nothing_in_a_plan_drives_a_terminal_or_forges_a_line() {
    fn spoil(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(items) => items.iter_mut().for_each(spoil),
            serde_json::Value::Object(fields) => fields.iter_mut().for_each(|(key, value)| match value {
                serde_json::Value::String(text) if ["message", "host", "project", "diff"].contains(&key.as_str()) => {
                    text.insert_str(0, "\u{1b}]0;x\u{7}\u{1b}[2J\u{202e}");
                }
                serde_json::Value::Array(_) if key == "warnings" => {
                    *value = serde_json::json!(["held by \u{1b}[8mvim\nPlan: nothing."]);
                }
                other => spoil(other),
            }),
            _ => {}
        }
    }
    let mut spoilt = serde_json::to_value(switch()).expect("JSON");
    spoil(&mut spoilt);
    let spoilt: Plan = serde_json::from_value(spoilt).expect("a plan");
    let clean = Plan { warnings: vec!["held by vim Plan: nothing.".to_owned()], ..switch() };
    assert_ne!(spoilt, clean);
    for style in [Style::PLAIN, Style { colored: true, width: Some(80), bars: true }] {
        assert_eq!(set(&spoilt, Purpose::Apply, true, style), set(&clean, Purpose::Apply, true, style));
    }
}

#[test]
fn a_remaining_orphan_is_listed_next_to_steps_of_a_service_of_its_name() {
    let mut plan = switch();
    plan.orphans[0].service = "ollama".into();
    let told = "? orphan   ollama   online";
    let text = shown(&plan, Purpose::Apply, false);
    assert!(text.contains(told) && text.contains(", 1 orphan"), "{text}");
    plan.steps[0].expect.instance = Some(plan.orphans[0].instance.clone());
    let text = shown(&plan, Purpose::Apply, false);
    assert!(!text.contains(told) && !text.contains(", 1 orphan"), "it goes: {text}");
}
