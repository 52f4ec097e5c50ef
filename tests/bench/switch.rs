//! Benchmark of the cost of switching beyond the services' own stopping, giving back and loading, over the studio on
//! one simulated GPU: a language model stops, another one that needs its memory starts.
//!
//! The bench sets how long each takes, so that the least time is known: the time of the first to stop and free its
//! memory, and the time of the second to load. For containers the engine's own part belongs to that, and is measured
//! beside. Promised: at most 5 % or 100 ms more, whichever is more.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[expect(dead_code, reason = "each program uses a part of it")]
#[path = "../support/figures.rs"]
mod figures;
#[expect(dead_code, reason = "the tests of the readings use the rest")]
#[path = "../support/gpus.rs"]
mod gpus;
#[expect(dead_code, reason = "each program uses a part of it")]
#[path = "../support/played.rs"]
mod played;
#[expect(dead_code, reason = "each program uses a part of it")]
#[path = "../support/sandbox.rs"]
mod sandbox;
#[path = "../support/server.rs"]
mod server;
#[expect(dead_code, reason = "each program uses a part of it")]
#[path = "../support/studio.rs"]
mod studio;
#[path = "../../examples/simulated_gpu/world.rs"]
#[expect(dead_code, reason = "the library and the server use the rest")]
mod world;

use figures::median;
use played::{Manners, Played};
use sandbox::wait_until;
use studio::{Studio, docker, engine_missing};

/// Turns of each switch; the median counts.
const TURNS: usize = 9;
const OVER_MS_MAX: f64 = 100.0;
const OVER_SHARE_MAX: f64 = 0.05;

/// Milliseconds that stopping, giving back and loading take.
const WORK_MS: [[u32; 3]; 6] =
    [[50, 0, 300], [50, 200, 1000], [300, 0, 1000], [300, 1000, 1000], [1000, 200, 3000], [1000, 1000, 3000]];

/// Sleep of scripts after each stop, at least and at most.
const SLEPT_MS: [f64; 2] = [2000.0, 3000.0];

fn main() -> ExitCode {
    let turns = std::env::var("BENCH_TURNS").ok().and_then(|text| text.parse().ok()).unwrap_or(TURNS);
    let mut kept = measure("processes", None, turns);
    match engine_missing() {
        None => kept &= measure("from a container to a process", Some(Studio::new()), turns),
        Some(reason) => println!("with containers it needs a Docker engine: {reason}"),
    }
    ExitCode::from(u8::from(!kept))
}

/// Prints one table. Returns true if all of it is within the promise.
fn measure(what: &str, studio: Option<Studio>, turns: usize) -> bool {
    println!("switching, {what}: medians of {turns}, ms\n");
    println!(
        "{:>6} {:>8} {:>6}  {:>8}  {:>8}  {:>8}  {:>5}  {:>12}",
        "stop", "release", "load", "own", "lcm", "over", "%", "fixed sleeps"
    );
    let played = Played::of(studio, &Manners::default());
    let mut kept = true;
    for [stop, release, load] in rows() {
        let leaving = format!("--stop-time {stop}ms --release-lag {release}ms");
        let coming = format!("--load {load}ms");
        played.write(&Manners {
            words: BTreeMap::from([("ollama", leaving.as_str()), ("comfyui", &coming)]),
            ollama: &[],
        });
        let (mut took, mut engine) = (Vec::new(), Vec::new());
        for _ in 0..turns {
            played.lcm("chat", &["apply", "--yes"]).exits(0);
            if played.is_contained() {
                engine.push(engine_ms(&played, stop));
            }
            let began = Instant::now();
            played.lcm("painting", &["apply", "--yes"]).exits(0);
            took.push(ms(began.elapsed()));
        }
        played.was_never_overcommitted();
        let engine = if engine.is_empty() { 0.0 } else { median(engine) };
        let (own, took) = (f64::from(stop + release + load) + engine, median(took));
        let over = took - own;
        let note = if over <= OVER_MS_MAX.max(own * OVER_SHARE_MAX) { "" } else { "  missed" };
        let [least, most] = SLEPT_MS.map(|slept| seconds(f64::from(stop) + engine + slept + warm_ms(load)));
        println!(
            "{stop:>6} {release:>8} {load:>6}  {own:>8.0}  {took:>8.0}  {over:>8.0}  {:>5.1}  {:>12}{note}",
            100.0 * over / own,
            format!("{least:.1} to {most:.1} s")
        );
        kept &= note.is_empty();
    }
    println!();
    kept
}

/// Returns all rows, or those that `BENCH_ROWS` names: `0,3`.
fn rows() -> impl Iterator<Item = [u32; 3]> {
    let wanted = std::env::var("BENCH_ROWS").ok();
    let is_wanted =
        move |row: usize| wanted.as_ref().is_none_or(|rows| rows.split(',').any(|word| word.parse() == Ok(row)));
    WORK_MS.into_iter().enumerate().filter(move |(row, _)| is_wanted(*row)).map(|(_, work)| work)
}

/// Returns the sleep of scripts through the warm time; they probe every 2 s after it. The guess is as good as whole
/// seconds can be, so that the first probe succeeds.
fn warm_ms(load: u32) -> f64 {
    f64::from(load.div_ceil(1000) * 1000)
}

fn seconds(ms: f64) -> f64 {
    ms / 1000.0
}

/// Returns the time of `docker stop` beyond the server's own.
fn engine_ms(played: &Played, stop: u32) -> f64 {
    let container = format!("{}-ollama", played.sandbox.name);
    let began = Instant::now();
    docker(&["stop", &container]);
    let engine = ms(began.elapsed()) - f64::from(stop);
    wait_until("its memory is back", || played.used_mib() == 0);
    played.lcm("chat", &["apply", "--yes"]).exits(0);
    engine
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
