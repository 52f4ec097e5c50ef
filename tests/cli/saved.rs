//! Saved plans: carried out as they were agreed to, or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::lcm::{Lcm, studio};

#[test]
fn a_saved_plan_is_carried_out_once() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    lcm(&["plan", "--mode", "write", "--out", "plan.json"]).code(0).stdout_has("writer");
    let mode = fs::metadata(folder.path().join("plan.json")).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // The mode comes with the plan.
    lcm(&["apply", "--plan", "plan.json", "--detailed-exitcode"]).code(2).stdout_has("2 started");
    lcm(&["apply", "--plan", "plan.json"]).code(5).stderr_has("- start:writer: not to be done any more");
}

#[test]
fn a_world_that_changed_makes_it_stale() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    lcm(&["plan", "--mode", "write", "--out", "plan.json"]).code(0);
    lcm(&["apply", "--mode", "paint"]).code(0);
    let before = fs::read(folder.path().join("world.json")).expect("a world");
    lcm(&["apply", "--plan", "plan.json"]).code(5).stderr_has("+ stop:painter: to be done too");
    assert_eq!(fs::read(folder.path().join("world.json")).expect("a world"), before, "nothing was done");
    lcm(&["apply", "--plan", "plan.json", "--mode", "paint"]).code(64).stderr_has("--mode says paint");
}

#[test]
fn a_changed_manifest_makes_it_stale() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    lcm(&["plan", "--out", "plan.json"]).code(0);
    let manifest = folder.path().join("lcm.yaml");
    let text = fs::read_to_string(&manifest).expect("a manifest").replacen("inf", "infinity", 1);
    fs::write(&manifest, text).expect("written");
    lcm(&["apply", "--plan", "plan.json"]).code(5).stderr_has("~ start:encoder: its definition changed");
    lcm(&["apply", "--plan", "lcm.yaml"]).code(1).stderr_has("can't take lcm.yaml for a plan");
}

#[test]
fn what_narrowed_a_plan_comes_with_it() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    let narrow = ["plan", "--mode", "write", "--target", "writer", "--prune", "--out", "plan.json", "--format", "json"];
    let plan = lcm(&narrow).code(0).json();
    assert_eq!(plan["request"], serde_json::json!({ "targets": ["writer"], "prune": true }));
    assert_eq!(lcm(&["plan", "--format", "json"]).code(0).json().get("request"), None);

    let apply = |words: &[&str]| lcm(&[&["apply", "--plan", "plan.json"], words].concat());
    apply(&["--target", "encoder"]).code(64).stderr_has("made with --target writer, and --target says encoder");
    apply(&["--exclude", "writer"]).code(64).stderr_has("made with --exclude nothing");
    apply(&["--strict"]).code(64).stderr_has("the saved plan was made without --strict");
    apply(&["--target", "writer", "--prune"]).code(0).stdout_has("1 started");
}
