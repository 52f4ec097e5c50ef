//! Foreign text in lcm's output: escapes, line ends, markup, formulas and commands of runners.

use std::path::Path;

use serde_json::{Value, json};

use crate::sandbox::{Ran, copy_program, run, wait_until};
use crate::support::engine::{Answer, Engine, IMAGE, Reaction};
use crate::support::{AS_ROOT, Attack, EVE, Host, KIM, User, attacks};
use crate::terminal::shown;

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            a_claims_program_and_names_forge_no_line,
            a_container_name_is_no_markup_in_any_form,
            a_file_name_is_no_command_of_a_runner,
            a_folder_with_line_ends_is_shown_on_one_line,
            a_hook_that_writes_escapes_forges_no_line,
            a_key_of_a_manifest_is_no_command_of_a_runner,
            a_lock_holders_name_drives_no_terminal,
            a_log_that_draws_is_no_drawing_at_a_terminal,
            a_plan_of_others_is_shown_as_text_in_every_form,
            a_probes_answer_forges_no_line,
            a_reason_of_an_operator_is_one_row_and_no_formula,
            a_user_name_forges_no_history,
            a_world_of_others_is_shown_as_text_in_every_form,
            an_engines_error_forges_no_line,
            an_escape_in_a_program_name_reaches_no_terminal,
            descriptions_make_no_candidates_of_a_shell;
    ]
}

/// Sequences that control a terminal, begin a line, or are commands to a CI runner or formulas to a spreadsheet.
pub(crate) const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;t\u{7}\u{9b}1m\nerror[lcm::forged]: all is lost\r\n::stop-commands::t\u{2028}\u{202e}\u{85}\t=cmd()";
const FORGED: [&str; 3] = ["error[lcm::forged]", "::stop-commands", "=cmd()"];

pub(crate) trait Harmless {
    fn harmless(self) -> Self;
}

impl Harmless for Ran {
    /// Asserts that no part controls a terminal, and that no line begins with foreign text.
    #[track_caller]
    fn harmless(self) -> Self {
        assert!(!self.stderr.contains("panicked"), "{self}");
        for text in [&self.stdout, &self.stderr] {
            check(text, &self);
        }
        self
    }
}

#[track_caller]
pub(crate) fn check_obeyed(text: &str, ran: &dyn std::fmt::Display) {
    let obeyed = |letter: char| {
        (letter.is_control() && !matches!(letter, '\n' | '\t')) || ('\u{2028}'..='\u{202e}').contains(&letter)
    };
    assert!(!text.contains(obeyed), "a terminal obeys it: {text:?}\n{ran}");
}

#[track_caller]
fn check(text: &str, ran: &dyn std::fmt::Display) {
    check_obeyed(text, ran);
    for line in text.lines() {
        assert!(!FORGED.iter().any(|forged| line.trim_start().starts_with(forged)), "a forged line: {line:?}\n{ran}");
    }
}

pub(crate) const API: &str = "  api: { process: { command: [sleep, \"300\"] }, stop: { grace: 1s } }";

/// Checks each format of a plan and of a status.
pub(crate) fn every_form(user: &User<'_>, more: &[&str]) {
    for format in ["text", "json", "markdown", "html", "mermaid"] {
        let plan = user.lcm(&[&["plan", "-v", "--format", format], more].concat()).harmless();
        assert!(plan.code <= 4, "{plan}");
    }
    for format in ["text", "json", "prometheus"] {
        let status = user.lcm(&[&["status", "-v", "--format", format], more].concat()).harmless();
        assert!(status.code <= 4, "{status}");
    }
}

