//! Scales and rolling updates in every form: one plan and one status, as each form shows them. No form shows copies of
//! services with one copy; the golden texts of all other tests check that.

use insta::assert_snapshot;
use jiff::Timestamp;

use crate::model::copies::{Copies, CopiesChange};
use crate::model::lifecycle::{Action, State};
use crate::model::plan::{GpuLine, Plan, Purpose, ReasonCode, Step};
use crate::model::size::Mebibytes;
use crate::report::metrics::Beside;
use crate::report::status::{FORMAT, Outlooks, ServiceLine, Status};
use crate::report::style::Style;
use crate::report::tests::{empty, gpu, reason, step, view};
use crate::report::text::TextOptions;
use crate::report::{html, json, markdown, mermaid, metrics, status, text};

/// Plan with one service scaled down, one scaled up after that, and one updated.
fn plan() -> Plan {
    let scaled = |message: &str| reason(ReasonCode::Scaled, message);
    let down = step(Action::Scale, "chat", State::Busy, 4_000, scaled("it has 3 copies, and 1 is wanted"));
    let up = step(Action::Scale, "web", State::Online, 2_000, scaled("it has 1 copy, and 2 are wanted"));
    let spec = reason(ReasonCode::SpecChanged, "its spec has changed in the manifest");
    let roll = step(Action::Update, "tts", State::Idle, 1_000, spec);
    let change = CopiesChange { returns_mib: Mebibytes(1_000), ..CopiesChange::roll(2, 2) };
    let steps = vec![
        Step { copies: Some(CopiesChange::scale(3, 1)), ..down },
        Step { copies: Some(CopiesChange::scale(1, 2)), needs: vec!["scale:chat".into()], ..up },
        Step { copies: Some(change), diff: Some("-image: tts:1\n+image: tts:2".to_owned()), ..roll },
    ];
    let line = GpuLine { peak_mib: Mebibytes(18_678), after_mib: Mebibytes(15_678), ..gpu("GPU-aaaa", 0) };
    Plan { changes: true, steps, gpus: vec![line], ..empty() }
}

fn looked_at() -> Status {
    let rolling = Copies { wanted: 3, ready: 2, updated: 1 };
    let chat = ServiceLine {
        copies: Some(rolling),
        vram_declared_mib: Mebibytes(6_000),
        reason: "its copies are being replaced".to_owned(),
        ..ServiceLine::plain("chat", State::Updating)
    };
    Status {
        format: FORMAT.to_owned(),
        project: "studio".into(),
        mode: None,
        modes: Vec::new(),
        switched: None,
        host: "box".to_owned(),
        engine: None,
        observed_at: Timestamp::UNIX_EPOCH,
        services: vec![chat, ServiceLine::plain("web", State::Online)],
        orphans: Vec::new(),
        claimed: Vec::new(),
        gpus: Vec::new(),
        memory: None,
        goals: Vec::new(),
        last_run: None,
        open_run: None,
        warnings: Vec::new(),
    }
}

#[test]
fn text_shows_copies() {
    let plan = plan();
    assert_snapshot!(text::plan(view(&plan, Purpose::Apply), TextOptions { verbose: true, style: Style::PLAIN }));
}

#[test]
fn markdown_shows_copies() {
    assert_snapshot!(markdown::plan(view(&plan(), Purpose::Apply)));
}

#[test]
fn mermaid_shows_copies() {
    assert_snapshot!(mermaid::plan(&plan()));
}

#[test]
fn a_page_shows_copies() {
    let page = html::plan(view(&plan(), Purpose::Apply)).to_string();
    for shown in ["3 → 1 copy", "1 → 2 copies", "2 copies, 1 more at a time", "<dt>Copies</dt>"] {
        assert!(page.contains(shown), "{shown}");
    }
    let other = html::plan(view(&crate::report::tests::switch(), Purpose::Apply)).to_string();
    assert!(!other.contains("Copies"));
}

#[test]
fn json_carries_copies_and_is_read_back() {
    let plan = plan();
    let text = json::document(&plan).to_string();
    assert_eq!(serde_json::from_str::<Plan>(&text).expect("a plan"), plan);
    let steps = plan.steps.iter().map(|step| serde_json::to_string(&step.copies).expect("JSON"));
    assert_snapshot!(steps.collect::<Vec<_>>().join("\n"));
    let status = looked_at();
    let text = json::document(&status).to_string();
    assert_eq!(serde_json::from_str::<Status>(&text).expect("a status"), status);
    assert_eq!(text.matches("\"copies\"").count(), 1, "{text}");
}

#[test]
fn a_status_shows_copies() {
    assert_snapshot!(status::text(&looked_at(), &Outlooks::new(), false, Style::PLAIN));
}

#[test]
fn metrics_count_copies() {
    let none = std::collections::BTreeSet::new();
    let exposed = metrics::metrics(&looked_at(), Beside { wanted: &none, version: "0.1.0" }).to_string();
    let copies: Vec<&str> = exposed.lines().filter(|line| line.contains("lcm_service_copies")).collect();
    assert_snapshot!(copies.join("\n"));
}
