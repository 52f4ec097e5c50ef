//! Benchmark of lcm's cost on the command line: the time to its start and to check a large manifest, and its need of
//! memory and disk. Whole processes, as built for release.
//!
//! Promised: `lcm --version` 5 ms over `/bin/true`, a manifest of 1 000 services checked in 100 ms, a plan over 100
//! services in 25 MB, simulated and on the real machine, and a binary of 14 MB. A missed promise exits with 1.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use jiff::Zoned;
use wait4::Wait4 as _;

#[path = "../support/figures.rs"]
mod figures;
#[expect(dead_code, reason = "the tests of the command line need more of it")]
#[path = "../support/lcm.rs"]
mod lcm;

use figures::{machine, median};
use lcm::Lcm;

/// Starts of each of the two, in turn, so that both meet the same machine.
const STARTS: usize = 300;
const CHECKS: usize = 21;
/// Plans; the largest counts, since memory must suffice at the peak.
const PLANS: usize = 5;

const CHECKED_SERVICES: usize = 1_000;
const PLANNED_SERVICES: usize = 100;

const MEGABYTE: f64 = 1_000_000.0;

fn main() -> ExitCode {
    println!("{}, {}\n", machine(), Zoned::now().strftime("%Y-%m-%d"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let figures = [
        Figure { what: "lcm --version over /bin/true", unit: "ms", found: start_ms(folder.path()), promised: 5.0 },
        Figure { what: "lcm validate, 1 000 services", unit: "ms", found: check_ms(folder.path()), promised: 100.0 },
        Figure { what: "lcm plan, 100 simulated", unit: "MB", found: simulated_mb(), promised: 25.0 },
        Figure { what: "lcm plan, 100 on this machine", unit: "MB", found: real_mb(), promised: 25.0 },
        Figure { what: "the binary", unit: "MB", found: binary_mb(), promised: 14.0 },
    ];
    println!("{:<30}  {:>7}  {:>8}", "", "found", "promised");
    for Figure { what, unit, found, promised } in &figures {
        let missed = if found > promised { "  missed" } else { "" };
        println!("{what:<30}  {found:>7.2}  {promised:>8.0}  {unit}{missed}");
    }
    println!("\nmedians of {STARTS} starts and of {CHECKS} checks, the largest of {PLANS} plans");
    ExitCode::from(u8::from(figures.iter().any(|figure| figure.found > figure.promised)))
}

struct Figure {
    what: &'static str,
    unit: &'static str,
    found: f64,
    promised: f64,
}

/// Returns lcm's own part of the start: the rest is what any program takes.
fn start_ms(folder: &Path) -> f64 {
    let mut lcm = Lcm::new(folder).args(&["--version"]).command();
    let mut nothing = Command::new("/bin/true");
    let (mut lcm_ms, mut nothing_ms) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        lcm_ms.push(milliseconds(&mut lcm));
        nothing_ms.push(milliseconds(&mut nothing));
    }
    median(lcm_ms) - median(nothing_ms)
}

fn check_ms(folder: &Path) -> f64 {
    fs::write(folder.join("large.yaml"), fleet(CHECKED_SERVICES, true)).expect("a manifest");
    let mut check = Lcm::new(folder).args(&["validate", "large.yaml"]).command();
    median((0..CHECKS).map(|_| milliseconds(&mut check)).collect())
}

/// Half of the services run, and the plan starts the other half.
fn simulated_mb() -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("lcm.yaml"), fleet(PLANNED_SERVICES, true)).expect("a manifest");
    let world = r#"{ "format": "lcm.world/1", "host": "box", "observed_at": "2026-11-20T10:00:00Z" }"#;
    fs::write(folder.path().join("world.json"), world).expect("a world");
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated();
    lcm(&["apply", "--quiet", "--mode", "half"]).run().code(0);
    largest_mb(&lcm(&["plan", "--mode", "all"]))
}

/// Half of the services are processes that run; the others are containers that are looked up, where an engine answers.
fn real_mb() -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let has_engine = Command::new("docker").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let has_engine = has_engine.is_ok_and(|status| status.success());
    if !has_engine {
        println!("no Docker engine answers: processes alone\n");
    }
    fs::write(folder.path().join("lcm.yaml"), fleet(PLANNED_SERVICES, has_engine)).expect("a manifest");
    let fleet = Fleet(folder);
    fleet.lcm(&["apply", "--quiet", "--mode", "half", "--parallelism", "16"]).run().code(0);
    largest_mb(&fleet.lcm(&["plan", "--mode", "all"]))
}

/// Processes of this machine, which are stopped when it is dropped.
struct Fleet(tempfile::TempDir);

impl Fleet {
    fn lcm(&self, words: &[&str]) -> Lcm {
        Lcm::new(self.0.path()).args(words)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.lcm(&["down", "--yes", "--quiet"]).run();
    }
}

fn binary_mb() -> f64 {
    let bytes = fs::metadata(env!("CARGO_BIN_EXE_lcm")).expect("the binary").len();
    megabytes(bytes)
}

/// Returns the peak as the kernel counts it, which is not less than what this program holds: a child begins as its
/// copy.
fn largest_mb(lcm: &Lcm) -> f64 {
    let of_one = || {
        let mut command = lcm.command();
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lcm runs");
        let ended = child.wait4().expect("its end");
        assert!(ended.status.success(), "{}", ended.status);
        megabytes(ended.rusage.maxrss)
    };
    (0..PLANS).map(|_| of_one()).fold(0.0, f64::max)
}

#[expect(clippy::cast_precision_loss, reason = "a few megabytes are exact in a float")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / MEGABYTE
}

fn milliseconds(command: &mut Command) -> f64 {
    let begin = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("a program to run");
    assert!(status.success(), "{command:?}: {status}");
    begin.elapsed().as_secs_f64() * 1000.0
}

/// Returns a manifest: every second service a process, the others containers, or processes too; with the usual keys of
/// each.
fn fleet(services: usize, has_containers: bool) -> String {
    let name = format!("small-{}", std::process::id());
    let mut text =
        format!("version: 1\nname: {name}\ntemplates:\n  patient: {{ health: {{ timeout: 60s }} }}\nservices:\n");
    for number in 0..services {
        let process = "process: { command: [sleep, \"600\"], environment: { MODE: fast } }".to_owned();
        let container = format!("docker: {{ image: \"fleet:1\", ports: [\"{}:80\"] }}", 20_000 + number);
        let runs = if has_containers && number % 2 == 1 { container } else { process };
        let needs = if number < 2 { String::new() } else { format!(", depends_on: [s{:04}]", number % 2) };
        let _ = writeln!(text, "  s{number:04}: {{ {runs}, stop: {{ grace: 1s }}, priority: {number}{needs} }}");
    }
    let list =
        |step: usize| (0..services).step_by(step).map(|number| format!("s{number:04}")).collect::<Vec<_>>().join(", ");
    let _ = writeln!(text, "modes:\n  half: {{ services: [{}] }}\n  all: {{ services: [{}] }}", list(2), list(1));
    text
}
