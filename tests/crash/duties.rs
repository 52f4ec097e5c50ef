//! Pending calls of a run that was cut short are made by a later one: killed, interrupted, hung up or out of time after
//! each line of its output, the hooks and notifications of its steps are called at least once, and no acknowledged call
//! is repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::Value;

use crate::sandbox::{Sandbox, kill};

/// Bound for the lines that the run writes.
const LINES_MAX: usize = 200;
/// Maximum number of runs after one that was cut short.
const ROUNDS_MAX: usize = 4;
/// Step between cut lines in the short run; with `LCM_SOAK_KILLS` each line is cut.
const LINES_STEP: usize = 5;

/// Ways to cut a run short: the signal, and the end that `history --runs` shows.
const CUTS: [(&str, &str); 3] = [("KILL", "killed"), ("TERM", "terminated"), ("HUP", "hung_up")];

/// Reads its payload, and writes one line of it: `post_start a - r1` of a hook, `one a online r1` of a
/// notification.
const TELL: &str = r#"#!/bin/sh
said=$(cat)
field() { printf '%s' "$said" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
case $1 in
  hook) printf '%s %s - %s\n' "$(field hook)" "$(field service)" "$(field run)" >>"$2" ;;
  *) printf '%s %s %s %s\n' "$1" "$(field service)" "$(field to)" "$(field run)" >>"$2" ;;
esac
"#;

/// Changed service that is recreated, one that gives memory back and is stopped, and one that is started: each with all
/// four hooks.
struct House {
    sandbox: Sandbox,
}

impl House {
    fn new() -> Self {
        let mut sandbox = Sandbox::new("duties");
        sandbox.take_down(sandbox.path("lcm.yaml"));
        let tell = sandbox.write("tell.sh", TELL);
        fs::set_permissions(&tell, fs::Permissions::from_mode(0o755)).expect("its mode");
        Self { sandbox }
    }

