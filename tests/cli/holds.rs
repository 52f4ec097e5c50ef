//! Holds: in any state and before a first start, and where the store that keeps them can't be read.

use std::fs;

use crate::lcm::{Lcm, studio};
use crate::live::Live;

const SLEEPS: &str = "{ process: { command: [sleep, '300'] }, stop: { grace: 1s } }";

#[test]
fn a_hold_is_put_on_a_service_in_any_state_and_before_its_first_start() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    lcm(&["terminate", "painter", "--as", "kim"]).code(0).stdout_has("painter: registered; kept off until");
    lcm(&["status"]).code(0).stdout_has("it is kept off by `lcm terminate` (kim, since");
    lcm(&["apply"]).stdout_has("held");
    lcm(&["status", "painter"]).code(0).stdout_has("registered");
    lcm(&["terminate", "painter"]).code(0).stdout_has("painter is already terminated (kim, since");
    lcm(&["resume", "painter"]).code(0).stdout_has("released");
    lcm(&["maintain", "painter", "--as", "kim"]).code(0).stdout_has("painter: registered; left as it is until");
    lcm(&["apply"]).stdout_has("maintenance");
    lcm(&["resume", "painter"]).code(0);
    lcm(&["suspend", "painter"]).code(0).stdout_has("painter: registered; lcm does not start it, and pauses it");
    lcm(&["apply"]).stdout_has("suspended, but it is not running");
    lcm(&["resume", "painter"]).code(0);
    lcm(&["apply"]).code(0).stdout_has("painter");
    lcm(&["plan"]).code(0).stdout_has("Nothing to do");
}

#[test]
fn a_failed_service_is_held_as_it_is() {
    let live = Live::new("{ process: { command: 'exit 3' }, recover: { attempts: 1, backoff: 1h } }");
    live.lcm(&["apply"]).run().code(3);
    live.lcm(&["terminate", "one", "--as", "kim"]).run().code(0).stdout_has("one: failed; kept off until");
    live.lcm(&["plan"]).run().code(0).stdout_has("kim");
    live.lcm(&["status"]).run().code(0).stdout_has("failed").stdout_has("it is kept off by `lcm terminate` (kim");
    live.lcm(&["resume", "one"]).run().code(0);
}

/// Damage to the store, and lcm's message on it.
const SPOILED: [(&str, &str); 3] = [
    ("emptied", "it is empty, and lcm never leaves it empty"),
    ("newer", "was written by a newer lcm"),
    ("damaged", "it is left as it is: restore it from a backup"),
];

fn spoil(live: &Live, how: &str) {
    let store = live.folder.path().join("state/lcm.db");
    for beside in ["state/lcm.db-wal", "state/lcm.db-shm"] {
        let _ = fs::remove_file(live.folder.path().join(beside));
    }
    match how {
        "emptied" => fs::write(&store, "").expect("emptied"),
        "newer" => {
            // `user_version`, as the file format has it.
            let mut bytes = fs::read(&store).expect("a store");
            bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
            fs::write(&store, bytes).expect("written");
        }
        _ => {
            fs::write(&store, "not a database, and long enough to be taken for one by its size alone")
                .expect("written");
        }
    }
}

#[test]
fn an_unreadable_store_forbids_all_that_a_hold_could_and_down_still_works() {
    for (how, said) in SPOILED {
        let live = Live::new(SLEEPS);
        live.lcm(&["apply"]).run().code(0);
        live.lcm(&["terminate", "one", "--as", "kim"]).run().code(0);
        live.lcm(&["plan"]).run().code(0).stdout_has("held");
        spoil(&live, how);
        let before = fs::read(live.folder.path().join("state/lcm.db")).expect("a store");
        let plan = live.lcm(&["plan"]).run().code(4);
        plan.stdout_has("operator holds can't be read").stderr_has(said).stderr_has("holds");
        live.lcm(&["apply"]).run().code(1).stderr_has(said);
        live.lcm(&["start", "one"]).run().code(1);
        live.lcm(&["maintain", "one"]).run().code(1).stderr_has(said);
        live.lcm(&["down", "--yes"]).run().code(0);
        let after = fs::read(live.folder.path().join("state/lcm.db")).expect("a store");
        assert!(before == after, "{how}: it is left as it is");
        for beside in ["lcm.db", "lcm.db-wal", "lcm.db-shm"] {
            let _ = fs::remove_file(live.folder.path().join("state").join(beside));
        }
    }
}

#[test]
fn down_stops_services_though_the_store_can_not_be_read() {
    let live = Live::new(SLEEPS);
    live.lcm(&["apply"]).run().code(0);
    spoil(&live, "emptied");
    live.lcm(&["plan"]).run().stdout_has("Nothing to do");
    live.lcm(&["down", "--yes"]).run().code(0).stdout_has("1 stopped");
    fs::remove_file(live.folder.path().join("state/lcm.db")).expect("removed");
    live.lcm(&["status"]).run().code(0).stdout_has("offline");
}

#[test]
fn another_store_than_the_one_that_keeps_the_holds_is_refused_naming_both() {
    let live = Live::new(SLEEPS);
    live.lcm(&["apply"]).run().code(0);
    live.lcm(&["terminate", "one", "--as", "kim"]).run().code(0);
    let other = live.folder.path().join("other");
    let (mine, noted) = (other.display().to_string(), live.folder.path().join("state").display().to_string());
    for words in [&["apply"][..], &["plan"], &["start", "one"], &["maintain", "one"], &["down", "--yes"]] {
        let ran = live.lcm(words).env("LCM_STATE_DIR", &mine).run().code(1);
        ran.stderr_has(&format!("keeps its holds and history in {noted}"))
            .stderr_has(&mine)
            .stderr_has(&format!("LCM_STATE_DIR={noted}"));
    }
    assert!(!other.exists(), "nothing was made there");
    // Another path to the same folder is the same store.
    let link = live.folder.path().join("link");
    std::os::unix::fs::symlink(live.folder.path().join("state"), &link).expect("linked");
    live.lcm(&["apply"]).env("LCM_STATE_DIR", &link.display().to_string()).run();
    live.lcm(&["plan"]).run().code(0).stdout_has("held");
}

#[test]
fn a_hold_on_what_the_manifest_no_longer_names_keeps_it_from_being_pruned() {
    let live = Live::new(SLEEPS);
    let manifest = live.folder.path().join("lcm.yaml");
    let both = fs::read_to_string(&manifest).expect("a manifest");
    fs::write(&manifest, format!("{both}\n  two: {SLEEPS}\n")).expect("written");
    live.lcm(&["apply"]).run().code(0);
    live.lcm(&["maintain", "two", "--as", "kim"]).run().code(0);
    fs::write(&manifest, &both).expect("written");
    live.lcm(&["apply", "--prune"]).run().code(0).stdout_has("held by `lcm maintain` (kim, since");
    live.lcm(&["resume", "two"]).run().code(0).stdout_has("released");
    live.lcm(&["maintain", "two"]).run().code(1);
    live.lcm(&["apply"]).run().code(0).stdout_has("`lcm apply --prune` stops and removes it");
    live.lcm(&["apply", "--prune"]).run().code(0).stdout_has("1 stopped");
}
