//! The quickstart, with the real binary and real processes: up, converged, repaired, switched, down.

use std::fs;

use serde_json::json;

#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/plans.rs"]
mod plans;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "support/server.rs"]
mod server;

use plans::{position, reason, result, stage, steps, timeless};
use sandbox::{Sandbox, answers, free_port, is_alive, kill, wait_until};

/// The example as it is, with its own names and ports.
struct Quickstart {
    sandbox: Sandbox,
    manifest: String,
}

impl Quickstart {
    fn new() -> Self {
        let mut sandbox = Sandbox::new("quickstart");
        let name = sandbox.name.clone();
        sandbox.set("QUICKSTART_GPU", format!("GPU-{name}"));
        sandbox.set("QUICKSTART_NAME", name);
        for port in ["ENCODER_PORT", "PAINTER_PORT", "WRITER_PORT"] {
            sandbox.set(port, free_port().to_string());
        }
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart/lcm.yaml").to_owned();
        sandbox.take_down(&manifest);
        Self { sandbox, manifest }
    }

    fn up() -> Self {
        let quickstart = Self::new();
        quickstart.lcm(&["apply", "--yes"]).exits(0);
        quickstart
    }

    #[track_caller]
    fn lcm(&self, words: &[&str]) -> sandbox::Ran {
        self.sandbox.lcm(&[words, &[&self.manifest]].concat())
    }

    fn plan(&self, words: &[&str]) -> serde_json::Value {
        self.lcm(&[&["plan", "--format", "json"], words].concat()).json()
    }

    fn port(&self, service: &str) -> u16 {
        self.sandbox.get(&format!("{}_PORT", service.to_uppercase())).parse().expect("a port")
    }

    /// Returns the one process that serves this service's port.
    #[track_caller]
    fn pid(&self, service: &str) -> i32 {
        let words = format!("--port {} ", self.port(service));
        let found: Vec<i32> =
            self.sandbox.servers().into_iter().filter(|(_, line)| line.contains(&words)).map(|(pid, _)| pid).collect();
        assert_eq!(found.len(), 1, "{service}: {found:?}");
        found[0]
    }
}

#[test]
fn an_apply_converges_and_the_next_one_does_nothing() {
    let quickstart = Quickstart::new();
    let plan = quickstart.lcm(&["plan", "--format", "json", "--detailed-exitcode"]).exits(2).json();
    assert_eq!(steps(&plan), ["start:encoder", "start:painter"]);
    assert_eq!(reason(&plan, "start:encoder"), "wanted_by_dependency");
    assert_eq!(reason(&plan, "start:painter"), "wanted_by_mode");
    assert!(!answers(quickstart.port("painter")), "a plan changes nothing");

    quickstart.lcm(&["apply", "--yes", "--detailed-exitcode"]).exits(2);
    assert!(answers(quickstart.port("encoder")) && answers(quickstart.port("painter")));
    assert!(!answers(quickstart.port("writer")), "not in this mode");

    let before = quickstart.sandbox.servers();
    let plan = quickstart.lcm(&["plan", "--format", "json", "--detailed-exitcode"]).exits(0).json();
    assert_eq!((steps(&plan).len(), &plan["changes"]), (0, &json!(false)));
    let again = quickstart.lcm(&["apply", "--format", "json", "--detailed-exitcode"]).exits(0);
    assert_eq!(result(&again.events())["changed"], json!(false));
    assert_eq!(quickstart.sandbox.servers(), before, "the same processes");
}

#[test]
fn a_switch_stops_before_it_starts_and_keeps_services_of_both_modes() {
    let quickstart = Quickstart::up();
    let encoder = quickstart.pid("encoder");
    let ran = quickstart.lcm(&["apply", "--mode", "write", "--format", "json"]).exits(0);
    let events = ran.events();
    assert!(position(&events, "step_done", "stop:painter") < stage(&events, "start:writer", "start"));
    assert_eq!(quickstart.pid("encoder"), encoder, "the encoder was left alone");
    assert!(answers(quickstart.port("writer")) && !answers(quickstart.port("painter")));
    quickstart.lcm(&["plan", "--mode", "write", "--detailed-exitcode"]).exits(0);
}

#[test]
fn only_the_killed_service_is_restarted() {
    let quickstart = Quickstart::up();
    let (encoder, painter) = (quickstart.pid("encoder"), quickstart.pid("painter"));
    kill(painter, "KILL");
    wait_until("the painter has ended", || !is_alive(painter));

    let plan = quickstart.lcm(&["plan", "--format", "json", "--detailed-exitcode"]).exits(2).json();
    assert_eq!(steps(&plan), ["start:painter"]);
    assert_eq!(reason(&plan, "start:painter"), "exited");

    quickstart.lcm(&["apply", "--yes"]).exits(0);
    assert_eq!(quickstart.pid("encoder"), encoder);
    assert_ne!(quickstart.pid("painter"), painter);
    quickstart.lcm(&["plan", "--detailed-exitcode"]).exits(0);
}

