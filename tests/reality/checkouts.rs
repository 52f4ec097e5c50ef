//! Folders of a manifest: two checkouts of one project, a release behind a link, a deleted and a moved folder. Result
//! of each, for a container that mounts a folder of the checkout and for a process that works in it:
//!
//! | the folder | container | process |
//! |---|---|---|
//! | of another checkout, which exists | kept, reported | kept, reported |
//! | behind a link that leads elsewhere by now | recreated | restarted |
//! | deleted, and another checkout applies | recreated | restarted |
//! | deleted and recreated at its path | recreated | restarted |
//! | moved away, and nothing in its place | refused | refused |

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::{docker, image, steps};

/// Writes a manifest with a container and a process, in a checkout with the folder `conf`.
fn checkout(sandbox: &Sandbox, folder: &str) -> String {
    let text = format!(
        "version: 1\nname: @NAME@\nservices:\n  boxed: {{ docker: {{ image: \"{}\", pull_policy: never, gpu_access: \
         none, volumes: [\"./conf:/conf:ro\"], command: [--host, 0.0.0.0] }}, stop: {{ grace: 1s }} }}\n  bare: {{ \
         process: {{ command: [\"@SERVER@\", --port, \"0\"], cwd: conf }} }}\n",
        image::model_server()
    );
    fs::create_dir_all(sandbox.path(&format!("{folder}/conf"))).expect("a folder");
    sandbox.write(&format!("{folder}/lcm.yaml"), &text).display().to_string()
}

fn sandbox(what: &str, manifest: &str) -> Sandbox {
    let mut sandbox = Sandbox::new(what);
    let manifest = sandbox.path(manifest);
    sandbox.take_down(manifest);
    sandbox
}

fn plan(sandbox: &Sandbox, manifest: &str) -> Value {
    sandbox.lcm(&["plan", manifest, "--format", "json"]).json()
}

/// Returns the container and the process ids.
fn instances(sandbox: &Sandbox) -> (String, Vec<i32>) {
    let container =
        docker(&["inspect", "--format", "{{.Id}}", &format!("{}-boxed", sandbox.name)]).expect("a container");
    (container, sandbox.servers().into_iter().map(|(pid, _)| pid).collect())
}

fn works_in(pid: i32) -> String {
    fs::read_link(format!("/proc/{pid}/cwd")).expect("a folder").display().to_string()
}

/// Checks that no further apply changes anything.
fn settles(sandbox: &Sandbox, manifests: &[&str]) {
    let before = instances(sandbox);
    for round in 0..10 {
        for manifest in manifests {
            sandbox.lcm(&["apply", "--yes", manifest]).exits(0);
            assert_eq!(instances(sandbox), before, "round {round}, {manifest}");
        }
    }
}

pub(crate) fn two_checkouts_do_not_displace_each_other() {
    let sandbox = sandbox("twice", "one/lcm.yaml");
    let (one, two) = (checkout(&sandbox, "one"), checkout(&sandbox, "two"));
    sandbox.lcm(&["apply", "--yes", &one]).exits(0);
    let kept = plan(&sandbox, &two);
    assert_eq!(steps(&kept), [""; 0]);
    let warned = kept["warnings"].to_string();
    assert!(warned.contains("other_checkout") && warned.contains("one/lcm.yaml"), "{warned}");
    settles(&sandbox, &[&one, &two]);
    sandbox.lcm(&["apply", "--yes", "--take-over", &two]).exits(0);
    let (_, pids) = instances(&sandbox);
    assert_eq!(works_in(pids[0]), sandbox.path("two/conf").display().to_string());
}

pub(crate) fn a_folder_that_was_recreated_at_its_path_is_another() {
    let sandbox = sandbox("anew", "one/lcm.yaml");
    let one = checkout(&sandbox, "one");
    sandbox.lcm(&["apply", "--yes", &one]).exits(0);
    let conf = sandbox.path("one/conf");
    fs::remove_dir(&conf).expect("it is empty");
    fs::create_dir(&conf).expect("another");
    let changed = plan(&sandbox, &one);
    assert_eq!(steps(&changed), ["stop:bare", "stop:boxed", "start:bare", "start:boxed"], "{changed:#}");
    sandbox.lcm(&["plan", &one]).says("(deleted since)");
    sandbox.lcm(&["apply", "--yes", &one]).exits(0);
    settles(&sandbox, &[&one]);
}

pub(crate) fn a_release_that_a_link_leads_to_is_adopted_and_kept() {
    let sandbox = sandbox("release", "current/lcm.yaml");
    for release in ["r1", "r2"] {
        checkout(&sandbox, release);
    }
    let current = sandbox.path("current/lcm.yaml").display().to_string();
    let lead = |to: &str| {
        let link = sandbox.path("current");
        let _ = fs::remove_file(&link);
        symlink(to, &link).expect("a link");
    };
    lead("r1");
    sandbox.lcm(&["apply", "--yes", &current]).exits(0);
    settles(&sandbox, &[&current]);
    lead("r2");
    let moved = plan(&sandbox, &current);
    assert_eq!(steps(&moved), ["stop:bare", "stop:boxed", "start:bare", "start:boxed"], "{moved:#}");
    for step in moved["steps"].as_array().expect("steps") {
        assert_eq!(step["reason"]["code"], "settings_changed", "{step:#}");
    }
    sandbox.lcm(&["apply", "--yes", &current]).exits(0);
    let (container, pids) = instances(&sandbox);
    let r2 = sandbox.path("r2/conf").display().to_string();
    assert_eq!(works_in(pids[0]), r2);
    assert_eq!(docker(&["inspect", "--format", "{{(index .Mounts 0).Source}}", &container]).expect("a mount"), r2);
    settles(&sandbox, &[&current]);
}

pub(crate) fn services_of_a_deleted_checkout_move_to_the_next() {
    let sandbox = sandbox("deleted", "two/lcm.yaml");
    let (one, two) = (checkout(&sandbox, "one"), checkout(&sandbox, "two"));
    sandbox.lcm(&["apply", "--yes", &one]).exits(0);
    fs::remove_dir_all(sandbox.path("one")).expect("deleted");
    let next = plan(&sandbox, &two);
    assert_eq!(steps(&next), ["stop:bare", "stop:boxed", "start:bare", "start:boxed"], "{next:#}");
    let diffs = next["steps"].to_string();
    assert!(diffs.contains("one/conf (deleted)"), "{diffs}");
    sandbox.lcm(&["apply", "--yes", &two]).exits(0);
    settles(&sandbox, &[&two]);
}

pub(crate) fn a_folder_that_was_moved_away_is_refused_and_not_recreated() {
    let sandbox = sandbox("moved", "one/lcm.yaml");
    let one = checkout(&sandbox, "one");
    sandbox.lcm(&["apply", "--yes", &one]).exits(0);
    let before = instances(&sandbox);
    let conf = sandbox.path("one/conf");
    fs::rename(&conf, sandbox.path("one/gone")).expect("moved away");
    let refused = sandbox.lcm(&["restart", "boxed", "bare", "-m", &one, "--yes"]);
    assert_eq!(refused.code, 3, "{refused}");
    assert!(!Path::new(&conf).exists(), "no empty folder is made in its place");
    assert_eq!(instances(&sandbox), before, "running services are left alone");
    fs::rename(sandbox.path("one/gone"), &conf).expect("moved back");
    settles(&sandbox, &[&one]);
}
