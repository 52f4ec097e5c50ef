//! What `lcm plan` costs when there is nothing to do, beside `docker ps --all`, over fifty running containers.
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
    // It holds the image; fields go in order, so the containers go before it.
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

    let mut docker = Command::new("docker");
    docker.args(["ps", "--all"]);
    let mut lcm = fleet.sandbox.command(&["plan", &manifest]);
    let (mut docker_ms, mut lcm_ms) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        docker_ms.push(milliseconds(&mut docker));
        lcm_ms.push(milliseconds(&mut lcm));
    }
    let (docker_ms, lcm_ms) = (median(docker_ms), median(lcm_ms));
    println!("{CONTAINERS} running containers, {TURNS} turns, medians\n");
    println!("docker ps --all  {docker_ms:>7.1} ms");
    println!("lcm plan         {lcm_ms:>7.1} ms");
    println!("ratio            {:>7.2}", lcm_ms / docker_ms);
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