/// Returns a snapshot in which every free text is hostile.
pub(crate) fn hostile_world() -> Value {
    let marks = json!({ "project": "@NAME@", "service": HOSTILE, "salt": HOSTILE, "gpus": HOSTILE, "config": HOSTILE });
    json!({
        "format": "lcm.world/1", "host": HOSTILE, "observed_at": "2026-11-20T10:00:00Z",
        "engine": { "endpoint": HOSTILE, "version": HOSTILE },
        "containers": { "known": [{
            "id": HOSTILE, "name": HOSTILE, "image": HOSTILE, "state": "running", "marks": marks, "ports": [8080],
            "compose_project": HOSTILE, "restart_policy": HOSTILE,
        }] },
        "trees": { "known": [{
            "marks": marks, "members": [{ "pid": 7, "start_ticks": 1, "program": HOSTILE }],
        }] },
        "gpus": { "known": [{
            "id": HOSTILE, "index": 0, "name": HOSTILE, "capacity": 24_564, "used": 20_000,
            "holders": [{ "pid": 9, "program": HOSTILE, "memory": 9_000, "owner": "stranger" }], "lost": HOSTILE,
        }, {
            "id": "GPU-1", "index": 1, "name": HOSTILE, "capacity": 24_564, "used": 20_000,
            "holders": [{ "pid": 9, "program": HOSTILE, "memory": 9_000, "owner": "stranger" }],
        }] },
        "listeners": { "known": [{ "port": 8080, "pid": 9, "program": HOSTILE, "owner": "stranger" }] },
    })
}

fn an_escape_in_a_program_name_reaches_no_terminal() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let manifest = kim.manifest("  api: { process: { command: [\"\\e[2Jsleep\", \"300\"] } }");
    kim.lcm(&["plan", &manifest]).hides("\u{1b}");
    kim.lcm(&["apply", "--yes", &manifest]).hides("\u{1b}");
}

fn a_claims_program_and_names_forge_no_line() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let eve = host.attacker(EVE);
    let program = eve.path("a\n::stop-commands::t\u{1b}[2J");
    copy_program(Path::new("/bin/sleep"), &program);
    let mut command = eve.program(program.to_str().expect("UTF-8"));
    command.arg("600").env("LCM_PROJECT", &host.name).env("LCM_SERVICE", HOSTILE).env("LCM_SALT", HOSTILE);
    command.env("LCM_CONFIG", HOSTILE).env("LCM_VRAM_MIB", "18446744073709551616").env("LCM_GPUS", HOSTILE);
    let foreign = eve.spawn(command);
    let manifest = kim.manifest(API);
    every_form(&kim, &[&manifest]);
    kim.lcm(&["observe", &manifest]).harmless().exits(0);
    kim.converges(&manifest);
    kim.goes_down(&manifest);
    assert!(foreign.is_alive(), "what is not ours was touched");
}

fn a_world_of_others_is_shown_as_text_in_every_form() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let manifest =
        kim.manifest(&format!("{API}\n  web: {{ process: {{ command: [sleep, \"300\"] }}, vram: 20GB, gpu: auto }}"));
    let world = kim.write("world.json", &hostile_world().to_string()).display().to_string();
    every_form(&kim, &["--world", &world, &manifest]);
    kim.lcm(&["apply", "--yes", "--prune", "--world", &world, &manifest]).harmless();
    kim.lcm(&["down", "--yes", "--world", &world, &manifest]).harmless();
}

fn a_container_name_is_no_markup_in_any_form() {
    let host = Host::new("text");
    let mut kim = host.user(KIM);
    let engine = Engine::hostile(&host, |request, answer| {
        if request.lists_containers() {
            let names = ["/<script>alert(1)</script>", "/a | b | c", "/`x` @kim #12 [a](http://x)", HOSTILE];
            let container = |(at, name): (usize, &&str)| {
                json!({
                    "Id": format!("{at:064x}"), "Names": [name], "Image": HOSTILE, "State": "running", "Status": HOSTILE,
                    "Labels": { "lcm.project": HOSTILE, "lcm.service": name }, "Ports": [], "Created": 0,
                })
            };
            return Reaction::Json(200, names.iter().enumerate().map(container).collect());
        }
        answer.into()
    });
    kim.use_engine(engine.socket());
    let manifest =
        kim.manifest(&format!("  web: {{ docker: {{ image: \"{IMAGE}\", pull_policy: never, gpu_access: none }} }}"));
    every_form(&kim, &[&manifest]);
    kim.lcm(&["observe", &manifest]).harmless();
    let page = kim.lcm(&["plan", "--format", "html", &manifest]);
    assert!(!page.stdout.contains("<script>alert"), "{page}");
}

