//! Exit codes, and commands that report the state of a project: `plan`, `status --exit-code`, `wait`, `--dry-run`,
//! `report`.

use std::fs;

use crate::lcm::{Lcm, studio};
use crate::live::Live;

const ENDS: &str = "{ process: { command: 'exit 3' }, recover: { attempts: 1, backoff: 1h } }";
const SLEEPS: &str = "{ process: { command: [sleep, '300'] }, stop: { grace: 1s } }";

#[test]
fn a_dead_wanted_service_sets_the_exit_code_of_plan_apply_and_status() {
    let live = Live::new(ENDS);
    live.lcm(&["apply"]).run().code(3);
    for _ in 0..2 {
        live.lcm(&["plan", "--detailed-exitcode"])
            .run()
            .code(3)
            .stdout_has("the restart budget of 1 service permits no start");
        live.lcm(&["apply", "--detailed-exitcode"]).run().code(3);
    }
    live.lcm(&["status"]).run().code(0).stdout_has("exit 3");
    live.lcm(&["status", "--exit-code"]).run().code(3);
    // A hold is no error.
    live.lcm(&["terminate", "one"]).run().code(0);
    live.lcm(&["status", "--exit-code"]).run().code(0);
    live.lcm(&["plan", "--detailed-exitcode"]).run().code(0);
}

#[test]
fn an_explicit_start_of_a_failed_service_is_an_operators_resume() {
    let live = Live::new("{ process: { command: './it' }, recover: { attempts: 1, backoff: 1h } }");
    let program = live.folder.path().join("it");
    let write = |text: &str| {
        fs::write(&program, text).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&program, mode).expect("executable");
    };
    write("#!/bin/sh\nexit 3\n");
    live.lcm(&["apply"]).run().code(3);
    live.lcm(&["start", "one"]).run().code(3).stdout_has("1 to start");
    live.lcm(&["apply"]).run().code(3).stdout_has("the restart budget of 1 service permits no start");
    write("#!/bin/sh\nexec sleep 300\n");
    live.lcm(&["apply"]).run().code(3).stdout_has("the restart budget of 1 service permits no start");
    live.lcm(&["start", "one"]).run().code(0).stdout_has("1 started");
    live.lcm(&["apply", "--detailed-exitcode"]).run().code(0);
}

#[test]
fn the_last_run_is_the_last_one_though_it_changed_nothing() {
    let live = Live::new("{ process: { command: './it' }, recover: { attempts: 1, backoff: 1h } }");
    live.lcm(&["apply"]).run().code(3);
    live.lcm(&["status"]).run().stdout_has("lcm apply by").stdout_has("exit 3");
    live.lcm(&["terminate", "one"]).run().code(0);
    live.lcm(&["apply"]).run().code(0);
    live.lcm(&["status"]).run().stdout_has("exit 0");
    let runs = live.lcm(&["history", "--runs", "--format", "json"]).run().json();
    assert_eq!(runs["runs"].as_array().expect("runs").len(), 1, "a run without changes is counted: {runs}");
}

#[test]
fn a_wait_ends_with_the_state_or_with_its_time() {
    let live = Live::new(SLEEPS);
    live.lcm(&["wait", "one", "--timeout", "0s"]).run().code(3).stdout_has("one is registered after");
    live.lcm(&["wait", "one", "--for", "down", "--timeout", "0s"]).run().code(0).stdout_has("one is registered");
    let mut waiter = live.lcm(&["wait", "one", "--timeout", "1m"]).command().spawn().expect("lcm runs");
    live.lcm(&["apply"]).run().code(0);
    assert_eq!(waiter.wait().expect("it ends").code(), Some(0));
    live.lcm(&["wait", "one", "--for", "online", "--for", "idle", "--timeout", "0s"]).run().code(0);
    live.lcm(&["wait", "one", "--for", "onlin"]).run().code(64).stderr_has("operational");
    live.lcm(&["wait", "two"]).run().code(1);
}

