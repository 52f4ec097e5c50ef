//! Logs, adoption and the history over real processes of this test's own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::lcm::Lcm;

/// A project of one service, taken down when dropped.
struct Live {
    folder: tempfile::TempDir,
}

impl Live {
    fn new(service: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let name = format!("live-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let manifest = format!("version: 1\nname: {name}\nservices:\n  one: {service}\n");
        fs::write(folder.path().join("lcm.yaml"), manifest).expect("a manifest");
        Self { folder }
    }

    fn lcm(&self, words: &[&str]) -> Lcm {
        Lcm::new(self.folder.path()).args(words).env("TOKEN", "hf_secret")
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.lcm(&["down", "--yes"]).command().stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// A child of the test, ended with it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const TALKS: &str = "{ process: { command: 'echo one; echo \"token $TOKEN\"; exec sleep 300', \
                     environment: { TOKEN: { env: TOKEN } } }, health: { log: token }, stop: { grace: 1s } }";

#[test]
fn logs_hide_secrets_and_follow_until_interrupted() {
    let live = Live::new(TALKS);
    live.lcm(&["apply"]).run().code(0).stdout_has("1 started");
    let ran = live.lcm(&["logs", "one"]).run().code(0);
    assert_eq!(ran.stdout, "one\ntoken ***\n", "{ran}");
    assert_eq!(live.lcm(&["logs", "one", "-n", "1"]).run().code(0).stdout, "token ***\n");

    let mut command = live.lcm(&["logs", "-f", "one"]).command();
    let mut follower = Ended(command.stdout(Stdio::piped()).spawn().expect("lcm runs"));
    let mut lines = BufReader::new(follower.0.stdout.take().expect("piped")).lines();
    assert_eq!(lines.next().expect("a line").expect("UTF-8"), "one");
    let interrupt = Command::new("kill").args(["-INT", &follower.0.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    assert_eq!(follower.0.wait().expect("it ends").code(), Some(130));
}

#[test]
fn the_last_run_is_remembered_and_a_run_without_changes_is_not_listed() {
    let live = Live::new(TALKS);
    live.lcm(&["apply"]).run().code(0);
    let status = || live.lcm(&["status", "--format", "json"]).run().code(0).json();
    let run = status()["last_run"].clone();
    assert_eq!((&run["command"], &run["exit_code"]), (&"lcm apply".into(), &0.into()), "{run:#}");
    live.lcm(&["apply"]).run().code(0).stdout_has("Nothing to do: 1 service");
    assert_eq!(status()["last_run"], run);
    assert_eq!(status()["services"][0]["state"], "online");
    let filtered = live.lcm(&["status", "--state", "offline", "--format", "json"]).run().code(0).json();
    assert_eq!(filtered["services"], serde_json::json!([]));
}

#[test]
fn an_adopted_process_is_the_service_until_it_is_stopped() {
    let live = Live::new("{ process: { command: [sleep, '300'] }, stop: { grace: 1s } }");
    let mut stranger = Ended(Command::new("sleep").arg("300").spawn().expect("sleep runs"));
    let pid = stranger.0.id().to_string();
    live.lcm(&["adopt", "one", "--pid", &pid]).run().code(0).stderr_has(&pid);
    live.lcm(&["plan", "--detailed-exitcode"]).run().code(0);
    live.lcm(&["adopt", "two", "--pid", &pid]).run().code(1).stderr_has("no service named two");

    // Reaped beside lcm, since a child of this test is gone only then.
    let (told, tells) = std::sync::mpsc::channel();
    let reaper = std::thread::spawn(move || told.send(stranger.0.wait().is_ok()));
    live.lcm(&["down", "--yes"]).run().code(0).stdout_has("1 stopped");
    assert!(tells.recv_timeout(std::time::Duration::from_mins(1)).expect("it ended"));
    drop(reaper.join());
}
