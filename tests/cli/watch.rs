//! `lcm status --watch` on a real terminal, and its refusals without one.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::lcm::{Lcm, studio};
use crate::live::Live;
use crate::terminal;

/// Deadline of a wait; an expected event comes in a fraction of it.
const PATIENCE: Duration = Duration::from_mins(1);

/// `lcm` on a terminal of its own, by util-linux' `script`; ended when dropped.
struct Terminal {
    script: Child,
    parts: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    /// Runs lcm on a terminal; the file `tty` then names it, for tests that resize it.
    fn run(folder: &Path, words: &str) -> Self {
        let lcm = Lcm::new(folder).env("TERM", "xterm").env("TZ", "UTC");
        let line = format!("stty rows 20 cols 100; tty > tty; exec '{}' {words}", env!("CARGO_BIN_EXE_lcm"));
        let mut command = Command::new("script");
        command.args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"]);
        let inherited = lcm.command();
        command.env_clear().envs(inherited.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).env("SHELL", "/bin/sh");
        let mut script = command.spawn().expect("script runs");
        let (mut output, (send, parts)) = (script.stdout.take().expect("piped"), channel());
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut part) {
                if send.send(part[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { script, parts, shown: String::new() }
    }

    /// Waits for a text, and returns all that was sent since the last one was waited for.
    fn until(&mut self, text: &str) -> String {
        while !self.shown.contains(text) {
            let part = self.parts.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.shown));
            self.shown.push_str(&String::from_utf8_lossy(&part));
        }
        std::mem::take(&mut self.shown)
    }

    fn press(&mut self, keys: &[u8]) {
        self.script.stdin.as_mut().expect("piped").write_all(keys).expect("typed");
    }

