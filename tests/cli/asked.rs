//! Confirmation at a real pseudo-terminal, while the machine changes.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;

use crate::drawn::Terminal;
use crate::live::Live;

const PATIENCE: Duration = Duration::from_mins(1);

const QUESTION: &str = "Apply this plan? [y/N]";

/// Starts a few services, each with its pid in a file.
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

/// Kills a service without lcm, and waits until lcm observes it.
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
    terminal.wait_until("the question is open", |shown| shown.matches(QUESTION).count() == 1);
    terminal
}

#[test]
fn a_confirmed_plan_is_carried_out() {
    let live = running(&["one"]);
    let terminal = asked(&live);
    terminal.types("y\n");
    let (code, shown) = terminal.left();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.matches("Plan: ").count() == 1 && shown.contains("1 stopped"), "{shown}");
}

#[test]
fn a_change_during_the_question_is_shown_and_confirmed_again() {
    let live = running(&["one", "two"]);
    let terminal = asked(&live);
    kill(&live, "two");
    terminal.types("y\n");
    terminal.wait_until("the question is repeated", |shown| shown.matches(QUESTION).count() == 2);
    let shown = terminal.shows();
    assert!(shown.contains("the plan changed while the question was open:"), "{shown}");
    assert!(shown.contains("- stop:two: no longer planned"), "{shown}");
    assert!(shown.contains("Plan: 1 to stop, 0 to start"), "{shown}");
    assert_eq!(states(&live)[0].1, "online", "not confirmed yet");
    terminal.types("y\n");
    let (code, shown) = terminal.left();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("1 stopped"), "{shown}");
}

#[test]
fn a_machine_that_changes_during_each_question_is_left_alone() {
    let live = running(&["one", "two", "three", "four"]);
    let terminal = asked(&live);
    for (questions, name) in [(2, "four"), (3, "three")] {
        kill(&live, name);
        terminal.types("y\n");
        terminal.wait_until("the question is repeated", |shown| shown.matches(QUESTION).count() == questions);
    }
    kill(&live, "two");
    terminal.types("y\n");
    let (code, shown) = terminal.left();
    assert_eq!(code, Some(5), "{shown}");
    assert!(shown.contains("this happened 3 times; nothing was applied; run the command again"), "{shown}");
    let one = ("one".to_owned(), "online".to_owned());
    assert!(states(&live).contains(&one), "{:?}", states(&live));
}

#[test]
fn a_mode_switched_during_a_question_is_not_overruled_by_the_answer() {
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
    assert!(shown.contains("the mode was switched while the question was open"), "{shown}");
    assert!(states(&live).iter().all(|(_, state)| state == "online"), "{:?}", states(&live));
}

#[test]
fn a_run_starts_nothing_once_a_later_lock_holder_is_recorded() {
    let live = running(&["one"]);
    let terminal = asked(&live);
    // As a run that takes the lock later records it.
    let store = Connection::open(live.folder.path().join("state/lcm.db")).expect("the store");
    let taken = "UPDATE meta SET value = '9000000000000000' WHERE key = 'token'";
    assert_eq!(store.execute(taken, []).expect("written"), 1);
    terminal.types("y\n");
    let (code, shown) = terminal.left();
    assert_eq!(code, Some(6), "{shown}");
    assert!(shown.contains("the lock of this run was lost"), "{shown}");
    assert_eq!(states(&live)[0].1, "online", "nothing was started");
    live.lcm(&["down", "--yes"]).run().code(0);
    let newest: i64 = store
        .query_row("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'token'", [], |row| row.get(0))
        .expect("read");
    assert!(newest > 9_000_000_000_000_000, "the new token exceeds every recorded one: {newest}");
}
