//! Runs at a real pseudo-terminal: their drawing, and the state in which they leave the terminal after any end.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ::lcm::model::event::{Event, EventKind};
use ::lcm::model::lifecycle::Action;
use ::lcm::model::names::{ServiceName, StepId};
use ::lcm::report::print;
use ::lcm::report::progress::{Progress, Show};
use ::lcm::report::style::Style;
use jiff::Timestamp;
use rustix::termios::{Winsize, tcsetwinsize};

use crate::lcm::Lcm;
use crate::live::Live;
use crate::{reflow, terminal};

/// Size of a new window.
const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// Deadline that only a failing test reaches.
const PATIENCE: Duration = Duration::from_mins(1);

/// Terminal of 24 lines and 80 columns, as a program's stderr.
pub(crate) struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    child: Child,
    reader: Option<JoinHandle<()>>,
    keys: File,
}

impl Terminal {
    pub(crate) fn of(mut command: Command) -> Self {
        command.stdout(Stdio::null());
        Self::opened(command, terminal::sides(ROWS, COLUMNS), ROWS)
    }

    /// Opens one with a keyboard and stdout too, high enough that nothing scrolls out of it.
    pub(crate) fn with_keys(mut command: Command) -> Self {
        let rows = 4 * ROWS;
        let (outer, inner) = terminal::sides(rows, COLUMNS);
        let again = || inner.try_clone().expect("the same side");
        command.stdin(again()).stdout(again());
        Self::opened(command, (outer, inner), rows)
    }

    fn opened(mut command: Command, (outer, inner): (File, OwnedFd), rows: u16) -> Self {
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, COLUMNS, 1_000)));
        let child = command.stderr(inner).spawn().expect("lcm runs");
        // The command holds an end of the terminal too.
        drop(command);
        let keys = outer.try_clone().expect("the same side");
        let reader = read(outer, Arc::clone(&screen));
        Self { screen, child, reader: Some(reader), keys }
    }

    pub(crate) fn types(&self, text: &str) {
        (&self.keys).write_all(text.as_bytes()).expect("typed");
    }

    pub(crate) fn shows(&self) -> String {
        self.screen.lock().expect("no panic").screen().contents()
    }

    /// Resizes it between two drawings, so that each is for one size.
    fn resize(&self, columns: u16) {
        self.signal("-STOP");
        // Reads what was drawn until then.
        thread::sleep(Duration::from_millis(50));
        {
            let mut screen = self.screen.lock().expect("no panic");
            let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            tcsetwinsize(&self.keys, size).expect("a size");
            *screen = reflow::resized(&screen, ROWS, columns);
        }
        self.signal("-CONT");
    }

    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.shows()) {
            assert!(Instant::now() < deadline, "waited in vain: {what}\n{}", self.shows());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Returns the exit code and the final screen.
    #[track_caller]
    pub(crate) fn left(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().expect("it ends").code();
        self.reader.take().expect("a reader").join().expect("all of it is read");
        let screen = self.screen.lock().expect("no panic");
        let screen = screen.screen();
        let shown = screen.contents();
        assert!(!screen.hide_cursor(), "the cursor is hidden\n{shown}");
        assert_eq!(screen.cursor_position().1, 0, "the last line has no end\n{shown}");
        assert!(!is_drawn(&shown), "something is left that moved\n{shown}");
        (code, shown)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(mut outer: File, screen: Arc<Mutex<vt100::Parser>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        // It ends with an error: a terminal that no process has open can't be read.
        while let Ok(count @ 1..) = outer.read(&mut bytes) {
            screen.lock().expect("no panic").process(&bytes[..count]);
        }
    })
}

/// Returns true if a spinner begins a line, or the mark of a line without one.
fn is_drawn(shown: &str) -> bool {
    shown
        .lines()
        .any(|line| line.starts_with('…') || line.starts_with(|letter| ('\u{2801}'..='\u{28ff}').contains(&letter)))
}

/// Writes a snapshot with forty running, busy services, and a mode that wants none of them.
fn busy(folder: &Path) {
    let names: Vec<String> = (0..40).map(|number| format!("svc-{number:02}")).collect();
    let service =
        |name: &String| format!("  {name}: {{ process: {{ command: [sleep, inf] }}, busy: {{ exec: [work] }} }}");
    let services = names.iter().map(service).collect::<Vec<_>>().join("\n");
    let manifest = format!(
        "version: 1\nname: many\nmode: all\nservices:\n{services}\nmodes:\n  all: {{ services: [{}] }}\n  none: {{ services: [] }}\n",
        names.join(", ")
    );
    fs::write(folder.join("lcm.yaml"), manifest).expect("a manifest");
    let world = folder.join("world.json");
    let nothing = r#"{"format": "lcm.world/1", "host": "box", "observed_at": "2026-11-20T10:00:00Z"}"#;
    fs::write(&world, nothing).expect("a world");
    Lcm::new(folder).args(&["apply"]).simulated().run().code(0);
    let text = fs::read_to_string(&world).expect("a world");
    let mut facts: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for name in &names {
        facts["probes"][name] = serde_json::json!({ "busy": { "busy": "2 in its queue" } });
    }
    fs::write(&world, facts.to_string()).expect("a world");
}

fn switched(folder: &Path) -> Lcm {
    Lcm::new(folder).args(&["apply", "--mode", "none", "--parallelism", "40"]).simulated()
}

