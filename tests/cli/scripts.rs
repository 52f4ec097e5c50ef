//! Sequences of commands over a snapshot, with golden output.

use std::fmt::Write as _;
use std::path::Path;

use insta::assert_snapshot;

use crate::lcm::{Lcm, studio};

/// Returns the output of each command in turn.
fn script(folder: &Path, lines: &[&str]) -> String {
    let mut told = String::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let ran = Lcm::new(folder).args(&words).simulated().run();
        let _ = write!(told, "{}", ran.told());
    }
    told
}

#[test]
fn up_switched_and_down() {
    let folder = studio();
    assert_snapshot!(script(
        folder.path(),
        &[
            "plan",
            "apply --parallelism 1",
            "plan --detailed-exitcode",
            "plan --mode write -v",
            "apply --parallelism 1 --mode write",
            "status",
            "down --parallelism 1",
            "down"
        ]
    ));
}

#[test]
fn a_service_that_does_not_fit_is_blocked_with_the_calculation() {
    let folder = studio();
    assert_snapshot!(script(
        folder.path(),
        &["plan --mode both", "apply --mode both --strict", "apply --parallelism 1 --mode both"]
    ));
}

/// Hours of a rule that include the snapshot's time, 11:00 in Berlin.
const RENDERS: &str = "\
lifecycle:
  deny:
    - from: online
      to: [stopping, suspended]
      services: painter
      hours: 09:00-18:00
      zone: Europe/Berlin
      reason: renders for clients
";

#[test]
fn status_of_a_named_service_lists_what_may_follow() {
    let folder = studio();
    let manifest = folder.path().join("lcm.yaml");
    let text = std::fs::read_to_string(&manifest).expect("a manifest");
    std::fs::write(&manifest, text + RENDERS).expect("written");
    // A file with the name of a service is taken for a manifest, unless `-m` names one.
    std::fs::write(folder.path().join("writer"), "no manifest").expect("written");
    assert_snapshot!(script(
        folder.path(),
        &[
            "apply --parallelism 1",
            "status painter encoder -v",
            "stop encoder --parallelism 1",
            "status encoder lcm.yaml",
            "status -m lcm.yaml writer -v",
            "status encoder --target painter --exclude encoder",
            "maintain painter --as kim",
            "status painter encoder -v",
            "stop encoder",
            "suspend writer -m lcm.yaml",
            "status paintr",
            "status writer",
            "status ./lcm.yaml more.yml"
        ]
    ));
    let status = Lcm::new(folder.path()).args(&["status", "encoder", "--format", "json"]).simulated().run().code(0);
    let services = status.json()["services"].clone();
    assert_eq!((services.as_array().map(Vec::len), &services[0]["name"]), (Some(1), &"encoder".into()));
    assert_eq!(services[0]["next"][0], "busy");
}

#[test]
fn events_report_a_run_and_end_with_its_result() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    let events = lcm(&["apply", "--format", "json", "--json-into", "events.jsonl"]).code(0).events();
    let types: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!((types.first(), types.last()), (Some(&"run"), Some(&"result")), "{types:?}");
    let copy = std::fs::read_to_string(folder.path().join("events.jsonl")).expect("a copy");
    assert_eq!(copy.lines().count(), events.len());

    let again = lcm(&["apply", "--format", "json"]).code(0).events();
    let types: Vec<&str> = again.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(types, ["run", "result"]);
    assert_eq!(again[1]["changed"], false);
}

#[test]
fn a_snapshot_is_recorded_and_used_again() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    lcm(&["apply"]).code(0);
    let world = lcm(&["observe"]).code(0).stdout;
    lcm(&["observe", "--out", "again.json"]).code(0);
    assert_eq!(std::fs::read_to_string(folder.path().join("again.json")).expect("written"), world);
    Lcm::new(folder.path()).args(&["plan", "--detailed-exitcode", "--world", "again.json"]).run().code(0);
}

/// History of three services, as a snapshot has it.
const PAST: &str = r#"{
  "encoder": { "estimates": { "ready_ms": 3210 } },
  "painter": { "estimates": { "ready_ms": 94732, "stopped_ms": 4180, "memory": 17402 } },
  "writer": { "state": "offline", "made": true, "estimates": { "ready_ms": 151000 } }
}"#;

#[test]
fn times_of_earlier_runs_are_estimates_of_the_next() {
    let folder = studio();
    remember(folder.path(), PAST);
    assert_snapshot!(script(
        folder.path(),
        &["plan", "apply --parallelism 1", "status", "status -v", "plan --mode write", "plan --mode write -v"]
    ));
}

#[test]
fn an_estimate_that_changed_makes_no_saved_plan_stale() {
    let folder = studio();
    remember(folder.path(), PAST);
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    lcm(&["plan", "--out", "plan.json"]).code(0).stdout_has("ready in about 95 s");
    remember(folder.path(), &PAST.replace("94732", "7000"));
    lcm(&["plan"]).code(0).stdout_has("ready in about 7 s");
    lcm(&["apply", "--plan", "plan.json"]).code(0).stdout_has("2 started");
}

/// Sets the history in the snapshot of a folder.
fn remember(folder: &Path, past: &str) {
    let path = folder.join("world.json");
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    let mut world = parse(&std::fs::read_to_string(&path).expect("a world"));
    world["history"] = parse(past);
    std::fs::write(path, world.to_string()).expect("written");
}
