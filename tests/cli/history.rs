//! `lcm history` over a real process of this test's own: changes that lcm made or observed, and every filter.

use std::fs;

use serde_json::{Value, json};

use crate::lcm::Lcm;
use crate::live::Live;

/// Ends with 0 once there is a file `gone`.
const ENDS: &str = "{ process: { command: 'echo up; until [ -e gone ]; do sleep 0.05; done' }, \
                    health: { log: up }, stop: { grace: 1s } }";

fn changes(history: &Value) -> Vec<String> {
    let transitions = history["transitions"].as_array().expect("transitions");
    let word = |one: &Value, key: &str| one[key].as_str().expect("a text").to_owned();
    let how = |one: &Value| if one["made"] == json!(true) { "made" } else { "seen" };
    transitions.iter().map(|one| format!("{} {}→{}", how(one), word(one, "from"), word(one, "to"))).collect()
}

#[test]
fn made_and_observed_changes_are_listed_and_reading_writes_nothing() {
    let live = Live::new(ENDS);
    let history = |words: &[&str]| live.lcm(&["history"]).args(words).run().code(0);
    let json = || history(&["--format", "json"]).json();
    history(&[]).stdout_has("No changes recorded.");
    assert!(!live.folder.path().join("state").exists(), "reading creates nothing");

    live.lcm(&["apply"]).run().code(0);
    let started =
        ["made registered→deploying", "made deploying→deployed", "made deployed→starting", "made starting→online"];
    assert_eq!(changes(&json()), started);
    live.lcm(&["apply"]).run().code(0).stdout_has("Nothing to do");
    assert_eq!(changes(&json()), started, "nothing new was seen");

    fs::write(live.folder.path().join("gone"), "").expect("written");
    let state = || live.lcm(&["status", "--format", "json"]).run().code(0).json()["services"][0]["state"].clone();
    while state() != json!("offline") {
        std::thread::yield_now();
    }
    live.lcm(&["plan"]).run().code(0);
    assert_eq!(changes(&json()), started, "status, plan and history record nothing");

    fs::remove_file(live.folder.path().join("gone")).expect("removed");
    live.lcm(&["apply"]).run().code(0);
    let found = json();
    let again = ["seen online→offline", "made offline→starting", "made starting→online"];
    assert_eq!(changes(&found)[4..], again);

    let seen = &found["transitions"][4];
    assert_eq!(seen["reason"], "it exited with 0");
    let runs = history(&["--runs", "--format", "json"]).json();
    assert_eq!(runs["runs"].as_array().expect("runs").len(), 2, "{runs:#}");
    assert_eq!(runs["unchanged_runs"]["count"], 1);
    assert_eq!(
        (&seen["run"], &seen["by"]),
        (&runs["runs"][1]["run"], &runs["runs"][1]["by"]),
        "the author and the run of the observation"
    );
    let id = runs["runs"][0]["run"].as_str().expect("an id");
    assert_eq!(changes(&history(&["--run", id, "--format", "json"]).json()), started);
    history(&["--runs"]).stdout_has("Plus 1 run without changes, the last at ");
    history(&["-v"]).stdout_has(id);
}

#[test]
fn every_filter_works_and_a_wrong_one_is_refused() {
    let live = Live::new(ENDS);
    live.lcm(&["apply"]).run().code(0);
    let ask = |words: &[&str]| live.lcm(&["history", "--format", "json"]).args(words).run();
    let found = |words: &[&str]| changes(&ask(words).code(0).json()).len();
    assert_eq!((found(&["one"]), found(&["--service", "one"]), found(&["-n", "1"])), (4, 4, 1));
    assert_eq!((found(&["--state", "online"]), found(&["--state", "online", "--state", "starting"])), (1, 2));
    assert_eq!((found(&["--since", "1h"]), found(&["--until", "1h"]), found(&["--since", "2020-01-01"])), (4, 0, 4));
    assert_eq!((found(&["--until", "2099-01-01T00:00:00Z"]), found(&["--by", "nobody-at-all"])), (4, 0));

    let csv = live.lcm(&["history", "--format", "csv", "--state", "online"]).run().code(0).stdout;
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("at,service,from,to,reason,by,run,made,metadata"));
    assert!(lines.next().is_some_and(|line| line.contains(",one,starting,online,")), "{csv}");

    let stats = live.lcm(&["history", "--stats", "--format", "json"]).run().code(0).json();
    let one = &stats["stats"][0];
    assert_eq!((&one["starts"], &one["failures"], &one["ready"]), (&json!(1), &json!(0), &json!(1)), "{stats:#}");
    assert_eq!(one["ready_median_ms"], one["time_ms"]["starting"], "its only start");
    live.lcm(&["history", "--stats"]).run().code(0).stdout_has("TIME IN STATES");

    ask(&["on"]).code(1).stderr_has("no service named on is in its manifest or the history of live-");
    ask(&["--since", "1h", "--until", "2h"]).code(1).stderr_has("the range is empty");
    ask(&["--since", "yesterday"]).code(64).stderr_has("write a time such as 2026-11-20");
    ask(&["--state", "up"]).code(64).stderr_has("the states are registered");
    ask(&["--runs", "one"]).code(64);
    ask(&["--stats", "--runs"]).code(64);
    ask(&["--limit", "0"]).code(64);
}

#[test]
fn a_broken_manifest_hides_no_history() {
    let live = Live::new(ENDS);
    live.lcm(&["apply"]).run().code(0);
    let manifest = live.folder.path().join("lcm.yaml");
    let text = fs::read_to_string(&manifest).expect("there");
    let name = text.lines().find_map(|line| line.strip_prefix("name: ")).expect("a name");
    fs::write(&manifest, "services: [").expect("broken");
    live.lcm(&["history"]).run().code(1);
    let by_name = |words: &[&str]| live.lcm(&["history", "--project", name]).args(words).run();
    by_name(&[]).code(0).stdout_has("online");
    by_name(&["one"]).code(0).stdout_has("online");
    by_name(&["two"]).code(1).stderr_has("no service named two is in the history of live-");
    fs::write(&manifest, text).expect("mended");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let path = manifest.display().to_string();
    Lcm::new(elsewhere.path())
        .args(&["history", "-m", &path])
        .env("LCM_STATE_DIR", &live.folder.path().join("state").display().to_string())
        .run()
        .code(0)
        .stdout_has("online");
}