#[test]
fn a_dry_run_is_the_plan_and_changes_nothing() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    let world = || fs::read_to_string(folder.path().join("world.json")).unwrap_or_default();
    let before = world();
    lcm(&["apply", "--dry-run"]).code(0).stdout_has("to start").stderr_has("Dry run: nothing was changed.");
    lcm(&["apply", "--dry-run", "--detailed-exitcode"]).code(2);
    lcm(&["switch", "write", "--dry-run"]).code(0).stdout_has("mode write");
    lcm(&["start", "writer", "--dry-run"]).code(0).stdout_has("writer");
    let plan = lcm(&["apply", "--dry-run", "--format", "json"]).code(0).json();
    assert_eq!(plan["format"], "lcm.plan/2");
    assert_eq!(world(), before);
    lcm(&["apply"]).code(0);
    let before = world();
    for words in [
        &["stop", "painter", "--dry-run"][..],
        &["restart", "painter", "--dry-run"],
        &["down", "--dry-run"],
        &["terminate", "painter", "--dry-run"],
        &["maintain", "painter", "--dry-run"],
        &["suspend", "painter", "--dry-run"],
        &["resume", "painter", "--dry-run"],
        &["report", "painter", "--error", "no picture", "--dry-run"],
        &["switch", "--clear", "--dry-run"],
    ] {
        let ran = lcm(words).code(0);
        let told = ran.stdout.contains("Dry run") || ran.stderr.contains("Dry run");
        assert!(told || ran.stdout.contains("no switch to clear"), "{ran}");
        assert_eq!(world(), before, "{words:?}");
    }
    lcm(&["plan"]).code(0).stdout_has("Nothing to do");
    lcm(&["maintain", "painter"]).code(0);
    lcm(&["terminate", "painter", "--dry-run"]).code(0).stdout_has("1 to stop");
}

#[test]
fn a_dry_run_on_the_machine_leaves_nothing_behind() {
    let live = Live::new(SLEEPS);
    live.lcm(&["apply", "--dry-run"]).run().code(0).stdout_has("1 to start");
    live.lcm(&["down", "--dry-run"]).run().code(0);
    live.lcm(&["maintain", "one", "--dry-run"]).run().code(0);
    assert!(!live.folder.path().join("state").exists());
}

#[test]
fn a_service_without_restarts_stays_down_after_a_report_as_planned() {
    let live = Live::new("{ process: { command: [sleep, '300'] }, recover: { attempts: 0 }, stop: { grace: 1s } }");
    live.lcm(&["apply"]).run().code(0);
    live.lcm(&["report", "one", "--error", "boo"]).run().code(0);
    live.lcm(&["plan"]).run().code(3).stdout_has("1 to stop, 0 to start");
    live.lcm(&["apply", "--yes"]).run().code(3).stdout_has("1 stopped");
    live.lcm(&["apply", "--yes"]).run().code(3);
    live.lcm(&["status", "--exit-code"]).run().code(3);
}

#[test]
fn an_outside_report_counts_until_the_next_start() {
    let live = Live::new(SLEEPS);
    live.lcm(&["report", "one", "--error", "no answer"])
        .run()
        .code(1)
        .stderr_has("only a service that is up can be reported");
    live.lcm(&["apply"]).run().code(0);
    live.lcm(&["report", "one"]).run().code(64);
    live.lcm(&["report", "one", "--error", "answers with nonsense", "--as", "kim"]).run().code(0).stdout_has("→ error");
    live.lcm(&["status"]).run().code(0).stdout_has("answers with nonsense");
    live.lcm(&["status", "--exit-code"]).run().code(3);
    live.lcm(&["plan", "--detailed-exitcode"]).run().code(2).stdout_has("kim reported a failure at");
    live.lcm(&["report", "one", "--clear"]).run().code(0);
    live.lcm(&["plan", "--detailed-exitcode"]).run().code(0);
    live.lcm(&["report", "one", "--error", "answers with nonsense"]).run().code(0);
    live.lcm(&["apply"]).run().code(0).stdout_has("1 to restart");
    live.lcm(&["status", "--exit-code"]).run().code(0);
    live.lcm(&["apply", "--detailed-exitcode"]).run().code(0);
}
