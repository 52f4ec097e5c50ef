//! The host's lock and the state folder, as another process sees them.

use std::fs::{self, File};
use std::io::Write;

use crate::lcm::{Lcm, studio};

const NOTHING_WANTED: &str = "version: 1\nname: none\nservices: {}\n";

#[test]
fn the_lock_holder_is_named_and_a_plan_needs_no_lock() {
    let folder = studio();
    fs::write(folder.path().join("none.yaml"), NOTHING_WANTED).expect("written");
    let mut lock = File::create(folder.path().join("lcm.lock")).expect("a lock");
    lock.lock().expect("locked");
    let holder =
        r#"{"pid": 4711, "user": "kim", "command": "lcm apply", "since": "2026-11-20T10:00:00Z", "project": "studio"}"#;
    lock.write_all(holder.as_bytes()).expect("written");

    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).run();
    lcm(&["apply", "none.yaml"]).code(6).stderr_has("`lcm apply` of kim (pid 4711");
    lcm(&["down", "none.yaml"]).code(6);
    lcm(&["apply", "none.yaml", "--lock-timeout", "150ms"]).code(6).stderr_has("waiting: another lcm holds the lock");
    let one = "version: 1\nname: one\nservices:\n  one: { process: { command: [sleep, '300'] } }\n";
    fs::write(folder.path().join("one.yaml"), one).expect("written");
    let pid = std::process::id().to_string();
    lcm(&["adopt", "one", "-m", "one.yaml", "--pid", &pid]).code(6).stderr_has("`lcm apply` of kim (pid 4711");
    lcm(&["plan", "none.yaml"]).code(0);
    lcm(&["status", "none.yaml"]).code(0);
    assert!(!folder.path().join("state").exists(), "reading leaves nothing behind");

    drop(lock);
    lcm(&["apply", "none.yaml"]).code(0);
    assert!(folder.path().join("state/lcm.db").exists());
}

#[test]
fn a_state_folder_that_can_not_be_used_stops_an_apply_and_only_warns_a_plan() {
    let folder = studio();
    fs::write(folder.path().join("none.yaml"), NOTHING_WANTED).expect("written");
    let lcm = |words: &[&str], state: &str| Lcm::new(folder.path()).args(words).env("LCM_STATE_DIR", state).run();
    lcm(&["apply", "none.yaml"], "none.yaml/state").code(1).stderr_has("none.yaml/state");

    fs::create_dir(folder.path().join("broken")).expect("made");
    let text = "not a database, but long enough to be taken for one".repeat(10);
    fs::write(folder.path().join("broken/lcm.db"), &text).expect("written");
    lcm(&["apply", "none.yaml"], "broken").code(1).stderr_has("broken/lcm.db");
    lcm(&["plan", "none.yaml"], "broken").code(0).stderr_has("the history are unknown");
    assert_eq!(fs::read_to_string(folder.path().join("broken/lcm.db")).expect("there"), text, "left as it is");

    Lcm::new(folder.path())
        .args(&["apply", "none.yaml"])
        .env("LCM_LOCK", "/proc/nowhere/lock")
        .run()
        .code(1)
        .stderr_has("LCM_LOCK");
}
