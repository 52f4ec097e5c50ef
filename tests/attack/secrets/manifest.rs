//! Secrets in the manifest itself: other uses of the same variable, errors that quote a value, files that contain one,
//! operators' input. And values that are not secret, which must stay readable.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{NAME_TOKEN, TOKEN, hidden, shown_nowhere, tried};
use crate::support::process::with_variable;
use crate::support::{AS_ROOT, Attack, Host, KIM, ROOT, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            the_same_variable_elsewhere,
            a_command_line_that_holds_it,
            a_part_of_a_longer_value,
            the_password_of_an_address,
            faults_that_quote_the_value,
            an_env_file_that_is_broken,
            a_value_of_an_env_file,
            a_secret_from_a_file,
            a_secret_that_stands_in_the_manifest,
            what_an_operator_types,
            a_missing_one_blocks_only_its_service,
            a_file_that_kim_may_not_read,
            ordinary_values_stay_readable;
    ]
}

const API: &str =
    "  api:\n    process: { command: [sleep, \"300\"], environment: { TOK: { env: TOK } } }\n    stop: { grace: 1s }";

fn the_same_variable_elsewhere() {
    let host = Host::new("secrets");
    let mut owner = host.user(ROOT);
    owner.set("TOK", TOKEN);
    let manifest = owner.manifest(&format!(
        "{API}\n  other:\n    process: {{ command: [sh, -c, \"exec sleep 300\", \"${{TOK}}\"], cwd: /tmp }}\n    \
         stop: {{ grace: 1s, exec: [sh, -c, \"true\", \"${{TOK}}\"] }}\n    \
         hooks: {{ pre_start: {{ exec: [echo, \"${{TOK}}\"] }} }}\n    health: {{ exec: [\"false\", \"${{TOK}}\"], timeout: 1s }}\n\
         lifecycle: {{ deny: [{{ from: busy, services: api, reason: \"because ${{TOK}}\" }}] }}\n\
         mode: all\nmodes: {{ all: {{ description: \"with ${{TOK}}\", services: [api, other] }} }}"
    ));
    tried(&owner, TOKEN);
    owner.goes_down(&manifest);
}

/// The token of another service on a command line: neither a label nor a hash reveals it, and a new one restarts the
/// service.
fn a_command_line_that_holds_it() {
    let host = Host::new("secrets");
    let mut owner = host.user(ROOT);
    owner.set("TOK", TOKEN);
    let manifest = owner.manifest(&format!(
        "{API}\n  other:\n    process: {{ command: [sh, -c, \"exec sleep 300\", \"${{TOK}}\"] }}\n    stop: {{ grace: 1s, exec: [kill, \"${{TOK}}\"] }}"
    ));
    owner.converges(&manifest);
    for process in with_variable("LCM_SERVICE=other") {
        let environ = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        hidden("the marks of a process", &String::from_utf8_lossy(&environ), TOKEN);
    }
    let spec = |text: &str| text.lines().find(|line| line.contains("\"hash\"")).map(str::to_owned);
    let before = spec(&owner.lcm(&["observe"]).stdout);
    owner.set("TOK", "tk-another-7Qx9Zr");
    let ran = owner.lcm(&["plan", "--format", "json"]).exits(0).says("secret_changed").hides("spec_changed");
    hidden(&ran.what, &ran.stdout, TOKEN);
    hidden(&ran.what, &ran.stdout, "tk-another-7Qx9Zr");
    assert_eq!(spec(&owner.lcm(&["observe"]).stdout), before, "its hash does not depend on the token");
    owner.converges(&manifest);
    owner.goes_down(&manifest);
}

fn a_part_of_a_longer_value() {
    let host = Host::new("secrets");
    let mut owner = host.user(ROOT);
    owner.set("TOK", NAME_TOKEN);
    let manifest = owner.manifest(
        "  api:\n    process: { command: [sleep, \"300\"], environment: [\"M=Bearer ${TOK}\"] }\n    stop: { grace: 1s }\n    \
         health: { http: \"http://127.0.0.1:9/${TOK}\", timeout: 1s }\n    hooks: { pre_start: { exec: \"echo '${TOK}' >&2; exit 1\" } }",
    );
    tried(&owner, NAME_TOKEN);
    owner.goes_down(&manifest);
}

fn the_password_of_an_address() {
    let host = Host::new("secrets");
    let mut owner = host.user(ROOT);
    owner.set("URL", "postgres://kim:hunter-22-x@db:5432/x");
    let manifest = owner.manifest(
        "  api:\n    process: { command: \"echo connecting with hunter-22-x; exit 1\", environment: { URL: \"${URL}\" } }\n    \
         recover: { attempts: 1, backoff: 1h }",
    );
    tried(&owner, "hunter-22-x");
    let _ = manifest;
}

