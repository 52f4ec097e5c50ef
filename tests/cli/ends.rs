//! Every end of a run is reported as an event, also that of a run that ends before it begins.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::lcm::{Lcm, studio};

/// Runs lcm with events on stdout and in a file, and returns the only event, which both have.
#[track_caller]
fn only_result(folder: &Path, words: &[&str], code: i32) -> Value {
    let into = folder.join("events.jsonl");
    let _ = fs::remove_file(&into);
    let ran = Lcm::new(folder).args(words).args(&["--format", "json", "--json-into", "events.jsonl"]).run().code(code);
    assert_eq!(fs::read_to_string(&into).expect("written"), ran.stdout, "{ran}");
    let events = ran.events();
    assert_eq!(events.len(), 1, "{ran}");
    let event = events[0].clone();
    assert_eq!((&event["type"], &event["exit_code"]), (&"result".into(), &code.into()), "{ran}");
    assert_eq!(event["changed"], false, "{ran}");
    event
}

#[track_caller]
fn says(event: &Value, text: &str) {
    let message = event["message"].as_str().expect("a message");
    assert!(message.contains(text) && !message.contains('\u{1b}'), "{message}");
}

#[test]
fn a_held_lock_is_a_result() {
    let folder = studio();
    let lock = File::create(folder.path().join("lcm.lock")).expect("a lock");
    lock.lock().expect("locked");
    says(&only_result(folder.path(), &["apply"], 6), "holds the lock");
    says(&only_result(folder.path(), &["down"], 6), "holds the lock");
    // With text, the file alone.
    let told = Lcm::new(folder.path()).args(&["apply", "--json-into", "events.jsonl"]).run().code(6);
    assert_eq!(told.stdout, "");
    let event: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("events.jsonl")).expect("written"))
        .expect("one event");
    assert_eq!(event["exit_code"], 6);
}

#[test]
fn a_refused_plan_or_manifest_is_a_result() {
    let folder = studio();
    let folder = folder.path();
    let simulated = ["--world", "world.json"];
    Lcm::new(folder).args(&["plan", "--mode", "write", "--out", "plan.json"]).simulated().run().code(0);
    Lcm::new(folder).args(&["apply", "--mode", "paint"]).simulated().run().code(0);
    let apply = |words: &[&str], code| only_result(folder, &[&["apply"], words, &simulated[..]].concat(), code);
    says(&apply(&["--plan", "plan.json"], 5), "+ stop:painter: now planned");
    says(&apply(&["--plan", "plan.json", "--mode", "paint"], 64), "--mode is paint");
    says(&apply(&["--plan", "nothing.json"], 1), "nothing.json");
    says(&apply(&["nothing.yaml"], 1), "nothing.yaml");
    fs::write(folder.join("bad.yaml"), "version: 1\nname: bad\nservices: { a: { proces: {} } }\n").expect("written");
    says(&apply(&["bad.yaml", "--color", "always"], 1), "proces");
    says(&apply(&["--target", "nobody"], 1), "nobody");
    says(&only_result(folder, &[&["terminate", "nobody"], &simulated[..]].concat(), 1), "no service named nobody");
}

#[test]
fn events_that_can_not_be_written_to_a_file_are_still_reported() {
    let folder = studio();
    let words = ["apply", "--format", "json", "--json-into", "no/such/folder"];
    let events = Lcm::new(folder.path()).args(&words).simulated().run().code(1).events();
    assert_eq!((events.len(), &events[0]["exit_code"]), (1, &1.into()));
    says(&events[0], "can't write events to no/such/folder");
}

#[test]
fn an_unknown_state_of_all_wanted_services_is_a_result() {
    let folder = studio();
    let world = r#"{"format": "lcm.world/1", "host": "box", "observed_at": "2026-11-20T10:00:00Z",
                    "trees": { "unknown": "no /proc" }}"#;
    fs::write(folder.path().join("world.json"), world).expect("a world");
    let event = only_result(folder.path(), &["apply", "--world", "world.json"], 1);
    says(&event, "can't observe any wanted service");
}

#[test]
fn the_last_event_has_the_counts_and_the_time_by_stage() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).args(&["--format", "json"]).simulated().run();
    let result = |ran: &crate::lcm::Ran| ran.events().pop().expect("a result");
    lcm(&["apply"]).code(0);
    let ended = result(&lcm(&["apply", "--mode", "write"]).code(0));
    let counts = ["exit_code", "done", "failed", "skipped", "blocked", "took_ms"].map(|name| ended[name].as_u64());
    assert_eq!(counts, [Some(0), Some(2), Some(0), Some(0), Some(0), Some(0)], "{ended:#}");
    let services = json!({ "evicted": 0, "stopped": 1, "removed": 0, "paused": 0, "unpaused": 0, "updated": 0, "woken": 0, "started": 1 });
    assert_eq!(ended["services"], services, "{ended:#}");
    let stages: Vec<&Value> = ended["stages"].as_array().expect("a list").iter().map(|total| &total["stage"]).collect();
    assert_eq!(stages, ["prepare", "stop", "release", "start", "health"], "{ended:#}");
    assert_eq!(ended["stages"][1]["longest"]["step"], "stop:painter", "{ended:#}");
    assert_eq!(ended["stages"][1]["steps"], 1, "{ended:#}");

    let nothing = result(&lcm(&["apply", "--mode", "write"]).code(0));
    assert_eq!((&nothing["done"], &nothing["changed"], &nothing["stages"]), (&0.into(), &false.into(), &json!([])));
}

/// The reader of the events may exit; the run goes on.
#[test]
fn a_run_continues_without_a_reader_of_its_events() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = lcm(&["apply", "--format", "json", "--json-into", "events.jsonl"]).command();
    let output = command.stdout(writer).stderr(Stdio::piped()).output().expect("lcm runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.matches("its reader has closed it").count(), 1, "reported once: {said}");
    let written = fs::read_to_string(folder.path().join("events.jsonl")).expect("written");
    assert!(written.lines().last().is_some_and(|line| line.contains("\"type\":\"result\"")), "{written}");
    lcm(&["plan", "--detailed-exitcode"]).run().code(0);

    // Likewise with a file on a full disk.
    let ran = lcm(&["apply", "--mode", "write", "--json-into", "/dev/full"]).run().code(0).stdout_has("1 started");
    assert_eq!(ran.stderr.matches("can't write events to the file any more").count(), 1, "{ran}");
}
