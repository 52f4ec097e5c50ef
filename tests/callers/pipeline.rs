//! The pipeline script of the recipes, unchanged, on real processes: a successful run, and each exit code of it.

use std::fs::{self, File};

use super::sandbox::{Ran, Sandbox, answers, free_port, kill, wait_until};
use super::shell;

const RECIPES: &str = include_str!("../../src/cli/topics/recipes.md");

/// Checkout with the script beside its manifests.
struct Checkout {
    sandbox: Sandbox,
    port: u16,
}

impl Checkout {
    fn new() -> Self {
        let mut sandbox = Sandbox::new("pipeline");
        let (_, after) = RECIPES.split_once("```sh\n#!/bin/sh\n# pipeline.sh ").expect("the recipes have the script");
        let (script, _) = after.split_once("\n```\n").expect("its end");
        sandbox.write("pipeline.sh", &format!("# pipeline.sh {script}\n"));
        let bin = sandbox.path("bin");
        fs::create_dir(&bin).expect("a folder");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lcm"), bin.join("lcm")).expect("a link");
        let path = format!("{}:{}", bin.display(), sandbox.get("PATH"));
        sandbox.set("PATH", path);
        let port = free_port();
        let manifest = sandbox.write("lcm.yaml", &manifest(port));
        sandbox.take_down(&manifest);
        for mode in ["full", "dead"] {
            sandbox.write(&format!("{mode}.yaml"), &format!("include: lcm.yaml\nmode: {mode}\n"));
        }
        sandbox.write("wrong.yaml", "version: 1\nname: wrong\nservises: {}\n");
        Self { sandbox, port }
    }

    /// Runs the script, as with `check` or `merge full.yaml`.
    #[track_caller]
    fn job(&self, words: &str) -> Ran {
        shell(&self.sandbox, &format!("exec sh pipeline.sh {words}"))
    }

    fn comment(&self) -> String {
        fs::read_to_string(self.sandbox.path("comment.md")).expect("a comment")
    }
}

/// Returns a manifest of two services that don't fit together, and one that never starts.
fn manifest(port: u16) -> String {
    let [other, dead] = [free_port(), free_port()];
    let service = |port: u16, more: &str| {
        format!(
            "process: {{ command: [\"@SERVER@\", --port, \"{port}\"{more}] }}, stop: {{ grace: 1s }}, health: {{ http: \
             \"http://127.0.0.1:{port}/health\" }}"
        )
    };
    format!(
        "version: 1
name: \"@NAME@\"
mode: one
gpus: {{ devices: [{{ index: 0, uuid: \"@GPU@\", vram: 24GiB }}] }}
services:
  one: {{ {}, vram: 20GB, priority: 100 }}
  two: {{ {}, vram: 20GB }}
  dead: {{ {} }}
modes:
  one: {{ services: [one] }}
  full: {{ services: [one, two] }}
  dead: {{ services: [dead] }}
",
        service(port, ""),
        service(other, ""),
        service(dead, ", --load, 100ms, --die-while-loading")
    )
}

#[test]
fn a_checked_plan_is_merged_and_drift_is_detected() {
    let checkout = Checkout::new();
    checkout.job("check").exits(0).says("lcm.yaml: ok");
    let comment = checkout.comment();
    assert!(comment.starts_with("**Plan: 0 to stop, 1 to start, 2 kept, 0 blocked**\n"), "{comment}");
    checkout.job("drift").exits(2).says("drift: the machine does not match lcm.yaml");
    assert!(!answers(checkout.port), "nothing was changed so far");
    checkout.job("merge").exits(0).says("Applied: 1 started");
    assert!(answers(checkout.port));
    checkout.job("drift").exits(0).says("Plan: 0 to stop, 0 to start, 3 kept, 0 blocked.");
    checkout.job("check").exits(0);
    assert!(checkout.comment().starts_with("**Nothing to do"), "{}", checkout.comment());

    let servers = checkout.sandbox.servers();
    let [(pid, _)] = servers[..] else { panic!("{servers:?}") };
    kill(pid, "KILL");
    wait_until("it is gone", || !answers(checkout.port));
    checkout.job("drift").exits(2).says("Plan: 0 to stop, 1 to start, 2 kept, 0 blocked.");
}

#[test]
fn an_error_ends_the_script_before_anything_is_changed() {
    let checkout = Checkout::new();
    checkout.job("").exits(64).says("pipeline.sh check|merge|drift");
    shell(&checkout.sandbox, "PATIENCE=soon exec sh pipeline.sh merge").exits(64).says("--lock-timeout");
    checkout.job("check wrong.yaml").exits(1).says("services");
    assert!(!checkout.sandbox.path("plan.json").exists(), "an invalid manifest is not planned");
    checkout.job("merge").exits(1).says("plan.json");

    checkout.job("check").exits(0);
    let lock = File::create(checkout.sandbox.path("lcm.lock")).expect("a lock");
    lock.lock().expect("locked");
    shell(&checkout.sandbox, "PATIENCE=0s exec sh pipeline.sh merge").exits(6).says("try again later");
    drop(lock);
    assert_eq!(checkout.sandbox.servers(), []);

    checkout.sandbox.lcm(&["apply", "--yes"]).exits(0);
    let servers = checkout.sandbox.servers();
    checkout.job("merge").exits(5).says("check and review again");
    assert_eq!(checkout.sandbox.servers(), servers, "a stale plan does nothing");
}

#[test]
fn a_blocked_or_failed_service_is_reported_and_the_rest_is_done() {
    let checkout = Checkout::new();
    checkout.job("check full.yaml").exits(4).says("a wanted service is blocked");
    let comment = checkout.comment();
    assert!(comment.contains("- `!` blocked `two`: no\\_capacity: "), "{comment}");
    checkout.job("merge full.yaml").exits(4);
    assert!(answers(checkout.port), "the service that fits is up");
    checkout.job("drift full.yaml").exits(4);

    checkout.job("check dead.yaml").exits(0);
    checkout.job("merge dead.yaml").exits(3).says("some services are not up");
}