    /// Waits for the end, and returns the exit code and all output until then.
    fn end(&mut self) -> (Option<i32>, String) {
        let code = self.script.wait().expect("it ends").code();
        while let Ok(part) = self.parts.recv_timeout(PATIENCE) {
            self.shown.push_str(&String::from_utf8_lossy(&part));
        }
        (code, std::mem::take(&mut self.shown))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// Replaces the snapshot atomically: it is read at any moment.
fn world(folder: &Path, change: impl Fn(String) -> String) {
    let (path, next) = (folder.join("world.json"), folder.join("next.json"));
    fs::write(&next, change(fs::read_to_string(&path).expect("a world"))).expect("written");
    fs::rename(next, path).expect("in place");
}

const WATCH: &str = "status --watch --interval 250ms --world world.json";

#[test]
fn a_row_that_stays_is_not_sent_again_and_the_terminal_is_left_as_it_was() {
    let folder = studio();
    // A declared size would override that of the snapshot.
    let manifest = folder.path().join("lcm.yaml");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let without = text.lines().filter(|line| !line.starts_with("gpus:"));
    fs::write(&manifest, without.collect::<Vec<_>>().join("\n")).expect("written");
    let mut terminal = Terminal::run(folder.path(), WATCH);
    let first = terminal.until("Ctrl-C to quit");
    let (before, first) = first.split_once("\u{1b}[?1049h\u{1b}[?25l").expect("another screen, and no cursor");
    assert_eq!((before, first.matches("simulated: ").count()), ("", 1), "all output is in the table: {first:?}");
    assert!(first.contains("encoder") && first.contains("writer"), "{first:?}");

    world(folder.path(), |text| text.replace("24576", "24000"));
    let second = terminal.until("24 000");
    assert!(!second.contains("encoder") && !second.contains("\u{1b}[2J"), "only what changed: {second:?}");

    // Errors are shown below the table, and the next refresh tries again.
    world(folder.path(), |text| text.replace("lcm.world/1", "lcm.world/9"));
    let failed = terminal.until("its format is lcm.world/9");
    assert!(!failed.contains("encoder"), "{failed:?}");
    world(folder.path(), |text| text.replace("lcm.world/9", "lcm.world/1").replace("24000", "23000"));
    terminal.until("23 000");

    // The manifest is read again too.
    let manifest = fs::read_to_string(folder.path().join("lcm.yaml")).expect("a manifest");
    fs::write(folder.path().join("lcm.yaml"), manifest.replace("priority: 60", "priority: 61")).expect("written");
    let third = terminal.until("61");
    assert!(!third.contains("painter"), "{third:?}");

    terminal.press(b"\x03");
    let (code, last) = terminal.end();
    assert_eq!(code, Some(130));
    let (_, after) = last.split_once("\u{1b}[?25h\u{1b}[?1049l").expect("cursor and screen come back");
    assert!(after.contains("encoder") && after.contains("23 000"), "the last table stays: {after:?}");
    assert_eq!(after.matches("simulated: ").count(), 1, "{after:?}");
}

#[test]
fn a_small_terminal_counts_the_lines_below_and_a_resize_redraws() {
    let folder = studio();
    let mut terminal = Terminal::run(folder.path(), WATCH);
    terminal.until("Ctrl-C to quit");
    let tty = fs::read_to_string(folder.path().join("tty")).expect("the terminal's name");
    let resized = Command::new("stty").args(["-F", tty.trim(), "rows", "6", "cols", "90"]).status();
    assert!(resized.expect("stty runs").success());
    let sent = terminal.until("Ctrl-C to quit");
    assert!(sent.contains("\u{1b}[2J") && sent.contains("more lines below"), "{sent:?}");
    assert!(!sent.contains("\u{1b}[7;1H"), "nothing beyond the last row: {sent:?}");
    terminal.press(b"\x03");
    let (code, last) = terminal.end();
    let (_, after) = last.split_once("\u{1b}[?1049l").expect("the screen comes back");
    assert!(code == Some(130) && after.contains("writer"), "the whole table stays: {after:?}");
}

/// Interrupts a refresh that waits for a probe.
#[test]
fn a_second_interrupt_and_a_quit_leave_the_terminal_as_it_was() {
    for (key, expected) in [(b"\x03", 130), (b"\x1c", 131)] {
        let live = Live::new(
            "{ process: { command: [sleep, '600'] }, stop: { grace: 1s }, health: { probe_timeout: 10m, \
             timeout: 20m, exec: 'test ! -e \"$HOLD\" || { touch \"$HOLD.on\"; exec sleep 600; }' } }",
        );
        let (hold, holds) = (live.folder.path().join("hold"), live.folder.path().join("hold.on"));
        let manifest = live.folder.path().join("lcm.yaml");
        let text = fs::read_to_string(&manifest).expect("a manifest").replace("$HOLD", &hold.display().to_string());
        fs::write(&manifest, text).expect("written");
        live.lcm(&["apply", "--yes"]).run().code(0);
        let mut terminal = Terminal::run(live.folder.path(), "status --watch --interval 250ms");
        terminal.until("Ctrl-C to quit");
        fs::write(&hold, "").expect("written");
        let deadline = Instant::now() + PATIENCE;
        while !holds.exists() {
            assert!(Instant::now() < deadline, "no probe is running");
            std::thread::sleep(Duration::from_millis(10));
        }
        while terminal.script.try_wait().expect("its state").is_none() {
            assert!(Instant::now() < deadline, "it goes on");
            // Two signals in quick succession may be received as one.
            let _ = terminal.script.stdin.as_mut().expect("piped").write_all(key);
            std::thread::sleep(Duration::from_millis(50));
        }
        let (code, last) = terminal.end();
        assert_eq!(code, Some(expected), "{last:?}");
        assert!(last.contains("\u{1b}[?25h\u{1b}[?1049l"), "cursor and screen come back: {last:?}");
        fs::remove_file(&hold).expect("removed");
    }
}

#[test]
fn a_terminal_that_keeps_every_drawing_gets_a_refusal() {
    let words: Vec<&str> = WATCH.split_whitespace().collect();
    for (name, value) in [("CI", "true"), ("TERM", "dumb")] {
        let (folder, (_ours, theirs)) = (studio(), terminal::sides(24, 100));
        let lcm = Lcm::new(folder.path()).env("TERM", "xterm").env(name, value).args(&words);
        let child = lcm.command().stdout(theirs).stderr(Stdio::piped()).spawn().expect("lcm runs");
        let output = child.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{name}={value}: {told}");
        assert!(told.contains("--watch needs a terminal that can redraw"), "{told}");
    }
}

#[test]
fn a_pipe_gets_json_or_a_refusal() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(&["status", "--watch"]).args(words).simulated();
    lcm(&[]).run().code(64).stderr_has("--format json");
    lcm(&["--format", "prometheus"]).run().code(64).stderr_has("a timer");
    lcm(&["--interval", "1ms"]).run().code(64).stderr_has("from 250ms to 1h");
    Lcm::new(folder.path()).args(&["status", "--interval", "5s"]).run().code(64).stderr_has("--watch");
    lcm(&["-m", "nowhere.yaml", "--format", "json"]).run().code(1).stderr_has("nowhere.yaml");

    // A reader that exits ends the watch.
    let mut child = lcm(&["--format", "json", "--interval", "250ms"])
        .command()
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("lcm runs");
    let mut output = child.stdout.take().expect("piped");
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') {
        output.read_exact(&mut byte).expect("a line");
        line.push(byte[0]);
    }
    drop(output);
    let status: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
    assert_eq!(status["format"], "lcm.status/2");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn metrics_are_for_a_file() {
    let folder = studio();
    let ran = Lcm::new(folder.path()).args(&["status", "--format", "prometheus"]).simulated().run().code(0);
    let wanted: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("lcm_service_wanted{")).collect();
    assert_eq!(
        wanted,
        [
            "lcm_service_wanted{project=\"studio\",service=\"encoder\"} 1",
            "lcm_service_wanted{project=\"studio\",service=\"painter\"} 1",
            "lcm_service_wanted{project=\"studio\",service=\"writer\"} 0",
        ]
    );
    assert!(
        ran.stdout
            .contains("lcm_gpu_memory_capacity_bytes{project=\"studio\",gpu=\"GPU-studio\",index=\"0\"} 25769803776\n")
    );
}
