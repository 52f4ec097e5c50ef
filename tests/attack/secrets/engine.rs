//! Secrets quoted by an engine: in errors, in its version, in its descriptions of containers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{NAME_TOKEN, TOKEN, hidden, shown_nowhere, tried};
use crate::support::engine::{Answer, Engine, IMAGE, Reaction};
use crate::support::{AS_ROOT, Attack, Host, ROOT, User, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            an_error_that_quotes_it_in_all_notations,
            a_refused_start_that_quotes_it,
            a_list_that_fails_with_it,
            an_answer_that_is_no_json,
            a_version_that_is_the_secret,
            a_health_log_that_holds_it,
            an_image_that_is_not_there,
            labels_of_an_earlier_lcm;
    ]
}

fn owner<'h>(host: &'h Host, engine: &Engine, token: &str, docker: &str) -> (User<'h>, String) {
    let mut owner = host.user(ROOT);
    owner.set("TOK", token);
    owner.use_engine(engine.socket());
    let manifest =
        owner.manifest(&format!("  api:\n    docker: {{ {docker}, environment: {{ TOK: \"Bearer ${{TOK}}\" }} }}"));
    (owner, manifest)
}

fn image() -> String {
    format!("image: \"{IMAGE}\", pull_policy: never")
}

/// Returns a text with the token, as an engine and its components quote it.
fn quoting() -> String {
    let json = json!([TOKEN, format!("u:{TOKEN}")]).to_string();
    let base64 = ["", "x", "xx", "user:"].map(|before| STANDARD.encode(format!("{before}{TOKEN}")));
    let hex = TOKEN.bytes().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let percent = TOKEN.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"));
    let escaped = json!(json).to_string();
    format!("invalid environment: {TOKEN} or {json} or {escaped} or {hex} or {percent} or {}", base64.join(" or "))
}

fn an_error_that_quotes_it_in_all_notations() {
    let host = Host::new("secrets");
    let engine = Engine::hostile(&host, |request, answer| {
        if request.is("POST", "/containers/create") {
            return Answer::new(400, json!({ "message": quoting() })).into();
        }
        answer.into()
    });
    let (owner, _) = owner(&host, &engine, TOKEN, &image());
    tried(&owner, TOKEN);
}

fn a_refused_start_that_quotes_it() {
    let host = Host::new("secrets");
    let engine = Engine::hostile(&host, |request, answer| {
        if request.path.ends_with("/start") {
            return Answer::new(500, json!({ "message": format!("OCI runtime: env {}", json!([TOKEN])) })).into();
        }
        answer.into()
    });
    let (owner, _) = owner(&host, &engine, TOKEN, &image());
    tried(&owner, TOKEN);
}

fn a_list_that_fails_with_it() {
    let host = Host::new("secrets");
    let engine = Engine::hostile(&host, |request, answer| {
        if request.lists_containers() {
            return Answer::new(500, json!({ "message": quoting() })).into();
        }
        answer.into()
    });
    let (owner, _) = owner(&host, &engine, TOKEN, &image());
    let ran = owner.lcm(&["plan"]).exits(1);
    hidden(&ran.what, &ran.stderr, TOKEN);
    tried(&owner, TOKEN);
}

fn an_answer_that_is_no_json() {
    let host = Host::new("secrets");
    let engine = Engine::hostile(&host, |request, answer| {
        if request.lists_containers() {
            return Reaction::Text(200, format!("[{{\"Id\": {}", quoting()));
        }
        answer.into()
    });
    let (owner, _) = owner(&host, &engine, TOKEN, &image());
    tried(&owner, TOKEN);
}

fn a_version_that_is_the_secret() {
    let host = Host::new("secrets");
    let engine = Engine::hostile(&host, |request, mut answer| {
        if request.is("GET", "/version") {
            answer.body["Version"] = json!(TOKEN);
        }
        answer.into()
    });
    let (owner, manifest) = owner(&host, &engine, TOKEN, &image());
    tried(&owner, TOKEN);
    owner.goes_down(&manifest);
}

fn a_health_log_that_holds_it() {
    let host = Host::new("secrets");
    let engine = Engine::hostile(&host, |request, mut answer| {
        if request.inspects_container() && answer.status == 200 {
            let log = json!([{ "Start": "2026-01-01T00:00:00Z", "End": "2026-01-01T00:00:01Z", "ExitCode": 1, "Output": quoting() }]);
            answer.body["State"]["Health"] = json!({ "Status": "unhealthy", "FailingStreak": 9, "Log": log });
        }
        if request.lists_containers() {
            for container in answer.body.as_array_mut().into_iter().flatten() {
                container["Status"] = json!(format!("Up 2 minutes (unhealthy) {TOKEN}"));
            }
        }
        answer.into()
    });
    let (owner, manifest) = owner(&host, &engine, TOKEN, &image());
    let text = std::fs::read_to_string(&manifest).expect("the manifest");
    std::fs::write(&manifest, text + "\n    health: { docker: true, timeout: 1s }\n").expect("written");
    tried(&owner, TOKEN);
}

fn an_image_that_is_not_there() {
    let host = Host::new("secrets");
    let engine = Engine::hostile(&host, |request, answer| {
        if request.path.starts_with("/images/") {
            let message =
                format!("pull access denied for registry.invalid/{NAME_TOKEN}: no such image {}", request.path);
            return Answer::new(404, json!({ "message": message })).into();
        }
        answer.into()
    });
    let (owner, _) = owner(
        &host,
        &engine,
        NAME_TOKEN,
        "image: \"registry.invalid/${TOK}/x:1\", pull_policy: never, labels: { l: \"${TOK}\" }",
    );
    tried(&owner, NAME_TOKEN);
}

/// Labels written by an older lcm that masked less are masked when they are read.
fn labels_of_an_earlier_lcm() {
    let host = Host::new("secrets");
    let engine = Engine::honest(&host);
    let (owner, manifest) = owner(&host, &engine, TOKEN, &image());
    owner.converges(&manifest);
    engine.change(|machine| {
        for container in machine.containers.values_mut() {
            let spec = json!({ "spec": { "command": ["serve", TOKEN], "image": "played:0" }, "stop": {}, "ports": [] });
            container.given["Labels"]["lcm.config"] = json!(spec.to_string());
            container.given["Labels"]["lcm.spec"] = json!("v1:00000000000000000000000000000000");
        }
    });
    shown_nowhere(&owner, TOKEN);
    tried(&owner, TOKEN);
    owner.goes_down(&manifest);
}
