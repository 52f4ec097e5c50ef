//! Engine that answers endlessly, slowly, wrongly or with impossible numbers.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::engine::{Engine, IMAGE, Reaction, Request};
use crate::support::{AS_ROOT, Attack, Host, MEMORY_MIB_MAX, ROOT, attacks};

/// More than lcm reads of any response, including socket buffers.
const SENT_BYTES_MAX: u64 = 256 << 20;

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            an_engine_that_answers_garbage_is_an_error,
            an_honest_engine_is_enough_to_converge,
            an_endless_list_is_cut,
            an_endless_list_of_nothing_is_cut,
            an_endless_string_is_cut,
            an_endless_version_is_cut,
            endless_blanks_are_cut,
            endless_headers_are_cut,
            a_slow_drip_ends_by_the_deadline,
            half_an_answer_is_an_error,
            an_answer_that_is_no_http_is_an_error,
            numbers_of_no_machine_are_an_error_or_bounded,
            values_of_other_types_are_an_error,
            an_endless_error_message_is_cut;
    ]
}

fn services() -> String {
    format!(
        "  web: {{ docker: {{ image: \"{IMAGE}\", pull_policy: never, gpu_access: none }}, stop: {{ grace: 1s }} }}"
    )
}

/// Asserts that no such response causes a change, that memory stays within bounds, and that an honest engine restores
/// normal operation.
#[track_caller]
fn refused(hook: impl Fn(&Request) -> Option<Reaction> + Send + Sync + 'static) -> String {
    let host = Host::new("engine");
    let mut owner = host.user(ROOT);
    let manifest = owner.manifest(&services());
    let said = {
        let engine = Engine::hostile(&host, move |request, answer| hook(request).unwrap_or_else(|| answer.into()));
        owner.use_engine(engine.socket());
        let ran = owner.bounded(MEMORY_MIB_MAX, &["apply", "--yes", &manifest]).exits(1);
        assert!(engine.change(|machine| machine.containers.is_empty()), "made on the strength of an unknown");
        assert!(engine.sent_bytes() < SENT_BYTES_MAX, "it read {} bytes", engine.sent_bytes());
        std::fs::remove_file(engine.socket()).expect("its socket");
        format!("{}{}", ran.stdout, ran.stderr)
    };
    let engine = Engine::honest(&host);
    owner.use_engine(engine.socket());
    owner.converges(&manifest);
    owner.goes_down(&manifest);
    said
}

fn endless_list(head: &'static str, chunk: &str) -> impl Fn(&Request) -> Option<Reaction> + Send + Sync + use<> {
    let chunk = chunk.repeat(4096).into_bytes();
    move |request| request.lists_containers().then(|| Reaction::Endless { head: head.to_owned(), chunk: chunk.clone() })
}

fn an_engine_that_answers_garbage_is_an_error() {
    refused(|request| request.lists_containers().then(|| Reaction::Json(200, json!("no list"))));
}

fn an_honest_engine_is_enough_to_converge() {
    let host = Host::new("bounds");
    let mut owner = host.user(ROOT);
    let engine = Engine::honest(&host);
    owner.use_engine(engine.socket());
    let manifest = owner.manifest(&services());
    owner.converges(&manifest);
    owner.goes_down(&manifest);
    assert!(engine.change(|machine| machine.containers.is_empty()));
}

fn an_endless_list_is_cut() {
    let said = refused(endless_list("[", "{\"Id\":\"0123456789abcdef\",\"Names\":[\"/a\"],\"State\":\"running\"},"));
    assert!(said.contains("its answer "), "{said}");
}

fn an_endless_list_of_nothing_is_cut() {
    let said = refused(endless_list("[", "{},"));
    assert!(said.contains("its answer has more than 65536 objects"), "{said}");
}

fn an_endless_string_is_cut() {
    let said = refused(endless_list("[{\"Id\":\"", "aaaaaaaaaaaaaaaa"));
    assert!(said.contains("its answer is larger than 8 MiB"), "{said}");
}

/// A version is only shown; no decision depends on it.
fn an_endless_version_is_cut() {
    let host = Host::new("engine");
    let mut owner = host.user(ROOT);
    let manifest = owner.manifest(&services());
    let engine = Engine::hostile(&host, |request, answer| {
        let chunk = "9".repeat(4096).into_bytes();
        let endless = || Reaction::Endless { head: "{\"Version\":\"".to_owned(), chunk };
        if request.is("GET", "/version") { endless() } else { answer.into() }
    });
    owner.use_engine(engine.socket());
    owner.bounded(MEMORY_MIB_MAX, &["apply", "--yes", &manifest]).exits(0);
    assert!(engine.sent_bytes() < SENT_BYTES_MAX, "it read {} bytes", engine.sent_bytes());
    owner.converges(&manifest);
    owner.goes_down(&manifest);
}

fn endless_blanks_are_cut() {
    refused(endless_list("", " \r\n\t"));
}

fn endless_headers_are_cut() {
    refused(|request| {
        let header = format!("x-more: {}\r\n", "a".repeat(1000));
        let bytes = format!("HTTP/1.1 200 OK\r\n{}", header.repeat(20_000)).into_bytes();
        request.lists_containers().then_some(Reaction::Raw(bytes))
    });
}

fn a_slow_drip_ends_by_the_deadline() {
    let said = refused(|request| {
        let body = format!("[{}]", " ".repeat(100_000));
        request.lists_containers().then(|| Reaction::Drip { body, pause: Duration::from_millis(100) })
    });
    assert!(said.contains("no answer within 10 s"), "{said}");
}

fn half_an_answer_is_an_error() {
    refused(|request| request.lists_containers().then(|| Reaction::Cut("[{\"Id\":\"a\"}, {\"Id\":\"b\"}]".to_owned())));
}

fn an_answer_that_is_no_http_is_an_error() {
    refused(|request| request.lists_containers().then(|| Reaction::Raw(b"SSH-2.0-OpenSSH_9.6\r\n".repeat(1000))));
}

fn numbers_of_no_machine_are_an_error_or_bounded() {
    for number in ["99999999999999999999999999", "-99999999999999999999", "1e999", "18446744073709551616"] {
        let body = format!(
            "[{{\"Id\":\"{}\",\"Names\":[\"/other\"],\"Created\":{number},\"State\":\"running\",\"SizeRw\":{number},\
             \"Ports\":[{{\"PrivatePort\":{number},\"Type\":\"tcp\"}}]}}]",
            "a".repeat(64)
        );
        refused(move |request| request.lists_containers().then(|| Reaction::Text(200, body.clone())));
    }
}

fn values_of_other_types_are_an_error() {
    for value in
        [json!({}), json!([[]]), json!([1]), json!([{ "Id": 1 }]), json!([{ "Names": "a" }]), json!(1), Value::Null]
    {
        refused(move |request| request.lists_containers().then(|| Reaction::Text(200, value.to_string())));
    }
}

fn an_endless_error_message_is_cut() {
    refused(|request| {
        let head = "HTTP/1.1 500 X\r\nconnection: close\r\n\r\n{\"message\":\"";
        let bytes = format!("{head}{}", "e".repeat(64 << 20)).into_bytes();
        request.lists_containers().then_some(Reaction::Raw(bytes))
    });
}
