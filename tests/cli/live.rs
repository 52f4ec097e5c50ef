//! Logs, adoption and the history over real processes of this test's own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::lcm::Lcm;

/// A project of one service, taken down when dropped.
pub(crate) struct Live {
    pub(crate) folder: tempfile::TempDir,
}

impl Live {
    pub(crate) fn new(service: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let name = format!("live-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let manifest = format!("version: 1\nname: {name}\nservices:\n  one: {service}\n");
        fs::write(folder.path().join("lcm.yaml"), manifest).expect("a manifest");
        Self { folder }
    }

    pub(crate) fn lcm(&self, words: &[&str]) -> Lcm {
        Lcm::new(self.folder.path()).args(words).env("TOKEN", "hf_secret")
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // A held service is not stopped.
        for service in ["one", "two"] {
            let _ = self.lcm(&["resume", service]).command().stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
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

/// A key of several lines, as a file has it.
const CONFIDES: &str =
    "{ process: { command: 'echo \"$$KEY\"; echo up; exec sleep 300', environment: { KEY: { env: KEY } } },
         health: { log: up }, stop: { grace: 1s } }";

#[test]
fn a_secret_of_several_lines_is_in_no_log() {
    let live = Live::new(CONFIDES);
    let key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----";
    let lcm = |words: &[&str]| live.lcm(words).env("KEY", key).run().code(0);
    lcm(&["apply"]).stdout_has("1 started");
    assert_eq!(lcm(&["logs", "one"]).stdout, "***\n***\n***\nup\n");
}

/// Two services that write the text of a pipe each.
const ECHOES: &str = "{ process: { command: 'echo up; exec 3<>one.pipe; while IFS= read -r line <&3; do echo \"$$line\"; done', \
                      log: { max_size: 4KiB } }, stop: { grace: 1s } }
  second: { process: { command: 'exec 3<>second.pipe; while IFS= read -r line <&3; do printf \"%b\" \"$$line\"; done' }, stop: { grace: 1s } }";

#[test]
fn several_logs_are_followed_through_a_rotation_and_a_restart() {
    let live = Live::new(ECHOES);
    let at = |name: &str| live.folder.path().join(name);
    let pipes = Command::new("mkfifo").args([at("one.pipe"), at("second.pipe")]).status();
    assert!(pipes.expect("mkfifo runs").success());
    let tell = |pipe: &str, text: &str| fs::write(at(pipe), format!("{text}\n")).expect("it reads");

    let mut command = live.lcm(&["logs", "-f", "one", "second"]).command();
    let mut follower = Ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("lcm runs"));
    let mut said = BufReader::new(follower.0.stderr.take().expect("piped")).lines();
    assert_eq!(said.next().expect("a line").expect("UTF-8"), "one: no output yet");
    let mut lines = BufReader::new(follower.0.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().expect("a line").expect("UTF-8");
    live.lcm(&["apply"]).run().code(0);
    assert_eq!(next(), "one    | up");

    // Parts of one line become one line; control characters go into a pipe as they are.
    tell("second.pipe", "half ");
    tell("second.pipe", "of it, \\033[2Jwhole\\n");
    assert_eq!(next(), "second | half of it, \u{1b}[2Jwhole");

    // More than the log may hold, by less than what was read already: a rotation keeps the end, and what comes in the
    // middle of one may be lost. Here nothing comes then.
    for length in [4_000, 200] {
        let long = "x".repeat(length);
        tell("one.pipe", &long);
        let line = next();
        assert!(line == format!("one    | {long}"), "{} bytes of {length}", line.len());
    }
    let log = walk(&at("state")).into_iter().find(|path| path.ends_with("one/log")).expect("a log");
    let is_rotated = || log.with_extension("1").exists() && fs::metadata(&log).is_ok_and(|log| log.len() == 0);
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_rotated() {
        assert!(Instant::now() < deadline, "the log is never rotated");
        std::thread::sleep(Duration::from_millis(20));
    }
    tell("one.pipe", "after");
    assert_eq!(next(), "one    | after");

    live.lcm(&["restart", "one"]).run().code(0);
    assert_eq!(next(), "one    | up", "the same line of another instance is another one");
    let interrupt = Command::new("kill").args(["-INT", &follower.0.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    assert_eq!(follower.0.wait().expect("it ends").code(), Some(130));

    let bare = live.lcm(&["logs", "--no-prefix", "--tail", "1", "one", "second"]).run().code(0);
    assert_eq!(bare.stdout, "up\nhalf of it, \u{1b}[2Jwhole\n");
}

#[test]
fn an_unreadable_log_is_reported_and_the_others_are_shown() {
    let live = Live::new(
        "{ process: { command: [sleep, '600'] }, stop: { grace: 1s } }
  second: { process: { command: 'echo up; exec sleep 600' }, health: { log: up }, stop: { grace: 1s } }",
    );
    live.lcm(&["apply"]).run().code(0);
    let twice = live.lcm(&["logs", "second", "second"]).run().code(0);
    assert_eq!(twice.stdout, "up\n", "a service named twice is shown once");

    let log = walk(&live.folder.path().join("state")).into_iter().find(|path| path.ends_with("one/log"));
    let log = log.expect("a log");
    fs::remove_file(&log).and_then(|()| fs::create_dir(&log)).expect("a folder in its place");
    let ran = live.lcm(&["logs", "-q", "one", "second"]).run().code(1);
    assert_eq!(ran.stdout, "second | up\n", "{ran}");
    ran.stderr_has("error[lcm::command::log]: can't read the log of one: ");

    let mut command = live.lcm(&["logs", "-q", "-f", "one", "second"]).command();
    let mut follower = Ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("lcm runs"));
    let mut said = BufReader::new(follower.0.stderr.take().expect("piped")).lines();
    let line = said.next().expect("a line").expect("UTF-8");
    assert!(line.starts_with("can't read the log of one: "), "{line}");
}

/// All files below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn the_time_of_a_start_is_the_estimate_of_the_next_until_the_store_is_gone() {
    let live = Live::new(TALKS);
    let estimates = || {
        let status = live.lcm(&["status", "--format", "json"]).run().code(0).json();
        status["services"][0]["estimates"].clone()
    };
    let plan = || live.lcm(&["plan", "--format", "json"]).run().code(0).json();
    assert_eq!(estimates(), serde_json::json!({ "ready_ms": null, "stopped_ms": null, "vram_mib": null }));
    live.lcm(&["apply"]).run().code(0);
    assert!(estimates()["ready_ms"].is_u64(), "{}", estimates());
    live.lcm(&["down", "--yes"]).run().code(0);
    assert!(estimates()["stopped_ms"].is_u64(), "{}", estimates());
    let mut known = plan();
    assert_eq!(known["steps"][0]["estimate_ms"], estimates()["ready_ms"]);

    for file in ["lcm.db", "lcm.db-wal", "lcm.db-shm"] {
        let _ = fs::remove_file(live.folder.path().join("state").join(file));
    }
    let mut forgotten = plan();
    assert!(forgotten["steps"][0]["estimate_ms"].is_null());
    for plan in [&mut known, &mut forgotten] {
        plan["steps"][0]["estimate_ms"].take();
        plan["observed_at"].take();
    }
    assert_eq!(known, forgotten);
}

#[test]
fn the_last_run_is_remembered_and_a_run_without_changes_is_not_listed() {
    let live = Live::new(TALKS);
    live.lcm(&["apply"]).run().code(0);
    let status = || live.lcm(&["status", "--format", "json"]).run().code(0).json();
    let run = status()["last_run"].clone();
    assert_eq!((&run["command"], &run["exit_code"]), (&"lcm apply".into(), &0.into()), "{run:#}");
    live.lcm(&["apply"]).run().code(0).stdout_has("Nothing to do: 1 service");
    let later = status()["last_run"].clone();
    assert!(later["ended_at"].as_str() > run["ended_at"].as_str(), "{later:#}");
    let runs = live.lcm(&["history", "--runs", "--format", "json"]).run().code(0).json();
    assert_eq!((runs["runs"].as_array().map(Vec::len), &runs["unchanged_runs"]["count"]), (Some(1), &1.into()));
    assert_eq!(status()["services"][0]["state"], "online");
    let filtered = live.lcm(&["status", "--state", "offline", "--format", "json"]).run().code(0).json();
    assert_eq!(filtered["services"], serde_json::json!([]));
}

#[test]
fn an_adopted_process_is_the_service_until_it_is_stopped() {
    let live = Live::new("{ process: { command: [sleep, '300'] }, stop: { grace: 1s } }");
    let mut foreign = Ended(Command::new("sleep").arg("300").spawn().expect("sleep runs"));
    let pid = foreign.0.id().to_string();
    live.lcm(&["adopt", "one", "--pid", &pid]).run().code(0).stderr_has(&pid);
    live.lcm(&["plan", "--detailed-exitcode"]).run().code(0);
    live.lcm(&["adopt", "two", "--pid", &pid]).run().code(1).stderr_has("no service named two");

    // Reaped beside lcm, since a child of this test is gone only then.
    let (sender, receiver) = std::sync::mpsc::channel();
    let reaper = std::thread::spawn(move || sender.send(foreign.0.wait().is_ok()));
    live.lcm(&["down", "--yes"]).run().code(0).stdout_has("1 stopped");
    assert!(receiver.recv_timeout(Duration::from_mins(1)).expect("it ended"));
    drop(reaper.join());
}

#[test]
fn an_adoption_fits_is_recorded_and_is_undone() {
    let live = Live::new("{ process: { command: [sleep, '300'] }, stop: { grace: 1s } }");
    let lcm = |words: &[&str]| live.lcm(words).run();
    let sleeping = Ended(Command::new("sleep").arg("300").spawn().expect("sleep runs"));
    let other = Ended(Command::new("tail").args(["-f", "/dev/null"]).spawn().expect("tail runs"));
    let (pid, wrong) = (sleeping.0.id().to_string(), other.0.id().to_string());
    lcm(&["adopt", "one", "--pid", &wrong])
        .code(1)
        .stderr_has("it runs `tail -f /dev/null`, not the command of `one`, which is `sleep 300`")
        .stderr_has("--force");
    lcm(&["adopt", "one", "--pid", &wrong, "--force", "--dry-run"]).code(0).stderr_has("can be adopted as one");
    lcm(&["terminate", "one", "--as", "kim"]).code(0);
    for words in [&["adopt", "one", "--pid", &pid][..], &["disown", "one"]] {
        lcm(words).code(1).stderr_has("held by `lcm terminate` (kim").stderr_has("`lcm resume one`");
    }
    lcm(&["resume", "one"]).code(0);

    let seen = || lcm(&["status", "--format", "json"]).code(0).json()["services"][0].clone();
    lcm(&["adopt", "one", "--pid", &pid, "--as", "kim", "--reason", "night shift"]).code(0).stderr_has(&pid);
    let adopted = seen();
    assert_eq!((&adopted["state"], &adopted["owned"]), (&"online".into(), &true.into()), "{adopted:#}");
    assert_eq!(adopted["pid"].to_string(), pid);
    lcm(&["status"]).code(0).stdout_has(&pid);
    lcm(&["disown", "one", "--dry-run"]).code(0);
    assert_eq!(seen()["owned"], true);
    lcm(&["disown", "one"]).code(0).stderr_has(&format!("gave back process {pid} (sleep); it keeps running"));
    let given_back = seen();
    assert_eq!((&given_back["owned"], &given_back["pid"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(given_back["reason"], "its adopted process was given back with `lcm disown`");
    lcm(&["disown", "one"]).code(1).stderr_has("nothing is adopted");
    let history = lcm(&["history", "one", "--format", "json"]).code(0).json();
    let transitions = history["transitions"].as_array().expect("transitions");
    let recorded = |reason: &str| transitions.iter().find(|row| row["reason"].as_str() == Some(reason));
    let row = recorded(&format!("adopted process {pid} (sleep) by `lcm adopt`: night shift")).expect("recorded");
    assert_eq!((&row["to"], &row["by"]), (&"online".into(), &"kim".into()), "{row:#}");
    recorded(&format!("gave back process {pid} (sleep) by `lcm disown`")).expect("recorded");

    lcm(&["adopt", "one", "--pid", &pid]).code(0);
    drop(sleeping);
    assert_eq!(seen()["reason"], "it ended with unknown exit status");
    lcm(&["apply"]).code(0).stdout_has("1 started");
    lcm(&["disown", "one"]).code(1).stderr_has("lcm started it, as process ").stderr_has("`lcm stop one`");
    drop(other);
}

#[test]
fn logs_of_all_services_are_shown_with_their_names() {
    let live = Live::new(
        "{ process: { command: 'echo a; echo b; exec sleep 600' }, health: { log: b }, stop: { grace: 1s } }
  second: { process: { command: 'echo up; printf half; exec sleep 600' }, health: { log: half }, stop: { grace: 1s } }",
    );
    let lcm = |words: &[&str]| live.lcm(words).run().code(0);
    let none = lcm(&["logs"]);
    assert_eq!(none.stdout, "");
    none.stderr_has("no service of project live-").stderr_has("has output yet");
    lcm(&["apply"]);
    assert_eq!(lcm(&["logs"]).stdout, "one    | a\none    | b\nsecond | up\nsecond | half\n");
    assert_eq!(lcm(&["logs", "-n", "1"]).stdout, "one    | b\nsecond | half\n");
    assert_eq!(lcm(&["logs", "-n", "0"]).stdout, "");
    assert_eq!(lcm(&["logs", "--no-prefix", "-n", "1"]).stdout, "b\nhalf\n");

    let mut command = live.lcm(&["logs", "-f", "-n", "0"]).command();
    let mut follower = Ended(command.stdout(Stdio::piped()).spawn().expect("lcm runs"));
    let mut lines = BufReader::new(follower.0.stdout.take().expect("piped")).lines();
    lcm(&["restart", "one"]);
    let mut next = || lines.next().expect("a line").expect("UTF-8");
    // A restart before the first read would show nothing old, and the new lines all the same.
    assert_eq!((next(), next()), ("one    | a".to_owned(), "one    | b".to_owned()));
    let interrupt = Command::new("kill").args(["-INT", &follower.0.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    follower.0.wait().expect("it ends");
}

#[test]
fn a_service_that_can_not_be_probed_is_still_stopped() {
    let live =
        Live::new("{ process: { command: 'echo up; exec sleep 600' }, health: { log: up }, stop: { grace: 1s } }");
    live.lcm(&["apply"]).run().code(0);
    live.lcm(&["observe", "--out", "world.json"]).run().code(0);
    let path = live.folder.path().join("world.json");
    let mut world: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).expect("a world")).expect("JSON");
    world["probes"]["one"]["health"] = serde_json::json!({ "unknown": "no shell can be run" });
    fs::write(&path, world.to_string()).expect("written");
    live.lcm(&["stop", "one", "--world", "world.json"]).run().code(1).stderr_has("no shell can be run");
    live.lcm(&["down", "--yes", "--world", "world.json"]).run().code(0).stdout_has("1 stopped");
}

#[test]
fn files_that_a_run_reads_or_keeps_are_never_overwritten() {
    let live = Live::new("{ process: { command: 'exec sleep 600', env_file: all.env }, stop: { grace: 1s } }");
    let folder = live.folder.path();
    fs::write(folder.join("all.env"), "A=1\n").expect("written");
    let manifest = fs::read_to_string(folder.join("lcm.yaml")).expect("a manifest");
    std::os::unix::fs::symlink("lcm.yaml", folder.join("link.yaml")).expect("linked");
    live.lcm(&["apply"]).run().code(0);
    for file in ["lcm.yaml", "./lcm.yaml", "link.yaml", "all.env", "state/new.json", "lcm.lock"] {
        for words in [&["plan", "--out", file][..], &["observe", "--out", file], &["apply", "--json-into", file]] {
            live.lcm(words).run().code(1).stderr_has("name another output file");
        }
    }
    assert_eq!(fs::read_to_string(folder.join("lcm.yaml")).expect("a manifest"), manifest);
    assert_eq!(fs::read_to_string(folder.join("all.env")).expect("an env file"), "A=1\n");
    live.lcm(&["plan", "--detailed-exitcode", "--out", "plan.json"]).run().code(0);
}