fn an_engines_error_forges_no_line() {
    let host = Host::new("text");
    let mut kim = host.user(KIM);
    let engine = Engine::hostile(&host, |request, answer| {
        if request.path.contains("/create") {
            return Answer::new(500, json!({ "message": HOSTILE })).into();
        }
        answer.into()
    });
    kim.use_engine(engine.socket());
    let manifest =
        kim.manifest(&format!("  web: {{ docker: {{ image: \"{IMAGE}\", pull_policy: never, gpu_access: none }} }}"));
    let applied = kim.lcm(&["apply", "--yes", &manifest]).harmless();
    assert_ne!(applied.code, 0, "{applied}");
    let events = kim.lcm(&["apply", "--yes", "--format", "json", &manifest]).harmless();
    assert!(!events.events().is_empty());
    kim.lcm(&["history", "--runs", "-v", "-m", &manifest]).harmless();
}

fn a_file_name_is_no_command_of_a_runner() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let name = "a\n::add-mask::b\u{1b}[2J,c:d%.yaml";
    kim.write(name, "version: 1\nname: x\nservices: { a: { procss: {} } }\n");
    let github = kim.lcm(&["validate", "--format", "github", name]).harmless().exits(1);
    assert!(github.stdout.lines().all(|line| line.starts_with("::error file=a ")), "{github}");
    kim.lcm(&["validate", name]).harmless().exits(1);
    kim.lcm(&["validate", "--format", "json", name]).harmless().exits(1);
    kim.lcm(&["plan", name]).harmless().exits(1);
    kim.lcm(&["plan", "nothing\n::add-mask::b\u{1b}[2J.yaml"]).harmless().exits(1);
}

fn a_key_of_a_manifest_is_no_command_of_a_runner() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let key = r"x\e[2J\n::stop-commands::t\r\nerror[lcm::forged]: y\L\N";
    let text = format!(
        "version: 1\nname: x\nservices:\n  a: {{ process: {{ command: [a] }}, \"{key}\": 1, vram: \"{key}\", depends_on: [\"{key}\"] }}\n"
    );
    let manifest = kim.write("lcm.yaml", &text).display().to_string();
    let problems = kim.lcm(&["validate", "--format", "json", &manifest]).harmless().exits(1);
    let count = problems.json()["files"][0]["problems"].as_array().map_or(0, Vec::len);
    assert!(count > 1, "{problems}");
    let github = kim.lcm(&["validate", "--format", "github", &manifest]).harmless().exits(1);
    assert_eq!(github.stdout.lines().count(), count, "{github}");
    kim.lcm(&["validate", &manifest]).harmless().exits(1);
    kim.lcm(&["apply", "--yes", &manifest]).harmless().exits(1);
}

fn a_folder_with_line_ends_is_shown_on_one_line() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let folder = "d\n::stop-commands::t\u{1b}[2J";
    let manifest = kim.manifest_at(&format!("{folder}/lcm.yaml"), "@NAME@", API);
    every_form(&kim, &[&manifest]);
    kim.lcm(&["apply", "--yes", &manifest]).harmless().exits(0);
    kim.lcm(&["history", "--runs", "-m", &manifest]).harmless().exits(0);
    kim.goes_down(&manifest);
}

fn a_reason_of_an_operator_is_one_row_and_no_formula() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let manifest = kim.manifest(API);
    kim.converges(&manifest);
    let maintain = |reason: &str, meta: &str| {
        let by = "=HYPERLINK(1)";
        kim.lcm(&["maintain", "api", "-m", &manifest, "--as", by, "--reason", reason, "--meta", meta]).harmless()
    };
    maintain(HOSTILE, "k=v").exits(64);
    maintain("=1+1", &format!("k={HOSTILE}"));
    maintain("=1+1", "k=@v").exits(0);
    every_form(&kim, &[&manifest]);
    kim.lcm(&["history", "-v", "-m", &manifest]).harmless().exits(0);
    kim.lcm(&["history", "--format", "json", "-m", &manifest]).harmless().exits(0);
    let csv = kim.lcm(&["history", "--format", "csv", "-m", &manifest]).exits(0);
    assert!(csv.stdout.contains(",'=HYPERLINK(1),") && !csv.stdout.contains(",=HYPERLINK"), "{csv}");
    assert!(!csv.stdout.replace(['\n', '\t'], "").contains(char::is_control), "{csv}");
    kim.lcm(&["resume", "api", "-m", &manifest]).harmless().exits(0);
    kim.goes_down(&manifest);
}

