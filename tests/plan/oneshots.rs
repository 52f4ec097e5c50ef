//! `lcm start`, `stop` and `restart`: the named services, their dependencies, and nothing else.

use lcm::model::lifecycle::State;
use lcm::model::plan::{Purpose, Request};
use lcm::runtime::registry::observe;
use lcm::sim::Behaviour;

use crate::house::{House, assert_lines};

const STUDIO: &str = r#"
version: 1
name: studio
gpus: { devices: [{ index: 0, vram: 24GiB }] }
services:
  encoder: { docker: { image: "encoder:1" }, vram: 2GB, priority: 60 }
  painter: { process: { command: [paint] }, vram: 10GB, priority: 100, depends_on: [encoder] }
  viewer: { process: { command: [view] }, vram: 1GB, priority: 5, depends_on: { encoder: { condition: service_started, restart: true } } }
  writer: { process: { command: [write] }, vram: 14GB, priority: 50 }
modes:
  paint: { services: [painter] }
  all: { services: [painter, viewer] }
  write: { services: [writer] }
  rest: { services: [] }
"#;

fn one_shot(purpose: Purpose, targets: &[&str]) -> Request {
    let targets = targets.iter().map(|name| (*name).into()).collect();
    Request { purpose, targets, ..Request::default() }
}

/// Applies a one-shot in the mode `paint`, which does not affect it.
fn carry_out(house: &House, request: &Request) {
    let outcome = house.try_apply(&house.desired(Some("paint")), request);
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(outcome.last_plan.expect("a plan").steps, []);
}

fn runs(house: &House) -> Vec<String> {
    let desired = house.desired(Some("paint"));
    let services = observe(&house.inspect(&desired), &desired).services;
    services.iter().filter(|(_, seen)| seen.holds_capacity).map(|(name, _)| name.to_string()).collect()
}

#[test]
fn a_start_wants_the_named_services_and_their_dependencies_and_leaves_the_rest() {
    let house = House::new(STUDIO);
    house.apply("rest");
    let start = one_shot(Purpose::Start, &["painter"]);
    assert_lines(
        &house.plan_with("write", &start),
        "start:encoder [wanted_by_dependency] 1908 on gpu-0
         start:painter [requested] 9537 on gpu-0 after start:encoder",
    );
    carry_out(&house, &start);
    carry_out(&house, &one_shot(Purpose::Start, &["viewer"]));
    assert_eq!(runs(&house), ["encoder", "painter", "viewer"]);
    assert_lines(&house.plan_with("write", &start), "");
}

#[test]
fn a_start_preempts_only_lower_priorities() {
    let house = House::new(STUDIO);
    house.apply("write");
    assert_lines(
        &house.plan_with("write", &one_shot(Purpose::Start, &["painter"])),
        "stop:writer [preempted] 13352 on gpu-0
         start:encoder [wanted_by_dependency] 1908 on gpu-0
         start:painter [requested] 9537 on gpu-0 after stop:writer, start:encoder",
    );
    let house = House::new(&STUDIO.replace("priority: 50", "priority: 100"));
    house.apply("write");
    let refused = house.plan_with("write", &one_shot(Purpose::Start, &["painter"]));
    assert!(refused.contains("blocked painter [no_capacity]") && !refused.contains("stop:"), "{refused}");
}

#[test]
fn a_stop_stops_running_dependents_too() {
    let house = House::new(STUDIO);
    house.apply("all");
    let stop = one_shot(Purpose::Stop, &["encoder"]);
    assert_lines(
        &house.plan_with("all", &stop),
        "stop:viewer [dependency] 954 on gpu-0
         stop:painter [dependency] 9537 on gpu-0
         stop:encoder [requested] 1908 on gpu-0 after stop:painter, stop:viewer",
    );
    carry_out(&house, &stop);
    assert!(runs(&house).is_empty());
    carry_out(&house, &stop);
    house.apply("all");
    carry_out(&house, &one_shot(Purpose::Stop, &["viewer"]));
    assert_eq!(runs(&house), ["encoder", "painter"]);
}

#[test]
fn a_restart_includes_dependents_that_declare_it_and_happens_once() {
    let house = House::new(STUDIO);
    house.apply("all");
    let before = house.sim.effects();
    let restart = one_shot(Purpose::Restart, &["encoder"]);
    assert_lines(
        &house.plan_with("all", &restart),
        "stop:viewer [dependency] 954 on gpu-0
         stop:encoder [requested] 1908 on gpu-0 after stop:viewer
         start:encoder [requested] 1908 on gpu-0 after stop:encoder
         start:viewer [dependency] 954 on gpu-0 after stop:viewer, start:encoder",
    );
    carry_out(&house, &restart);
    assert_eq!(runs(&house), ["encoder", "painter", "viewer"]);
    let deeds: Vec<String> =
        house.sim.log()[before..].iter().map(|effect| format!("{:?} {}", effect.deed, effect.service)).collect();
    assert_eq!(deeds, ["Stop viewer", "Stop encoder", "Start encoder", "Start viewer"]);
    // A service that does not run is only started.
    carry_out(&house, &one_shot(Purpose::Stop, &["painter"]));
    carry_out(&house, &one_shot(Purpose::Restart, &["painter"]));
    assert_eq!(runs(&house), ["encoder", "painter", "viewer"]);
}

#[test]
fn a_restart_that_fails_is_not_tried_twice() {
    let house = House::new(STUDIO);
    house.apply("all");
    house
        .sim
        .set_behaviour("painter", Behaviour { start_error: Some("no such file".to_owned()), ..Behaviour::default() });
    let outcome = house.try_apply(&house.desired(Some("all")), &one_shot(Purpose::Restart, &["painter"]));
    assert_eq!(outcome.failures.len(), 1);
    assert_eq!(runs(&house), ["encoder", "viewer"]);
    let desired = house.desired(Some("all"));
    assert_eq!(observe(&house.inspect(&desired), &desired).services[&"painter".into()].state, State::Offline);
}

#[test]
fn a_one_shot_leaves_orphans_alone() {
    let house = House::new(STUDIO);
    house.apply("all");
    let without = STUDIO.replace("  viewer:", "  unseen:").replace("painter, viewer", "painter");
    house.rewrite(&without.replace("name: studio\n", "name: studio\norphans: stop\n"));
    let plan = house.plan_with("paint", &one_shot(Purpose::Start, &["painter"]));
    assert_lines(&plan, "orphan viewer: pid 100007 (view) of uid 0; left as it is");
}
