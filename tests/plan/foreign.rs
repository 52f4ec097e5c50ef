//! A foreign process or container that holds a port of a service: it is not the service, though it answers as the
//! service would. It blocks the start by name, and is never touched.

use lcm::model::facts::{ListenerFact, ProbeFacts, ProbeReading, ProcessOwner, Reading};
use lcm::model::lifecycle::State;
use lcm::model::names::ServiceName;
use lcm::model::plan::{Purpose, Request};
use lcm::runtime::registry::observe;

use crate::house::{House, assert_lines, text};

fn manifest(run: &str) -> String {
    format!(
        "version: 1\nname: guests\ngpus: {{ devices: [{{ index: 0, vram: 24GiB }}] }}\nservices:\n  a: {{ {run}, vram: 16GiB, \
         health: {{ http: \"http://localhost:9000/\" }} }}\n  b: {{ process: {{ command: [b] }}, vram: 16GiB }}\n  c: {{ \
         process: {{ command: [c] }}, depends_on: [a] }}\nmodes: {{ on: {{ services: [a] }}, all: {{ services: [a, b, c] }}, \
         quiet: {{ services: [] }} }}\n"
    )
}

const RUNS: [&str; 2] =
    ["process: { command: [a] }", "docker: { image: \"a:1\", gpu_access: none, ports: [\"9000:9000\"] }"];
const TAKEN: &str =
    "blocked a [port_taken] port 9000 is held by python3 (pid 4711), which this project does not manage";

fn squat(house: &House, owner: &ProcessOwner) {
    house.sim.inject(|facts| {
        let program = Some("python3".to_owned());
        let owner = owner.clone();
        facts.listeners =
            Reading::Known(vec![ListenerFact { port: 9000, address: None, pid: Some(4711), program, owner }]);
        // The foreign process answers the probe. A service that does not run has no such reading, and none may count.
        let health = Some(ProbeReading::Passed);
        facts.probes.insert(ServiceName::new("a"), ProbeFacts { health, busy: None });
    });
}

fn squatted(run: &str, owner: &ProcessOwner) -> House {
    let house = House::new(&manifest(run));
    squat(&house, owner);
    house
}

#[test]
fn a_foreign_listener_blocks_the_service_by_name() {
    for run in RUNS {
        let house = squatted(run, &ProcessOwner::Foreign);
        assert_lines(&house.plan("on"), TAKEN);
        let lines = house.plan("all");
        assert!(lines.contains(TAKEN) && lines.contains("blocked c [dependency]"), "{run}: {lines}");
        assert!(lines.contains("start:b"), "unrelated services start: {run}: {lines}");
    }
    let owner = ProcessOwner::Service { project: "elsewhere".into(), service: "a".into() };
    assert_lines(
        &squatted(RUNS[0], &owner).plan("on"),
        "blocked a [port_taken] port 9000 is held by service a of project elsewhere, which this project does not manage",
    );
}

#[test]
fn the_service_does_not_need_the_port_of_a_proxy() {
    let manifest = manifest(RUNS[0]).replace("9000/\"", "9000/\", listener: any");
    let house = House::new(&manifest);
    squat(&house, &ProcessOwner::Foreign);
    assert_lines(&house.plan("on"), "start:a [wanted_by_mode] 16384 on gpu-0");
}

#[test]
fn a_service_whose_port_is_taken_reports_that_and_does_not_run() {
    for run in RUNS {
        let house = squatted(run, &ProcessOwner::Foreign);
        let desired = house.desired(Some("on"));
        let seen = observe(&house.inspect(&desired), &desired).services.remove(&ServiceName::new("a")).expect("a");
        assert!(seen.detail.ends_with("; port 9000 is held by python3 (pid 4711)"), "{run}: {}", seen.detail);
        assert!(seen.state.is_not_running() && !seen.holds_capacity, "{run}: {:?}", seen.state);
        assert_ne!(seen.state, State::Online);
    }
}

#[test]
fn a_foreign_listener_on_an_unneeded_port_is_left_alone() {
    for run in RUNS {
        assert_lines(&squatted(run, &ProcessOwner::Foreign).plan("quiet"), "");
    }
}

#[test]
fn our_services_are_still_stopped_by_down() {
    let house = House::new(&manifest(RUNS[1]));
    house.apply("on");
    house.apply("quiet");
    squat(&house, &ProcessOwner::Foreign);
    let down = Request { purpose: Purpose::Down, ..Request::default() };
    let plan = text(&house.plan_for(&house.desired(Some("on")), &down));
    assert!(plan.contains("remove:a [requested]"), "{plan}");
}
