//! Operator holds on real containers, and through the restart of an engine of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::sandbox::{Ran, Sandbox, run, wait_until};
use super::studio::{Studio, docker, status};

pub(crate) fn a_container_is_suspended_maintained_and_terminated() {
    let studio = Studio::new();
    let lcm = |words: &[&str]| studio.lcm("lcm", &[words, &["-m"]].concat());
    studio.lcm("voice", &["apply", "--yes"]).exits(0);
    let container = studio.container("cosyvoice");
    lcm(&["suspend", "cosyvoice", "--as", "kim"]).exits(0);
    assert_eq!(status(&container), "paused");
    let plan = studio.lcm("lcm", &["plan", "--format", "json"]).exits(0).json();
    let held = &plan["held"][0];
    assert_eq!((&held["service"], &held["by"]), (&json!("cosyvoice"), &json!("kim")), "{plan:#}");
    assert_eq!((&held["reason"]["code"], &plan["changes"]), (&json!("suspended"), &json!(false)));
    // It keeps its memory, and is not stopped for a service that fits beside it; resumed by hand, it is paused again.
    docker(&["unpause", &container]);
    studio.lcm("lcm", &["apply", "--yes"]).exits(0).says("pause");
    assert_eq!(status(&container), "paused");
    lcm(&["maintain", "cosyvoice"]).exits(0).says("suspended → maintenance");
    studio.lcm("chat", &["apply", "--yes"]).exits(0);
    assert_eq!(status(&container), "paused", "left alone");
    lcm(&["resume", "cosyvoice"]).exits(0).says("maintenance → suspended → online");
    assert_eq!(status(&container), "running");
    lcm(&["terminate", "cosyvoice", "--as", "kim"]).exits(0);
    assert_eq!(status(&container), "exited");
    studio.lcm("voice", &["apply", "--yes"]).exits(0).says("terminated");
    assert_eq!(status(&container), "exited");
    lcm(&["resume", "cosyvoice"]).exits(0).says("hold released; it is off");
    studio.lcm("voice", &["apply", "--yes"]).exits(0);
    assert_eq!(status(&container), "running");
}

/// An engine of the test's own, in a network namespace of its own: else the bridge of the machine's engine would
/// disappear.
struct Engine {
    folder: PathBuf,
    child: Child,
}

impl Engine {
    fn start(folder: &Path) -> Self {
        // The settings of the machine belong to another engine.
        fs::write(folder.join("engine.json"), "{}").expect("settings");
        let engine = Self { folder: folder.to_owned(), child: spawn(folder) };
        engine.wait();
        engine
    }

    /// Restarts the engine, which ends its containers.
    fn start_again(&mut self) {
        self.end();
        self.child = spawn(&self.folder);
        self.wait();
    }

    fn wait(&self) {
        wait_until("the engine answers", || {
            self.command(&["version"]).output().is_ok_and(|output| output.status.success())
        });
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["--host", &format!("unix://{}", self.folder.join("engine.sock").display())]).args(words);
        command
    }

    #[track_caller]
    fn docker(&self, words: &[&str]) -> String {
        run(self.command(words), &format!("docker {}", words.join(" "))).exits(0).stdout.trim().to_owned()
    }

    /// Ends the engine by its own signal, so that it ends its containers.
    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            super::kill(i32::try_from(self.child.id()).expect("a pid"), "TERM");
        }
        let _ = self.child.wait();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let listed = self.command(&["ps", "--all", "--quiet"]).output();
        let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        for id in listed.lines() {
            let _ = self.command(&["rm", "--force", id]).output();
        }
        self.end();
    }
}

fn spawn(folder: &Path) -> Child {
    let at = |name: &str| folder.join(name).display().to_string();
    let log = fs::File::options().create(true).append(true).open(folder.join("engine.log")).expect("a log");
    Command::new("unshare")
        .args(["--net", "dockerd", "--bridge=none", "--iptables=false", "--storage-driver=vfs"])
        .args(["--config-file", &at("engine.json"), "--host", &format!("unix://{}", at("engine.sock"))])
        .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("engine.pid")])
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("unshare")
}

pub(crate) fn maintenance_outlives_an_engine() {
    let mut sandbox = Sandbox::new("engine");
    let socket = sandbox.path("engine.sock");
    sandbox.set("DOCKER_HOST", format!("unix://{}", socket.display()));
    let mut engine = Engine::start(socket.parent().expect("a folder"));
    let tar = sandbox.path("server.tar");
    let mut pack = Command::new("tar");
    pack.arg("-cf").arg(&tar).arg("-C").arg(socket.parent().expect("a folder")).arg("model_server");
    run(pack, "tar").exits(0);
    let image = format!("lcm-test/{}:1", sandbox.name);
    engine.docker(&["import", "--change", "ENTRYPOINT [\"/model_server\"]", &tar.display().to_string(), &image]);
    let manifest = sandbox.write(
        "lcm.yaml",
        &format!(
            "version: 1
name: \"@NAME@\"
services:
  one: {{ docker: {{ image: \"{image}\", command: [--port, \"8000\"], pull_policy: never }} }}
  two: {{ docker: {{ image: \"{image}\", command: [--port, \"8000\"], pull_policy: never }} }}
"
        ),
    );
    let manifest = manifest.to_str().expect("UTF-8").to_owned();
    let apply = |sandbox: &Sandbox| -> Ran { sandbox.lcm(&["apply", "--yes", &manifest]).exits(0) };
    let state = |engine: &Engine, service: &str, name: &str| {
        engine.docker(&["inspect", "--format", "{{.Id}} {{.State.Status}}", &format!("{name}-{service}")])
    };
    let name = sandbox.name.clone();
    apply(&sandbox);
    sandbox.lcm(&["maintain", "one", "-m", &manifest, "--reason", "by hand"]).exits(0);
    let before = state(&engine, "one", &name);
    for _ in 0..3 {
        apply(&sandbox).says("by hand");
        assert_eq!(state(&engine, "one", &name), before);
    }
    engine.end();
    sandbox.lcm(&["plan", &manifest]).exits(1).says("can't observe any wanted service");
    sandbox.lcm(&["suspend", "two", "-m", &manifest]).exits(0).says("its state is unknown");
    sandbox.lcm(&["resume", "two", "-m", &manifest]).exits(1).says("its state is unknown");
    engine.start_again();
    sandbox.lcm(&["resume", "two", "-m", &manifest]).exits(0).says("released");
    assert!(state(&engine, "one", &name).ends_with("exited"), "it ended with its engine");
    let stopped = state(&engine, "one", &name);
    for _ in 0..3 {
        apply(&sandbox).says("by hand");
        assert_eq!(state(&engine, "one", &name), stopped, "and is left so");
        assert!(state(&engine, "two", &name).ends_with("running"), "its neighbour is restarted");
    }
    sandbox.lcm(&["resume", "one", "-m", &manifest]).exits(0).says("maintenance → offline");
    apply(&sandbox);
    assert!(state(&engine, "one", &name).ends_with("running"));
    sandbox.lcm(&["down", "--yes", &manifest]).exits(0);
    drop(engine);
}
