//! Benchmark of how late lcm sees a service that answers, by its loading time.
//!
//! The server reports when it became ready, the event stream when the step was done; both read one clock. Promised: the
//! median is at most 60 ms, or 5 % of the loading time where that is more.

use std::process::ExitCode;

use jiff::Timestamp;

#[expect(dead_code, reason = "each program uses a part of it")]
#[path = "../support/plans.rs"]
mod plans;
#[expect(dead_code, reason = "each program uses a part of it")]
#[path = "../support/sandbox.rs"]
mod sandbox;
#[path = "../support/server.rs"]
mod server;

use plans::position;
use sandbox::{Sandbox, free_port, run};

const STARTS: usize = 50;
const LOADING_MS: [u32; 4] = [0, 300, 1000, 3000];
const LATE_MS_MAX: f64 = 60.0;
const LATE_SHARE_MAX: f64 = 0.05;

fn main() -> ExitCode {
    let starts = std::env::var("BENCH_STARTS").ok().and_then(|text| text.parse().ok()).unwrap_or(STARTS);
    println!("seen healthy late, {starts} starts each\n");
    println!("{:>8}  {:>8}  {:>8}  {:>8}  {:>8}", "load ms", "min", "median", "max", "promised");
    let mut kept = true;
    for loading in LOADING_MS {
        let mut late: Vec<f64> = (0..starts).map(|_| lateness_ms(loading)).collect();
        late.sort_by(f64::total_cmp);
        let median = late[late.len() / 2];
        let promised = LATE_MS_MAX.max(f64::from(loading) * LATE_SHARE_MAX);
        let (min, max) = (late[0], late[late.len() - 1]);
        let note = if median <= promised { "" } else { "  missed" };
        println!("{loading:>8}  {min:>8.1}  {median:>8.1}  {max:>8.1}  {promised:>8.1}{note}");
        kept &= median <= promised;
    }
    ExitCode::from(u8::from(!kept))
}

fn lateness_ms(loading_ms: u32) -> f64 {
    let mut sandbox = Sandbox::new("late");
    let port = free_port();
    let manifest = sandbox.write(
        "lcm.yaml",
        &format!(
            "version: 1
name: \"@NAME@\"
gpus: {{ devices: [{{ index: 0, uuid: \"@GPU@\", vram: 24GiB }}] }}
services:
  one:
    process: {{ command: [\"@SERVER@\", --port, \"{port}\", --load, {loading_ms}ms] }}
    vram: 1GB
    health: {{ http: \"http://127.0.0.1:{port}/health\", timeout: 60s }}
"
        ),
    );
    sandbox.take_down(&manifest);
    let events =
        sandbox.lcm(&["apply", "--yes", "--format", "json", manifest.to_str().expect("UTF-8")]).exits(0).events();
    let done = events[position(&events, "step_done", "start:one")]["at"].as_str().expect("a time");
    let done: Timestamp = done.parse().expect("a time");
    let mut get = std::process::Command::new(sandbox.path("model_server"));
    get.args(["--get", &format!("http://127.0.0.1:{port}/health")]);
    let health = run(get, "model_server --get").exits(0).json();
    let ready = Timestamp::from_millisecond(health["ready_at_ms"].as_i64().expect("ms")).expect("a time");
    done.duration_since(ready).as_secs_f64() * 1000.0
}