fn a_user_name_forges_no_history() {
    let host = Host::new("text");
    let mut kim = host.user(KIM);
    kim.set("USER", HOSTILE);
    kim.set("SUDO_USER", HOSTILE);
    kim.set("SSH_CONNECTION", format!("{HOSTILE} 1 2"));
    let manifest = kim.manifest(API);
    kim.lcm(&["apply", "--yes", &manifest]).harmless().exits(0);
    kim.lcm(&["status", &manifest]).harmless().exits(0);
    for format in ["text", "json"] {
        kim.lcm(&["history", "--runs", "--format", format, "-m", &manifest]).harmless().exits(0);
        kim.lcm(&["history", "-v", "--format", format, "-m", &manifest]).harmless().exits(0);
    }
    kim.goes_down(&manifest);
}

fn a_lock_holders_name_drives_no_terminal() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let manifest = kim.manifest(API);
    kim.converges(&manifest);
    let holder =
        json!({ "pid": 7, "user": HOSTILE, "command": HOSTILE, "project": HOSTILE, "since": "9999-12-30T22:00:00Z" });
    let eve = host.attacker(EVE);
    let held = eve.path("held");
    let mut command = eve.program("sh");
    let line = "exec 9<>\"$0\" && flock 9 && printf '%s\\n' \"$1\" >\"$0\"; : >\"$2\"; exec sleep 600";
    command.args(["-c", line]).arg(host.lock()).arg(holder.to_string()).arg(&held);
    let foreign = eve.spawn(command);
    wait_until("the lock is held", || held.exists());
    let refused = kim.lcm(&["down", "--yes", &manifest]).harmless();
    assert!([1, 6].contains(&refused.code), "{refused}");
    assert!(foreign.is_alive(), "what is not ours was touched");
    foreign.signal("KILL");
    wait_until("the lock is free", || !foreign.is_alive());
    kim.goes_down(&manifest);
}

fn a_log_that_draws_is_no_drawing_at_a_terminal() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let line = r"printf 'a\033[2J\033]0;t\007b\r\033[8mhidden\033[31mred\n::stop-commands::t\n'; exec sleep 300";
    let manifest = kim.manifest(&format!(
        "  api: {{ process: {{ command: [sh, -c, {}] }}, stop: {{ grace: 1s }}, health: {{ log: stop-commands }} }}",
        serde_json::to_string(line).expect("JSON")
    ));
    kim.converges(&manifest);
    let (code, text) = shown(kim.command(&["logs", "api", "-m", &manifest, "--color", "always"]), 80);
    assert_eq!(code, Some(0), "{text:?}");
    assert!(text.contains("\u{1b}[31mred") && text.contains("hidden"), "{text:?}");
    assert!(!["\u{1b}[2J", "\u{1b}]", "\u{1b}[8m", "\u{7}"].iter().any(|code| text.contains(code)), "{text:?}");
    kim.goes_down(&manifest);
}

fn a_hook_that_writes_escapes_forges_no_line() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let hook = r"printf 'x\033[2J\nerror[lcm::forged]: y\r\n::stop-commands::t\n'; printf '\033]0;t\007' >&2; exit 3";
    let hook = serde_json::to_string(hook).expect("JSON");
    let manifest = kim.manifest(&format!(
        "  api: {{ process: {{ command: [sleep, \"300\"] }}, stop: {{ grace: 1s }}, hooks: {{ post_start: [{{ exec: [sh, -c, {hook}] }}] }} }}"
    ));
    kim.lcm(&["apply", "--yes", &manifest]).harmless();
    kim.lcm(&["history", "-v", "-m", &manifest]).harmless().exits(0);
    kim.lcm(&["history", "--format", "json", "-m", &manifest]).harmless().exits(0);
    kim.goes_down(&manifest);
}

