//! Secrets in the output and responses of services, probes, hooks and notifiers.

use super::{NAME_TOKEN, TOKEN, hidden, shown_nowhere, tried};
use crate::sandbox::free_port;
use crate::support::{AS_ROOT, Attack, Host, ROOT, User, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            an_exec_probe_with_the_secret_on_its_command_line,
            a_pointer_whose_answer_is_the_secret,
            a_long_answer_that_is_cut_within_the_secret,
            a_busy_answer,
            a_busy_command,
            an_evict_call_that_fails,
            a_hook_that_writes_it_in_many_notations,
            a_hook_that_vetoes_with_it,
            a_hook_whose_long_output_is_cut,
            a_hook_at_an_address_with_it,
            a_notifier_that_fails_with_it,
            a_service_that_dies_with_it_on_its_lips,
            a_line_that_is_longer_than_any_bound,
            codes_of_a_terminal_within_the_secret,
            a_log_that_is_rotated_in_the_middle_of_it,
            a_log_probe_whose_pattern_is_the_secret;
    ]
}

/// Returns an owner with the token in the environment of lcm and of the service `api`, which has this block beside its
/// environment.
fn owner<'h>(host: &'h Host, process: &str, more: &str) -> (User<'h>, String) {
    owner_of(host, TOKEN, process, more)
}

fn owner_of<'h>(host: &'h Host, token: &str, process: &str, more: &str) -> (User<'h>, String) {
    let mut owner = host.user(ROOT);
    owner.set("TOK", token);
    let manifest = owner.manifest(&format!(
        "  api:\n    process: {{ {process}, environment: {{ TOK: {{ env: TOK }}, ANSWER: '{{\"a\": \"${{TOK}}\", \"n\": 3}}' }} }}\n    stop: {{ grace: 1s }}\n{more}"
    ));
    (owner, manifest)
}

const SLEEPS: &str = "command: [sleep, \"300\"]";
/// Shell commands that each write the token, which contains no `'`.
const WRITES: &str = "printf '%s\\n' '${TOK}'; printf '%s' '${TOK}' | base64 -w0; echo; printf 'u:%s' '${TOK}' | base64; \
    printf '%s' '${TOK}' | od -An -tx1 -v | tr -d ' \\n'; echo; printf '%s' '${TOK}' | od -An -tx1 -v | tr -d '\\n' | sed 's/ /%/g'; echo; \
    printf '%s' '${TOK}' | od -An -tx1 -v | tr -d '\\n' | sed 's/ /\\\\x/g'; echo";

fn an_exec_probe_with_the_secret_on_its_command_line() {
    let host = Host::new("secrets");
    let (owner, manifest) =
        owner(&host, SLEEPS, "    health: { exec: \"test -n '${TOK}' && exit 7\", timeout: 1s, probe_timeout: 1s }");
    tried(&owner, TOKEN);
    owner.goes_down(&manifest);
}

fn server(port: u16) -> String {
    format!("command: [\"@SERVER@\", --port, \"{port}\"]")
}

fn a_pointer_whose_answer_is_the_secret() {
    let host = Host::new("secrets");
    let port = free_port();
    let health = format!(
        "    health: {{ http: \"http://127.0.0.1:{port}/env/ANSWER\", pointer: /a, equals: another, timeout: 1s }}"
    );
    let (owner, manifest) = owner(&host, &server(port), &health);
    tried(&owner, TOKEN);
    owner.goes_down(&manifest);
}

fn a_long_answer_that_is_cut_within_the_secret() {
    let host = Host::new("secrets");
    let port = free_port();
    let mut owner = host.user(ROOT);
    owner.set("TOK", TOKEN);
    // A message shows eighty characters of a value: the token crosses any possible end.
    for pad in [60, 66, 72, 78] {
        let manifest = owner.manifest(&format!(
            "  api:\n    process: {{ {}, environment: {{ TOK: {{ env: TOK }}, ANSWER: '{{\"a\": \"{}${{TOK}}\"}}' }} }}\n    stop: {{ grace: 1s }}\n    \
             health: {{ http: \"http://127.0.0.1:{port}/env/ANSWER\", pointer: /a, equals: another, timeout: 1s }}",
            server(port),
            "x".repeat(pad)
        ));
        let ran = owner.lcm(&["apply", "--yes"]);
        let halves = [&TOKEN[..6], &TOKEN[..10]];
        for half in halves.iter().filter(|half| pad + half.len() < 80) {
            assert!(!ran.stderr.contains(*half) && !ran.stdout.contains(*half), "half of the token is shown\n{ran}");
        }
        shown_nowhere(&owner, TOKEN);
        owner.goes_down(&manifest);
    }
}

