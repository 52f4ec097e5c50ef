//! The kill experiment: changes of mode and spec over processes, containers, hooks and a simulated GPU, of which each
//! is cut off by a SIGKILL, of lcm, of a shim, of a helper that lcm started, or of a service, at a drawn moment. After
//! each kill applies converge, a second plan is empty, nothing runs twice, and in the end nothing is left.
//!
//! `LCM_SOAK_KILLS` requests a long run; `LCM_SOAK_SEED` repeats one. The short run always draws the same.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::gpus::Gpus;
use crate::sandbox::{Sandbox, free_port, wait_until};
use crate::studio::{docker, engine_missing, remove_labelled};
use crate::world::{Gpu, World};

/// Kills in the short run: some 2 s each, while an engineer waits.
const KILLS: u64 = 16;
/// Kills before everything is taken down once.
const KILLS_A_LIFE: u64 = 8;
/// An apply of these services writes a few more lines.
const LINES_MAX: u64 = 24;
/// Between two lines effects take a few milliseconds: a kill hits the middle of one.
const DELAY_MICROS_MAX: u64 = 20_000;
/// Maximum number of applies until nothing changes.
const ROUNDS_MAX: usize = 6;

/// Process or container that is killed in the middle of a run.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Lcm,
    Shim,
    /// Any other process that lcm started: a guardian, a hook, a probe.
    Helper,
    Service,
    Container,
    /// First a shim, then lcm.
    ShimAndLcm,
}

/// One draw: mode and variant, the command, the victim and the time of the kill.
#[derive(Clone, Copy, Debug)]
struct Draw {
    mode: &'static str,
    variant: u64,
    command: &'static str,
    victim: Victim,
    lines: u64,
    delay: Duration,
}

/// The generator of `SplitMix64`: small, and the same on every machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn draw(&mut self) -> Draw {
        let victims = [
            Victim::Container,
            Victim::Lcm,
            Victim::Lcm,
            Victim::Lcm,
            Victim::Shim,
            Victim::Helper,
            Victim::Service,
            Victim::ShimAndLcm,
        ];
        let commands = ["apply", "apply", "apply", "apply", "restart", "down"];
        let pick = |chance: &mut Self, count: usize| usize::try_from(chance.below(count as u64)).unwrap_or_default();
        Draw {
            mode: ["paint", "write", "both"][pick(self, 3)],
            variant: self.below(3),
            command: commands[pick(self, commands.len())],
            victim: victims[pick(self, victims.len())],
            lines: self.below(LINES_MAX),
            delay: Duration::from_micros(self.below(DELAY_MICROS_MAX)),
        }
    }
}