fn a_probes_answer_forges_no_line() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let probe = r"printf 'x\033[2J\nerror[lcm::forged]: y\r\n::stop-commands::t\n' >&2; exit 1";
    let probe = serde_json::to_string(probe).expect("JSON");
    let manifest = kim.manifest(&format!(
        "  api: {{ process: {{ command: [sleep, \"300\"] }}, stop: {{ grace: 1s }}, health: {{ exec: [sh, -c, {probe}], timeout: 1s }} }}"
    ));
    let applied = kim.lcm(&["apply", "--yes", &manifest]).harmless();
    assert_ne!(applied.code, 0, "{applied}");
    every_form(&kim, &[&manifest]);
    kim.goes_down(&manifest);
}

fn a_plan_of_others_is_shown_as_text_in_every_form() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let plan = saved_plan(HOSTILE, &json!(5), "2026-11-20T10:00:00Z");
    let file = kim.write("plan.json", &plan.to_string()).display().to_string();
    for format in ["text", "json", "markdown", "html", "mermaid"] {
        kim.lcm(&["show", "--offline", "-v", "--format", format, &file]).harmless().exits(0);
    }
    let manifest = kim.manifest(API);
    // The manifest has no such goal, so the validity of the plan is unknown.
    kim.lcm(&["show", "-m", &manifest, &file]).harmless().exits(1);
    kim.lcm(&["apply", "--yes", "--plan", &file, &manifest]).harmless();
}

fn descriptions_make_no_candidates_of_a_shell() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let text = r"x\e[2J\nforged:$$(touch /tmp/x)\n`id`\t\v";
    kim.write(
        "lcm.yaml",
        &format!("version: 1\nname: x\nmode: a\nservices: {{ s: {{ process: {{ command: [a] }} }} }}\nmodes:\n  a: {{ description: \"{text}\", services: [s] }}\n  b: {{ services: [s] }}\n"),
    );
    for shell in ["bash", "zsh", "fish"] {
        let mut command = kim.command(&["--", "lcm", "plan", "--mode", ""]);
        command.env("LCM_COMPLETE", shell).env("_CLAP_COMPLETE_INDEX", "3").env("_CLAP_IFS", "\n");
        let offered = run(command, shell).exits(0);
        assert_eq!(offered.stdout.trim_end().split(['\n', '\u{b}']).count(), 2, "{offered}");
        assert!(!offered.stdout.contains('\u{1b}'), "{offered}");
    }
}

pub(crate) fn saved_plan(text: &str, most: &Value, at: &str) -> Value {
    let gpu = json!({
        "id": text, "index": 4_294_967_295_u32, "capacity_mib": most, "reserve_mib": most, "foreign_mib": most,
        "measured_mib": most, "before_mib": most, "peak_mib": most, "after_mib": most,
    });
    let step = |id: &str, action: &str| {
        json!({
            "id": id, "service": text, "action": action, "route": ["online", "stopping", "offline"], "needs": ["b", "a"],
            "gpus": [text], "vram_mib": most, "reason": { "code": "rule", "message": text, "by": text },
            "expect": { "instance": { "runtime": "docker", "id": text, "name": text }, "state": "online" },
            "spec": text, "diff": text.replace("error[", "+error["), "estimate_ms": most,
        })
    };
    let why = json!({ "code": "rule", "message": text, "by": text });
    json!({
        "format": "lcm.plan/2", "project": text, "mode": text, "goals": [text], "host": text, "engine": text,
        "observed_at": at, "placement": "bounded", "changes": true, "steps": [step("a", "stop"), step("b", "start")],
        "kept": [{ "service": text, "state": "online", "message": text }],
        "blocked": [{ "service": text, "reason": why }],
        "held": [{ "service": text, "reason": why, "by": text, "since": at }],
        "orphans": [{
            "service": text, "instance": { "runtime": "process", "id": text }, "state": "online", "message": text,
        }],
        "gpus": [gpu.clone(), gpu], "warnings": [text],
    })
}