fn a_busy_answer() {
    let host = Host::new("secrets");
    let port = free_port();
    let busy = format!("    busy: {{ http: \"http://127.0.0.1:{port}/env/ANSWER\", pointer: /a }}\n    drain: 1s");
    let (owner, manifest) = owner(&host, &server(port), &busy);
    owner.lcm(&["apply", "--yes"]).exits(0);
    shown_nowhere(&owner, TOKEN);
    let ran = owner.lcm(&["restart", "api", "--yes", "--timeout", "5s"]);
    hidden(&ran.what, &format!("{}{}", ran.stdout, ran.stderr), TOKEN);
    shown_nowhere(&owner, TOKEN);
    owner.goes_down(&manifest);
}

fn a_busy_command() {
    let host = Host::new("secrets");
    let busy = "    busy: { exec: \"test -n '${TOK}'\" }\n    drain: 1s";
    let (owner, manifest) = owner(&host, SLEEPS, busy);
    owner.lcm(&["apply", "--yes"]).exits(0);
    let ran = owner.lcm(&["restart", "api", "--yes", "--timeout", "5s"]);
    hidden(&ran.what, &format!("{}{}", ran.stdout, ran.stderr), TOKEN);
    shown_nowhere(&owner, TOKEN);
    owner.goes_down(&manifest);
}

fn an_evict_call_that_fails() {
    let host = Host::new("secrets");
    let port = free_port();
    let evict = format!(
        "    vram: 1GiB\n    evict: {{ http: {{ method: POST, url: \"http://127.0.0.1:{port}/nowhere/${{TOK}}\", json: {{ key: \"${{TOK}}\" }} }}, timeout: 1s }}"
    );
    let (owner, manifest) = owner_of(&host, NAME_TOKEN, SLEEPS, &evict);
    let text = std::fs::read_to_string(&manifest).expect("the manifest");
    std::fs::write(&manifest, format!("{text}\ngpus: {{ devices: [{{ index: 0, vram: 4GiB }}] }}\n")).expect("written");
    owner.lcm(&["apply", "--yes"]).exits(0);
    let ran = owner.lcm(&["restart", "api", "--yes", "--format", "json"]);
    hidden(&ran.what, &format!("{}{}", ran.stdout, ran.stderr), NAME_TOKEN);
    shown_nowhere(&owner, NAME_TOKEN);
    owner.goes_down(&manifest);
}

/// Formats a text in YAML's double quotes, where a backslash has to be doubled.
fn quoted(line: &str) -> String {
    format!("\"{}\"", line.replace('\\', "\\\\").replace('"', "\\\""))
}

fn a_hook_that_writes_it_in_many_notations() {
    let host = Host::new("secrets");
    let hooks = format!(
        "    hooks: {{ pre_start: {{ exec: {} }}, post_start: {{ exec: {} }} }}",
        quoted(WRITES),
        quoted(&format!("({WRITES}) >&2; exit 3"))
    );
    let (owner, manifest) = owner(&host, SLEEPS, &hooks);
    tried(&owner, TOKEN);
    owner.goes_down(&manifest);
}

fn a_hook_that_vetoes_with_it() {
    let host = Host::new("secrets");
    let hooks = "    hooks: { pre_start: { exec: \"echo no, '${TOK}' is wrong; exit 1\", required: true } }";
    let (owner, manifest) = owner(&host, SLEEPS, hooks);
    tried(&owner, TOKEN);
    owner.goes_down(&manifest);
}

fn a_hook_whose_long_output_is_cut() {
    let host = Host::new("secrets");
    // The kept part ends within a token.
    let hooks = "    hooks: { post_start: { exec: \"i=0; while [ $$i -lt 3000 ]; do printf '%s' '${TOK}'; i=$$((i+1)); done; exit 1\" } }";
    let (owner, manifest) = owner(&host, SLEEPS, hooks);
    tried(&owner, TOKEN);
    let ran = owner.lcm(&["history", "--format", "json"]);
    assert!(!ran.stdout.contains(&TOKEN[..8]) && !ran.stdout.contains(&TOKEN[TOKEN.len() - 8..]), "half of it\n{ran}");
    owner.goes_down(&manifest);
}

fn a_hook_at_an_address_with_it() {
    let host = Host::new("secrets");
    let port = free_port();
    let hooks = format!(
        "    hooks: {{ post_start: {{ http: {{ url: \"http://127.0.0.1:{port}/x?key=${{TOK}}\" }}, timeout: 2s }} }}"
    );
    let (owner, manifest) = owner_of(&host, NAME_TOKEN, SLEEPS, &hooks);
    tried(&owner, NAME_TOKEN);
    owner.goes_down(&manifest);
}

