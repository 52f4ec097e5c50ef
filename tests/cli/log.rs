//! The log that `LCM_LOG` enables, in a simulation and over a real process: its lines, its format, and that it
//! has no secret.

use std::fs;

use serde_json::Value;

use crate::drawn::Terminal;
use crate::lcm::{Lcm, Ran, studio};
use crate::live::Live;

/// Lines of the log among all that was written to stderr: they begin with a time.
fn logged(ran: &Ran) -> Vec<&str> {
    ran.stderr.lines().filter(|line| line.starts_with("20") && line.contains("Z ")).collect()
}

#[track_caller]
fn assert_has(lines: &[&str], parts: &[&str]) {
    let is_found = lines.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(is_found, "no line has {parts:?}:\n{}", lines.join("\n"));
}

#[test]
fn nothing_is_logged_unless_enabled() {
    let folder = studio();
    for value in [None, Some(""), Some("off"), Some("runtime=off")] {
        let lcm = Lcm::new(folder.path()).args(&["plan"]).simulated();
        let lcm = value.into_iter().fold(lcm, |lcm, value| lcm.env("LCM_LOG", value));
        let ran = lcm.run().code(0);
        assert!(logged(&ran).is_empty(), "{ran}");
    }
}

#[test]
fn debug_shows_driver_calls_and_rounds_of_a_simulated_world() {
    let folder = studio();
    let ran = Lcm::new(folder.path()).args(&["apply"]).simulated().env("LCM_LOG", "debug").run().code(0);
    let lines = logged(&ran);
    assert_has(&lines, &[" DEBUG runtime: driver call succeeded call=\"start\" service=\"painter\" took_ms="]);
    assert_has(&lines, &[" DEBUG runtime: driver call ended call=\"survey\" took_ms="]);
    assert_has(&lines, &["  INFO reconcile: planned steps=2 blocked=0"]);
    assert_has(&lines, &[" DEBUG reconcile: planned step step=start:encoder"]);
    assert_has(&lines, &["  INFO reconcile: run ended"]);
    assert!(!ran.stdout.contains("DEBUG"), "the log is no data\n{ran}");

    fs::write(folder.path().join("world.json"), WORLD).expect("a world");
    let ran = Lcm::new(folder.path()).args(&["apply"]).simulated().env("LCM_LOG", "reconcile=info").run().code(0);
    let lines = logged(&ran);
    assert_has(&lines, &["  INFO reconcile: planned steps=2"]);
    assert!(lines.iter().all(|line| line.contains("  INFO reconcile: ")), "{ran}");
}

const WORLD: &str = r#"{
  "format": "lcm.world/1",
  "host": "box",
  "observed_at": "2026-11-20T10:00:00Z",
  "gpus": { "known": [{ "id": "GPU-studio", "index": 0, "capacity": 24576 }] }
}
"#;

/// Its probe and its hook name the secrets, and fail; a colour of a terminal is among what the hook writes.
const CONFIDES: &str = "{ process: { command: 'exec sleep 300', environment: { TOKEN: { env: TOKEN }, WORD: { env: WORD } } }, \
                        secret: [WORD], stop: { grace: 1s }, health: { http: \"http://127.0.0.1:9/${TOKEN}/${WORD}\", \
                        probe_timeout: 300ms, timeout: 1s }, \
                        hooks: { pre_start: { exec: [sh, -c, \"printf '\\\\033[2J%s\\\\n' \\\"$$1\\\" >&2; exit 0\", hook, \"${WORD}\"] } } }";

#[test]
fn no_secret_and_no_control_character_is_logged() {
    for format in ["text", "json"] {
        let live = Live::new(CONFIDES);
        let lcm = live.lcm(&["apply"]).env("TOKEN", "hf_secret-0815").env("WORD", "plum").env("LCM_LOG", "trace");
        let ran = lcm.env("LCM_LOG_FORMAT", format).run();
        assert!(ran.stderr.contains("HTTP request ended") && ran.stderr.contains("***"), "{ran}");
        assert!(ran.stderr.contains("shim answered") && ran.stderr.contains("program ended"), "{ran}");
        assert!(!ran.stderr.contains("hf_secret") && !ran.stderr.contains("plum"), "{ran}");
        assert!(ran.stderr.chars().all(|letter| letter == '\n' || !letter.is_control()), "{ran}");
    }
}

#[test]
fn lines_of_json_parse_and_name_what_was_called() {
    let live = Live::new("{ process: { command: [sleep, '300'] }, stop: { grace: 1s } }");
    let ran = live.lcm(&["apply"]).env("LCM_LOG", "debug").env("LCM_LOG_FORMAT", "json").run().code(0);
    let lines: Vec<Value> = ran.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(lines.len(), ran.stderr.lines().filter(|line| line.starts_with('{')).count(), "{ran}");
    let start = lines.iter().find(|line| line["call"] == "start").unwrap_or_else(|| panic!("no start\n{ran}"));
    assert_eq!((&start["level"], &start["target"]), (&"DEBUG".into(), &"runtime".into()), "{start:#}");
    assert_eq!((&start["service"], &start["message"]), (&"one".into(), &"driver call succeeded".into()), "{start:#}");
    assert!(start["took_ms"].is_u64() && start["timestamp"].is_string(), "{start:#}");
}

#[test]
fn an_invalid_value_is_refused_before_anything_is_done() {
    let folder = studio();
    let lcm = || Lcm::new(folder.path()).args(&["apply"]).simulated();
    lcm()
        .env("LCM_LOG", "debgu")
        .run()
        .code(64)
        .stderr_has("error[lcm::command::usage]: invalid LCM_LOG `debgu`: `debgu` is neither a level nor one of");
    lcm().env("LCM_LOG", "hyper=trace").run().code(64).stderr_has("`hyper` is neither");
    let ran = lcm().env("LCM_LOG", "debug").env("LCM_LOG_FORMAT", "xml").run().code(64);
    assert_eq!(ran.stderr, "error[lcm::command::usage]: invalid LCM_LOG_FORMAT `xml`: write text or json\n");
}

#[test]
fn the_log_and_the_progress_leave_each_other_whole() {
    let live = Live::new(
        "{ process: { command: [sleep, '300'] }, stop: { grace: 1s }, health: { exec: [test, -e, up], interval: 100ms } }",
    );
    let lcm = live.lcm(&["apply"]).env("LCM_LOG", "runtime=debug").env("LCM_LOG_FORMAT", "json");
    let terminal = Terminal::of(lcm.command());
    // The progress is erased and drawn again around each line of the log.
    terminal.wait_until("several probes are logged, and the progress stands below, once", |shown| {
        shown.matches("\"call\":\"probe\"").count() > 3 && shown.matches("start one  health").count() == 1
    });
    fs::write(live.folder.path().join("up"), "").expect("a file");
    let (code, shown) = terminal.left();
    assert_eq!(code, Some(0), "{shown}");
    let whole = shown.replace('\n', "");
    let probes = whole.matches("\"call\":\"probe\",\"service\":\"one\",\"took_ms\":").count();
    assert_eq!(probes, whole.matches("\"call\":\"probe\"").count(), "{shown}");
}
