//! A service that answers and is not ours: kept with a warning and counted once where it is wanted, named where it is in
//! the way, never touched.

use lcm::model::facts::{ListenerFact, Marks, Owner, ProbeFacts, ProbeReading, Reading};
use lcm::model::names::ServiceName;
use lcm::model::plan::{Purpose, Request};
use lcm::model::size::Mebibytes;

use crate::house::{House, assert_lines, text};

fn manifest(run: &str) -> String {
    format!(
        "version: 1\nname: guests\ngpus: {{ devices: [{{ index: 0, vram: 24GiB }}] }}\nservices:\n  a: {{ {run}, vram: 16GiB, \
         health: {{ http: \"http://localhost:9000/\" }} }}\n  b: {{ process: {{ command: [b] }}, vram: 16GiB }}\n  c: {{ \
         process: {{ command: [c] }}, depends_on: [a] }}\nmodes: {{ on: {{ services: [a] }}, all: {{ services: [a, b, c] }}, \
         off: {{ services: [] }} }}\n"
    )
}

const RUNS: [&str; 3] = [
    "process: { command: [a] }",
    "docker: { image: \"a:1\", gpu_access: none, ports: [\"9000:9000\"] }",
    "docker: { container: theirs }",
];

/// Somebody listens on the port of `a`, and answers its probe or does not.
fn visited(run: &str, owner: Owner, answers: bool) -> House {
    let house = House::new(&manifest(run));
    house.sim.meddle(|facts| {
        let program = Some("python3".to_owned());
        facts.listeners = Reading::Known(vec![ListenerFact { port: 9000, pid: Some(4711), program, owner }]);
        let failed = ProbeReading::Failed { failures: 1, detail: "503".to_owned() };
        let health = Some(if answers { ProbeReading::Passed } else { failed });
        facts.probes.insert(ServiceName::new("a"), ProbeFacts { health, busy: None });
    });
    house
}

#[test]
fn wanted_it_is_kept_with_a_warning_and_counted_once() {
    for run in RUNS {
        let house = visited(run, Owner::Stranger, true);
        let plan = house.plan_for(&house.desired(Some("on")), &Request::default());
        assert_lines(&text(&plan), "");
        assert!(plan.kept.iter().any(|kept| kept.message.contains("python3 (pid 4711)")), "{run}: {:?}", plan.kept);
        let warned =
            |warning: &String| warning.starts_with("a: what answers in its place is not lcm's: python3 (pid 4711);");
        assert!(plan.warnings.iter().any(warned), "{run}: {:?}", plan.warnings);
        assert_eq!(plan.gpus[0].before_mib, Mebibytes(16 << 10), "{run}");

        let lines = house.plan("all");
        assert!(lines.contains("start:c [wanted_by_mode]"), "what depends on it may start: {run}: {lines}");
        assert!(lines.contains("blocked b [no_room]"), "its memory is not given away: {run}: {lines}");
    }
}

#[test]
fn another_projects_memory_is_counted_by_its_marks_alone() {
    let owner = Owner::Service { project: "elsewhere".into(), service: "a".into() };
    let house = visited(RUNS[0], owner, true);
    house.sim.meddle(|facts| {
        let tree = lcm::model::facts::TreeFact {
            marks: Marks {
                project: "elsewhere".into(),
                service: "a".into(),
                salt: "s".into(),
                gpus: "gpu-0".into(),
                vram_mib: 1024,
                ..Marks::default()
            },
            adopted: false,
            shim: None,
            members: vec![lcm::model::facts::ProcessFact { pid: 4711, start_ticks: 1, program: "python3".into() }],
            started_at: None,
            exit: None,
            suspended: false,
            uid: None,
            lost_shim: None,
        };
        facts.trees = Reading::Known(vec![tree]);
    });
    let plan = house.plan_for(&house.desired(Some("on")), &Request::default());
    assert_lines(&text(&plan), "");
    assert_eq!(plan.gpus[0].before_mib, Mebibytes(1024));
}

#[test]
fn one_that_does_not_answer_blocks_the_start_and_is_named() {
    for run in &RUNS[..2] {
        let house = visited(run, Owner::Stranger, false);
        assert_lines(
            &house.plan("on"),
            "blocked a [port_taken] port 9000 is held by python3 (pid 4711), which lcm does not touch",
        );
    }
}

#[test]
fn off_it_is_named_and_left() {
    for run in RUNS {
        let house = visited(run, Owner::Stranger, true);
        assert_lines(
            &house.plan("off"),
            "blocked a [not_ours] it is not in mode off, but what answers in its place is not lcm's to stop: python3 (pid 4711)",
        );
    }
}

#[test]
fn what_is_ours_beside_it_still_goes_on_down() {
    let house = House::new(&manifest(RUNS[1]));
    house.apply("on");
    house.apply("off");
    house.sim.meddle(|facts| {
        let program = Some("python3".to_owned());
        let owner = Owner::Stranger;
        facts.listeners = Reading::Known(vec![ListenerFact { port: 9000, pid: Some(4711), program, owner }]);
        let health = Some(ProbeReading::Passed);
        facts.probes.insert(ServiceName::new("a"), ProbeFacts { health, busy: None });
    });
    assert_lines(&house.plan("on"), "");
    let down = Request { purpose: Purpose::Down, ..Request::default() };
    let plan = text(&house.plan_for(&house.desired(Some("on")), &down));
    assert!(plan.contains("remove:a [requested]"), "{plan}");
}
