//! A switch of modes stops nothing in vain where the obstacle is known beforehand: services that the new mode merely
//! does not name keep running while a wanted one can't start, unless a service that can start needs their memory or
//! port.

use lcm::apply::RunResult;
use lcm::model::facts::{GpuHolder, ListenerFact, ProbeFacts, ProbeReading, ProcessOwner, Reading};
use lcm::model::holds::Hold;
use lcm::model::names::ServiceName;
use lcm::model::plan::{Plan, ReasonCode, Request};
use lcm::model::size::Mebibytes;
use lcm::runtime::docker::facts::DockerReading as _;
use lcm::sim::Behaviour;

use crate::gpus::driven_house;
use crate::house::{House, assert_lines, text};

/// Manifest in which `old` depends on `base` and has the highest priority; `new` is the definition of the test.
fn manifest(new: &str, more: &str) -> String {
    format!(
        "version: 1
name: studio
services:
  base: {{ process: {{ command: [base] }} }}
  old: {{ process: {{ command: [old] }}, vram: 18GiB, priority: 90, health: {{ http: \"http://localhost:9001/\" }}, depends_on: [base] }}
  side: {{ process: {{ command: [side] }}, vram: 1GiB }}
  small: {{ process: {{ command: [small] }}, vram: 4GiB, priority: -5 }}
  large: {{ process: {{ command: [large] }}, vram: 8GiB, priority: -5 }}
  sharer: {{ process: {{ command: [sharer] }}, health: {{ http: \"http://localhost:9001/\" }}, priority: -5 }}
  new: {new}
modes:
  old: {{ services: [old, side] }}
  new: {{ services: [new] }}
  small: {{ services: [new, small] }}
  large: {{ services: [new, large] }}
  sharer: {{ services: [new, sharer] }}
  against: {{ services: [new], stop: [base] }}
{more}"
    )
}

/// Service that can't start on any GPU.
const LACKING: &str = "{ process: { command: [new], environment: { T: { env: ABSENT_TOKEN } } }, vram: 18GiB }";
const PLAIN: &str = "{ process: { command: [new] }, vram: 18GiB }";

/// House in which mode old runs.
fn house(new: &str, more: &str) -> House {
    let house = driven_house(&manifest(PLAIN, ""), &[0]);
    house.apply("old");
    house.rewrite(&manifest(new, more));
    house
}

fn plan(house: &House, mode: &str, request: &Request) -> Plan {
    house.plan_for(&house.desired(Some(mode)), request)
}

fn apply(house: &House, mode: &str) -> RunResult {
    house.try_apply(&house.desired(Some(mode)), &Request::default())
}

fn left(plan: &Plan) -> Vec<&str> {
    plan.left.iter().map(|left| left.service.as_str()).collect()
}

fn squat(house: &House) {
    house.sim.inject(|facts| {
        let program = Some("python3".to_owned());
        let listener =
            ListenerFact { port: 9000, address: None, pid: Some(4711), program, owner: ProcessOwner::Foreign };
        let Reading::Known(listeners) = &mut facts.listeners else { panic!("ports are known") };
        listeners.push(listener);
        let health = Some(ProbeReading::Passed);
        facts.probes.insert(ServiceName::new("new"), ProbeFacts { health, busy: None });
    });
}

fn nothing(_: &House) {}

/// Adds a foreign program that takes 4 GiB.
fn foreign(house: &House) {
    house.sim.inject(|facts| {
        let holder = GpuHolder {
            pid: 4712,
            program: "blender".to_owned(),
            memory: Some(Mebibytes(4 << 10)),
            owner: ProcessOwner::Foreign,
        };
        facts.gpus.known_mut().expect("GPUs")[0].holders.push(holder);
    });
}

fn no_driver(house: &House) {
    house.sim.inject(|facts| facts.gpus = Reading::Unknown("no answer from the driver".to_owned()));
}

fn no_engine(house: &House) {
    house.sim.inject(|facts| facts.docker_mut().containers = Reading::Unknown("the engine does not answer".to_owned()));
}

#[test]
fn the_old_one_keeps_running_for_every_obstacle_of_the_new_one() {
    type Case = (&'static str, &'static str, fn(&House), ReasonCode);
    let deny = "lifecycle: { deny: [{ to: starting, services: new, reason: not today }] }";
    let cases: [Case; 9] = [
        ("{ process: { command: [new] }, vram: 22GiB }", "", foreign, ReasonCode::NoCapacity),
        ("{ process: { command: [new] }, gpu: 7, vram: 1GiB }", "", nothing, ReasonCode::NoCapacity),
        ("{ process: { command: [new] }, vram: 18GiB, gpu: 0 }", "", no_driver, ReasonCode::Unknown),
        (LACKING, "", nothing, ReasonCode::SecretMissing),
        (PLAIN, deny, nothing, ReasonCode::Rule),
        (
            "{ process: { command: [new] }, health: { http: \"http://localhost:9000/\" } }",
            "",
            squat,
            ReasonCode::PortTaken,
        ),
        ("{ docker: { container: theirs }, gpu: none }", "", nothing, ReasonCode::ContainerMissing),
        ("{ docker: { image: \"new:1\", gpu_access: none } }", "", no_engine, ReasonCode::Unknown),
        (
            "{ process: { command: [new] }, depends_on: [gone] }\n  gone: { docker: { container: gone } }",
            "",
            nothing,
            ReasonCode::Dependency,
        ),
    ];
    for (new, more, change, code) in cases {
        let house = house(new, more);
        change(&house);
        let plan = plan(&house, "new", &Request::default());
        assert_eq!(plan.steps.len(), 0, "{new}: {}", text(&plan));
        assert_eq!(left(&plan), ["base", "old", "side"], "{new}");
        let reason = plan.blocked.iter().find(|it| it.service == "new".into()).map(|it| it.reason.code);
        assert_eq!(reason, Some(code), "{new}");
        assert!(plan.left[1].waits_for.contains(&"new".into()), "{:?}", plan.left);
    }
}

#[test]
fn a_service_that_fits_beside_it_starts_and_stops_nothing() {
    let house = house(LACKING, "");
    let text = house.plan("small");
    assert!(text.starts_with("start:small [wanted_by_mode] 4096 on GPU-0\nblocked new"), "{text}");
    assert!(text.ends_with("left base until new\nleft old until new\nleft side until new\n"), "{text}");
    house.apply("small");
}

#[test]
fn it_is_preempted_by_a_start_that_needs_its_memory_at_any_priority() {
    let house = house(LACKING, "");
    let plan = plan(&house, "large", &Request::default());
    let steps: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(steps, ["stop:old", "start:large"]);
    let why = &plan.steps[0].reason;
    assert_eq!((why.code, why.by.as_deref()), (ReasonCode::NotInMode, Some("large")));
    assert_eq!(why.message, "not part of mode large; preempted by large");
    // Its dependency is not needed by the service that starts.
    assert_eq!(left(&plan), ["base", "side"]);
    house.apply("large");
}

#[test]
fn it_is_preempted_by_a_start_that_needs_its_port() {
    let house = house(LACKING, "");
    let plan = plan(&house, "sharer", &Request::default());
    let steps: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!((steps, left(&plan)), (vec!["stop:old", "start:sharer"], vec!["base", "side"]));
    house.apply("sharer");
}

#[test]
fn a_stop_list_wins_and_stops_dependents_too() {
    let house = house(LACKING, "");
    let plan = plan(&house, "against", &Request::default());
    let steps: Vec<(&str, ReasonCode)> = plan.steps.iter().map(|step| (step.id.as_str(), step.reason.code)).collect();
    assert_eq!(steps, [("stop:old", ReasonCode::NotInMode), ("stop:base", ReasonCode::StoppedByMode)]);
    assert_eq!(left(&plan), ["side"]);
    house.apply("against");
}

#[test]
fn force_stops_all_and_strict_nothing() {
    let house = house(LACKING, "");
    let force = plan(&house, "new", &Request { force: true, ..Request::default() });
    let stops: Vec<&str> = force.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!((stops, left(&force).len()), (vec!["stop:side", "stop:old", "stop:base"], 0));
    let strict = plan(&house, "small", &Request { strict: true, ..Request::default() });
    assert_eq!((strict.steps.len(), strict.left.len()), (0, 0));
}

#[test]
fn a_held_service_makes_nothing_wait() {
    let house = house(PLAIN, "");
    house.set_hold("new", Some(Hold::Terminate));
    assert_lines(
        &house.plan("new"),
        "stop:side [not_in_mode] 1024 on GPU-0
         stop:old [not_in_mode] 18432 on GPU-0
         stop:base [not_in_mode] after stop:old
         held new [terminated]",
    );
}

#[test]
fn a_service_that_cannot_be_prepared_stops_nothing_however_often_it_is_tried() {
    let house = house(PLAIN, "");
    house.sim.set_behaviour(
        "new",
        Behaviour { prepare_error: Some("no such program: new".to_owned()), ..Behaviour::default() },
    );
    let before = house.sim.effects();
    // A service that was never started spends no attempt of its budget.
    for _ in 0..5 {
        let outcome = apply(&house, "new");
        assert_eq!(outcome.failures.len(), 1);
        assert_eq!((outcome.changed, house.sim.effects()), (false, before), "nothing was done");
        let last = outcome.last_plan.expect("a plan");
        assert_eq!(left(&last), ["base", "old", "side"]);
        assert_eq!(last.steps.len(), 0, "{}", text(&last));
    }
    house.sim.clear_behaviours();
    house.apply("new");
    assert_eq!(plan(&house, "new", &Request::default()).left.len(), 0);
}
