//! Crash loops on a real engine: each is held after its budget, its neighbours converge, and nothing oscillates.

use std::fs;

use lcm::store::AttemptStore as _;
use lcm::store::sqlite::Sqlite;
use serde_json::Value;

use crate::plans::result;
use crate::sandbox::{Ran, free_port, wait_until};
use crate::studio::{Studio, docker, remove_labelled};

/// Manifest in which the loops have a higher priority than the service that does not fit beside the first of them.
fn manifest(image: &str, attempts: u32, die: &str) -> String {
    let (first, second, web, small) = (free_port(), free_port(), free_port(), free_port());
    let recover = format!("recover: {{ attempts: {attempts}, backoff: 1ms }}");
    format!(
        "version: 1
name: \"@NAME@-loop\"
gpus: {{ devices: [{{ index: 0, uuid: \"@GPU@-loop\", vram: 24GiB }}] }}
services:
  looping:
    process: {{ command: [\"@SERVER@\", --port, \"{first}\", {die}] }}
    vram: 16GiB
    priority: 100
    health: {{ http: \"http://127.0.0.1:{first}/health\" }}
    {recover}
  boxed:
    docker: {{ image: \"{image}\", pull_policy: never, ports: [\"127.0.0.1:{second}:8000\"], \
         command: [--host, 0.0.0.0, --port, \"8000\", {die}] }}
    priority: 90
    health: {{ http: \"http://127.0.0.1:{second}/health\" }}
    {recover}
  web: {{ process: {{ command: [\"@SERVER@\", --port, \"{web}\"] }}, health: {{ http: \"http://127.0.0.1:{web}/health\" }} }}
  small:
    process: {{ command: [\"@SERVER@\", --port, \"{small}\"] }}
    vram: 12GiB
    health: {{ http: \"http://127.0.0.1:{small}/health\" }}
"
    )
}

const DIES: &str = "--die-after, 200ms, --exit-code, \"3\"";

struct Loop {
    studio: Studio,
    project: String,
}

impl Loop {
    fn new() -> Self {
        let mut studio = Studio::new();
        let project = format!("{}-loop", studio.sandbox.name);
        let manifest = studio.sandbox.write("loop.yaml", &manifest(studio.image(), 2, DIES));
        studio.sandbox.take_down(manifest);
        Self { studio, project }
    }

    /// Applies once both loops have ended again.
    fn apply(&self) -> Ran {
        let sandbox = &self.studio.sandbox;
        wait_until("the loops have ended", || {
            let running = sandbox.servers().iter().any(|(_, words)| words.contains("--die-after"));
            let label = format!("label=lcm.project={}", self.project);
            !running && docker(&["ps", "--quiet", "--filter", &label]).trim().is_empty()
        });
        sandbox.lcm(&["apply", "--yes", "--format", "json", "loop.yaml"])
    }

    fn up(&self) -> Vec<(i32, String)> {
        self.studio.sandbox.servers()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        remove_labelled(&self.project);
    }
}

fn started(events: &[Value], service: &str) -> bool {
    let id = format!("start:{service}");
    events.iter().any(|event| event["type"] == "step_started" && event["step"] == id.as_str())
}

pub(crate) fn a_crash_loop_is_held_after_its_budget_and_nothing_oscillates() {
    let house = Loop::new();
    let mut starts = [0, 0];
    let mut settled: Option<Vec<(i32, String)>> = None;
    for _ in 0..20 {
        let ran = house.apply();
        let events = ran.events();
        for (count, service) in starts.iter_mut().zip(["looping", "boxed"]) {
            *count += u32::from(started(&events, service));
        }
        if let Some(before) = &settled {
            assert_eq!(&house.up(), before, "they go on running: {ran}");
            assert_eq!(result(&events)["changed"], Value::Bool(false), "{ran}");
            ran.exits(3);
        } else if !started(&events, "looping") && !started(&events, "boxed") {
            assert_eq!(house.up().len(), 2, "the neighbours run, also the one that had no memory: {ran}");
            settled = Some(house.up());
        }
    }
    assert!(settled.is_some());
    assert!(starts.iter().all(|count| (2..=3).contains(count)), "{starts:?}");
    let sandbox = &house.studio.sandbox;
    sandbox.lcm(&["plan", "loop.yaml"]).exits(3).says("all 2 attempts are spent");
    sandbox.lcm(&["status", "loop.yaml"]).exits(0).says("all 2 attempts are spent");

    // After an operator has reset its attempts, it is tried again with the same priority.
    let store = Sqlite::at(&sandbox.path("state"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (project, service) = (house.project.as_str().into(), "looping".into());
    runtime.block_on(store.set_attempts(&project, &service, None)).expect("the store can be written");
    let events = house.apply().events();
    assert!(started(&events, "looping") && !started(&events, "boxed"));

    // Fixed in the manifest, both start and stay up.
    let text = fs::read_to_string(sandbox.path("loop.yaml")).expect("the manifest");
    fs::write(sandbox.path("loop.yaml"), text.replace(&format!(", {DIES}"), "")).expect("a manifest");
    let apply = || sandbox.lcm(&["apply", "--yes", "--format", "json", "loop.yaml"]);
    apply().exits(4);
    let again = apply().exits(4).events();
    assert_eq!(result(&again)["changed"], Value::Bool(false));
    assert_eq!(house.up().len(), 2, "one of two that do not fit together, and one beside it");
}
