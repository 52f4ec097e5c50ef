//! Holds, switches and one-shots: their output, their refusals, and their effects.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;

use insta::assert_snapshot;

use crate::lcm::{Lcm, Ran, studio};

fn told(folder: &Path, commands: &[&[&str]]) -> String {
    let mut told = String::new();
    for words in commands {
        let ran = Lcm::new(folder).args(words).simulated().run();
        let _ = write!(
            told,
            "{}",
            ran.told().replace("! simulated: reading a snapshot file; this machine is neither read nor changed\n", "")
        );
    }
    told
}

#[test]
fn a_hold_is_set_shown_and_released() {
    let folder = studio();
    Lcm::new(folder.path()).args(&["apply"]).simulated().run().code(0);
    assert_snapshot!(told(
        folder.path(),
        &[
            &["maintain", "painter", "--reason", "new weights", "--as", "kim", "--meta", "ticket=7"],
            &["maintain", "painter", "--as", "lee"],
            &["plan", "--mode", "write"],
            &["apply"],
            &["status"],
            &["suspend", "painter"],
            &["resume", "painter"],
            &["resume", "painter"],
            &["suspend", "painter", "encoder", "--as", "kim"],
            &["plan"],
            &["resume", "painter", "encoder"],
            &["terminate", "painter", "--reason", "for good", "--as", "kim"],
            &["apply"],
            &["start", "painter"],
            &["resume", "painter"],
            &["plan"],
        ]
    ));
}

#[test]
fn changes_by_holds_are_in_the_history_and_a_budget_is_reset() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run().code(0);
    let path = folder.path().join("world.json");
    let world =
        || -> serde_json::Value { serde_json::from_str(&fs::read_to_string(&path).expect("a world")).expect("JSON") };
    lcm(&["apply"]);
    lcm(&["maintain", "painter", "--as", "kim", "--meta", "ticket=7"]);
    let known = world();
    assert_eq!(
        (&known["history"]["painter"]["state"], &known["history"]["painter"]["made"]),
        (&"maintenance".into(), &true.into())
    );
    assert_eq!(
        (&known["holds"]["painter"]["by"], &known["holds"]["painter"]["metadata"]["ticket"]),
        (&"kim".into(), &"7".into())
    );
    lcm(&["resume", "painter"]);
    assert_eq!(world()["history"]["painter"]["state"], "online");
    assert!(world()["holds"].is_null());

    let mut tried = world();
    tried["history"]["painter"]["attempts"] =
        serde_json::json!({ "count": 3, "last_at": "2026-11-20T09:00:00Z", "spec": "v1:x" });
    fs::write(&path, tried.to_string()).expect("written");
    lcm(&["resume", "painter"]).stdout_has("its restart budget is reset");
    assert!(world()["history"]["painter"]["attempts"].is_null());
    lcm(&["resume", "painter"]).stdout_has("nothing to resume");
    // Events report running services alone, and the last one is the result.
    let events = lcm(&["terminate", "painter", "--format", "json"]).events();
    assert_eq!(events.last().expect("a result")["done"], 1);
    assert_eq!(world()["history"]["painter"]["state"], "terminated");
    let again = lcm(&["terminate", "painter", "--format", "json"]).events();
    assert_eq!(again.last().expect("a result")["changed"], false);
}

#[test]
fn an_unfinished_switch_is_continued_by_the_next_apply() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    lcm(&["switch", "both", "--as", "kim"]).code(4).stdout_has("1 blocked");
    lcm(&["apply"]).code(4).stdout_has("mode both (").stdout_has("switched to by kim at");
    // A refused switch is not stored.
    lcm(&["switch", "write", "--target", "nobody"]).code(1);
    lcm(&["plan"]).code(4).stdout_has("mode both (").stdout_has("switched to by kim at");
}

