//! Benchmark of `lcm plan` when there is nothing to do, beside `docker ps --all` and `docker inspect` of all, over
//! fifty running containers.
//!
//! Whole processes, one after the other in turn, so that both meet the same machine.

use std::fmt::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

#[expect(dead_code, reason = "each program uses a part of it")]
#[path = "../support/figures.rs"]
mod figures;
#[expect(dead_code, reason = "each program uses a part of it")]
#[path = "../support/sandbox.rs"]
mod sandbox;
#[path = "../support/server.rs"]
mod server;
#[expect(dead_code, reason = "each program uses a part of it")]
#[path = "../support/studio.rs"]
mod studio;

use figures::median;
use sandbox::Sandbox;
use studio::{Studio, engine_missing, remove_labelled};

const CONTAINERS: usize = 50;
const TURNS: usize = 40;

fn main() -> ExitCode {
    if let Some(reason) = engine_missing() {
        println!("idle_plan needs a Docker engine: {reason}");
        return ExitCode::SUCCESS;
    }
    // The fleet holds the image; fields are dropped in order, so the containers go before it.
    let fleet = Fleet { sandbox: Sandbox::new("fleet"), studio: Studio::new() };
    let mut text = "version: 1\nname: \"@NAME@\"\nservices:\n".to_owned();
    for index in 0..CONTAINERS {
        let _ = writeln!(
            text,
            "  s{index:02}: {{ docker: {{ image: {}, pull_policy: never, gpu_access: none }}, gpu: none }}",
            fleet.studio.image()
        );
    }
    let manifest = fleet.sandbox.write("lcm.yaml", &text).display().to_string();
    fleet.sandbox.lcm(&["apply", "--yes", &manifest]).exits(0);
    fleet.sandbox.lcm(&["plan", "--detailed-exitcode", &manifest]).exits(0);

    // One container that does not exist: nothing to inspect, so only the list is requested.
    let listed = "version: 1\nname: \"@NAME@-list\"\nservices:\n  one: { docker: { image: none } }\n";
    let listed = fleet.sandbox.write("list.yaml", listed).display().to_string();
    let names: Vec<String> = (0..CONTAINERS).map(|index| format!("{}-s{index:02}", fleet.sandbox.name)).collect();
    let mut list = Command::new("docker");
    list.args(["ps", "--all"]);
    let mut inspect = Command::new("docker");
    inspect.args(["inspect", "--type", "container"]).args(&names);
    let mut programs = [
        ("docker ps --all", list),
        ("docker inspect of all", inspect),
        ("lcm plan", fleet.sandbox.command(&["plan", &manifest])),
        ("lcm plan, the list alone", fleet.sandbox.command(&["plan", &listed])),
    ];
    let mut took: Vec<Vec<f64>> = vec![Vec::new(); programs.len()];
    for _ in 0..TURNS {
        for ((_, program), took) in programs.iter_mut().zip(&mut took) {
            took.push(milliseconds(program));
        }
    }
    let medians: Vec<f64> = took.into_iter().map(median).collect();
    println!("{CONTAINERS} running containers, {TURNS} turns, medians; as a share of ps, and of inspect\n");
    for ((name, _), took) in programs.iter().zip(&medians) {
        println!("{name:<25}{took:>7.1} ms {:>6.2} {:>6.2}", took / medians[0], took / medians[1]);
    }
    ExitCode::SUCCESS
}

struct Fleet {
    sandbox: Sandbox,
    studio: Studio,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        remove_labelled(&format!("lcm.project={}", self.sandbox.name));
    }
}

fn milliseconds(command: &mut Command) -> f64 {
    let begin = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("a program to run");
    assert!(status.success(), "{command:?}: {status}");
    begin.elapsed().as_secs_f64() * 1000.0
}
