//! Saved plans: carried out as approved, or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::lcm::{Lcm, Ran, studio};

/// Changes the machine without lcm.
fn change_world(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("world.json");
    let mut world = serde_json::from_str(&fs::read_to_string(&path).expect("a world")).expect("JSON");
    change(&mut world);
    fs::write(path, world.to_string()).expect("written");
}

/// A project of one service in a snapshot in which two GPUs are free, and a plan saved for it.
fn two_gpus(service: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = format!("version: 1\nname: two\nservices:\n  one: {service}\n");
    fs::write(folder.path().join("lcm.yaml"), manifest).expect("a manifest");
    let gpu = |id: &str, index: u32| json!({ "id": id, "index": index, "capacity": 24576, "used": 0 });
    let world = json!({ "format": "lcm.world/1", "host": "box", "observed_at": "2026-11-20T10:00:00Z",
                        "gpus": { "known": [gpu("GPU-a", 0), gpu("GPU-b", 1)] } });
    fs::write(folder.path().join("world.json"), world.to_string()).expect("a world");
    lcm(folder.path(), &["plan", "--out", "plan.json"]).code(0);
    folder
}

/// Lets a foreign program hold memory of a GPU.
fn hold(world: &mut Value, gpu: usize, mib: u64) {
    let gpu = &mut world["gpus"]["known"][gpu];
    gpu["used"] = mib.into();
    gpu["holders"] = json!([{ "pid": 7, "program": "blender", "memory": mib, "owner": "stranger" }]);
}

fn lcm(folder: &Path, words: &[&str]) -> Ran {
    Lcm::new(folder).args(words).env("TOKEN", "hf_s3cret").simulated().run()
}

#[test]
fn a_saved_plan_is_carried_out_once() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    lcm(&["plan", "--mode", "write", "--out", "plan.json"]).code(0).stdout_has("writer");
    let mode = fs::metadata(folder.path().join("plan.json")).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // The mode comes with the plan.
    lcm(&["apply", "--plan", "plan.json", "--detailed-exitcode"]).code(2).stdout_has("2 started");
    lcm(&["apply", "--plan", "plan.json"]).code(5).stderr_has("- start:writer: no longer planned");
}

#[test]
fn a_changed_machine_makes_a_plan_stale() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    lcm(&["plan", "--mode", "write", "--out", "plan.json"]).code(0);
    lcm(&["apply", "--mode", "paint"]).code(0);
    let before = fs::read(folder.path().join("world.json")).expect("a world");
    lcm(&["apply", "--plan", "plan.json"]).code(5).stderr_has("+ stop:painter: now planned");
    assert_eq!(fs::read(folder.path().join("world.json")).expect("a world"), before, "nothing changed");
    lcm(&["apply", "--plan", "plan.json", "--mode", "paint"]).code(64).stderr_has("--mode is paint");
}

#[test]
fn a_changed_manifest_makes_a_plan_stale() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    lcm(&["plan", "--out", "plan.json"]).code(0);
    let manifest = folder.path().join("lcm.yaml");
    let text = fs::read_to_string(&manifest).expect("a manifest").replacen("inf", "infinity", 1);
    fs::write(&manifest, text).expect("written");
    lcm(&["apply", "--plan", "plan.json"]).code(5).stderr_has("~ start:encoder: its definition changed");
    lcm(&["apply", "--plan", "lcm.yaml"]).code(1).stderr_has("can't read lcm.yaml as a plan");
}

#[test]
fn a_saved_plan_carries_its_narrowing() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    let narrow = ["plan", "--mode", "write", "--target", "writer", "--prune", "--out", "plan.json", "--format", "json"];
    let plan = lcm(&narrow).code(0).json();
    assert_eq!(plan["request"], serde_json::json!({ "targets": ["writer"], "prune": true }));
    assert_eq!(lcm(&["plan", "--format", "json"]).code(0).json().get("request"), None);

    let apply = |words: &[&str]| lcm(&[&["apply", "--plan", "plan.json"], words].concat());
    apply(&["--target", "encoder"]).code(64).stderr_has("made with --target writer, but --target is encoder");
    apply(&["--exclude", "writer"]).code(64).stderr_has("made with --exclude nothing");
    apply(&["--strict"]).code(64).stderr_has("the saved plan was made without --strict");
    apply(&["--target", "writer", "--prune"]).code(0).stdout_has("1 started");
}

const ONE: &str = "{ process: { command: [sleep, inf], environment: { TOKEN: { env: TOKEN } } }, vram: 10GB }";