#[test]
fn illegal_commands_are_refused_and_change_nothing() {
    let folder = studio();
    Lcm::new(folder.path()).args(&["apply"]).simulated().run().code(0);
    let before = fs::read_to_string(folder.path().join("world.json")).expect("a world");
    assert_snapshot!(told(
        folder.path(),
        &[&["maintain", "painter", "paintr"], &["resume", "writer"], &["switch", "nothing"], &["stop", "noname"],]
    ));
    assert_eq!(fs::read_to_string(folder.path().join("world.json")).expect("a world"), before);
    let usage = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run().code(64);
    usage(&["maintain"]);
    usage(&["maintain", "painter", "--meta", "ticket"]).stderr_has("KEY=VALUE");
    usage(&["maintain", "painter", "--reason", "two\nlines"]).stderr_has("one line");
    usage(&["maintain", "painter", "--as", " "]).stderr_has("empty");
    usage(&["switch"]);
    usage(&["switch", "--clear", "write", "lcm.yaml"]).stderr_has("takes no mode");
}

#[test]
fn one_shots_report_what_the_next_apply_does() {
    let folder = studio();
    Lcm::new(folder.path()).args(&["apply"]).simulated().run().code(0);
    assert_snapshot!(told(
        folder.path(),
        &[
            &["stop", "encoder", "--parallelism", "1"],
            &["start", "encoder"],
            &["start", "encoder"],
            &["start", "writer"],
            &["restart", "writer"],
            &["stop", "encoder"],
        ]
    ));
    let events = Lcm::new(folder.path()).args(&["stop", "writer", "--format", "json"]).simulated().run().code(0);
    let events = events.events();
    assert_eq!(events.last().expect("a result")["type"], "result");
    let events =
        Lcm::new(folder.path()).args(&["start", "writer", "--format", "json"]).simulated().run().code(0).events();
    let warned = events
        .iter()
        .any(|event| event["message"].as_str().is_some_and(|text| text.contains("next `lcm apply` stops writer")));
    assert!(warned, "{events:?}");
}

#[test]
fn a_switch_is_followed_until_the_manifests_own_mode_changes() {
    let folder = studio();
    assert_snapshot!(told(
        folder.path(),
        &[
            &["switch", "write", "--as", "kim", "--reason", "rendering", "--parallelism", "1"],
            &["plan"],
            &["plan", "--mode", "paint"],
            &["apply"],
            &["status"],
        ]
    ));
    let manifest = folder.path().join("lcm.yaml");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    fs::write(&manifest, text.replace("mode: paint", "mode: both")).expect("written");
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    lcm(&["plan"])
        .stdout_has("mode both (manifest)")
        .stderr_has("no longer applies: the manifest had `mode: paint` then");
    lcm(&["apply"]);
    // The manifest's mode is newer: an expired switch does not return with an older manifest.
    fs::write(&manifest, &text).expect("written");
    lcm(&["plan"]).stdout_has("already match mode paint");
}

#[test]
fn a_mode_override_is_followed_from_every_checkout_and_explicit_entries_are_untouched() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("other")).expect("a folder");
    fs::copy(path("lcm.yaml"), path("other/lcm.yaml")).expect("copied");
    std::os::unix::fs::symlink(folder.path(), path("current")).expect("linked");
    fs::create_dir_all(path("modes")).expect("a folder");
    fs::write(path("modes/paint.yaml"), "include: ../lcm.yaml\nmode: paint\n").expect("written");

    lcm(&["switch", "write", "--as", "kim"]).code(0);
    for manifest in ["lcm.yaml", "current/lcm.yaml", "other/lcm.yaml"] {
        lcm(&["plan", manifest])
            .code(0)
            .stdout_has("mode write (")
            .stdout_has("switched to by kim at")
            .stdout_has("Nothing to do");
    }
    lcm(&["plan", "modes/paint.yaml"]).code(0).stdout_has("mode paint (manifest)");
    lcm(&["apply", "modes/paint.yaml"]).code(0);
    lcm(&["plan"]).code(0).stdout_has("mode write (").stdout_has("switched to by kim at");
    lcm(&["switch", "both", "-m", "modes/paint.yaml"])
        .code(1)
        .stderr_has("sets `mode: paint`")
        .stderr_has("lcm switch both -m");
    lcm(&["plan"]).code(0).stdout_has("mode write (").stdout_has("switched to by kim at");
    // Another checkout's own mode does not end the switch.
    let text = fs::read_to_string(path("lcm.yaml")).expect("a manifest");
    fs::write(path("other/lcm.yaml"), text.replace("mode: paint", "mode: both")).expect("written");
    lcm(&["apply", "other/lcm.yaml"]).code(0).stdout_has("mode write (").stdout_has("switched to by kim at");
    lcm(&["plan"]).code(0).stdout_has("mode write (").stdout_has("switched to by kim at");
    // The newest switch from any checkout is the only one.
    lcm(&["switch", "both", "-m", "other/lcm.yaml", "--as", "lee"]);
    lcm(&["plan"]).stdout_has("mode both (switched to by lee at");
    lcm(&["switch", "--clear"]).code(0).stdout_has("cleared the switch to mode both");
    lcm(&["plan"]).stdout_has("mode paint");
}

