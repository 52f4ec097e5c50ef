//! `lcm show`: a saved plan, when and where it was made, and whether it is still valid.

use std::fs;
use std::path::Path;

use crate::lcm::{Lcm, Ran, studio};

fn lcm(folder: &Path, words: &[&str]) -> Ran {
    Lcm::new(folder).args(words).run()
}

/// Returns a folder with a valid plan.
fn planned() -> tempfile::TempDir {
    let folder = studio();
    let words = ["plan", "--mode", "write", "--out", "plan.json"];
    Lcm::new(folder.path()).args(&words).simulated().run().code(0);
    folder
}

#[test]
fn a_valid_plan_is_shown_with_its_time_and_host() {
    let folder = planned();
    let before = fs::read(folder.path().join("world.json")).expect("a world");
    let show = |words: &[&str]| Lcm::new(folder.path()).args(&["show", "plan.json"]).args(words).simulated().run();
    let shown = show(&[]).code(0);
    assert!(shown.stdout.starts_with("Saved plan, made on box at 2026-11-20 10:00:00 UTC.\n"), "{shown}");
    let shown = shown.stdout_has("mode write (saved plan)").stdout_has("+ start");
    let end = "\nIt is still valid: planning again now gives the same steps.\n\nPlan: 0 to stop, 2 to start, 1 kept, 0 blocked.\n";
    assert!(shown.stdout.ends_with(end), "{shown}");
    assert_eq!(fs::read(folder.path().join("world.json")).expect("a world"), before, "nothing was changed");
    assert!(!folder.path().join("lcm.lock").exists(), "and no lock was taken");

    let saved = fs::read_to_string(folder.path().join("plan.json")).expect("a plan");
    let json = show(&["--format", "json"]).code(0).stderr_has("It is still valid");
    assert_eq!(json.stdout, saved);
    show(&["--format", "mermaid"]).code(0).stdout_has("flowchart LR").stderr_has("It is still valid");
    show(&["--format", "markdown"]).code(0).stdout_has("**Plan: 0 to stop, 2 to start").stdout_has("It is still valid");
    show(&["--format", "html"]).code(0).stdout_has("class=\"standing holds\"");
}

#[test]
fn a_stale_plan_lists_the_differences() {
    let folder = planned();
    Lcm::new(folder.path()).args(&["apply", "--mode", "paint"]).simulated().run().code(0);
    let show = |words: &[&str]| Lcm::new(folder.path()).args(&["show", "plan.json"]).args(words).simulated().run();
    let shown = show(&[]).code(5).stdout_has("It is stale").stdout_has("\n  + stop:painter: now planned");
    assert!(shown.stdout.contains("+ start"), "the plan is shown all the same: {shown}");
    show(&["--format", "json"]).code(5).stderr_has("It is stale");
    show(&["--format", "html"]).code(5).stdout_has("class=\"standing stale\"");
    // `apply` agrees.
    Lcm::new(folder.path()).args(&["apply", "--plan", "plan.json"]).simulated().run().code(5);
}

#[test]
fn an_unchecked_plan_is_shown_all_the_same() {
    let folder = planned();
    let here = folder.path();
    let unknown = |words: &[&str], code: i32, why: &str| {
        let shown = lcm(here, &[&["show", "plan.json"], words].concat()).code(code).stdout_has("+ start");
        shown.stdout_has(&format!("It is not known whether it is still valid: {why}"));
    };
    unknown(&["--offline"], 0, "not checked (--offline).");
    // The exit code reports a check that failed.
    let missing = "can't read none.yaml: there is no such file.";
    unknown(&["-m", "none.yaml", "--world", "world.json"], 1, missing);
    unknown(&["--world", "none.json"], 1, "can't use the snapshot file none.json");
    // Of a manifest the first error, in one sentence.
    let broken = "version: 1\nname: studio\nservices:\n  a: { vrm: 1, proces: {} }\n\
                  modes: { write: { services: [a] } }\n";
    fs::write(here.join("broken.yaml"), broken).expect("written");
    let first = "broken.yaml:4:8: unknown key `vrm`; `lcm validate` shows the other errors.";
    unknown(&["-m", "broken.yaml", "--world", "world.json"], 1, first);
    lcm(here, &["show", "plan.json", "--offline", "--world", "world.json"]).code(64);
}

/// Compares with `lcm apply --plan`, which has the same exit code.
#[test]
fn a_plan_for_another_project_or_host_is_stale() {
    let folder = planned();
    let here = folder.path();
    let other = |name: &str, file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(here.join(file)).expect("a file");
        assert!(text.contains(from), "{text}");
        fs::write(here.join(name), text.replace(from, to)).expect("written");
    };
    other("other.yaml", "lcm.yaml", "name: studio", "name: other");
    other("vm.json", "world.json", "\"box\"", "\"vm\"");
    for (manifest, world, why) in [
        ("other.yaml", "world.json", "it was made for studio; this is other\n"),
        ("lcm.yaml", "vm.json", "it was made on box; this is vm\n"),
    ] {
        let show = ["show", "plan.json", "-m", manifest, "--world", world];
        lcm(here, &show).code(5).stdout_has("+ start").stdout_has("It is stale").stdout_has(why);
        lcm(here, &["apply", "--plan", "plan.json", "--world", world, manifest]).code(5).stderr_has(why.trim_end());
    }
}

#[test]
fn an_invalid_or_newer_plan_is_refused() {
    let folder = planned();
    let here = folder.path();
    let plan = fs::read_to_string(here.join("plan.json")).expect("a plan");
    fs::write(here.join("newer.json"), plan.replace("lcm.plan/2", "lcm.plan/3")).expect("written");
    fs::write(here.join("half.json"), &plan[..plan.len() / 2]).expect("written");
    let refused = |file: &str, why: &str| {
        let shown = lcm(here, &["show", "--offline", file]).code(1).stderr_has("error[lcm::command::saved_plan]");
        assert_eq!(shown.stdout, "");
        shown.stderr_has(why);
    };
    refused("newer.json", "its format is lcm.plan/3; this lcm reads lcm.plan/2 and lcm.plan/1");
    refused("half.json", "can't read half.json as a plan");
    refused("lcm.yaml", "can't read lcm.yaml as a plan");
    refused("none.json", "No such file");
    lcm(here, &["show"]).code(64);
}
