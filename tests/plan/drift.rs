//! Drift of running services from the manifest, and the recreations that follow.

use std::collections::BTreeMap;

use lcm::model::facts::{ExitFact, ProbeReading};
use lcm::model::plan::Request;
use lcm::runtime::docker::facts::DockerReading as _;
use lcm::runtime::process::facts::ProcessReading as _;

use crate::house::{House, assert_lines, text};

fn manifest(mode: &str, extra: &str) -> String {
    format!(
        r#"
version: 1
name: drift
services:
  api:
    docker: {{ image: "api:1", environment: {{ MODE: {mode}, TOKEN: {{ env: TOKEN }} }} }}
  web: {{ process: {{ command: [web] }}, depends_on: {{ api: {{ condition: service_healthy, restart: true }} }} }}
  log: {{ process: {{ command: [log] }}, depends_on: [api] }}
modes:
  on: {{ services: [web, log] }}
  {extra}
"#
    )
}

#[test]
fn a_changed_spec_recreates_the_service_and_dependents_that_restart_with_it() {
    let house = House::new(&manifest("fast", ""));
    house.apply("on");
    assert_lines(&house.plan("on"), "");
    house.rewrite(&manifest("slow", ""));
    assert_lines(
        &house.plan("on"),
        "stop:web [dependency]
         stop:api [spec_changed] after stop:web
         start:api [spec_changed] after stop:api
         start:web [dependency] after stop:web, start:api",
    );
    let plan = house.plan_for(&house.desired(Some("on")), &Request::default());
    let diff = plan.steps.iter().find_map(|step| step.diff.as_deref()).expect("a diff");
    assert!(diff.contains("-  MODE: fast\n+  MODE: slow"), "{diff}");
    assert!(!diff.contains("s3cret-token"), "{diff}");
    house.apply("on");
}

#[test]
fn a_changed_secret_recreates_and_a_missing_one_blocks_only_a_start() {
    let house = House::new(&manifest("fast", ""));
    house.apply("on");
    let other = house.desired_with(Some("on"), &BTreeMap::from([("TOKEN".to_owned(), "another".to_owned())]));
    let plan = house.plan_for(&other, &Request::default());
    assert!(text(&plan).contains("stop:api [secret_changed]"), "{}", text(&plan));
    let none = house.desired_with(Some("on"), &BTreeMap::new());
    assert_lines(&text(&house.plan_for(&none, &Request::default())), "");

    let fresh = House::new(&manifest("fast", ""));
    let plan = text(&fresh.plan_for(&fresh.desired_with(Some("on"), &BTreeMap::new()), &Request::default()));
    assert!(plan.contains("blocked api [secret_missing]"), "{plan}");
    assert!(plan.contains("blocked log [dependency]"), "{plan}");
    assert!(!plan.contains("start:"), "{plan}");
}

#[test]
fn kept_services_do_not_follow_the_manifest() {
    let house = House::new(&manifest("fast", "idle: { services: [], others: keep }"));
    house.apply("on");
    house.rewrite(&manifest("slow", "idle: { services: [], others: keep }"));
    assert_lines(&house.plan("idle"), "");
    let plan = house.plan_for(&house.desired(Some("idle")), &Request::default());
    let kept: Vec<String> = plan.kept.iter().map(|kept| format!("{}: {}", kept.service, kept.message)).collect();
    let expected = [
        "api: it may keep running, though it differs from the manifest: its spec has changed in the \
         manifest",
        "log: it may keep running",
        "web: it may keep running",
    ];
    assert_eq!(kept, expected);
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
}

#[test]
fn a_moved_image_recreates() {
    let house = House::new(&manifest("fast", ""));
    house.apply("on");
    house.sim.inject(|facts| facts.docker_mut().containers.known_mut().expect("containers")[0].image_moved = true);
    assert!(house.plan("on").contains("start:api [image_changed] after stop:api"), "{}", house.plan("on"));
    house.apply("on");
}

#[test]
fn a_killed_service_is_started_again_and_nothing_else() {
    let house = House::new(&manifest("fast", ""));
    house.apply("on");
    house.sim.inject(|facts| {
        for tree in facts
            .processes_mut()
            .trees
            .known_mut()
            .expect("trees")
            .iter_mut()
            .filter(|tree| tree.marks.service == "log")
        {
            tree.members.clear();
            tree.shim = None;
            tree.exit = Some(ExitFact { code: None, signal: Some(9), at: None });
        }
    });
    assert_lines(&house.plan("on"), "start:log [exited]");
    house.apply("on");
}

#[test]
fn a_service_that_stopped_answering_is_restarted() {
    let house = House::new(
        "version: 1\nname: sick\nservices:\n  a: { process: { command: [a] }, health: { tcp: \"localhost:9\", timeout: 1s } }\n",
    );
    let desired = house.desired(None);
    let request = Request::default();
    house.apply_for(&desired, &request);
    let sick = lcm::sim::Behaviour { never_healthy: true, ..Default::default() };
    house.sim.set_behaviour("a", sick);
    house.sim.inject(|facts| {
        facts.observed_at = "2026-01-03T00:00:00Z".parse().expect("a time");
        for tree in facts.processes_mut().trees.known_mut().expect("trees") {
            tree.started_at = Some("2026-01-01T00:00:00Z".parse().expect("a time"));
        }
    });
    let plan = text(&house.plan_for(&desired, &request));
    assert!(plan.contains("stop:a [unhealthy]") && plan.contains("start:a [unhealthy] after stop:a"), "{plan}");
    let _ = ProbeReading::Passed;
}