pub(crate) fn converge() {
    let long: Option<u64> = std::env::var("LCM_SOAK_KILLS").ok().and_then(|text| text.parse().ok());
    let asked: Option<u64> = std::env::var("LCM_SOAK_SEED").ok().and_then(|text| text.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let seed = asked.unwrap_or_else(|| if long.is_some() { now() } else { 1 });
    let (mut chance, kills) = (Chance(seed), long.unwrap_or(KILLS));
    let experiment = Experiment::new();
    let mut hits = BTreeMap::new();
    for number in 0..kills {
        let draw = chance.draw();
        let when = format!("seed {seed}, kill {number}: {draw:?}");
        let hit = experiment.kill(&draw);
        *hits.entry(format!("{:?}: {}", draw.victim, if hit { "killed" } else { "ended before" })).or_insert(0) += 1;
        experiment.converges(&draw, &when);
        if (number + 1) % KILLS_A_LIFE == 0 || number + 1 == kills {
            experiment.goes_down(&when);
        }
    }
    println!("seed {seed}: {hits:?}");
    assert!(hits.keys().any(|what| what.ends_with(": killed")), "no kill hit anything: {hits:?}");
}

struct Experiment {
    sandbox: Sandbox,
    gpus: Gpus,
    ports: [u16; 4],
    engine: bool,
}

impl Drop for Experiment {
    fn drop(&mut self) {
        if self.engine {
            remove_labelled(&format!("lcm.project={}", self.sandbox.name));
        }
    }
}

impl Experiment {
    fn new() -> Self {
        let mut sandbox = Sandbox::new("kills");
        // A name of its own: labels of containers that other tests run name other GPUs.
        let gpu = Gpu {
            uuid: format!("GPU-{}", sandbox.name),
            parent: None,
            total_mib: 24_564,
            reserved_mib: 100,
            name: "Simulated GPU".to_owned(),
        };
        let gpus = Gpus::of(&World { driver: "550.54.14".to_owned(), gpus: vec![gpu], ..World::default() });
        sandbox.set("LCM_NVML_LIB", gpus.library().display().to_string());
        sandbox.set("LCM_SIMULATED_GPU", gpus.path().display().to_string());
        sandbox.take_down(sandbox.path("lcm.yaml"));
        let ports = [free_port(), free_port(), free_port(), free_port()];
        Self { sandbox, gpus, ports, engine: engine_missing().is_none() }
    }

    /// Two loaders that can't share the GPU, a service with a family and hooks below both, a container beside them.
    fn manifest(&self, draw: &Draw) -> String {
        let [below, painter, writer, boxed] = self.ports;
        let variant = draw.variant;
        let container = if self.engine {
            let image = crate::image::model_server();
            format!(
                "docker: {{ image: \"{image}\", pull_policy: never, gpu_access: none, command: [--host, 0.0.0.0, --load, 30ms], environment: {{ V: \"{variant}\" }}, ports: [\"127.0.0.1:{boxed}:8000\"] }}"
            )
        } else {
            format!(
                "process: {{ command: [\"@SERVER@\", --port, \"{boxed}\", --load, 30ms], environment: {{ V: \"{variant}\" }} }}"
            )
        };
        let text = format!(
            "version: 1
name: \"@NAME@\"
templates:
  t: {{ stop: {{ grace: 10s }}, health: {{ timeout: 60s }}, recover: {{ attempts: 1000, backoff: 10ms, max_backoff: 20ms }} }}
services:
  below:
    extends: t
    process: {{ command: [\"@SERVER@\", --port, \"{below}\", --children, \"1\", --daemons, \"1\"], environment: {{ V: \"{variant}\" }} }}
    health: {{ http: \"http://127.0.0.1:{below}/health\" }}
    gpu: none
    hooks:
      post_start: [{{ exec: [sh, -c, \"sleep 0.02; echo up\"], timeout: 30s }}]
      pre_stop: [{{ exec: [sh, -c, \"sleep 0.02; echo down\"], timeout: 30s }}]
  painter:
    extends: t
    process: {{ command: [\"@SERVER@\", --port, \"{painter}\", --load, 60ms, --vram, 18GiB], inherit: [LCM_SIMULATED_GPU], environment: {{ V: \"{variant}\" }} }}
    health: {{ http: \"http://127.0.0.1:{painter}/health\" }}
    vram: 18GiB
    depends_on: [below]
  writer:
    extends: t
    process: {{ command: [\"@SERVER@\", --port, \"{writer}\", --load, 60ms, --vram, 20GiB, --release-lag, 50ms], inherit: [LCM_SIMULATED_GPU] }}
    health: {{ exec: [sh, -c, \"sleep 0.01; exec '@SERVER@' --get http://127.0.0.1:{writer}/health\"] }}
    vram: 20GiB
  box:
    extends: t
    {container}
    health: {{ http: \"http://127.0.0.1:{boxed}/health\" }}
    gpu: none
mode: paint
modes:
  paint: {{ services: [painter, box] }}
  write: {{ services: [writer, box] }}
  both: {{ services: [writer, below] }}
"
        );
        let path = self.sandbox.write("lcm.yaml", &text);
        path.to_str().expect("UTF-8").to_owned()
    }

    /// Runs the drawn command and kills the drawn victim; `false`: the command ended before, or there was no victim.
    fn kill(&self, draw: &Draw) -> bool {
        let manifest = self.manifest(draw);
        let words: &[&str] = match draw.command {
            "restart" => &["restart", "below", "--yes", "--format", "json", "-m", &manifest],
            "down" => &["down", "--yes", "--format", "json", &manifest],
            _ => &["apply", "--yes", "--format", "json", "--mode", draw.mode, &manifest],
        };
        let mut command = self.sandbox.command(words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("lcm");
        let lines = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&lines);
        let stdout = child.stdout.take().expect("piped");
        let counter = thread::spawn(move || {
            for _ in BufReader::new(stdout).lines().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::AcqRel);
            }
        });
        let enough = || u64::try_from(lines.load(Ordering::Acquire)).unwrap_or(u64::MAX) >= draw.lines;
        while !enough() && child.try_wait().expect("lcm").is_none() {
            thread::sleep(Duration::from_micros(500));
        }
        thread::sleep(draw.delay);
        let hit = self.strike(draw.victim, &mut child);
        wait_until("lcm ends", || child.try_wait().expect("lcm").is_some());
        counter.join().expect("a counted output");
        hit
    }

    fn strike(&self, victim: Victim, child: &mut Child) -> bool {
        let lcm = i32::try_from(child.id()).expect("a pid");
        let shims = || self.sandbox.shims();
        let mut end_lcm = || child.try_wait().expect("lcm").is_none() && child.kill().is_ok();
        match victim {
            Victim::Lcm => end_lcm(),
            Victim::Shim => end(shims().first().map(|(pid, _)| *pid)),
            // Not a member that sleeps: lcm brings back services, not their children.
            Victim::Service => {
                let servers = self.sandbox.servers();
                let pids: Vec<i32> = servers.iter().map(|(pid, _)| *pid).collect();
                // Between fork and exec a child still shows its parent's command line.
                let is_child = |pid: i32| parent(pid).is_some_and(|parent| pids.contains(&parent));
                let main = servers.iter().rfind(|(pid, words)| words.contains("--port") && !is_child(*pid));
                end(main.map(|(pid, _)| *pid))
            }
            Victim::Container => self.engine && self.containers().first().is_some_and(|name| kill_container(name)),
            // They live for milliseconds: the first one is taken.
            Victim::Helper => loop {
                if let Some(helper) = self.helpers(lcm).first() {
                    break end(Some(*helper));
                }
                if child.try_wait().expect("lcm").is_some() {
                    break false;
                }
            },
            Victim::ShimAndLcm => {
                let shim = end(shims().last().map(|(pid, _)| *pid));
                end_lcm() | shim
            }
        }
    }

    /// Children of lcm that are no shims.
    fn helpers(&self, lcm: i32) -> Vec<i32> {
        let shims: Vec<i32> = self.sandbox.shims().into_iter().map(|(pid, _)| pid).collect();
        let tasks = fs::read_dir(format!("/proc/{lcm}/task")).into_iter().flatten().flatten();
        let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let children: Vec<i32> = children
            .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect();
        children.into_iter().filter(|pid| !shims.contains(pid)).collect()
    }

    #[track_caller]
    fn converges(&self, draw: &Draw, when: &str) {
        let manifest = self.manifest(draw);
        let words = ["apply", "--yes", "--detailed-exitcode", "--mode", draw.mode, &manifest];
        let mut last = self.sandbox.lcm(&words);
        for _ in 1..ROUNDS_MAX {
            if last.code == 0 {
                break;
            }
            last = self.sandbox.lcm(&words);
        }
        assert_eq!(last.code, 0, "{when}: does not converge\n{last}");
        let planned = self.sandbox.lcm(&["plan", "--detailed-exitcode", "--mode", draw.mode, &manifest]);
        assert_eq!(planned.code, 0, "{when}: a second plan is not empty\n{planned}");
        let expected = match draw.mode {
            "paint" => [("below", 3), ("painter", 1), ("box", 1)],
            "write" => [("below", 0), ("writer", 1), ("box", 1)],
            _ => [("below", 3), ("writer", 1), ("box", 0)],
        };
        let containers = usize::from(self.engine && draw.mode != "both");
        let processes = expected.iter().map(|(_, count)| count).sum::<usize>() - containers;
        let servers = self.sandbox.servers();
        assert_eq!(servers.len(), processes, "{when}: {servers:?}");
        assert_eq!(self.containers().len(), containers, "{when}: {:?}", self.containers());
        let over = self.gpus.world().overcommitted;
        assert!(over.is_empty(), "{when}: {over:?}");
    }

    fn containers(&self) -> Vec<String> {
        if !self.engine {
            return Vec::new();
        }
        let label = format!("label=lcm.project={}", self.sandbox.name);
        let listed =
            docker(&["ps", "--all", "--filter", &label, "--filter", "status=running", "--format", "{{.Names}}"]);
        listed.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn goes_down(&self, when: &str) {
        let manifest = self.sandbox.path("lcm.yaml").display().to_string();
        let down = self.sandbox.lcm(&["down", "--yes", &manifest]);
        assert_eq!(down.code, 0, "{when}: {down}");
        assert_eq!((self.sandbox.servers(), self.sandbox.shims()), (Vec::new(), Vec::new()), "{when}");
        // What a killed lcm left runs under a guardian, which learns of its end by a pipe.
        wait_until(&format!("{when}: nothing of lcm is left"), || self.strays().is_empty());
        if self.engine {
            let label = format!("label=lcm.project={}", self.sandbox.name);
            assert_eq!(docker(&["ps", "--all", "--quiet", "--filter", &label]), "", "{when}");
        }
        assert_eq!(self.unfinished(), Vec::<PathBuf>::new(), "{when}: unfinished files");
        assert_eq!(
            self.gpus.world().used_mib(&format!("GPU-{}", self.sandbox.name)),
            0,
            "{when}: its memory is still taken"
        );
    }

    /// Running processes that inherited lcm's state folder.
    fn strays(&self) -> Vec<i32> {
        let entry = format!("LCM_STATE_DIR={}", self.sandbox.get("LCM_STATE_DIR"));
        let has = |pid: &i32| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|one| one == entry.as_bytes())
        };
        let pids = fs::read_dir("/proc").expect("/proc").flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(has).collect()
    }

    /// Files that are written beside and renamed, or tried and removed.
    fn unfinished(&self) -> Vec<PathBuf> {
        let mut left = Vec::new();
        let mut folders = vec![self.sandbox.path("state")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(entry.path());
                } else if ["trial.", "draft", ".tmp", ".json."].iter().any(|part| name.contains(part)) {
                    left.push(entry.path());
                }
            }
        }
        left
    }
}

/// Field 4 of proc(5)'s stat.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

/// Ends a process that this experiment started; `false`: there was none any more.
fn end(pid: Option<i32>) -> bool {
    pid.is_some_and(|pid| succeeds(Command::new("kill").args(["-KILL", &pid.to_string()])))
}

fn kill_container(name: &str) -> bool {
    succeeds(Command::new("docker").args(["kill", name]))
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
