//! `lcm show`: a saved plan, when and where it was made, and whether it still holds.

use std::fs;
use std::path::Path;

use crate::lcm::{Lcm, Ran, studio};

fn lcm(folder: &Path, words: &[&str]) -> Ran {
    Lcm::new(folder).args(words).run()
}

/// A folder with a plan that still holds.
fn planned() -> tempfile::TempDir {
    let folder = studio();
    let words = ["plan", "--mode", "write", "--out", "plan.json"];
    Lcm::new(folder.path()).args(&words).simulated().run().code(0);
    folder
}

#[test]
fn a_plan_that_holds_is_shown_with_when_and_where() {
    let folder = planned();
    let before = fs::read(folder.path().join("world.json")).expect("a world");
    let show = |words: &[&str]| Lcm::new(folder.path()).args(&["show", "plan.json"]).args(words).simulated().run();
    let shown = show(&[]).code(0);
    assert!(shown.stdout.starts_with("Saved plan, made on box at 2026-11-20 10:00:00 UTC.\n"), "{shown}");
    let shown = shown.stdout_has("mode write (saved plan)").stdout_has("+ start");
    let end = "\nIt still holds: planning again now gives the same steps.\n\nPlan: 0 to stop, 2 to start, 1 kept, 0 blocked.\n";
    assert!(shown.stdout.ends_with(end), "{shown}");
    assert_eq!(fs::read(folder.path().join("world.json")).expect("a world"), before, "nothing was changed");
    assert!(!folder.path().join("lcm.lock").exists(), "and no lock was taken");

    let saved = fs::read_to_string(folder.path().join("plan.json")).expect("a plan");
    let json = show(&["--format", "json"]).code(0).stderr_has("It still holds");
    assert_eq!(json.stdout, saved);
    show(&["--format", "mermaid"]).code(0).stdout_has("flowchart LR").stderr_has("It still holds");
    show(&["--format", "markdown"]).code(0).stdout_has("**Plan: 0 to stop, 2 to start").stdout_has("It still holds");
    show(&["--format", "html"]).code(0).stdout_has("class=\"standing holds\"");
}

#[test]
fn a_stale_one_says_what_differs() {
    let folder = planned();
    Lcm::new(folder.path()).args(&["apply", "--mode", "paint"]).simulated().run().code(0);
    let show = |words: &[&str]| Lcm::new(folder.path()).args(&["show", "plan.json"]).args(words).simulated().run();
    let shown = show(&[]).code(5).stdout_has("It is stale").stdout_has("\n  + stop:painter: to be done too");
    assert!(shown.stdout.contains("+ start"), "the plan is shown all the same: {shown}");
    show(&["--format", "json"]).code(5).stderr_has("It is stale");
    show(&["--format", "html"]).code(5).stdout_has("class=\"standing stale\"");
    // What `apply` says of it is the same.
    Lcm::new(folder.path()).args(&["apply", "--plan", "plan.json"]).simulated().run().code(5);
}

#[test]
fn where_nobody_can_look_it_is_shown_all_the_same() {
    let folder = planned();
    let here = folder.path();
    let unknown = |words: &[&str], code: i32, why: &str| {
        let shown = lcm(here, &[&["show", "plan.json"], words].concat()).code(code).stdout_has("+ start");
        shown.stdout_has(&format!("Whether it still holds is not known: {why}"));
    };
    unknown(&["--offline"], 0, "nobody looked.");
    // Who asked to look, and got no answer, is told so by the exit code, too.
    let missing = "can't read none.yaml: there is no such file.";
    unknown(&["-m", "none.yaml", "--world", "world.json"], 1, missing);
    unknown(&["--world", "none.json"], 1, "can't take none.json for the world");
    // Of a manifest the first error, in words; what is laid out for a page has no place here.
    let broken = "version: 1\nname: studio\nservices:\n  a: { vrm: 1, proces: {} }\n\
                  modes: { write: { services: [a] } }\n";
    fs::write(here.join("broken.yaml"), broken).expect("written");
    let first = "broken.yaml:4:8: unknown key `vrm`; `lcm validate` shows what else is wrong.";
    unknown(&["-m", "broken.yaml", "--world", "world.json"], 1, first);
    lcm(here, &["show", "plan.json", "--offline", "--world", "world.json"]).code(64);
}

/// As `lcm apply --plan` says of it, and with the same exit code.
#[test]
fn for_another_project_or_host_it_is_stale() {
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
fn what_is_no_plan_or_a_newer_one_is_refused() {
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
    refused("newer.json", "its format is lcm.plan/3, and this lcm reads lcm.plan/2 and lcm.plan/1");
    refused("half.json", "can't take half.json for a plan");
    refused("lcm.yaml", "can't take lcm.yaml for a plan");
    refused("none.json", "No such file");
    lcm(here, &["show"]).code(64);
}
