//! A question at a real pseudo-terminal, and a world that goes on while it stands there.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;

use crate::drawn::Terminal;
use crate::live::Live;

const PATIENCE: Duration = Duration::from_mins(1);

const QUESTION: &str = "Do this? [y/N]";

/// A few that run, each with its pid in a file.
fn running(names: &[&str]) -> Live {
    let service = |name: &&str| {
        format!(
            "{{ process: {{ command: 'echo $$$$ > {name}.pid; echo up; exec sleep 300' }}, health: {{ log: up }} }}\n"
        )
    };
    let services: Vec<String> = names.iter().map(service).collect();
    let others = names.iter().zip(&services).skip(1).map(|(name, service)| format!("  {name}: {service}"));
    let live = Live::new(&format!("{}{}", services[0], others.collect::<String>()));
    live.lcm(&["apply"]).run().code(0);
    live
}

fn states(live: &Live) -> Vec<(String, String)> {
    let status = live.lcm(&["status", "--format", "json"]).run().json();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let services = status["services"].as_array().expect("services");
    services.iter().map(|service| (text(&service["name"]), text(&service["state"]))).collect()
}

/// Ends one behind lcm's back, and waits until that shows.
fn kill(live: &Live, name: &str) {
    let pid = fs::read_to_string(live.folder.path().join(format!("{name}.pid"))).expect("a pid");
    let sent = Command::new("kill").args(["-KILL", pid.trim()]).status();
    assert!(sent.expect("kill runs").success());
    let deadline = Instant::now() + PATIENCE;
    while states(live).iter().any(|(other, state)| other == name && state == "online") {
        assert!(Instant::now() < deadline, "{name} is still there");
        thread::sleep(Duration::from_millis(20));
    }
}

/// `lcm down` at a terminal, before its first question is answered.
fn asked(live: &Live) -> Terminal {
    asked_by(live, "down")
}

fn asked_by(live: &Live, command: &str) -> Terminal {
    let terminal = Terminal::with_keys(live.lcm(&[command]).command());
    terminal.wait_until("it asks", |shown| shown.matches(QUESTION).count() == 1);
    terminal
}

#[test]
fn what_was_agreed_to_is_done() {
    let live = running(&["one"]);
    let terminal = asked(&live);
    terminal.types("y\n");
    let (code, shown) = terminal.left();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.matches("Plan: ").count() == 1 && shown.contains("1 stopped"), "{shown}");
}

#[test]
fn what_has_changed_since_it_was_asked_is_shown_and_asked_again() {
    let live = running(&["one", "two"]);
    let terminal = asked(&live);
    kill(&live, "two");
    terminal.types("y\n");
    terminal.wait_until("it asks again", |shown| shown.matches(QUESTION).count() == 2);
    let shown = terminal.shows();
    assert!(shown.contains("what is to be done has changed since it was asked:"), "{shown}");
    assert!(shown.contains("- stop:two: not to be done any more"), "{shown}");
    assert!(shown.contains("Plan: 1 to stop, 0 to start"), "{shown}");
    assert_eq!(states(&live)[0].1, "online", "nobody agreed to that yet");
    terminal.types("y\n");
    let (code, shown) = terminal.left();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("1 stopped"), "{shown}");
}

#[test]
fn a_world_that_changes_under_each_question_is_left_alone() {
    let live = running(&["one", "two", "three", "four"]);
    let terminal = asked(&live);
    for (questions, name) in [(2, "four"), (3, "three")] {
        kill(&live, name);
        terminal.types("y\n");
        terminal.wait_until("it asks again", |shown| shown.matches(QUESTION).count() == questions);
    }
    kill(&live, "two");
    terminal.types("y\n");
    let (code, shown) = terminal.left();
    assert_eq!(code, Some(5), "{shown}");
    assert!(shown.contains("so it was 3 times, and nothing was done; run it again"), "{shown}");
    let one = ("one".to_owned(), "online".to_owned());
    assert!(states(&live).contains(&one), "{:?}", states(&live));
}

#[test]
fn a_mode_that_is_switched_under_a_question_is_not_overruled_by_its_answer() {
    let live = running(&["one", "two"]);
    let manifest = live.folder.path().join("lcm.yaml");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let modes = "mode: day\nmodes:\n  day: { services: [one, two] }\n  night: { services: [one] }\n";
    fs::write(&manifest, format!("{text}{modes}")).expect("written");
    live.lcm(&["switch", "night", "--yes"]).run().code(0);
    live.lcm(&["start", "two"]).run().code(0);
    let terminal = asked_by(&live, "apply");
    live.lcm(&["switch", "--clear"]).run().code(0);
    terminal.types("y\n");
    let (code, shown) = terminal.left();
    assert_eq!(code, Some(5), "{shown}");
    assert!(shown.contains("the mode was switched since it was asked"), "{shown}");
    assert!(states(&live).iter().all(|(_, state)| state == "online"), "{:?}", states(&live));
}

#[test]
fn a_run_begins_nothing_once_a_later_holder_of_the_lock_is_on_record() {
    let live = running(&["one"]);
    let terminal = asked(&live);
    // As a run records it that takes the lock later.
    let store = Connection::open(live.folder.path().join("state/lcm.db")).expect("the store");
    let taken = "UPDATE meta SET value = '9000000000000000' WHERE key = 'token'";
    assert_eq!(store.execute(taken, []).expect("written"), 1);
    terminal.types("y\n");
    let (code, shown) = terminal.left();
    assert_eq!(code, Some(6), "{shown}");
    assert!(shown.contains("the lock of this run was lost"), "{shown}");
    assert_eq!(states(&live)[0].1, "online", "nothing was begun");
    live.lcm(&["down", "--yes"]).run().code(0);
    let newest: i64 = store
        .query_row("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'token'", [], |row| row.get(0))
        .expect("read");
    assert!(newest > 9_000_000_000_000_000, "its token is above all on record: {newest}");
}
