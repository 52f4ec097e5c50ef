//! A value of an environment that is missing: it blocks one start, and no other service and no other command.

use std::fs;

use crate::lcm::Ran;
use crate::live::Live;

/// `one` needs nothing.
fn with(other: &str) -> Live {
    Live::new(&format!("{{ process: {{ command: [sleep, '300'] }}, stop: {{ grace: 1s }} }}\n  {other}\n"))
}

#[track_caller]
fn blocks(ran: &Ran, service: &str, why: &str) {
    let plan = ran.json();
    let blocked = plan["blocked"].as_array().expect("a list");
    assert_eq!(blocked.len(), 1, "{ran}");
    assert_eq!((&blocked[0]["service"], &blocked[0]["reason"]["code"]), (&service.into(), &"secret_missing".into()));
    assert!(blocked[0]["reason"]["message"].as_str().expect("a text").contains(why), "{ran}");
}

#[test]
fn an_unset_variable_blocks_one_start_and_no_other_command() {
    let live = with(
        "two: { process: { command: [sleep, '300'], environment: { A: \"x-${KEY:?ask the team}\" } }, stop: { grace: 1s } }",
    );
    let lcm = |words: &[&str]| live.lcm(words).run();
    blocks(&lcm(&["plan", "--format", "json"]).code(4), "two", "the variable `KEY` is required: ask the team");
    lcm(&["apply"]).code(4).stdout_has("1 started").stdout_has("ask the team");
    for words in [&["validate"][..], &["status"], &["logs", "one"], &["history"], &["observe"]] {
        lcm(words).code(0);
    }
    // With it, the service starts; without it, a running service is kept and not compared.
    live.lcm(&["apply"]).env("KEY", "first-value").run().code(0).stdout_has("1 started");
    lcm(&["apply", "--detailed-exitcode"]).code(0).stdout_has("Nothing to do");
    lcm(&["restart", "two", "--yes"]).code(4).stdout_has("ask the team");
    lcm(&["status"]).code(0).stdout_has("two");
    live.lcm(&["plan"]).env("KEY", "other-value").run().code(0).stdout_has("a secret that it was started with has");
    lcm(&["down", "--yes"]).code(0).stdout_has("2 stopped");
}

#[test]
fn elsewhere_an_unset_variable_is_an_error() {
    let live = with("two: { process: { command: [sleep, \"${KEY}\"], environment: { A: \"${KEY}\" } } }");
    live.lcm(&["status"]).run().code(1).stderr_has("the variable `KEY` is not set");
    live.lcm(&["status"]).env("KEY", "300").run().code(0);
}

#[test]
fn a_secret_file_that_is_not_there_blocks_one_start() {
    let live = with("two: { docker: { image: none, environment: { A: { file: key.txt } } } }");
    live.lcm(&["validate"]).run().code(0);
    let manifest = live.folder.path().join("lcm.yaml");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    for runtime in ["docker: { image: none", "process: { command: [sleep, '300']"] {
        fs::write(&manifest, text.replace("docker: { image: none", runtime)).expect("written");
        live.lcm(&["validate"]).run().code(0);
        let world = r#"{ "format": "lcm.world/1", "host": "box", "observed_at": "2026-11-20T10:00:00Z" }"#;
        fs::write(live.folder.path().join("world.json"), world).expect("a world");
        let ran = live.lcm(&["plan", "--format", "json", "--world", "world.json"]).run().code(4);
        blocks(&ran, "two", "the secret file key.txt");
        fs::write(live.folder.path().join("key.txt"), "hf_0123456789\n").expect("written");
        let ran = live.lcm(&["plan", "--world", "world.json"]).run().code(0);
        assert!(!ran.to_string().contains("hf_0123"), "{ran}");
        fs::remove_file(live.folder.path().join("key.txt")).expect("removed");
    }
}
