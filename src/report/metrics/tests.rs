//! The exposition as a strict reader of the format sees it, and as a golden text.

use std::collections::{BTreeMap, BTreeSet};

use insta::assert_snapshot;
use jiff::Timestamp;

use super::{Beside, metrics};
use crate::model::lifecycle::State;
use crate::model::size::Mebibytes;
use crate::report::status::{
    BudgetLine, FORMAT, GoalLine, GpuStatus, HoldLine, LastRun, OrphanStatus, ServiceLine, Status,
};

fn service(name: &str, state: State) -> ServiceLine {
    ServiceLine { priority: 50, vram_declared_mib: Mebibytes(2_048), ..ServiceLine::plain(name, state) }
}

fn status() -> Status {
    let at = |second| Timestamp::from_second(second).expect("in range");
    let web = ServiceLine {
        gpus: vec!["GPU-0".into()],
        vram_measured_mib: Some(Mebibytes(1_900)),
        since: Some(at(1_763_700_000)),
        ..service("web", State::Busy)
    };
    let budget = BudgetLine { attempts: 3, spent: 3, last_at: at(0), held: true, due: None };
    let hold =
        HoldLine { kind: "maintain".to_owned(), by: "kim".to_owned(), since: at(0), reason: Some("disk".to_owned()) };
    let gpu = GpuStatus {
        id: "GPU-0".into(),
        index: 0,
        name: "NVIDIA \"RTX\" 4090\\B\nnext".to_owned(),
        capacity_mib: Mebibytes(24_564),
        reserve_mib: Mebibytes(512),
        foreign_mib: Mebibytes(379),
        foreign_holders: Vec::new(),
        declared_mib: Mebibytes(2_048),
        measured_mib: None,
        used_mib: Mebibytes(2_427),
        free_mib: Mebibytes(21_625),
        declared: true,
        lost: None,
        unreadable: None,
    };
    Status {
        format: FORMAT.to_owned(),
        project: "studio".into(),
        mode: Some("paint".into()),
        modes: Vec::new(),
        switched: None,
        host: "box".to_owned(),
        engine: None,
        observed_at: at(1_763_719_200),
        services: vec![
            ServiceLine { budget: Some(budget), ..service("tts", State::Failed) },
            ServiceLine { known: false, since: Some(at(0)), hold: Some(hold), ..service("vision", State::Maintenance) },
            web,
        ],
        orphans: vec![OrphanStatus { name: "old".into(), carrier: None, state: State::Offline }],
        claimed: Vec::new(),
        gpus: vec![gpu],
        memory: None,
        goals: vec![GoalLine {
            name: "narrate".into(),
            active: true,
            met: false,
            priority: 60,
            services: vec!["tts".into()],
        }],
        last_run: Some(LastRun {
            command: "lcm apply".to_owned(),
            by: "kim".to_owned(),
            ended_at: at(1_763_719_000),
            end: "completed".to_owned(),
            exit_code: 3,
            first_error: None,
        }),
        open_run: None,
        warnings: Vec::new(),
    }
}

fn exposed(status: &Status) -> String {
    metrics(status, Beside { wanted: &BTreeSet::from(["web".into(), "tts".into()]), version: "0.1.0" }).to_string()
}

#[test]
fn a_status_is_exposed_whole() {
    assert_snapshot!(exposed(&status()));
}

