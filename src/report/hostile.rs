//! Property tests: every text in a plan, a status, an event and a history is replaced by a hostile one and shown in
//! every form; the output has the same structure as with plain names. Fields that hold text are found by trying, so
//! that new ones are covered too.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::sample::select;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::event::{CallOutcome, Event, EventKind};
use crate::model::hooks::Point;
use crate::model::lifecycle::State;
use crate::model::plan::{Plan, Purpose};
use crate::model::safe_text::is_unseen;
use crate::report::history::{self, CallLine, History, OpenRun, RunLine, TransitionLine};
use crate::report::metrics::{self, Beside};
use crate::report::output::Output;
use crate::report::problems::{CheckedFile, CheckedManifests, ProblemEntry, ProblemLocation, ProblemSeverity, Related};
use crate::report::status::{self, Outlooks, Status};
use crate::report::style::Style;
use crate::report::tests::{switch, view};
use crate::report::text::{self, TextOptions};
use crate::report::view::{Freshness, PlanOrigin, PlanView};
use crate::report::{github, html, json, markdown, mermaid};

/// Texts that some reader treats specially.
const PIECES: [&str; 46] = [
    "\u{1b}[2J",
    "\u{1b}]0;t\u{7}",
    "\u{1b}[8m",
    "\u{1b}[31m",
    "\u{9b}1m",
    "\u{9d}0;t\u{9c}",
    "\n",
    "\r\n",
    "\r",
    "\u{b}",
    "\u{c}",
    "\u{85}",
    "\u{2028}",
    "\u{202e}",
    "\u{200b}",
    "\u{2066}",
    "\u{e0041}",
    "\t",
    "\0",
    "\u{7f}",
    "::error::x",
    "::stop-commands::t",
    "%0A",
    "=cmd()",
    "+1",
    "-1",
    "@kim",
    "#12",
    "| a |",
    "`",
    "```",
    "<script>",
    "</script>",
    "\"",
    "'",
    "-->",
    "<!--",
    "[x](http://x)",
    "http://x.y",
    "www.x.y",
    "\\",
    ",",
    ";",
    "end",
    "%%",
    "{{x}}",
];

static CODE: LazyLock<regex_lite::Regex> = LazyLock::new(|| regex_lite::Regex::new("`[^`]*`").expect("a pattern"));

static PAINT: LazyLock<regex_lite::Regex> =
    LazyLock::new(|| regex_lite::Regex::new("\u{1b}\\[[0-9;:]*m").expect("a pattern"));

const WIDTHS: [usize; 6] = [1, 2, 5, 20, 79, 100_000];

fn hostile() -> impl Strategy<Value = Vec<String>> {
    let one = prop::collection::vec(select(&PIECES[..]), 1..6).prop_map(|pieces| pieces.concat());
    prop::collection::vec(one, 1..4)
}

/// Path to a text in a document, by keys and positions.
type DocumentPath = Vec<String>;