#[test]
fn a_switch_to_a_removed_mode_names_the_command_that_clears_it() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    lcm(&["switch", "write"]).code(0);
    let manifest = folder.path().join("lcm.yaml");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    fs::write(&manifest, text.replace("  write:", "  compose:")).expect("written");
    lcm(&["plan"]).code(1).stderr_has("lcm switch --clear");
    lcm(&["apply"]).code(1).stderr_has("lcm switch --clear");
    lcm(&["status"]).code(0).stderr_has("lcm switch --clear");
    lcm(&["maintain", "writer"]).code(0);
    lcm(&["resume", "writer"]).code(0);
    lcm(&["switch", "--clear"])
        .code(0)
        .stdout_has("cleared the switch to mode write")
        .stdout_has("the mode is paint, by lcm.yaml");
    lcm(&["plan"]).code(0).stdout_has("mode paint (manifest)");
    lcm(&["switch", "--clear", "lcm.yaml"]).code(0).stdout_has("no switch to clear");
}

/// On the machine itself, with processes of its own.
#[test]
fn holds_need_no_lock_and_the_next_apply_does_what_needs_it() {
    let folder = studio();
    let one = "version: 1\nname: words-NAME\nservices:\n  one: { process: { command: [sleep, '300'] }, stop: { grace: 5s } }\n";
    let one = one.replace("NAME", &std::process::id().to_string());
    fs::write(folder.path().join("one.yaml"), one).expect("written");
    let lcm = |words: &[&str]| -> Ran { Lcm::new(folder.path()).args(words).run() };
    lcm(&["apply", "one.yaml"]).code(0);
    let lock = File::create(folder.path().join("lcm.lock")).expect("a lock");
    lock.lock().expect("locked");
    lcm(&["maintain", "one", "-m", "one.yaml"]).code(0).stdout_has("online → maintenance");
    lcm(&["resume", "one", "-m", "one.yaml"]).code(0).stdout_has("maintenance → online");
    lcm(&["suspend", "one", "-m", "one.yaml"]).code(0).stdout_has("online → suspended");
    lcm(&["resume", "one", "-m", "one.yaml"]).code(0).stdout_has("suspended → online");
    lcm(&["stop", "one", "-m", "one.yaml"]).code(6).stderr_has("holds the lock");
    let kept = lcm(&["terminate", "one", "-m", "one.yaml", "--as", "kim"]).code(6);
    kept.stderr_has("the hold is stored, and the next `lcm apply` stops the service");
    lcm(&["status", "one.yaml"]).code(0).stdout_has("online").stdout_has("termination pending (kim, since");
    drop(lock);
    lcm(&["apply", "one.yaml"]).code(0).stdout_has("online → stopping → terminated");
    lcm(&["apply", "one.yaml"]).code(0).stdout_has("held  one");
    lcm(&["status", "one.yaml"]).code(0).stdout_has("terminated");
    lcm(&["resume", "one", "-m", "one.yaml"]).code(0).stdout_has("hold released; it is off");
    lcm(&["apply", "one.yaml"]).code(0).stdout_has("1 started");
    lcm(&["down", "one.yaml"]).code(0);
}
