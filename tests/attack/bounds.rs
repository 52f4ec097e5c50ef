//! Input without a bound: manifests, env files, engines, probes and drivers that answer without end.

use serde_json::json;

use crate::support::engine::{Engine, IMAGE, Reaction};
use crate::support::{AS_ROOT, Attack, Host, MEMORY_MIB_MAX, ROOT, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            an_engine_that_answers_garbage_is_an_error,
            an_honest_engine_is_enough_to_converge;
    ]
}

fn services() -> String {
    format!(
        "  web: {{ docker: {{ image: \"{IMAGE}\", pull_policy: never, gpu_access: none }}, stop: {{ grace: 1s }} }}"
    )
}

fn an_engine_that_answers_garbage_is_an_error() {
    let host = Host::new("bounds");
    let mut owner = host.user(ROOT);
    let engine = Engine::hostile(&host, |request, answer| {
        if request.lists_containers() { Reaction::Json(200, json!("no list")) } else { answer.into() }
    });
    owner.use_engine(engine.socket());
    let manifest = owner.manifest(&services());
    owner.bounded(MEMORY_MIB_MAX, &["apply", "--yes", &manifest]).exits(1);
    assert!(engine.change(|machine| machine.containers.is_empty()), "nothing is created on the strength of an unknown");
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
