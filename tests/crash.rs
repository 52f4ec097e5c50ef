//! Convergence from any state: lcm is killed after each line of its output, or finds its services in another runtime
//! than the manifest has by now; the next apply converges, nothing runs twice, and `down` leaves nothing.
//!
//! Likewise the store alone: killed between any two writes, and on a disk that is full.
//!
//! Without an engine the parts that need one are reported as `ignored`; with `LCM_TEST_REQUIRE=docker` its absence is a
//! failure.

use std::io::{BufRead as _, BufReader};
use std::process::{ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};

#[path = "crash/disk.rs"]
mod disk;
#[path = "crash/duties.rs"]
mod duties;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/gpus.rs"]
mod gpus;
#[path = "support/image.rs"]
mod image;
#[path = "crash/jobs.rs"]
mod jobs;
#[path = "crash/kills.rs"]
mod kills;
#[path = "crash/model.rs"]
mod model;
#[path = "support/require.rs"]
mod require;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "support/server.rs"]
mod server;
#[path = "crash/store.rs"]
mod store;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/studio.rs"]
mod studio;
#[expect(dead_code, reason = "the library and the server use the rest")]
#[path = "../examples/simulated_gpu/world.rs"]
mod world;

use sandbox::{Sandbox, answers, free_port};
use studio::{Foreign, docker, engine_missing, remove_labelled, status};

/// Bound for the lines that an apply of two services writes.
const LINES_MAX: usize = 80;
/// Period of kills in which the killed apply would have failed as well.
const DYING_EVERY: usize = 3;

struct Test {
    name: &'static str,
    needs: Need,
    run: fn(),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    Engine,
    /// A small disk of its own.
    Disk,
}

const TESTS: [Test; 14] = [
    Test { name: "a_job_that_is_a_process_runs_once", needs: Need::Nothing, run: jobs::processes },
    Test { name: "a_job_that_is_a_container_runs_once", needs: Need::Engine, run: jobs::containers },
    Test { name: "kills_at_drawn_moments_converge", needs: Need::Nothing, run: kills::converge },
    Test { name: "processes_survive_a_kill_after_any_line", needs: Need::Nothing, run: processes },
    Test { name: "containers_survive_a_kill_after_any_line", needs: Need::Engine, run: containers },
    Test { name: "a_service_moves_between_runtimes_and_names", needs: Need::Engine, run: another_runtime },
    Test { name: "an_orphan_is_reported_and_removed_by_prune", needs: Need::Engine, run: left_behind },
    Test { name: "duties_are_done_by_a_later_run", needs: Need::Nothing, run: duties::are_done_by_a_later_run },
    Test {
        name: "duties_are_done_after_a_run_that_ran_out_of_time",
        needs: Need::Nothing,
        run: duties::are_done_after_a_run_that_ran_out_of_time,
    },
    Test {
        name: "a_kill_loses_no_acknowledged_record",
        needs: Need::Nothing,
        run: store::loses_no_acknowledged_record,
    },
    Test {
        name: "the_store_holds_what_was_acknowledged",
        needs: Need::Nothing,
        run: model::the_store_holds_what_was_acknowledged,
    },
    Test { name: "a_migration_that_is_killed_is_repeated", needs: Need::Nothing, run: store::a_migration_is_repeated },
    Test {
        name: "a_full_disk_fails_the_record_and_not_the_service",
        needs: Need::Disk,
        run: disk::fails_the_record_and_not_the_service,
    },
    Test { name: "a_full_disk_defers_steps_with_hooks", needs: Need::Disk, run: disk::defers_steps_with_hooks },
];

