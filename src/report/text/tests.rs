//! Golden texts of plans made by hand.

use insta::assert_snapshot;

use super::{Looked, PlanText, plan};
use crate::model::desired::ModeSource;
use crate::model::lifecycle::{Action, State, route};
use crate::model::names::{GpuId, StepId};
use crate::model::observed::Instance;
use crate::model::plan::{
    Blocked, Expect, GpuLine, Held, Kept, OrphanLine, Placement, Plan, Purpose, Reason, ReasonCode, Step,
};
use crate::model::size::Mebibytes;
use crate::report::style::Style;

const LOOKED: Looked = Looked { containers: Some(3), trees: Some(2), gpus: Some(1) };

fn reason(code: ReasonCode, message: &str) -> Reason {
    Reason { code, message: message.to_owned(), by: None }
}

fn step(action: Action, service: &str, from: State, vram_mib: u64, why: Reason) -> Step {
    Step {
        id: StepId::new(format!("{action}:{service}")),
        service: service.into(),
        action,
        route: route(action, from).expect("a legal route").to_vec(),
        needs: Vec::new(),
        gpus: if vram_mib > 0 { vec![GpuId::new("GPU-aaaa")] } else { Vec::new() },
        vram_mib: Mebibytes(vram_mib),
        uneven_mib: std::collections::BTreeMap::new(),
        reason: why,
        expect: Expect { instance: None, state: from },
        spec: None,
        diff: None,
        estimate_ms: None,
    }
}

fn kept(service: &str, state: State, message: &str) -> Kept {
    Kept { service: service.into(), state, message: message.to_owned() }
}

fn gpu(id: &str, index: u32) -> GpuLine {
    GpuLine {
        id: id.into(),
        index,
        capacity_mib: Mebibytes(24_576),
        reserve_mib: Mebibytes(512),
        foreign_mib: Mebibytes(511),
        measured_mib: Some(Mebibytes(17_690)),
        before_mib: Mebibytes(17_678),
        peak_mib: Mebibytes(19_586),
        after_mib: Mebibytes(19_585),
    }
}

fn empty() -> Plan {
    let observed_at = "2026-11-20T10:00:00Z".parse().expect("a timestamp");
    Plan {
        mode: Some("video".into()),
        engine: Some("unix:///var/run/docker.sock 20.10.24".to_owned()),
        gpus: vec![gpu("GPU-aaaa", 0)],
        ..Plan::empty("studio".into(), "box", observed_at)
    }
}

fn switch() -> Plan {
    let mut start = step(
        Action::Start,
        "comfyui",
        State::Registered,
        19_074,
        reason(ReasonCode::WantedByMode, "mode video wants it"),
    );
    start.needs = vec!["stop:ollama".into(), "start:web".into()];
    start.estimate_ms = Some(42_000);
    let changed = reason(ReasonCode::SpecChanged, "its definition changed");
    let mut again = step(Action::Start, "web", State::Offline, 0, changed.clone());
    again.needs = vec!["stop:web".into()];
    again.diff = Some("@@ -1,2 +1,2 @@\n command:\n-- --port=80\n+- --port=81\n".to_owned());
    Plan {
        changes: true,
        steps: vec![
            step(
                Action::Stop,
                "ollama",
                State::Idle,
                17_167,
                reason(ReasonCode::NotInMode, "mode video does not name it"),
            ),
            step(Action::Stop, "web", State::Online, 0, changed),
            again,
            start,
        ],
        kept: vec![
            kept("cosyvoice", State::Online, "it runs as mode video wants it"),
            kept("whisper", State::Offline, "it is off, and nothing wants it"),
        ],
        blocked: vec![Blocked {
            service: "vidi".into(),
            reason: reason(
                ReasonCode::NoRoom,
                "it needs 16 000 MiB, and GPU 0 has 4 478 MiB left beside what is wanted more",
            ),
        }],
        held: vec![Held {
            service: "trainer".into(),
            reason: reason(ReasonCode::Suspended, "an operator suspended it"),
            by: Some("kim".to_owned()),
            since: Some("2026-11-19T08:30:00.5Z".parse().expect("a timestamp")),
        }],
        orphans: vec![OrphanLine {
            service: "old".into(),
            instance: Instance::Tree { id: "abc".to_owned() },
            state: State::Online,
            message: "it bears this project's mark, but the manifest does not name it".to_owned(),
        }],
        warnings: vec!["UNPROVEN: no driver tells of GPU memory, so declared sizes stand in".to_owned()],
        ..empty()
    }
}

fn shown(plan_of: &Plan, purpose: Purpose, verbose: bool) -> String {
    set(plan_of, purpose, verbose, Style::PLAIN)
}

fn set(plan_of: &Plan, purpose: Purpose, verbose: bool, style: Style) -> String {
    let mode_source = ModeSource::Manifest;
    plan(PlanText { plan: plan_of, purpose, mode_source, switched: None, looked: &LOOKED, verbose, style })
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
fn nothing_to_do_is_one_line_that_says_what_was_looked_at() {
    let kept = switch().kept;
    let plan = Plan { kept, ..empty() };
    assert_eq!(
        shown(&plan, Purpose::Apply, false),
        "Nothing to do: 2 services of studio are as mode video wants them (1 running, 1 off; looked at 3 containers, \
         2 process trees and 1 GPU).\n"
    );
    let plan = Plan { mode: None, kept: plan.kept[..1].to_vec(), ..plan };
    assert_eq!(
        shown(&plan, Purpose::Apply, false),
        "Nothing to do: 1 service of studio is as wanted (1 running, 0 off; looked at 3 containers, 2 process trees and \
         1 GPU).\n"
    );
    assert_eq!(
        shown(&empty(), Purpose::Down, false),
        "Nothing to do: nothing of studio runs (looked at 3 containers, 2 process trees and 1 GPU).\n"
    );
}

#[test]
fn what_is_blocked_is_said_even_where_nothing_is_done() {
    let Plan { kept, blocked, warnings, .. } = switch();
    assert_snapshot!(shown(&Plan { kept, blocked, warnings, ..empty() }, Purpose::Apply, false));
}

#[test]
fn down_removes_and_moves_name_both_gpus() {
    let requested = || reason(ReasonCode::Requested, "everything of studio was asked to go");
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