fn a_notifier_that_fails_with_it() {
    let host = Host::new("secrets");
    let (owner, manifest) = owner(&host, SLEEPS, "");
    let text = std::fs::read_to_string(&manifest).expect("the manifest");
    let notify = format!("\nnotify: [{{ exec: {} }}]\n", quoted(&format!("cat >> told.json; {WRITES}; exit 4")));
    std::fs::write(&manifest, text + &notify).expect("written");
    tried(&owner, TOKEN);
    owner.goes_down(&manifest);
}

fn a_service_that_dies_with_it_on_its_lips() {
    let host = Host::new("secrets");
    let line = quoted(&format!("{WRITES}; exit 9"));
    let (owner, manifest) = owner(&host, &format!("command: {line}"), "    recover: { attempts: 1, backoff: 1h }");
    tried(&owner, TOKEN);
    owner.goes_down(&manifest);
}

fn a_line_that_is_longer_than_any_bound() {
    let host = Host::new("secrets");
    // Endless tokens: each bound falls within one of them.
    let line = "i=0; while [ $$i -lt 6000 ]; do printf '%s' '${TOK}'; i=$$((i+1)); done; echo; exec sleep 300";
    let (owner, manifest) = owner(&host, &format!("command: {}", quoted(line)), "");
    owner.converges(&manifest);
    let ran = owner.lcm(&["logs", "api"]);
    for part in [&TOKEN[..8], &TOKEN[9..17], &TOKEN[TOKEN.len() - 8..]] {
        assert!(!ran.stdout.contains(part), "a part of the token: {part}");
    }
    shown_nowhere(&owner, TOKEN);
    owner.goes_down(&manifest);
}

/// Characters removed when a line is shown must not reassemble the token.
fn codes_of_a_terminal_within_the_secret() {
    let host = Host::new("secrets");
    let (begin, end) = TOKEN.split_at(9);
    let codes = ["\\033[31m", "\\000", "\\r", "\\033]0;t\\007", "\\342\\200\\213"];
    let lines: Vec<String> = codes.iter().map(|code| format!("printf '%s{code}%s\\n' '{begin}' '{end}'")).collect();
    let hooks =
        format!("    hooks: {{ post_start: {{ exec: {} }} }}", quoted(&format!("{}; exit 1", lines.join("; "))));
    let line = quoted(&format!("{}; exit 9", lines.join("; ")));
    let (owner, manifest) = owner(&host, &format!("command: {line}"), &hooks);
    tried(&owner, TOKEN);
    let ran = owner.lcm(&["logs", "api", "--color", "always"]);
    hidden(&ran.what, &ran.stdout, TOKEN);
    assert!(!ran.stdout.contains(end), "half of the token\n{ran}");
    owner.goes_down(&manifest);
}

fn a_log_that_is_rotated_in_the_middle_of_it() {
    let host = Host::new("secrets");
    let line = "i=0; while [ $$i -lt 9000 ]; do echo \"$$i ${TOK}\"; i=$$((i+1)); done; exec sleep 300";
    let process = format!("command: {}, log: {{ max_size: 64KiB, files: 1 }}", quoted(line));
    let (owner, manifest) = owner(&host, &process, "");
    owner.converges(&manifest);
    for words in [&["logs", "api"][..], &["logs", "api", "-n", "9999"]] {
        let ran = owner.lcm(words);
        assert!(!ran.stdout.contains(&TOKEN[..8]), "the begin of a token");
        assert!(!ran.stdout.contains(&TOKEN[TOKEN.len() - 8..]), "the end of a token");
    }
    shown_nowhere(&owner, TOKEN);
    owner.goes_down(&manifest);
}

fn a_log_probe_whose_pattern_is_the_secret() {
    let host = Host::new("secrets");
    let mut owner = host.user(ROOT);
    let token = "tk-9QxZr-pL2vW0mN4-Js8";
    owner.set("TOK", token);
    let manifest = owner.manifest(
        "  api:\n    process: { command: \"echo ready with $$TOK; exec sleep 300\", environment: { TOK: { env: TOK } } }\n    \
         health: { log: \"ready with ${TOK}\", timeout: 10s }\n  \
         other:\n    process: { command: [sleep, \"300\"] }\n    health: { log: \"never ${TOK}\", timeout: 1s }",
    );
    tried(&owner, token);
    owner.goes_down(&manifest);
}
