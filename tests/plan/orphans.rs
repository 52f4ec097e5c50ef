//! Orphans with our marks, objects of other projects, and `down`.

use lcm::model::facts::Marks;
use lcm::model::lifecycle::State;
use lcm::model::plan::{Purpose, Request};
use lcm::runtime::docker::facts::DockerReading as _;
use lcm::runtime::process::facts::ProcessReading as _;

use crate::house::{House, assert_lines, text};

const BEFORE: &str = r#"
version: 1
name: yard
services:
  a: { docker: { image: "a:1" }, stop: { grace: 3s } }
  b: { process: { command: [b] } }
"#;

const AFTER: &str = r"
version: 1
name: yard
services:
  b: { process: { command: [b] } }
";

fn request(prune: bool) -> Request {
    Request { prune, ..Request::default() }
}

#[test]
fn an_orphan_is_reported_and_stopped_only_on_request() {
    let house = House::new(BEFORE);
    house.apply_for(&house.desired(None), &request(false));
    house.rewrite(AFTER);
    let desired = house.desired(None);
    assert_lines(
        &text(&house.plan_for(&desired, &request(false))),
        "orphan a: container yard-a (sim00000001); only reported; `lcm apply --prune` stops and removes it",
    );
    assert_lines(
        &text(&house.plan_for(&desired, &request(true))),
        "stop:a [orphaned]
         remove:a [orphaned] after stop:a
         orphan a: container yard-a (sim00000001); this plan stops it",
    );
    house.apply_for(&desired, &request(true));
}

#[test]
fn down_leaves_nothing_of_ours_and_does_not_touch_the_rest() {
    let house = House::new(BEFORE);
    house.apply_for(&house.desired(None), &request(false));
    house.sim.inject(|facts| {
        let containers = facts.docker_mut().containers.known_mut().expect("containers");
        let mut foreign = containers[0].clone();
        foreign.id = "f".repeat(64);
        foreign.name = "precious".to_owned();
        foreign.marks = None;
        let mut other = foreign.clone();
        other.id = "e".repeat(64);
        other.name = "others".to_owned();
        other.marks = Some(Marks { project: "elsewhere".to_owned(), service: "a".to_owned(), ..Marks::default() });
        containers.extend([foreign, other]);
    });
    let down = Request { purpose: Purpose::Down, ..Request::default() };
    let desired = house.desired(None);
    assert_lines(
        &text(&house.plan_for(&desired, &down)),
        "stop:a [requested]
         stop:b [requested]
         remove:a [requested] after stop:a",
    );
    house.apply_for(&desired, &down);
    let names: Vec<String> = house
        .sim
        .world()
        .docker()
        .containers
        .known()
        .expect("containers")
        .iter()
        .map(|found| found.name.clone())
        .collect();
    assert_eq!(names, ["precious", "others"]);
}

#[test]
fn a_container_of_another_project_blocks_and_is_named() {
    let house = House::new(BEFORE);
    house.apply_for(&house.desired(None), &request(false));
    house.sim.inject(|facts| {
        let found = &mut facts.docker_mut().containers.known_mut().expect("containers")[0];
        found.marks.as_mut().expect("marks").project = "elsewhere".to_owned();
    });
    assert_lines(
        &text(&house.plan_for(&house.desired(None), &request(false))),
        "blocked a [not_ours] it would need container yard-a of lcm project elsewhere; lcm does not touch that",
    );
}

#[test]
fn an_existing_container_is_never_created() {
    let house = House::new("version: 1\nname: yard\nservices:\n  a: { docker: { container: mine } }\n");
    assert_lines(
        &text(&house.plan_for(&house.desired(None), &request(false))),
        "blocked a [container_missing] container mine does not exist; create it first: lcm only starts and stops it",
    );
}

#[test]
fn a_service_that_is_paused_without_a_hold_is_resumed() {
    let house = House::new(BEFORE);
    let desired = house.desired(None);
    house.apply_for(&desired, &request(false));
    house.sim.inject(|facts| {
        for tree in facts.processes_mut().trees.known_mut().expect("trees") {
            tree.suspended = true;
        }
    });
    let plan = house.plan_for(&desired, &request(false));
    assert_lines(&text(&plan), "unpause:b [settings_changed]");
    assert!(plan.kept.iter().any(|kept| kept.service.as_str() == "a" && kept.state == State::Online));
}