#[test]
fn irrelevant_changes_make_no_plan_stale() {
    let folder = studio();
    let folder = folder.path();
    let lcm = |words: &[&str]| Lcm::new(folder).args(words).simulated().run();
    lcm(&["apply"]).code(0);
    lcm(&["plan", "--mode", "write", "--out", "plan.json"]).code(0);
    change_world(folder, |world| {
        // The time; a foreign program; a service restarted by hand, and busy for a moment.
        world["observed_at"] = "2026-11-20T11:00:00Z".into();
        hold(world, 0, 100);
        let trees = world["instances"]["process"]["reading"]["trees"]["known"].as_array_mut().expect("trees");
        for tree in trees.iter_mut().filter(|tree| tree["marks"]["service"] == "encoder") {
            tree["members"][0]["pid"] = 4711.into();
            tree["started_at"] = "2026-11-20T10:30:00Z".into();
        }
        world["history"] = json!({});
    });
    lcm(&["apply", "--plan", "plan.json"]).code(0).stdout_has("1 stopped, 1 started");
}

#[test]
fn foreign_memory_makes_a_plan_stale_where_it_moves_a_service() {
    let folder = two_gpus(ONE);
    change_world(folder.path(), |world| hold(world, 1, 20_000));
    // The foreign program is on the other GPU: nothing changes for the plan.
    lcm(folder.path(), &["apply", "--plan", "plan.json", "--yes"]).code(0).stdout_has("1 started");

    let folder = two_gpus(ONE);
    change_world(folder.path(), |world| hold(world, 0, 20_000));
    let before = fs::read(folder.path().join("world.json")).expect("a world");
    lcm(folder.path(), &["apply", "--plan", "plan.json"]).code(5).stderr_has("~ start:one: on GPU-b instead of GPU-a");
    assert_eq!(fs::read(folder.path().join("world.json")).expect("a world"), before, "nothing changed");

    let folder = two_gpus(ONE);
    change_world(folder.path(), |world| (0..2).for_each(|gpu| hold(world, gpu, 20_000)));
    let ran = lcm(folder.path(), &["apply", "--plan", "plan.json"]).code(5);
    ran.stderr_has("- start:one: no longer planned, ").stderr_has("plan again, and review the new plan");
}

#[test]
fn another_need_makes_a_plan_stale() {
    let folder = studio();
    let folder = folder.path();
    // No start waited for the stop; now its memory is needed.
    let manifest = folder.join("lcm.yaml");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    lcm(folder, &["apply", "--mode", "write"]).code(0);
    fs::write(
        &manifest,
        text.replace(
            "painter: { process: { command: [sleep, inf] }, vram: 18GB",
            "painter: { process: { command: [sleep, inf] }, vram: 1GB",
        ),
    )
    .expect("written");
    lcm(folder, &["plan", "--mode", "paint", "--out", "plan.json"]).code(0);
    fs::write(&manifest, text).expect("written");
    lcm(folder, &["apply", "--plan", "plan.json"])
        .code(5)
        .stderr_has("~ start:painter: waits for stop:writer instead of nothing");
}

#[test]
fn a_saved_plan_has_no_secret_and_states_its_version() {
    let folder = two_gpus(ONE);
    let with = |words: &[&str]| lcm(folder.path(), words);
    with(&["plan", "--out", "plan.json", "-v"]).code(0);
    let text = fs::read_to_string(folder.path().join("plan.json")).expect("written");
    assert!(!text.contains("hf_s3cret") && text.contains("\"format\": \"lcm.plan/2\""), "{text}");
    with(&["apply", "--plan", "plan.json"]).code(0);
    // What changed is shown in the next plan, and still not the value.
    let manifest = folder.path().join("lcm.yaml");
    let changed = fs::read_to_string(&manifest).expect("a manifest").replace("[sleep, inf]", "[sleep, infinity]");
    fs::write(&manifest, changed).expect("written");
    with(&["plan", "--out", "next.json", "-v"]).code(0);
    let text = fs::read_to_string(folder.path().join("next.json")).expect("written");
    assert!(!text.contains("hf_s3cret") && text.contains("infinity"), "{text}");
    let newer = text.replace("lcm.plan/2", "lcm.plan/3");
    fs::write(folder.path().join("newer.json"), newer).expect("written");
    with(&["apply", "--plan", "newer.json"])
        .code(1)
        .stderr_has("its format is lcm.plan/3; this lcm reads lcm.plan/2 and lcm.plan/1");
}