fn main() -> ExitCode {
    if model::is_writer() || store::is_writer() {
        return ExitCode::SUCCESS;
    }
    let engine = engine_missing().map(|reason| format!("no Docker engine: {reason}"));
    let disk = disk::missing();
    let required = require::required("docker");
    let trials = TESTS.iter().map(|test| {
        let reason = match test.needs {
            Need::Nothing => None,
            Need::Engine => engine.clone(),
            Need::Disk => disk.clone(),
        };
        let ignored = reason.is_some() && !(required && test.needs == Need::Engine);
        let kind = reason.clone().filter(|_| ignored).unwrap_or_default();
        let trial = Trial::test(test.name, move || {
            if let Some(reason) = reason {
                return Err(Failed::from(reason));
            }
            (test.run)();
            Ok(())
        });
        trial.with_kind(kind).with_ignored_flag(ignored)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Two services, the second on top of the first; `variant` is in the specs of both.
struct Pair {
    sandbox: Sandbox,
    ports: [u16; 2],
    services: fn(&Self, variant: usize, dying: &str) -> String,
    /// Second container, where it is an existing one that lcm did not create.
    existing: Option<Foreign>,
}

impl Pair {
    fn new(what: &str, services: fn(&Self, usize, &str) -> String) -> Self {
        let mut sandbox = Sandbox::new(what);
        sandbox.take_down(sandbox.path("lcm.yaml"));
        Self { sandbox, ports: [free_port(), free_port()], services, existing: None }
    }

    /// Writes the manifest and gives its path.
    fn manifest(&self, variant: usize, dying: bool) -> String {
        let services = (self.services)(self, variant, if dying { ", --die-while-loading" } else { "" });
        let text = format!(
            "version: 1
name: \"@NAME@\"
gpus: {{ devices: [{{ index: 0, uuid: \"@GPU@\", vram: 24GiB }}] }}
templates: {{ t: {{ stop: {{ grace: 10s }}, health: {{ timeout: 60s }}, vram: 4GiB }} }}
services:
{services}"
        );
        let path = self.sandbox.write("lcm.yaml", &text);
        path.to_str().expect("UTF-8").to_owned()
    }

    /// Kills an apply after this number of lines. Returns true if it was still running.
    fn kill_after(&self, lines: usize, manifest: &str) -> bool {
        let mut command = self.sandbox.command(&["apply", "--yes", "--format", "json", manifest]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("lcm");
        let read = BufReader::new(child.stdout.take().expect("piped")).lines().take(lines).count();
        child.kill().expect("it can be killed, ended or not");
        child.wait().expect("it ends");
        read == lines
    }

    #[track_caller]
    fn converges(&self, manifest: &str, when: &str) {
        let applied = self.sandbox.lcm(&["apply", "--yes", manifest]);
        assert_eq!(applied.code, 0, "{when}: {applied}");
        let planned = self.sandbox.lcm(&["plan", "--detailed-exitcode", manifest]);
        assert_eq!(planned.code, 0, "{when}: {planned}");
        assert!(self.ports.iter().all(|port| answers(*port)), "{when}: not both answer");
    }

    #[track_caller]
    fn goes_down(&self) {
        let manifest = self.manifest(0, false);
        self.sandbox.lcm(&["down", "--yes", &manifest]).exits(0);
        assert_eq!((self.sandbox.servers(), self.sandbox.shims()), (Vec::new(), Vec::new()));
    }

    /// `name state` of this project's containers.
    fn containers(&self) -> Vec<String> {
        let label = format!("label=lcm.project={}", self.sandbox.name);
        let listed = docker(&["ps", "--all", "--filter", &label, "--format", "{{.Names}} {{.State}}"]);
        listed.lines().map(|line| line.replace(&self.sandbox.name, "@")).collect()
    }

    /// Kills an apply after one line, after two, and so on, until one ends before it is killed.
    fn kill_after_each_line(&self, check: impl Fn(&str)) {
        for lines in 1..LINES_MAX {
            let dying = lines % DYING_EVERY == 0;
            let under_way = self.kill_after(lines, &self.manifest(lines, dying));
            let when = format!("killed after line {lines}{}", if dying { " of an apply that fails" } else { "" });
            self.converges(&self.manifest(lines, false), &when);
            check(&when);
            if !under_way && !dying {
                return self.goes_down();
            }
        }
        panic!("an apply of two services writes more than {LINES_MAX} lines");
    }
}

fn processes() {
    let pair = Pair::new("crash", |pair, variant, dying| {
        let [below, above] = pair.ports;
        format!(
            "  below:
    extends: t
    process: {{ command: [\"@SERVER@\", --port, \"{below}\", --load, 50ms, --children, \"1\", --daemons, \"1\"], environment: {{ V: \"{variant}\" }} }}
    health: {{ http: \"http://127.0.0.1:{below}/health\" }}
  above:
    extends: t
    process: {{ command: [\"@SERVER@\", --port, \"{above}\", --load, 50ms{dying}], environment: {{ V: \"{variant}\" }} }}
    depends_on: [below]
    health: {{ http: \"http://127.0.0.1:{above}/health\" }}
"
        )
    });
    pair.kill_after_each_line(|when| {
        let servers = pair.sandbox.servers();
        assert_eq!(servers.len(), 4, "{when}: two servers, a child and a daemon: {servers:?}");
        assert_eq!(pair.sandbox.shims().len(), 2, "{when}");
    });
}

fn containers() {
    let mut pair = Pair::new("crash", |pair, variant, dying| {
        let [below, above] = pair.ports;
        let image = image::model_server();
        format!(
            "  below:
    extends: t
    docker: {{ image: \"{image}\", pull_policy: never, gpu_access: none, command: [--host, 0.0.0.0, --load, 50ms{dying}], environment: {{ V: \"{variant}\" }}, ports: [\"127.0.0.1:{below}:8000\"] }}
    health: {{ http: \"http://127.0.0.1:{below}/health\" }}
  above:
    extends: t
    docker: {{ container: \"@NAME@-theirs\" }}
    depends_on: [below]
    health: {{ http: \"http://127.0.0.1:{above}/health\" }}
"
        )
    });
    let (name, publish) = (format!("{}-theirs", pair.sandbox.name), format!("127.0.0.1:{}:8000", pair.ports[1]));
    let words = ["--name", &name, "--publish", &publish, image::model_server(), "--host", "0.0.0.0"];
    pair.existing = Some(Foreign::create(&words));
    let _removed = Labelled(pair.sandbox.name.clone());
    pair.kill_after_each_line(|when| assert_eq!(pair.containers(), ["@-below running"], "{when}"));
    assert_eq!(pair.containers(), [""; 0]);
    assert_eq!(status(&name), "exited", "lcm did not create it");
}

/// Removes the containers of a failed test by their label.
struct Labelled(String);

impl Drop for Labelled {
    fn drop(&mut self) {
        remove_labelled(&format!("lcm.project={}", self.0));
    }
}

/// A service in the ways in which it can run; each a change of the one before.
fn runs(pair: &Pair, way: usize, _: &str) -> String {
    let [port, other] = pair.ports;
    let image = image::model_server();
    let own = |more: &str| {
        format!(
            "docker: {{ image: \"{image}\", pull_policy: never, gpu_access: none, command: [--host, 0.0.0.0], ports: [\"127.0.0.1:{port}:8000\"]{more} }}"
        )
    };
    let one = match way {
        1 => own(""),
        2 => own(", container_name: \"@NAME@-renamed\""),
        _ => format!("process: {{ command: [\"@SERVER@\", --port, \"{port}\"] }}"),
    };
    format!(
        "  one:
    extends: t
    {one}
    health: {{ http: \"http://127.0.0.1:{port}/health\" }}
  two:
    extends: t
    process: {{ command: [\"@SERVER@\", --port, \"{other}\"] }}
    health: {{ http: \"http://127.0.0.1:{other}/health\" }}
"
    )
}

fn another_runtime() {
    let pair = Pair::new("moves", runs);
    let _removed = Labelled(pair.sandbox.name.clone());
    let expected: [(usize, &[&str], usize); 4] =
        [(0, &[], 2), (1, &["@-one running"], 1), (2, &["@-renamed running"], 1), (0, &[], 2)];
    for (way, containers, servers) in expected {
        pair.converges(&pair.manifest(way, false), &format!("way {way}"));
        assert_eq!(pair.containers(), containers);
        assert_eq!(pair.sandbox.servers().len(), servers);
    }
    // Renamed by hand, as a crash between two renames could have left it.
    pair.converges(&pair.manifest(1, false), "back in a container");
    let name = format!("{}-one", pair.sandbox.name);
    docker(&["rename", &name, &format!("{name}.lcm-old")]);
    pair.converges(&pair.manifest(1, false), "put aside, and running");
    assert_eq!(pair.containers(), ["@-one running"]);
    docker(&["rename", &name, &format!("{name}-by-hand")]);
    let down = ["down", "--yes", &pair.manifest(1, false)];
    pair.sandbox.lcm(&down).exits(4).says("renamed");
    assert_eq!(pair.containers(), ["@-one-by-hand running"], "a renamed container is named, and left alone");
    docker(&["rename", &format!("{name}-by-hand"), &name]);
    pair.sandbox.lcm(&down).exits(0);
    assert_eq!(pair.containers(), [""; 0], "under its own name it is known again");
    pair.goes_down();
}

fn left_behind() {
    let pair = Pair::new("behind", |pair, way, _| {
        let all = runs(pair, 1, "");
        // The manifest has no container any more.
        let without = all.find("  two:").expect("a second service");
        if way == 1 { all } else { all[without..].to_owned() }
    });
    let _removed = Labelled(pair.sandbox.name.clone());
    pair.converges(&pair.manifest(1, false), "with a container");
    let manifest = pair.manifest(0, false);
    let plan = pair.sandbox.lcm(&["plan", "--format", "json", &manifest]).exits(0).json();
    assert_eq!(plan["orphans"][0]["service"], "one");
    assert_eq!(plan["gpus"][0]["before_mib"], 2 * 4096, "what it holds is taken");
    pair.sandbox.lcm(&["apply", "--yes", &manifest]).exits(0);
    assert_eq!(pair.containers(), ["@-one running"], "no prune was requested");
    pair.sandbox.lcm(&["apply", "--yes", "--prune", &manifest]).exits(0);
    assert_eq!(pair.containers(), [""; 0]);
    pair.goes_down();
}
