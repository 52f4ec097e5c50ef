//! A project under a new name (`renamed_from`): services under the former name keep running, are recognized, and are
//! never started twice.

use std::fs;

use crate::lcm::Lcm;
use crate::live::Live;

const SERVICE: &str = "{ process: { command: 'echo up; exec sleep 600' }, health: { log: up }, stop: { grace: 1s } }";

fn rename(live: &Live) {
    let manifest = live.folder.path().join("lcm.yaml");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let name = text.lines().find_map(|line| line.strip_prefix("name: ")).expect("a name").to_owned();
    let names = format!("name: {name}-new\nrenamed_from: {name}\n");
    fs::write(manifest, text.replace(&format!("name: {name}\n"), &names)).expect("written");
}

fn pid(live: &Live) -> u64 {
    let status = live.lcm(&["observe", "--out", "world.json"]);
    status.run().code(0);
    let world = fs::read_to_string(live.folder.path().join("world.json")).expect("a world");
    let world: serde_json::Value = serde_json::from_str(&world).expect("JSON");
    let trees = world["instances"]["process"]["reading"]["trees"]["known"].as_array().expect("trees").clone();
    let ours: Vec<&serde_json::Value> = trees.iter().filter(|tree| is_of(tree, live)).collect();
    assert_eq!(ours.len(), 1, "{trees:#?}");
    ours[0]["members"][0]["pid"].as_u64().expect("a pid")
}

fn is_of(tree: &serde_json::Value, live: &Live) -> bool {
    let manifest = fs::read_to_string(live.folder.path().join("lcm.yaml")).expect("a manifest");
    manifest.contains(&format!("name: {}\n", tree["marks"]["project"].as_str().expect("a project")))
}

#[test]
fn services_under_a_former_name_keep_running() {
    let live = Live::new(SERVICE);
    let lcm = |words: &[&str]| -> Lcm { live.lcm(words) };
    lcm(&["apply", "--yes"]).run().code(0);
    let before = pid(&live);
    rename(&live);
    let plan = lcm(&["plan", "--detailed-exitcode"]).run().code(0);
    assert!(plan.stdout.contains("one still under a former name of this project"), "{plan}");
    lcm(&["apply", "--yes"]).run().code(0);
    assert_eq!(pid(&live), before, "it was started anew");
    lcm(&["logs", "one"]).run().code(0).stdout_has("up");

    // The next start is under the present name, and there is one of it.
    lcm(&["restart", "one", "--yes"]).run().code(0);
    let after = pid(&live);
    assert_ne!(after, before);
    let plan = lcm(&["plan", "--detailed-exitcode"]).run().code(0);
    assert!(!plan.stdout.contains("former name"), "{plan}");
    lcm(&["down", "--yes"]).run().code(0);
    assert!(!std::path::Path::new(&format!("/proc/{before}")).exists(), "the former one still runs");
    assert!(!std::path::Path::new(&format!("/proc/{after}")).exists(), "it still runs");
}

#[test]
fn holds_set_under_a_former_name_count() {
    let live = Live::new(SERVICE);
    let lcm = |words: &[&str]| -> Lcm { live.lcm(words) };
    lcm(&["apply", "--yes"]).run().code(0);
    lcm(&["terminate", "one", "--as", "kim"]).run().code(0);
    rename(&live);
    for _ in 0..2 {
        lcm(&["plan", "--detailed-exitcode"]).run().code(0).stdout_has("held").stdout_has("kim");
        lcm(&["apply", "--yes"]).run().code(0);
    }
    lcm(&["history", "one"]).run().code(0).stdout_has("terminated");
    lcm(&["history", "--runs"]).run().code(0).stdout_has("lcm terminate");
    lcm(&["resume", "one"]).run().code(0);
    lcm(&["apply", "--yes"]).run().code(0).stdout_has("1 started");
    lcm(&["down", "--yes"]).run().code(0);
}

#[test]
fn down_stops_services_under_a_former_name() {
    let live = Live::new(SERVICE);
    live.lcm(&["apply", "--yes"]).run().code(0);
    let before = pid(&live);
    rename(&live);
    live.lcm(&["down", "--yes"]).run().code(0).stdout_has("stop");
    assert!(!std::path::Path::new(&format!("/proc/{before}")).exists(), "it still runs");
}