/// Returns the paths of all values that may be any text.
fn texts<T: Serialize + DeserializeOwned>(of: &T) -> Vec<DocumentPath> {
    fn walk(value: &Value, way: &mut DocumentPath, found: &mut Vec<DocumentPath>) {
        match value {
            Value::String(_) => found.push(way.clone()),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    way.push(at.to_string());
                    walk(item, way, found);
                    way.pop();
                }
            }
            Value::Object(entries) => {
                for (key, value) in entries {
                    way.push(key.clone());
                    walk(value, way, found);
                    way.pop();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let document = serde_json::to_value(of).expect("JSON");
    let mut found = Vec::new();
    walk(&document, &mut Vec::new(), &mut found);
    found.retain(|way| {
        let mut tried = document.clone();
        *tried.pointer_mut(&pointer(way)).expect("it is there") = Value::from("any text");
        serde_json::from_value::<T>(tried).is_ok()
    });
    found
}

fn pointer(way: &DocumentPath) -> String {
    let steps = way.iter().map(|step| step.replace('~', "~0").replace('/', "~1"));
    steps.fold(String::new(), |pointer, step| pointer + "/" + &step)
}

/// Returns the same with each text replaced: equal ones by equal ones, so that references between names stay valid.
fn with_texts<T: Serialize + DeserializeOwned>(of: &T, put: impl Fn(usize, &DocumentPath) -> String) -> T {
    let mut document = serde_json::to_value(of).expect("JSON");
    let mut before: Vec<String> = Vec::new();
    for way in texts(of) {
        let text = document.pointer_mut(&pointer(&way)).expect("it is there");
        let old = text.as_str().unwrap_or_default().to_owned();
        let place = before.iter().position(|other| *other == old).unwrap_or(before.len());
        if place == before.len() {
            before.push(old);
        }
        *text = Value::from(put(place, &way));
    }
    serde_json::from_value(document).expect("read back")
}

/// Returns the document with plain names, and with hostile ones. Lines of a diff stay lines, and begin with their own
/// signs.
fn both<T: Serialize + DeserializeOwned>(of: &T, hostile: &[String]) -> [T; 2] {
    let plain = with_texts(of, |place, _| format!("name{place}"));
    let dirty = with_texts(of, |place, way| {
        let text = format!("{}{place}", hostile[place % hostile.len()]);
        if way.last().is_some_and(|key| key == "diff") { format!(" {}", text.replace(['\n', '\t'], " ")) } else { text }
    });
    [plain, dirty]
}

/// Checks that a text has no terminal codes but paint, if allowed, and that the paint ends with the text.
fn check_terminal(text: &str, colored: bool) -> Result<(), TestCaseError> {
    for line in text.lines() {
        let mut rest = line.to_owned();
        if colored {
            prop_assert!(!line.contains("\u{1b}[8m"), "{line:?}");
            rest = PAINT.replace_all(line, "").into_owned();
        }
        prop_assert!(!rest.contains(is_unseen), "{line:?}");
    }
    check_paint(text)
}

/// Checks that the paint does not continue after the text.
fn check_paint(text: &str) -> Result<(), TestCaseError> {
    let last = text.rfind('\u{1b}').map_or("\u{1b}[0m", |last| &text[last..]);
    prop_assert!(last.starts_with("\u{1b}[0m"), "its paint goes on: {text:?}");
    Ok(())
}

fn lines(text: &str) -> usize {
    text.lines().count()
}

fn check_texts(show: impl Fn(bool, Style) -> Output) -> Result<(), TestCaseError> {
    prop_assert_eq!(
        lines(&show(false, Style::PLAIN)),
        lines(&show(true, Style::PLAIN)),
        "{}",
        show(true, Style::PLAIN)
    );
    for width in WIDTHS {
        for colored in [false, true] {
            check_terminal(&show(true, Style { colored, width: Some(width), bars: true }), colored)?;
        }
    }
    // Without wrapping, no paint continues on the next line.
    for line in show(true, Style { colored: true, ..Style::PLAIN }).lines() {
        check_paint(line)?;
    }
    check_terminal(&show(true, Style::PLAIN), false)
}

fn check_json<T: Serialize>(of: &T) -> Result<(), TestCaseError> {
    let line = json::line(of);
    prop_assert_eq!(lines(&line), 1);
    check_terminal(&line, false)?;
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    prop_assert_eq!(read(&line), serde_json::to_value(of).expect("JSON"));
    prop_assert_eq!(read(&json::document(of)), read(&line));
    Ok(())
}

fn saved<'a>(plan: &'a Plan, standing: &'a Freshness) -> PlanView<'a> {
    PlanView { plan, purpose: Purpose::Apply, origin: PlanOrigin::Saved(standing) }
}

/// Plan with a value in every field.
fn full() -> Plan {
    let mut plan = switch();
    plan.goals = vec!["narrate".into()];
    plan.request.targets = ["web".into()].into();
    plan.recovered = vec!["web".into()];
    plan.steps[0].reason.by = Some("video".to_owned());
    plan.steps[0].spec = Some("v1:abc".to_owned());
    plan
}

fn full_status() -> Status {
    let document = serde_json::json!({
        "format": "lcm.status/2", "project": "studio", "mode": "video", "host": "box", "engine": "e 1",
        "switched": { "hold": "switch", "by": "kim", "since": "2026-11-20T10:00:00Z", "reason": "because" },
        "observed_at": "2026-11-20T10:00:00Z",
        "services": [{
            "name": "web", "runtime": "p", "state": "online", "known": true, "next": [], "owned": true,
            "operational": true, "available": true, "priority": -9_223_372_036_854_775_808_i64, "gpus": ["GPU-a"],
            "vram_declared_mib": u64::MAX, "vram_measured_mib": u64::MAX, "since": "9999-12-30T22:00:00Z",
            "reason": "it is running", "estimates": { "ready_ms": u64::MAX, "stopped_ms": 0, "vram_mib": u64::MAX },
            "hold": { "hold": "maintain", "by": "lee", "since": "-009999-01-02T01:59:59Z", "reason": "rest" },
        }],
        "orphans": [], "goals": [{ "name": "narrate", "active": true, "met": false, "priority": 1, "services": ["web"] }],
        "gpus": [{
            "id": "GPU-a", "index": 0, "name": "RTX", "capacity_mib": u64::MAX, "reserve_mib": 512, "foreign_mib": u64::MAX,
            "foreign_holders": ["Xorg"], "declared_mib": u64::MAX, "measured_mib": 3, "used_mib": u64::MAX, "free_mib": 5,
            "declared": false, "lost": "it fell off the bus", "unreadable": null,
        }],
        "last_run": {
            "command": "lcm apply", "by": "kim", "ended_at": "9999-12-30T22:00:00Z", "exit_code": 3, "first_error": "no",
        },
        "open_run": {
            "run": "r1", "command": "lcm apply", "manifest": "lcm.yaml", "by": "kim",
            "began_at": "9999-12-30T22:00:00Z", "running": false,
        },
        "warnings": ["something is odd"],
    });
    serde_json::from_value(document).expect("a status")
}

fn check_markdown(show: impl Fn(bool) -> Output) -> Result<(), TestCaseError> {
    let [plain, dirty] = [false, true].map(&show);
    check_terminal(&dirty.replace('\u{200b}', ""), false)?;
    prop_assert_eq!(lines(&plain), lines(&dirty), "{}", dirty);
    let is_fence = |line: &str| line.starts_with("```");
    let mut fenced = false;
    for (was, is) in plain.lines().zip(dirty.lines()) {
        fenced ^= is_fence(is);
        prop_assert_eq!(is_fence(was), is_fence(is), "{}", is);
        if fenced || is_fence(is) || is.starts_with("<!--") {
            prop_assert!(!is.trim_start().starts_with("::"), "a command of a runner: {}", is);
            continue;
        }
        prop_assert_eq!(was.matches('|').count(), is.matches('|').count(), "{}", is);
        let bare = is.replace("<span>$</span>", "").replace("<details><summary>", "").replace("</summary>", "");
        let bare = bare.replace("</details>", "").replace("<!-- lcm plan", "").replace(" -->", "");
        prop_assert!(!bare.contains(['<', '>']), "{}", is);
        // Nothing is linked within code.
        let bare = CODE.replace_all(&bare.replace("\\`", "").replace("&#124;", ""), "").into_owned();
        for word in ["@kim", "#12", "http:/", "www.", "]("] {
            prop_assert!(!bare.replace("\\](", "").contains(word), "{word} in {is}");
        }
    }
    Ok(())
}

/// Returns tags with the names of their attributes, and the values of attributes that hold links. Text between
/// backticks is code, in foreign texts too.
fn tags(page: &str) -> Vec<String> {
    let tag = regex_lite::Regex::new("<[^>]*>").expect("a pattern");
    let value = regex_lite::Regex::new("(aria-label|content|datetime)=\"[^\"]*\"").expect("a pattern");
    let tags = tag.find_iter(page).map(|tag| tag.as_str()).filter(|tag| !["<code>", "</code>"].contains(tag));
    tags.map(|tag| value.replace_all(tag, "$1").into_owned()).collect()
}

/// Returns the fields of each row, parsed by RFC 4180.
fn rows(csv: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = csv.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => field.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            letter => field.push(letter),
        }
    }
    rows
}

