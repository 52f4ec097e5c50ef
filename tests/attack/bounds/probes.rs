//! Services whose responses to health and busy probes never end, drip, redirect in circles or are not HTTP: each is a
//! failed probe within its deadline, in bounded memory.

use std::time::Duration;

use super::answers::Server;
use crate::support::{AS_ROOT, Attack, Host, KIM, MEMORY_MIB_MAX, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            a_probe_whose_answer_never_ends_is_cut,
            a_probe_whose_headers_never_end_fails,
            a_probe_whose_answer_drips_fails_by_its_deadline,
            a_probe_that_is_sent_in_a_circle_fails,
            a_probe_that_is_sent_to_another_host_goes_there_not,
            a_pointer_into_an_answer_without_end_fails,
            a_pointer_into_endless_nesting_fails,
            an_answer_that_is_no_http_fails,
            an_exec_probe_that_writes_without_end_is_cut,
            a_log_pattern_over_a_line_without_end_fails,
            a_pattern_that_would_try_without_end_ends;
    ]
}

fn ok(rest: &str) -> impl Fn(u16) -> String + use<> {
    let rest = rest.to_owned();
    move |_| format!("HTTP/1.1 200 OK\r\n{rest}")
}

/// Applies a service with this probe, and returns the output and the exit status.
#[track_caller]
fn probed(health: &str) -> (i32, String) {
    let host = Host::new("probe");
    let owner = host.user(KIM);
    let manifest = owner.manifest(&format!(
        "  api: {{ process: {{ command: [sleep, \"300\"] }}, stop: {{ grace: 1s }}, health: {{ {health}, probe_timeout: 1s, timeout: 1s }}, recover: {{ attempts: 100, backoff: 10ms, max_backoff: 20ms }} }}"
    ));
    let ran = owner.bounded(MEMORY_MIB_MAX, &["apply", "--yes", &manifest]);
    owner.bounded(MEMORY_MIB_MAX, &["status", &manifest]);
    owner.goes_down(&manifest);
    (ran.code, format!("{}{}", ran.stdout, ran.stderr))
}

fn http(server: &Server, more: &str) -> String {
    format!("listener: any, http: \"http://127.0.0.1:{}/\"{more}", server.port())
}

#[track_caller]
fn fails(server: &Server, more: &str) -> String {
    let (code, said) = probed(&http(server, more));
    assert_eq!(code, 3, "{said}");
    assert!(said.len() < 20_000, "{} bytes were said", said.len());
    said
}

fn a_probe_whose_answer_never_ends_is_cut() {
    let server = Server::new(ok("connection: close\r\n\r\n"), vec![b'x'; 65_536].leak(), Duration::ZERO);
    // Any 2xx is a success; the wait for a required text in the body is bounded.
    assert_eq!(probed(&http(&server, "")).0, 0);
    fails(&server, ", body: ready");
}

fn a_probe_whose_headers_never_end_fails() {
    fails(&Server::new(ok(""), b"x-more: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", Duration::ZERO), "");
}

fn a_probe_whose_answer_drips_fails_by_its_deadline() {
    let server = Server::new(ok("content-length: 1000000\r\n\r\n"), b"x", Duration::from_millis(50));
    fails(&server, ", body: ready");
}

fn a_probe_that_is_sent_in_a_circle_fails() {
    let head = |port| format!("HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:{port}/\r\ncontent-length: 0\r\n\r\n");
    fails(&Server::new(head, b"", Duration::ZERO), "");
}

fn a_probe_that_is_sent_to_another_host_goes_there_not() {
    // 192.0.2.1 is reserved: a client that followed the redirect would wait for it.
    let head = |_| "HTTP/1.1 302 X\r\nlocation: file:///etc/shadow\r\ncontent-length: 0\r\n\r\n".to_owned();
    let said = fails(&Server::new(head, b"", Duration::ZERO), "");
    assert!(!said.contains("root:"), "{said}");
}

fn a_pointer_into_an_answer_without_end_fails() {
    let server = Server::new(ok("connection: close\r\n\r\n{\"a\":\""), vec![b'x'; 65_536].leak(), Duration::ZERO);
    fails(&server, ", pointer: /a");
}

fn a_pointer_into_endless_nesting_fails() {
    let server = Server::new(ok("connection: close\r\n\r\n"), vec![b'['; 65_536].leak(), Duration::ZERO);
    fails(&server, ", pointer: /a");
}

fn an_answer_that_is_no_http_fails() {
    for head in
        ["\0\0\0\0", "220 ftp\r\n", "HTTP/9.9 abc\r\n\r\n", "HTTP/1.1 99999999999 X\r\n\r\n", "\u{1b}[2J\r\n\r\n"]
    {
        let said = fails(&Server::new(move |_| head.to_owned(), b"", Duration::ZERO), "");
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
}

fn an_exec_probe_that_writes_without_end_is_cut() {
    let (code, said) = probed("exec: 'yes \"$$(head -c 65536 /dev/zero | tr \"\\0\" x)\" >&2'");
    assert!(code == 3 && said.len() < 20_000, "{} bytes\n{}", said.len(), &said[..said.len().min(2000)]);
}

fn a_log_pattern_over_a_line_without_end_fails() {
    let host = Host::new("probe");
    let owner = host.user(KIM);
    let manifest = owner.manifest(
        "  api: { process: { command: 'tr \"\\0\" x </dev/zero', log: { max_size: 4MiB, files: 1 } }, stop: { grace: 1s }, health: { log: ready, timeout: 2s } }",
    );
    owner.bounded(MEMORY_MIB_MAX, &["apply", "--yes", &manifest]).exits(3);
    owner.goes_down(&manifest);
}

fn a_pattern_that_would_try_without_end_ends() {
    let host = Host::new("probe");
    let owner = host.user(KIM);
    let manifest = owner.manifest(
        "  api: { process: { command: 'head -c 200000 /dev/zero | tr \"\\0\" a; exec sleep 300' }, stop: { grace: 1s }, health: { log: \"(a*)*(a*)*(a|aa)+b$$\", timeout: 2s } }",
    );
    owner.bounded(MEMORY_MIB_MAX, &["apply", "--yes", &manifest]).exits(3);
    owner.goes_down(&manifest);
}
