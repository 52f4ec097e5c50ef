//! `lcm rollback`: one command back to the last converged run's manifest and mode.

use std::fs;

use crate::live::Live;

const GOOD: &str = "{ process: { command: [sleep, '300'] }, stop: { grace: 1s } }";

/// Three services and two modes: each change of a failing apply is of another kind.
fn manifest(live: &Live, mode: &str, [one, two, three]: [&str; 3]) -> String {
    let text = fs::read_to_string(live.folder.path().join("lcm.yaml")).expect("a manifest");
    let name = text.lines().find(|line| line.starts_with("name:")).expect("a name").to_owned();
    format!(
        "version: 1\n{name}\nmode: {mode}\nservices:\n  one: {one}\n  two: {two}\n  three: {three}\n\
         modes:\n  day: {{ services: [one, two] }}\n  night: {{ services: [one, two, three] }}\n"
    )
}

fn write(live: &Live, text: &str) {
    fs::write(live.folder.path().join("lcm.yaml"), text).expect("written");
}

#[test]
fn a_bad_apply_is_undone_by_one_command_and_a_plan_with_the_old_manifest_is_empty() {
    let live = Live::new(GOOD);
    let good = manifest(&live, "day", [GOOD, GOOD, GOOD]);
    write(&live, &good);
    live.lcm(&["apply"]).run().code(0);
    live.lcm(&["rollback"]).run().code(1).stderr_has("nothing to roll back to");
    // Another program, another folder, another mode.
    let missing = "{ process: { command: [./no-such-program] } }";
    let ends = "{ process: { command: 'exit 7' }, recover: { attempts: 1, backoff: 1h } }";
    let bad = manifest(&live, "night", [missing, ends, ends]);
    write(&live, &bad);
    live.lcm(&["apply"]).run().code(3);
    live.lcm(&["rollback", "--dry-run"]).run().code(0).stdout_has("Plan: ").stderr_has("Dry run: nothing was changed");
    live.lcm(&["rollback"]).run().code(0).stderr_has("rolling back to run").stderr_has("mode day");
    write(&live, &good);
    live.lcm(&["plan", "--detailed-exitcode"]).run().code(0).stdout_has("Nothing to do");
    live.lcm(&["history", "--runs"]).run().code(0).stdout_has("lcm rollback");
}

#[test]
fn an_unreadable_manifest_is_rolled_back() {
    let live = Live::new(GOOD);
    let good = manifest(&live, "day", [GOOD, GOOD, GOOD]);
    write(&live, &good);
    live.lcm(&["apply"]).run().code(0);
    live.lcm(&["stop", "one", "--yes"]).run().code(0);
    write(&live, &good.replace("services:\n", "servces:\n"));
    live.lcm(&["apply"]).run().code(1);
    live.lcm(&["rollback"]).run().code(0).stdout_has("1 started");
    let broken = fs::read_to_string(live.folder.path().join("lcm.yaml")).expect("a manifest");
    assert!(broken.contains("servces"), "the files stay as they are");
    write(&live, &good);
    live.lcm(&["plan", "--detailed-exitcode"]).run().code(0);
    // Nor need it be YAML.
    live.lcm(&["stop", "one", "--yes"]).run().code(0);
    write(&live, &good.replace("services:\n", "services: [[[\n"));
    live.lcm(&["rollback"]).run().code(0).stdout_has("1 started");
    write(&live, "name\n");
    live.lcm(&["rollback"]).run().code(1).stderr_has("has no line `name: PROJECT`");
    write(&live, &good);
}

#[test]
fn a_mode_switch_is_rolled_back_and_stays_so() {
    let live = Live::new(GOOD);
    let good = manifest(&live, "day", [GOOD, GOOD, GOOD]);
    write(&live, &good);
    live.lcm(&["apply"]).run().code(0);
    live.lcm(&["switch", "night", "--yes"]).run().code(0).stdout_has("1 started");
    let ran = live.lcm(&["rollback", "--yes"]).run().code(0).stdout_has("1 stopped");
    ran.stderr_has("this also reverts the switch to mode night");
    live.lcm(&["plan", "--detailed-exitcode"]).run().code(0).stdout_has("mode day");
    // And back again, by the run's id.
    let runs = live.lcm(&["history", "--runs", "--format", "json"]).run().json();
    let runs = runs["runs"].as_array().expect("runs").clone();
    let switched = runs.iter().find(|run| run["command"] == "lcm switch").expect("a switch");
    let id = switched["run"].as_str().expect("an id");
    live.lcm(&["rollback", "--to", id]).run().code(0).stdout_has("1 started");
    live.lcm(&["rollback", "--to", "20200101-000000-1"])
        .run()
        .code(1)
        .stderr_has("is stored; stored are, newest first,");
}