fn faults_that_quote_the_value() {
    let host = Host::new("secrets");
    let mut owner = host.user(ROOT);
    owner.set("TOK", TOKEN);
    let long = format!("{}{TOKEN}", "x".repeat(30));
    owner.set("LONG", &long);
    for fault in [
        "vram: \"${TOK}\"",
        "priority: \"${TOK}\"",
        "priority: \"${LONG}\"",
        "gpu: \"${TOK}\"",
        "health: { http: \"${TOK}\" }",
        "health: { log: \"(${TOK}\" }",
        "health: { http: \"http://x/\", timeout: \"${TOK}\" }",
        "depends_on: [\"${TOK}\"]",
        "stop: { signal: \"${TOK}\" }",
        "stop: \"${TOK}\"",
        "drain: \"${LONG}\"",
        "hooks: { pre_start: { exec: true, timeout: \"${NONE:?not ${TOK}}\" } }",
    ] {
        drop(owner.manifest(&format!(
            "  api:\n    process: {{ command: [sleep, \"300\"], environment: {{ TOK: {{ env: TOK }}, LONG: \"${{LONG}}\" }} }}\n    {fault}"
        )));
        for words in [
            &["validate"][..],
            &["validate", "--format", "json"],
            &["validate", "--format", "github"],
            &["plan"],
            &["apply", "--yes", "--format", "json"],
        ] {
            let ran = owner.lcm(words).exits(1);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            hidden(&format!("{} of {fault}", ran.what), &said, TOKEN);
            assert!(!said.contains(&TOKEN[..8]), "{fault}: a part of it\n{ran}");
        }
    }
    drop(owner.manifest("  api: { process: { command: [sleep, \"300\"] } }"));
}

fn an_env_file_that_is_broken() {
    let host = Host::new("secrets");
    let owner = host.user(ROOT);
    drop(owner.manifest("  api: { process: { command: [sleep, \"300\"], env_file: token.env } }"));
    for text in [
        format!("TOK=\"{TOKEN}\nB=1\n"),
        format!("{TOKEN}\n"),
        format!("TOK='{TOKEN}' {TOKEN}\n"),
        format!("A={TOKEN}\nB=${{A:?{TOKEN}\n"),
        format!("A={TOKEN}\nB=${{NONE:?$A}}\n"),
        format!("{TOKEN}={TOKEN}\n"),
        format!("A=${TOKEN}\n"),
    ] {
        owner.write("token.env", &text);
        for words in
            [&["validate"][..], &["validate", "--format", "json"], &["validate", "--format", "github"], &["plan"]]
        {
            let ran = owner.lcm(words);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            hidden(&format!("{} of {text}", ran.what), &said, TOKEN);
        }
    }
    owner.write("token.env", "A=1\n");
}

fn a_value_of_an_env_file() {
    let host = Host::new("secrets");
    let owner = host.user(ROOT);
    owner.write("token.env", &format!("TOK='{TOKEN}'\nMODE=fast\n"));
    let manifest = owner.manifest(
        "  api:\n    process: { command: \"echo $$MODE $$TOK; exec sleep 300\", env_file: token.env }\n    stop: { grace: 1s }\n    \
         health: { exec: \"test -n $$TOK; exit 1\", timeout: 1s }",
    );
    tried(&owner, TOKEN);
    owner.lcm(&["logs", "api"]).says("fast ***");
    owner.goes_down(&manifest);
}

fn a_secret_from_a_file() {
    let host = Host::new("secrets");
    let owner = host.user(ROOT);
    owner.write("token.txt", &format!("{TOKEN}\n"));
    let manifest = owner.manifest(
        "  api:\n    process: { command: \"echo \\\"<$$TOK>\\\"; exec sleep 300\", environment: { TOK: { file: token.txt } } }\n    stop: { grace: 1s }",
    );
    owner.converges(&manifest);
    owner.lcm(&["logs", "api"]).says("<***>");
    shown_nowhere(&owner, TOKEN);
    owner.write("token.txt", "tk-another-7Qx9Zr\n");
    owner.lcm(&["plan", "--format", "json"]).exits(0).says("secret_changed").hides("tk-another");
    fs::remove_file(owner.path("token.txt")).expect("removed");
    owner.lcm(&["plan"]).exits(0).says("Nothing to do");
    owner.goes_down(&manifest);
}

fn a_secret_that_stands_in_the_manifest() {
    let host = Host::new("secrets");
    let owner = host.user(ROOT);
    let manifest = owner.manifest(&format!(
        "  api:\n    process: {{ command: \"echo $$PW; exit 1\", environment: {{ PW: '{TOKEN}', OTHER: visible }}, secret: [PW] }}\n    \
         recover: {{ attempts: 1, backoff: 1h }}"
    ));
    tried(&owner, TOKEN);
    let text = fs::read_to_string(&manifest).expect("the manifest");
    // The invalid line is shown with its neighbours.
    fs::write(&manifest, format!("{text}\n    vram: 3 apples\n")).expect("written");
    let ran = owner.lcm(&["validate"]).exits(1);
    hidden(&ran.what, &format!("{}{}", ran.stdout, ran.stderr), TOKEN);
    fs::write(&manifest, text).expect("written");
}