fn history_of(text: &str) -> [History; 2] {
    let at = Timestamp::MAX;
    let text = || text.to_owned();
    let changes = TransitionLine {
        at,
        service: text().as_str().into(),
        from: State::Online,
        to: State::Failed,
        reason: text(),
        by: text(),
        run: text(),
        made: true,
        metadata: [(text(), text())].into(),
    };
    let call = CallLine {
        at,
        service: text().as_str().into(),
        run: text(),
        hook: text(),
        call: text(),
        took_ms: u64::MAX,
        error: Some(text()),
        output: text(),
    };
    let run = RunLine {
        run: text(),
        command: text(),
        manifest: text(),
        by: text(),
        began_at: Timestamp::MIN,
        ended_at: at,
        end: "completed".to_owned(),
        exit_code: 3,
        changed: true,
        first_error: Some(text()),
    };
    let open =
        OpenRun { run: text(), command: text(), manifest: text(), by: text(), began_at: Timestamp::MIN, running: true };
    let of = || History::of("studio".into());
    [
        History { transitions: Some(vec![changes]), calls: Some(vec![call]), ..of() },
        History { runs: Some(vec![run]), open_runs: vec![open], ..of() },
    ]
}

fn checked_of(text: &str) -> CheckedManifests {
    let text = || text.to_owned();
    let place = || ProblemLocation { file: text(), line: 1, column: 2 };
    let problem = |place: Option<ProblemLocation>| ProblemEntry {
        severity: ProblemSeverity::Error,
        code: "lcm::manifest::type".to_owned(),
        message: text(),
        label: text(),
        help: Some(text()),
        related: place.iter().map(|place| Related { place: place.clone(), label: text() }).collect(),
        place,
    };
    let problems = vec![problem(None), problem(Some(place()))];
    CheckedManifests::new(vec![CheckedFile { file: text(), valid: false, problems, warnings: vec![text()] }])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_is_harmless_in_every_form(hostile in hostile()) {
        let plans = both(&full(), &hostile);
        let standing = Freshness::Stale(vec![format!("- {}", hostile[0])]);
        check_texts(|dirty, style| text::plan(view(&plans[usize::from(dirty)], Purpose::Apply), TextOptions { verbose: true, style }))?;
        check_texts(|dirty, style| text::plan(saved(&plans[usize::from(dirty)], &standing), TextOptions { verbose: false, style }))?;
        check_json(&plans[1])?;
        prop_assert_eq!(&serde_json::from_str::<Plan>(&json::document(&plans[1])).expect("a plan"), &plans[1]);
        check_markdown(|dirty| markdown::plan(view(&plans[usize::from(dirty)], Purpose::Apply)))?;
        check_markdown(|dirty| markdown::plan(saved(&plans[usize::from(dirty)], &standing)))?;
        let [plain, dirty] = plans.each_ref().map(|plan| html::plan(saved(plan, &standing)));
        prop_assert_eq!(tags(&plain), tags(&dirty));
        check_terminal(&dirty, false)?;
        let [plain, dirty] = plans.each_ref().map(mermaid::plan);
        prop_assert_eq!(lines(&plain), lines(&dirty));
        let line = "^(flowchart LR|  end|  subgraph blocked \\[\"Blocked\"\\]|  n[0-9]+ --> n[0-9]+|\
                    ( *)[nb][0-9]+[\\[({>]{1,2}\"([A-Za-z0-9 .,-]|#[0-9]+;|<br/>)*\"[\\])}]{1,2})$";
        let line = regex_lite::Regex::new(line).expect("a pattern");
        prop_assert!(dirty.lines().all(|it| line.is_match(it)), "{}", dirty);
    }

    #[test]
    fn a_status_is_harmless_in_every_form(hostile in hostile()) {
        let statuses = both(&full_status(), &hostile);
        check_texts(|dirty, style| status::text(&statuses[usize::from(dirty)], &Outlooks::new(), true, style))?;
        check_json(&statuses[1])?;
        let wanted = BTreeSet::new();
        let [plain, dirty] = statuses.each_ref().map(|of| metrics::metrics(of, Beside { wanted: &wanted, version: "1" }));
        prop_assert_eq!(lines(&plain), lines(&dirty));
        check_terminal(&dirty, false)?;
        let series = "^[a-z_]+\\{[a-z]+=\"([^\"\\\\]|\\\\[\\\\n\"])*\"(,[a-z]+=\"([^\"\\\\]|\\\\[\\\\n\"])*\")*\\} -?[0-9]+$";
        let series = regex_lite::Regex::new(series).expect("a pattern");
        for line in dirty.lines().filter(|line| !line.starts_with("# ")) {
            prop_assert!(series.is_match(line), "{}", line);
        }
        let names: BTreeSet<&str> = dirty.lines().map(|line| line.rsplit_once(' ').map_or(line, |(name, _)| name)).collect();
        prop_assert_eq!(names.len(), lines(&dirty), "each series once");
    }

    #[test]
    fn a_history_and_problems_are_harmless_in_every_form(hostile in hostile()) {
        for at in 0..2 {
            let of = |dirty: bool| history_of(if dirty { &hostile[0] } else { "plain" })[at].clone();
            check_texts(|dirty, style| history::text(&of(dirty), &TimeZone::UTC, true, style))?;
            check_json(&of(true))?;
            let csv = history::csv(&of(true));
            let rows = rows(&csv);
            prop_assert!(rows.len() == 2 && rows.iter().all(|row| row.len() == 9 + at), "{}", csv);
            for field in rows.iter().flatten() {
                prop_assert!(!field.starts_with(['=', '+', '-', '@', '\t', '\r']) || field.starts_with("-009999"), "{}", field);
                prop_assert!(!field.replace(['\n', '\t'], "").contains(is_unseen), "{}", field);
            }
        }
        let checked = checked_of(&hostile[0]);
        check_json(&checked)?;
        let annotations = github::annotations(&checked);
        check_terminal(&annotations, false)?;
        prop_assert_eq!(lines(&annotations), 2);
        prop_assert!(annotations.lines().all(|line| line.starts_with("::error file=") || line.starts_with("::warning file=")));
        for line in annotations.lines() {
            let (head, _) = line[2..].split_once("::").expect("a message");
            prop_assert!(head.split(',').all(|part| part.contains('=') && !part.contains(':')), "{}", head);
        }
    }

    #[test]
    fn an_event_is_one_line_of_json(hostile in hostile()) {
        let text = || hostile[0].clone();
        let hook = EventKind::Hook {
            service: text().as_str().into(),
            hook: Point::PostStart,
            call: text(),
            outcome: CallOutcome::Failed,
            error: Some(text()),
            output: text(),
            took_ms: u64::MAX,
        };
        let failed = EventKind::StepFailed {
            step: text().as_str().into(),
            service: text().as_str().into(),
            error: text(),
            log: vec![text()],
            took_ms: u64::MAX,
            stages: Vec::new(),
        };
        for kind in [hook, failed, EventKind::Warning { message: text() }] {
            check_json(&Event::new(Timestamp::MAX, kind))?;
        }
    }
}
