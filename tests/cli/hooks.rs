//! Hooks and notifiers over real processes: a veto holds up one service only, nothing is called by a plan or in a
//! simulation, and a hook that calls a changing lcm is refused.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::lcm::Lcm;
use crate::lcm::promised::schema;
use crate::live::Live;

/// A project of its own, taken down when dropped.
struct Hooked {
    folder: tempfile::TempDir,
}

impl Hooked {
    /// `NAME` stands for the project's.
    fn new(manifest: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let name = format!("hooked-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        fs::write(folder.path().join("lcm.yaml"), manifest.replace("NAME", &name)).expect("a manifest");
        Self { folder }
    }

    fn lcm(&self, words: &[&str]) -> Lcm {
        Lcm::new(self.folder.path()).args(words).env("TOKEN", "hf_secret")
    }

    fn at(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn lines(&self, file: &str) -> Vec<String> {
        fs::read_to_string(self.at(file)).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn states(&self) -> Vec<(String, String)> {
        let status = self.lcm(&["status", "--format", "json"]).run().json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let services = status["services"].as_array().cloned().unwrap_or_default();
        services.iter().map(|service| (text(&service["name"]), text(&service["state"]))).collect()
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        // Otherwise the hook vetoes the stop.
        let _ = fs::write(self.at("agreed"), "");
        let _ = self.lcm(&["down", "--yes"]).command().stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

const VETOED: &str = r#"version: 1
name: NAME
services:
  one:
    process: { command: [sleep, "600"], environment: { TOKEN: { env: TOKEN } } }
    hooks:
      pre_start: { exec: "echo asked >> asked; echo token hf_secret is not agreed; test -f agreed", required: true }
      pre_stop: { exec: "test -f agreed", required: true }
      post_start: { exec: "cat >> risen; exit 5" }
    stop: { grace: 1s }
  two: { process: { command: [sleep, "600"] }, stop: { grace: 1s } }
  three: { process: { command: [sleep, "600"] }, depends_on: [one], stop: { grace: 1s } }
notify:
  - { exec: "cat >> changes", states: online }
"#;

fn pairs(states: [(&str, &str); 3]) -> Vec<(String, String)> {
    states.map(|(name, state)| (name.to_owned(), state.to_owned())).into()
}

#[test]
fn a_veto_holds_up_one_service_and_what_depends_on_it() {
    let hooked = Hooked::new(VETOED);
    let ran = hooked.lcm(&["apply"]).run().code(3).stdout_has("1 started, 1 failed");
    let ran = ran.stderr_has("vetoed by its pre_start hook sh -c echo asked").stderr_has("which exits 1: token *** is");
    assert!(!ran.stderr.contains("TOKEN=hf_secret") && !ran.stderr.contains("token hf_secret"), "{ran}");
    assert_eq!(hooked.states(), pairs([("one", "registered"), ("three", "registered"), ("two", "online")]));
    assert_eq!(hooked.lines("asked"), ["asked"], "once in a run");
    let changes: Value = serde_json::from_str(&hooked.lines("changes").concat()).expect("one change");
    assert_eq!(
        (&changes["service"], &changes["to"], &changes["made"]),
        (&json!("two"), &json!("online"), &json!(true))
    );

    fs::write(hooked.at("agreed"), "").expect("written");
    let ran = hooked.lcm(&["apply"]).run().code(0).stdout_has("2 started");
    ran.stderr_has("warning: one: post_start: sh -c cat >> risen; exit 5: exits 5");
    let risen: Value = serde_json::from_str(&hooked.lines("risen").concat()).expect("JSON on stdin");
    for told in [&risen, &changes] {
        schema::check(told, "a hook");
    }
    assert_eq!((&risen["format"], &risen["hook"]), (&json!("lcm.hook/2"), &json!("post_start")));
    assert_eq!(
        (&risen["from"], &risen["to"], &risen["code"]),
        (&json!("registered"), &json!("online"), &json!("wanted_by_mode"))
    );
    assert!(risen["instance"].is_object() && !risen["run"].as_str().unwrap_or_default().is_empty(), "{risen:#}");

    fs::remove_file(hooked.at("agreed")).expect("there");
    hooked.lcm(&["down", "--yes"]).run().code(3).stderr_has("vetoed by its pre_stop hook sh -c test -f agreed");
    assert_eq!(hooked.states(), pairs([("one", "online"), ("three", "offline"), ("two", "offline")]));
}

#[test]
fn a_plan_and_a_simulation_call_no_hooks() {
    let manifest = "version: 1\nname: NAME\nservices:\n  one:\n    process: { command: [sleep, '600'] }\n    \
                    hooks: { pre_start: { exec: 'touch called' }, post_start: { exec: 'touch called' } }\n\
                    notify: [{ exec: 'touch called' }, { exec: 'touch called', when: before }]\n";
    let hooked = Hooked::new(manifest);
    hooked.lcm(&["plan"]).run().code(0).stdout_has("one");
    let world = hooked.at("world.json");
    hooked.lcm(&["observe", "--out", "world.json"]).run().code(0);
    let ran = hooked.lcm(&["apply", "--format", "json", "--world"]).args(&[&world.display().to_string()]).run().code(0);
    let called: Vec<Value> = ran.events().into_iter().filter(|event| event["type"] == "hook").collect();
    assert_eq!(called.len(), 2, "{ran}");
    assert!(called.iter().all(|event| event["output"] == "simulated: nothing was run or requested"), "{ran}");
    assert!(!hooked.at("called").exists());
    hooked.lcm(&["apply"]).run().code(0);
    assert!(hooked.at("called").exists(), "otherwise this test proves nothing");
}

#[test]
fn a_hook_that_calls_a_changing_lcm_is_refused() {
    let hooked = Hooked::new(&format!(
        "version: 1\nname: NAME\nservices:\n  one:\n    process: {{ command: [sleep, '600'] }}\n    stop: {{ grace: 1s }}\n    \
         hooks: {{ post_start: {{ exec: '{} apply; echo $$? > code' }} }}\n",
        env!("CARGO_BIN_EXE_lcm")
    ));
    let ran = hooked.lcm(&["apply", "--format", "json"]).run().code(0);
    assert_eq!(hooked.lines("code"), ["6"], "{ran}");
    let hook = ran.events().into_iter().find(|event| event["type"] == "hook").expect("it was called");
    let said = hook["output"].as_str().unwrap_or_default();
    assert!(said.contains("lcm apply") && said.contains("(pid "), "it names the lock holder: {said}");
}

/// Runs the chapter's manifest, with the results that the chapter describes.
#[test]
fn the_readmes_example_works() {
    let chapter = include_str!("../../src/cli/topics/hooks.md");
    let (_, block) = chapter.split_once("```yaml\n").expect("a manifest");
    let (manifest, _) = block.split_once("```").expect("its end");
    let hooked = Hooked::new(&manifest.replace("name: gallery", "name: NAME"));
    hooked.lcm(&["apply"]).run().code(3).stderr_has("which exits 1: there is no licence.txt");
    fs::write(hooked.at("licence.txt"), "").expect("written");
    hooked.lcm(&["apply"]).run().code(0);
    hooked.lcm(&["down", "--yes"]).run().code(0);
    let hooks = |file: &str| -> Vec<String> {
        let calls = hooked.lines(file).into_iter().map(|line| serde_json::from_str::<Value>(&line).expect("JSON"));
        calls
            .map(|call| {
                format!("{} {}", call["hook"].as_str().unwrap_or_default(), call["to"].as_str().unwrap_or_default())
            })
            .collect()
    };
    assert_eq!(hooks("calls.log"), ["post_start online", "post_stop offline"]);
    assert_eq!(hooks("changes.log"), ["notify_after online", "notify_after offline"]);
}

/// Writes each payload into a file of its own line.
const LISTENER: &str = "sh -c 'cat >> events.log; echo >> events.log'";

#[test]
fn run_events_reach_their_notifiers_and_a_mode_change_is_repeated_until_delivered() {
    let live = Live::new("{ process: { command: [sleep, '300'] }, stop: { grace: 1s } }");
    let manifest = live.folder.path().join("lcm.yaml");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let modes = "modes: { day: { services: [one] }, night: { services: [] } }\nmode: day\n";
    let notify = |call: &str| format!("notify:\n  - {{ exec: \"{call}\", events: [mode_changed, run_failed] }}\n");
    let write = |call: &str, mode: &str| {
        let modes = modes.replace("mode: day", &format!("mode: {mode}"));
        fs::write(&manifest, format!("{text}{modes}{}", notify(call))).expect("written");
    };
    let events = || -> Vec<(String, serde_json::Value)> {
        let log = fs::read_to_string(live.folder.path().join("events.log")).unwrap_or_default();
        let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        let lines = log.lines().filter(|line| !line.is_empty()).map(parse);
        lines.map(|event| (event["hook"].as_str().expect("a name").to_owned(), event)).collect()
    };
    write(LISTENER, "day");
    live.lcm(&["apply"]).run().code(0);
    assert_eq!(events().len(), 1);
    live.lcm(&["apply"]).run().code(0);
    assert_eq!(events().len(), 1, "it is reported once");
    write(LISTENER, "night");
    live.lcm(&["apply", "--yes"]).run().code(0);
    let all = events();
    let (hook, event) = all.last().expect("an event");
    assert_eq!((hook.as_str(), &event["from_mode"], &event["mode"]), ("mode_changed", &"day".into(), &"night".into()));
    assert_eq!(all.len(), 2, "changes of services are not reported: {all:?}");
    // An event that was not delivered is repeated by later runs.
    let refuses = "sh -c 'test -f open && { cat >> events.log; echo >> events.log; }'";
    write(refuses, "day");
    live.lcm(&["apply"]).run().code(0).stderr_has("mode_changed of run").stderr_has("was not delivered to");
    live.lcm(&["apply"]).run().code(0).stderr_has("mode_changed of run").stderr_has("was not delivered to");
    fs::write(live.folder.path().join("open"), "").expect("written");
    live.lcm(&["apply"]).run().code(0);
    assert_eq!(events().len(), 3);

    let dies = text.replace("command: [sleep, '300']", "command: 'exit 3'");
    fs::write(&manifest, format!("{dies}{}", notify(LISTENER))).expect("written");
    live.lcm(&["apply"]).run().code(3);
    let all = events();
    let (_, event) = all.iter().find(|(hook, _)| hook == "run_failed").expect("a failed run");
    assert_eq!(event["exit_code"], 3, "{event}");
    assert!(event["error"].as_str().is_some_and(|error| error.contains("exit status 3")), "{event}");
}

/// Service that waits for a file in its first hook; failed runs are reported.
fn waiting() -> Live {
    let live = Live::new(
        "{ process: { command: [sleep, '300'] }, stop: { grace: 1s }, hooks: { pre_start: { exec: [sh, -c, 'touch asked; \
         until test -f open; do sleep 0.05; done'] } } }",
    );
    let manifest = live.folder.path().join("lcm.yaml");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let notify = format!("notify:\n  - {{ exec: \"{LISTENER}\", events: [run_failed] }}\n");
    fs::write(&manifest, format!("{text}{notify}")).expect("written");
    live
}

/// Begins an apply, and returns once it waits in its hook.
fn begun(live: &Live) -> std::process::Child {
    let asked = live.folder.path().join("asked");
    let _ = fs::remove_file(&asked);
    let mut command = live.lcm(&["apply"]).command();
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lcm runs");
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while !asked.exists() {
        assert!(std::time::Instant::now() < deadline, "its hook is not called");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child
}

fn events_of(live: &Live) -> Vec<Value> {
    let log = fs::read_to_string(live.folder.path().join("events.log")).unwrap_or_default();
    log.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn every_killed_run_is_reported_once() {
    let live = waiting();
    for _ in 0..2 {
        let mut run = begun(&live);
        run.kill().expect("killed");
        run.wait().expect("it ends");
    }
    fs::write(live.folder.path().join("open"), "").expect("written");
    live.lcm(&["apply"]).run().code(0);
    live.lcm(&["apply"]).run().code(0);
    let events = events_of(&live);
    let runs: std::collections::BTreeSet<&str> = events.iter().filter_map(|event| event["run"].as_str()).collect();
    assert_eq!((events.len(), runs.len()), (2, 2), "{events:#?}");
    assert!(events.iter().all(|event| event["hook"] == "run_failed" && event["exit_code"] == 137), "{events:#?}");
}

#[test]
fn a_run_that_is_interrupted_twice_was_interrupted_and_not_killed() {
    let live = waiting();
    let mut run = begun(&live);
    let pid = run.id().to_string();
    // The hook runs until the file exists: the first signal requests the end, the second forces it.
    while run.try_wait().expect("waited for").is_none() {
        let _ = std::process::Command::new("kill").args(["-INT", &pid]).stderr(Stdio::null()).status();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(run.wait().expect("it ends").code(), Some(130));
    let runs = live.lcm(&["history", "--runs", "--format", "json"]).run().code(0).json();
    assert_eq!(
        (&runs["runs"][0]["end"], &runs["runs"][0]["exit_code"]),
        (&"interrupted".into(), &130.into()),
        "{runs}"
    );
    assert!(runs["open_runs"].is_null(), "{runs}");
    fs::write(live.folder.path().join("open"), "").expect("written");
    live.lcm(&["apply"]).run().code(0);
    assert!(events_of(&live).is_empty());
}