    fn manifest(&self, variant: usize, mode: &str) -> String {
        let (tell, log) = (self.sandbox.path("tell.sh"), self.sandbox.path("calls.log"));
        let (tell, log) = (tell.display(), log.display());
        let hook = format!("[{{ exec: [\"{tell}\", hook, \"{log}\"] }}]");
        let hooks = format!("hooks: {{ pre_start: {hook}, post_start: {hook}, pre_stop: {hook}, post_stop: {hook} }}");
        let text = format!(
            "version: 1
name: \"@NAME@\"
mode: {mode}
gpus: {{ devices: [{{ index: 0, uuid: \"@GPU@\", vram: 24GiB }}] }}
notify:
  - {{ exec: [\"{tell}\", one, \"{log}\"] }}
  - {{ exec: [\"{tell}\", two, \"{log}\"] }}
templates:
  t: {{ stop: {{ grace: 10s }}, vram: 10GiB, {hooks} }}
services:
  changed: {{ extends: t, vram: 4GiB, process: {{ command: [sleep, '300'], environment: {{ V: \"{variant}\" }} }} }}
  goes: {{ extends: t, process: {{ command: [sleep, '300'] }}, evict: {{ exec: ['true'] }} }}
  comes: {{ extends: t, process: {{ command: [sleep, '300'] }}, depends_on: [changed] }}
modes:
  before: {{ services: [changed, goes] }}
  after: {{ services: [changed, comes] }}
"
        );
        self.sandbox.write("lcm.yaml", &text).to_str().expect("UTF-8").to_owned()
    }

    /// Counts the calls of each hook and notification, over all runs.
    fn calls(&self) -> BTreeMap<String, usize> {
        let log = fs::read_to_string(self.sandbox.path("calls.log")).unwrap_or_default();
        let mut calls = BTreeMap::new();
        for line in log.lines() {
            let call = line.rsplit_once(' ').map_or(line, |(call, _)| call);
            *calls.entry(call.to_owned()).or_default() += 1;
        }
        calls
    }

    /// Applies the first mode, and discards its recorded calls.
    fn before(&self, variant: usize) {
        let manifest = self.manifest(variant, "before");
        self.converges(&manifest, "before");
        fs::write(self.sandbox.path("calls.log"), "").expect("emptied");
    }

    /// Applies until no step and no pending call is left.
    #[track_caller]
    fn converges(&self, manifest: &str, when: &str) {
        for _ in 0..ROUNDS_MAX {
            self.sandbox.lcm(&["apply", "--yes", manifest]);
            let planned = self.sandbox.lcm(&["plan", "--detailed-exitcode", manifest]);
            if planned.code == 0 {
                return;
            }
        }
        panic!("{when}: {}", self.sandbox.lcm(&["plan", "--detailed-exitcode", manifest]));
    }

    /// Cuts an apply short after this number of lines. Returns its events until then; `None`: it ended before.
    fn cut_after(&self, lines: usize, signal: &str, manifest: &str) -> Option<Vec<Value>> {
        let mut command = self.sandbox.command(&["apply", "--yes", "--format", "json", manifest]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("lcm");
        let mut output = BufReader::new(child.stdout.take().expect("piped")).lines();
        let events: Vec<Value> = output
            .by_ref()
            .take(lines)
            .map(|line| serde_json::from_str(&line.expect("UTF-8")).expect("JSON"))
            .collect();
        if child.try_wait().expect("waited for").is_none() {
            kill(i32::try_from(child.id()).expect("a pid"), signal);
        }
        // It may still write while it exits.
        output.for_each(drop);
        child.wait().expect("it ends");
        (events.len() == lines).then_some(events)
    }
}

/// Returns the hooks whose calls are recorded as made: `post_start goes -`.
fn acknowledged(events: &[Value]) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let hooks = events.iter().filter(|event| event["type"] == "hook" && event["outcome"] == "succeeded");
    hooks.map(|event| format!("{} {} -", text(&event["hook"]), text(&event["service"]))).collect()
}

/// Returns the hooks of the switch, and the changes that notifiers receive in any case.
fn expected() -> BTreeSet<String> {
    let hooks = [("changed", &["pre_stop", "post_stop", "pre_start", "post_start"][..])]
        .into_iter()
        .chain([("goes", &["pre_stop", "post_stop"][..]), ("comes", &["pre_start", "post_start"][..])])
        .flat_map(|(service, points)| points.iter().map(move |point| format!("{point} {service} -")));
    let changes = [("changed", "offline"), ("changed", "online"), ("goes", "offline"), ("comes", "online")];
    let told = ["one", "two"].into_iter().flat_map(|who| changes.map(|(service, to)| format!("{who} {service} {to}")));
    hooks.chain(told).collect()
}

#[track_caller]
fn check(house: &House, events: &[Value], before: &BTreeMap<String, usize>, when: &str) {
    let calls = house.calls();
    for call in expected() {
        assert!(calls.contains_key(&call), "{when}: {call} was never called: {calls:#?}");
    }
    for call in acknowledged(events) {
        let (then, now) =
            (before.get(&call).copied().unwrap_or_default(), calls.get(&call).copied().unwrap_or_default());
        assert_eq!(then, now, "{when}: {call} was acknowledged, and called again");
    }
}

/// Returns true if the history lists a run with this end.
fn is_listed(house: &House, end: &str, since: usize) -> bool {
    let runs = house.sandbox.lcm(&["history", "--runs", "-n", "500", "--format", "json", "-m", "lcm.yaml"]);
    let runs = runs.json()["runs"].as_array().cloned().unwrap_or_default();
    runs.iter().skip(since).any(|run| run["end"] == end)
}

pub(crate) fn are_done_by_a_later_run() {
    let step = if std::env::var_os("LCM_SOAK_KILLS").is_some() { 1 } else { LINES_STEP };
    for (at, (signal, end)) in CUTS.into_iter().enumerate() {
        let house = House::new();
        let mut is_known_to_be_listed = false;
        for lines in (1 + at..LINES_MAX).step_by(step) {
            let when = format!("{signal} after line {lines}");
            house.before(lines);
            let manifest = house.manifest(lines + 1, "after");
            let cut = house.cut_after(lines, signal, &manifest);
            let before = house.calls();
            house.converges(&manifest, &when);
            let Some(events) = cut else {
                check(&house, &[], &before, &when);
                break;
            };
            // Calls after this line may not have been acknowledged.
            let seen = if signal == "KILL" { events } else { Vec::new() };
            check(&house, &seen, &before, &when);
            is_known_to_be_listed |= is_listed(&house, end, 0);
            assert!(lines + step < LINES_MAX, "a run of three services writes more than {LINES_MAX} lines");
        }
        assert!(is_known_to_be_listed, "no run is listed as {end}");
        house.sandbox.lcm(&["down", "--yes", &house.manifest(0, "after")]).exits(0);
        assert_eq!(house.sandbox.shims(), Vec::new());
    }
}

pub(crate) fn are_done_after_a_run_that_ran_out_of_time() {
    let house = House::new();
    house.before(0);
    let manifest = house.manifest(1, "after");
    for timeout in ["1ms", "20ms", "60ms", "150ms"] {
        house.sandbox.lcm(&["apply", "--yes", "--timeout", timeout, &manifest]);
    }
    house.converges(&manifest, "out of time");
    check(&house, &[], &BTreeMap::new(), "out of time");
    house.sandbox.lcm(&["down", "--yes", &manifest]).exits(0);
}