#[test]
fn a_second_apply_is_refused_and_names_the_first() {
    let mut sandbox = Sandbox::new("two");
    let port = free_port();
    // The service never becomes healthy by itself, so the first apply waits as long as this test needs.
    let manifest = sandbox.write("lcm.yaml", &one_server(port, "--load, 10m", "warm_time: 10m"));
    sandbox.take_down(&manifest);
    let manifest = manifest.to_str().expect("UTF-8");
    let first = sandbox.start(&["apply", "--yes", manifest]);
    wait_until("the first apply has started its service", || !sandbox.servers().is_empty());

    let pid = first.child.id();
    sandbox.lcm(&["apply", "--yes", manifest]).exits(6).says(&pid.to_string());
    sandbox.lcm(&["plan", manifest]).exits(0);
    assert_eq!(sandbox.servers().len(), 1, "one copy");

    kill(i32::try_from(pid).expect("a pid"), "INT");
    first.end().exits(130);
    assert_eq!(sandbox.servers().len(), 1, "an interrupt stops nothing");
    sandbox.lcm(&["down", "--yes", manifest]).exits(0);
    assert_eq!(sandbox.servers(), []);
}

#[test]
fn a_deleted_state_folder_changes_no_step() {
    let quickstart = Quickstart::up();
    let before = [quickstart.plan(&[]), quickstart.plan(&["--mode", "write"])].map(timeless);
    fs::remove_dir_all(quickstart.sandbox.path("state")).expect("a state folder to delete");
    let after = [quickstart.plan(&[]), quickstart.plan(&["--mode", "write"])].map(timeless);
    assert_eq!(after[0]["steps"], before[0]["steps"]);
    assert_eq!(after[1]["steps"], before[1]["steps"]);
    quickstart.lcm(&["apply", "--yes", "--mode", "write"]).exits(0);
    quickstart.lcm(&["plan", "--mode", "write", "--detailed-exitcode"]).exits(0);
}

#[test]
fn a_killed_shim_restarts_nothing() {
    let quickstart = Quickstart::up();
    let before = quickstart.sandbox.servers();
    let shims = quickstart.sandbox.shims();
    assert_eq!(shims.len(), 2, "one for each service, with the project on its command line");
    for (pid, _) in &shims {
        kill(*pid, "KILL");
    }
    wait_until("the shims have ended", || quickstart.sandbox.shims().is_empty());
    quickstart.lcm(&["plan", "--detailed-exitcode"]).exits(0);
    quickstart.lcm(&["apply", "--yes", "--detailed-exitcode"]).exits(0);
    assert_eq!(quickstart.sandbox.servers(), before);
    quickstart.lcm(&["down", "--yes"]).exits(0);
    assert_eq!(quickstart.sandbox.servers(), []);
}

#[test]
fn a_tree_of_daemons_that_ignore_every_signal_leaves_nothing() {
    let mut sandbox = Sandbox::new("tree");
    let flags = "--ignore-term, --children, \"1\", --daemons, \"2\"";
    let manifest = sandbox.write("lcm.yaml", &one_server(free_port(), flags, "timeout: 30s"));
    sandbox.take_down(&manifest);
    let manifest = manifest.to_str().expect("UTF-8");
    sandbox.lcm(&["apply", "--yes", manifest]).exits(0);
    assert_eq!(sandbox.servers().len(), 4, "the server, its child, two daemons: {:?}", sandbox.servers());
    sandbox.lcm(&["down", "--yes", manifest]).exits(0);
    assert_eq!(sandbox.servers(), []);
    assert_eq!(sandbox.shims(), []);
}

#[test]
fn a_service_that_dies_while_loading_fails_at_once_with_its_last_output() {
    let mut sandbox = Sandbox::new("dies");
    let flags = "--load, 200ms, --die-while-loading, --exit-code, \"7\"";
    let manifest = sandbox.write("lcm.yaml", &one_server(free_port(), flags, "timeout: 10m"));
    sandbox.take_down(&manifest);
    let ran = sandbox.lcm(&["apply", "--yes", manifest.to_str().expect("UTF-8")]).exits(3);
    ran.says("dying while loading").says("7");
}

#[test]
fn down_leaves_no_process_and_no_lock() {
    let quickstart = Quickstart::up();
    quickstart.lcm(&["down", "--yes"]).exits(0);
    assert_eq!(quickstart.sandbox.servers(), []);
    assert_eq!(quickstart.sandbox.shims(), []);
    let lock = fs::File::open(quickstart.sandbox.path("lcm.lock")).expect("the lock's file");
    assert!(lock.try_lock().is_ok(), "the lock is free");
    drop(lock);
    quickstart.lcm(&["down", "--yes"]).exits(0);
}

/// Returns a manifest with one server, its further flags, and further settings of its health check.
fn one_server(port: u16, flags: &str, health: &str) -> String {
    format!(
        "version: 1
name: \"@NAME@\"
gpus: {{ devices: [{{ index: 0, uuid: \"@GPU@\", vram: 24GiB }}] }}
services:
  one:
    process: {{ command: [\"@SERVER@\", --port, \"{port}\", {flags}] }}
    stop: {{ grace: 300ms }}
    vram: 4GB
    health: {{ http: \"http://127.0.0.1:{port}/health\", {health} }}
"
    )
}