#[test]
fn a_strict_reader_understands_every_line() {
    let read = read(&exposed(&status()));
    let of = |name: &str, label: &str, is: &str| {
        let labels = [("project", "studio"), (label, is)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        read[name].iter().find(|(found, _)| labels.iter().all(|pair| found.contains(pair))).expect("a series").1
    };
    assert!((of("lcm_service_up", "service", "web") - 1.0).abs() < f64::EPSILON);
    assert!((of("lcm_gpu_memory_capacity_bytes", "index", "0") - 24_564.0 * 1_048_576.0).abs() < f64::EPSILON);
    assert!((of("lcm_gpu_info", "name", "NVIDIA \"RTX\" 4090\\B\nnext") - 1.0).abs() < f64::EPSILON);
    let held = |service| of("lcm_service_held", "service", service) > 0.5;
    assert_eq!(["tts", "vision", "web"].map(held), [true, true, false]);

    // A service that could not be read is reported as unknown, without a guess.
    assert!(of("lcm_service_known", "service", "vision") < 0.5);
    let vision = ("service".to_owned(), "vision".to_owned());
    for name in ["lcm_service_up", "lcm_service_state", "lcm_service_since_timestamp_seconds"] {
        assert!(read[name].iter().all(|(labels, _)| !labels.contains(&vision)), "{name}");
    }

    // In a set of states each service has exactly one.
    let mut sums: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    for (labels, value) in &read["lcm_service_state"] {
        let service = labels.iter().find(|(name, _)| name == "service").expect("a service").1.clone();
        let sum = sums.entry(service).or_default();
        *sum = (sum.0 + 1, sum.1 + value);
    }
    assert_eq!(sums.keys().collect::<Vec<_>>(), ["tts", "web"], "the third is unknown");
    assert!(sums.values().all(|(count, sum)| *count == State::ALL.len() && (sum - 1.0).abs() < f64::EPSILON));
}

#[test]
fn a_missing_value_is_omitted_and_not_zero() {
    let bare = Status { services: Vec::new(), gpus: Vec::new(), goals: Vec::new(), last_run: None, ..status() };
    let names: Vec<String> = read(&exposed(&bare)).into_keys().collect();
    assert_eq!(names, ["lcm_info", "lcm_observed_timestamp_seconds", "lcm_orphans", "lcm_warnings"]);
    assert!(!read(&exposed(&status())).contains_key("lcm_gpu_memory_measured_bytes"));
}

type Labels = BTreeSet<(String, String)>;

/// Parses the text format by its specification (`prometheus.io/docs/instrumenting/exposition_formats`), and refuses all
/// else.
fn read(text: &str) -> BTreeMap<String, Vec<(Labels, f64)>> {
    assert!(text.ends_with('\n') && !text.contains("\n\n"), "each line has its end, and none is empty");
    let mut read: BTreeMap<String, Vec<(Labels, f64)>> = BTreeMap::new();
    let mut lines = text.lines().peekable();
    while let Some(help) = lines.next() {
        let (name, told) = help.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')).expect("a HELP first");
        assert!(!told.contains('\\') && told.ends_with('.'), "{help}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{help}");
        assert_eq!(lines.next(), Some(format!("# TYPE {name} gauge").as_str()));
        let mut series = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (labels, value) =
                labels(line.strip_prefix(name).and_then(|rest| rest.strip_prefix('{')).expect("of it"));
            let value = value.strip_prefix(' ').and_then(|value| value.parse().ok());
            assert!(series.iter().all(|(other, _)| *other != labels), "twice: {line}");
            series.push((labels, value.unwrap_or_else(|| panic!("no value: {line}"))));
        }
        assert!(!series.is_empty(), "no series of {name}");
        assert!(read.insert(name.to_owned(), series).is_none(), "{name} in two places");
    }
    read
}

/// Returns the labels up to the brace, and the rest.
fn labels(text: &str) -> (Labels, &str) {
    let (mut labels, mut rest) = (Labels::new(), text);
    loop {
        let (name, after) = rest.split_once("=\"").expect("a label");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        let (mut value, mut letters) = (String::new(), after.char_indices());
        let end = loop {
            match letters.next().expect("an end of the value") {
                (end, '"') => break end,
                (_, '\\') => value.push(match letters.next().expect("an escaped letter").1 {
                    'n' => '\n',
                    letter @ ('\\' | '"') => letter,
                    letter => panic!("\\{letter} is no escape"),
                }),
                (_, letter) => value.push(letter),
            }
        };
        assert!(labels.insert((name.to_owned(), value)), "{name} twice");
        rest = &after[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return (labels, rest.strip_prefix('}').expect("a brace")),
        }
    }
}