fn what_an_operator_types() {
    let host = Host::new("secrets");
    let mut owner = host.user(ROOT);
    owner.set("TOK", TOKEN);
    let manifest = owner.manifest(API);
    owner.converges(&manifest);
    let reason = format!("rotating {TOKEN}");
    let ran = owner.lcm(&["maintain", "api", "--reason", &reason, "--meta", &format!("old={TOKEN}")]).exits(0);
    hidden(&ran.what, &format!("{}{}", ran.stdout, ran.stderr), TOKEN);
    shown_nowhere(&owner, TOKEN);
    owner.lcm(&["resume", "api"]).exits(0);
    owner.goes_down(&manifest);
}

fn a_missing_one_blocks_only_its_service() {
    let host = Host::new("secrets");
    let owner = host.user(ROOT);
    let manifest = owner.manifest(
        "  api: { process: { command: [sleep, \"300\"] }, stop: { grace: 1s } }\n  \
         unset: { process: { command: [sleep, \"300\"], environment: { A: \"x-${NOWHERE_SET}\" } } }\n  \
         listed: { process: { command: [sleep, \"300\"], environment: [\"A=${NOWHERE_SET}\"] } }\n  \
         asked: { process: { command: [sleep, \"300\"], environment: { A: \"${NOWHERE_SET:?ask the owner}\" } } }\n  \
         file: { process: { command: [sleep, \"300\"], environment: { A: { file: nowhere.txt } } } }\n  \
         folder: { process: { command: [sleep, \"300\"], environment: { A: { file: /tmp } } } }",
    );
    owner.lcm(&["validate"]).exits(0);
    let ran = owner.lcm(&["plan", "--format", "json"]).exits(4);
    assert_eq!(ran.stdout.matches("secret_missing").count(), 5, "{ran}");
    owner.lcm(&["apply", "--yes"]).exits(4).says("NOWHERE_SET").says("ask the owner").says("nowhere.txt");
    for words in [&["status"][..], &["logs", "api"], &["history"], &["observe"]] {
        owner.lcm(words).exits(0);
    }
    owner.goes_down(&manifest);
}

fn a_file_that_kim_may_not_read() {
    let host = Host::new("secrets");
    let owner = host.user(KIM);
    let path = owner.write("token.txt", TOKEN);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
    std::os::unix::fs::chown(&path, Some(0), Some(0)).expect("root's");
    let manifest = owner.manifest(
        "  api: { process: { command: [sleep, \"300\"] }, stop: { grace: 1s } }\n  \
         other: { process: { command: [sleep, \"300\"], environment: { A: { file: token.txt } } } }",
    );
    owner.lcm(&["apply", "--yes"]).exits(4).says("token.txt").hides(TOKEN);
    owner.lcm(&["status"]).exits(0);
    owner.goes_down(&manifest);
}

fn ordinary_values_stay_readable() {
    let host = Host::new("secrets");
    let mut owner = host.user(ROOT);
    let values = [
        ("PORT", "18188"),
        ("MODEL_PATH", "/srv/models/llama-3.gguf"),
        ("MODEL", "Qwen/Qwen2.5-32B-Instruct"),
        ("HOST", "gpu-host-01.example.org"),
        ("UPSTREAM", "http://gpu-host-01.example.org:18188/v1/models"),
        ("SERVICE", "transcriber"),
        ("DEBUG", "true"),
        ("STAGE", "production"),
    ];
    for (name, value) in values {
        owner.set(name, value);
    }
    let environment: Vec<String> = values.iter().map(|(name, _)| format!("V_{name}: \"${{{name}}}\"")).collect();
    let echoed: Vec<String> = values.iter().map(|(name, _)| format!("$$V_{name}")).collect();
    let manifest = owner.manifest(&format!(
        "  transcriber:\n    process: {{ command: \"echo {}; exec sleep 300\", environment: {{ {}, TOK: \"{NAME_TOKEN}${{NONE:-}}\" }} }}\n    stop: {{ grace: 1s }}\n    \
         health: {{ exec: \"echo ${{MODEL_PATH}} ${{MODEL}} ${{UPSTREAM}} ${{HOST}} ${{PORT}}; exit 1\", timeout: 1s }}",
        echoed.join(" "),
        environment.join(", ")
    ));
    let ran = owner.lcm(&["apply", "--yes"]).exits(3);
    for (_, value) in
        values.iter().filter(|(name, _)| ["PORT", "MODEL_PATH", "MODEL", "HOST", "UPSTREAM"].contains(name))
    {
        assert!(ran.stderr.contains(value), "{value} is blanked\n{ran}");
    }
    let ran = owner.lcm(&["logs", "transcriber"]).exits(0);
    for (_, value) in values {
        assert!(ran.stdout.contains(value), "{value} is blanked\n{ran}");
    }
    owner.goes_down(&manifest);
}