#[test]
fn many_steps_fit_on_the_screen_and_nothing_of_them_is_left_after_a_signal() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let folder = tempfile::tempdir().expect("a folder");
        busy(folder.path());
        let terminal = Terminal::of(switched(folder.path()).command());
        terminal.wait_until("all are waited for", |shown| shown.contains("… and 25 more: 25 stopping"));
        let shown = terminal.shows();
        let drawn = shown.lines().filter(|line| line.contains("drain")).count();
        assert_eq!(drawn, 15, "{shown}");
        assert!(shown.contains("stop svc-14  drain  ") && shown.contains("2 in its queue"), "{shown}");
        terminal.signal(signal);
        let (ended, shown) = terminal.left();
        assert_eq!(ended, Some(code), "{shown}");
    }
}

#[test]
fn where_nothing_can_be_drawn_over_there_are_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    busy(folder.path());
    for (name, value) in [("TERM", "dumb"), ("CI", "true")] {
        let terminal = Terminal::of(switched(folder.path()).env(name, value).command());
        terminal.wait_until("it prints lines", |shown| shown.contains("  svc-39: drain (2 in its queue)"));
        assert!(!is_drawn(&terminal.shows()), "{}", terminal.shows());
        terminal.signal("-INT");
        let (code, shown) = terminal.left();
        assert_eq!(code, Some(130), "{shown}");
    }
}

#[test]
fn a_second_interrupt_leaves_at_once_and_the_terminal_as_it_was() {
    let stubborn = "{ process: { command: \"trap '' TERM; echo up; while :; do sleep 1; done\" }, health: { log: up }, \
                    stop: { grace: 5s } }";
    let live = Live::new(stubborn);
    live.lcm(&["apply"]).run().code(0);
    let terminal = Terminal::of(live.lcm(&["down", "--yes", "--json-into", "events.jsonl"]).command());
    terminal.wait_until("it is being stopped", |shown| shown.contains("stop one  stop"));
    terminal.signal("-INT");
    terminal.wait_until("the first one is received", |shown| shown.contains("to quit at once"));
    terminal.signal("-INT");
    let (code, shown) = terminal.left();
    assert_eq!(code, Some(130), "{shown}");
    assert!(shown.contains("quitting at once"), "{shown}");
    let events = fs::read_to_string(live.folder.path().join("events.jsonl")).expect("written");
    let last: serde_json::Value = serde_json::from_str(events.lines().last().expect("an event")).expect("JSON");
    assert_eq!((&last["type"], &last["exit_code"]), (&"result".into(), &130.into()), "{last:#}");
    crate::lcm::promised::schema::check(&last, "lcm down, interrupted twice");
}

#[test]
fn a_terminal_that_is_resized_in_a_run_shows_whole_lines_and_each_once() {
    let folder = tempfile::tempdir().expect("a folder");
    busy(folder.path());
    let terminal = Terminal::of(switched(folder.path()).command());
    terminal.wait_until("all are waited for", |shown| shown.contains("… and 25 more: 25 stopping"));
    for columns in [50, 100, 30, 64, 80] {
        terminal.resize(columns);
        let drawn = |shown: &str| shown.lines().filter(|line| line.contains("drain")).count();
        terminal.wait_until("it is drawn anew", |shown| drawn(shown) == 15 && shown.contains("… and 25 more"));
        // Some more drawings, none of which may leave a trace.
        thread::sleep(Duration::from_millis(400));
        let shown = terminal.shows();
        assert_eq!((drawn(&shown), shown.matches("… and ").count()), (15, 1), "{columns} columns\n{shown}");
        let steps = (0..15).filter(|number| shown.matches(&format!("stop svc-{number:02} ")).count() == 1).count();
        assert_eq!(steps, 15, "{columns} columns\n{shown}");
    }
    terminal.signal("-INT");
    let (code, shown) = terminal.left();
    assert_eq!(code, Some(130), "{shown}");
}

/// Environment variable that makes a child process of this test panic while the progress of a step is drawn.
const PANICS: &str = "TEST_PANICS_WHILE_DRAWN";

#[test]
fn a_panic_while_progress_is_drawn_is_reported_in_full_and_leaves_the_terminal_usable() {
    if std::env::var_os(PANICS).is_some() {
        return panics_while_drawn();
    }
    let name = "drawn::a_panic_while_progress_is_drawn_is_reported_in_full_and_leaves_the_terminal_usable";
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", name, "--nocapture"]).env(PANICS, "1").env("RUST_BACKTRACE", "0");
    let (code, shown) = Terminal::of(command).left();
    assert_eq!(code, Some(101), "{shown}");
    let lines: Vec<&str> = shown.lines().filter(|line| !line.is_empty()).collect();
    let [head, message, note] = &lines[..] else { panic!("more or less than a panic's three lines\n{shown}") };
    assert!(head.contains("panicked at ") && note.starts_with("note: run with"), "{shown}");
    assert_eq!(*message, "as something may", "{shown}");
}

fn panics_while_drawn() {
    print::still_on_panic();
    let progress = Progress::new(Show::Bars, Style::PLAIN, None);
    let (step, service) = (StepId::new("start:one"), ServiceName::new("one"));
    let started = EventKind::StepStarted { step, service, action: Action::Start, estimate_ms: Some(60_000) };
    progress.show(&Event::new(Timestamp::now(), started));
    // Leaves time for several drawings.
    thread::sleep(Duration::from_millis(300));
    panic!("as something may");
}
