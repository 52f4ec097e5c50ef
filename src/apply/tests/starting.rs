//! Starts: the wait for health, and the readings that count.

use std::time::Duration;

use super::bench::{Bench, container, loads_in, service, start, start_again, stop, wait_for};
use crate::apply::{OnFailure, RunResult};
use crate::model::desired::{Health, Service};
use crate::model::event::{EventKind, Outcome as StepOutcome};
use crate::model::facts::{ListenerFact, ProcessOwner};
use crate::model::lifecycle::State;
use crate::model::plan::{Reason, ReasonCode};
use crate::model::secret::Secret;
use crate::model::spec::Spec;
use crate::runtime::docker::facts::DockerReading as _;
use crate::sim::Behaviour;

const SECOND: Duration = Duration::from_secs(1);

fn with_health(name: &str, change: impl FnOnce(&mut Health)) -> Service {
    let mut service = service(name);
    change(&mut service.health);
    service
}

fn is_end(kind: &EventKind) -> bool {
    matches!(kind, EventKind::StepDone { .. } | EventKind::StepFailed { .. })
}

async fn starts(service: Service, behaviour: Behaviour) -> (RunResult, Bench, Duration) {
    let name = service.name.to_string();
    let bench = Bench::new(vec![service], &[]);
    bench.behaves(&name, behaviour);
    let outcome = bench.apply(vec![start(&name, &[])]).await;
    let took = bench.time_of(is_end).expect("it ended");
    (outcome, bench, took)
}

#[tokio::test(start_paused = true)]
async fn a_success_counts_at_once_and_every_state_of_the_route_is_recorded() {
    let (outcome, bench, took) = starts(service("a"), Behaviour::default()).await;
    assert!(outcome.failures.is_empty() && took.is_zero(), "{took:?}");
    assert_eq!(bench.states("a"), [State::Deploying, State::Deployed, State::Starting, State::Online]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_seen_to_end_at_most_a_twentieth_or_two_seconds_late() {
    for loading in [30, 130, 900, 4_321, 20_000, 59_900] {
        let loading = Duration::from_millis(loading);
        let (outcome, _, took) = starts(service("a"), loads_in(loading)).await;
        assert_eq!(outcome.done, 1);
        let late = took.saturating_sub(loading);
        let most = (loading / 20).clamp(Duration::from_millis(50), 2 * SECOND) + Duration::from_millis(2);
        assert!(late <= most, "{loading:?}: {late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_timeout_begins_after_the_warm_time() {
    let warm = with_health("a", |health| {
        health.warm_time = 30 * SECOND;
        health.timeout = 10 * SECOND;
    });
    let (outcome, ..) = starts(warm.clone(), loads_in(39 * SECOND)).await;
    assert_eq!(outcome.done, 1);
    let (outcome, bench, took) = starts(warm, Behaviour { never_healthy: true, ..Behaviour::default() }).await;
    assert_eq!(took, 40 * SECOND);
    assert_eq!(outcome.failures[0].error, "not healthy after 40s: it answers 503");
    assert_eq!(bench.states("a").last(), Some(&State::Timeout));
    assert!(bench.runs("a"), "it is left running for inspection");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_dies_while_it_loads_fails_at_once_with_its_log_and_without_its_secrets() {
    let log = (0..20).map(|line| format!("{line}: token hf_secret is wrong")).collect();
    let dies = Behaviour { loading: 20 * SECOND, dies_while_loading: true, log, ..Behaviour::default() };
    let mut bench = Bench::new(vec![service("a")], &[]);
    bench.desired.secrets.push(Secret::new("hf_secret"));
    bench.behaves("a", dies);
    let outcome = bench.apply(vec![start("a", &[])]).await;
    let took = bench.time_of(is_end).expect("it ended");
    assert!(took <= Duration::from_millis(10_600), "{took:?}");
    let failure = &outcome.failures[0];
    assert_eq!(failure.error, "it ended while it was starting: exit status 1");
    assert_eq!(failure.log.len(), 10);
    assert_eq!(failure.log[9], "19: token *** is wrong");
    assert_eq!(bench.states("a").last(), Some(&State::Failed));
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_first_process_dies_is_in_error_while_others_are_left() {
    let dies =
        Behaviour { loading: 20 * SECOND, dies_while_loading: true, leaves_children: true, ..Behaviour::default() };
    let (_, bench, _) = starts(service("a"), dies).await;
    assert_eq!(bench.states("a").last(), Some(&State::Error));
}

#[tokio::test(start_paused = true)]
async fn more_than_one_success_and_a_stable_time_are_waited_for() {
    let strict = with_health("a", |health| {
        health.interval = Some(SECOND);
        health.successes = 3;
    });
    assert_eq!(starts(strict, Behaviour::default()).await.2, 2 * SECOND);
    let stable = with_health("a", |health| health.stable_for = 5 * SECOND);
    assert_eq!(starts(stable, Behaviour::default()).await.2, 5 * SECOND);
    let brief = with_health("a", |health| health.stable_for = 5 * SECOND);
    let dies = Behaviour { dies_after: Some(3 * SECOND), ..Behaviour::default() };
    assert_eq!(starts(brief, dies).await.0.failures.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_starting_already_is_only_waited_for() {
    let bench = Bench::new(vec![service("a")], &["a"]);
    bench.behaves("a", loads_in(3 * SECOND));
    let outcome = bench.apply(vec![wait_for("a", &[])]).await;
    assert!(bench.deeds().is_empty());
    assert_eq!((outcome.done, outcome.changed), (1, true), "the end of a start is a change");
    assert_eq!(bench.states("a"), [State::Online]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_another_actor_started_as_wanted_is_not_started_again() {
    let bench = Bench::new(vec![service("a")], &["a"]);
    bench.apply(vec![start("a", &[])]).await;
    assert!(bench.deeds().is_empty());
    let not_needed = |kind: &EventKind| matches!(kind, EventKind::StepDone { outcome: StepOutcome::NotNeeded, .. });
    assert!(bench.events().iter().any(not_needed));
}

#[tokio::test(start_paused = true)]
async fn a_port_held_by_a_foreign_process_fails_the_start_at_once_and_names_the_process() {
    let mut needy = service("a");
    needy.ports.insert(8188.into());
    let bench = Bench::new(vec![needy], &[]);
    let listener = ListenerFact {
        port: 8188,
        address: None,
        pid: Some(4711),
        program: Some("python3".to_owned()),
        owner: ProcessOwner::Foreign,
    };
    bench.sim.inject(|facts| facts.listeners.known_mut().expect("known").push(listener));
    let outcome = bench.apply(vec![start("a", &[])]).await;
    assert_eq!(outcome.failures[0].error, "port in use: 8188 by python3 (pid 4711)");
    assert!(bench.deeds().is_empty() && bench.sim.violations().is_empty());
    assert_eq!(bench.requests.lock().expect("unpoisoned")[0].prevented.len(), 1);
}

/// Recreates a running container with another spec.
async fn recreated(behaviour: Behaviour, on_failure: OnFailure) -> (RunResult, Bench) {
    let mut bench = Bench::new(vec![container("a")], &[]);
    bench.options.on_failure = on_failure;
    bench.apply(vec![start("a", &[])]).await;
    let previous = bench.sim.world().docker().containers.known().expect("known")[0].clone();
    if let Some(service) = bench.desired.services.get_mut(&"a".into()) {
        service.spec = Spec::plain(serde_json::json!({ "command": "newer" }));
    }
    bench.behaves("a", behaviour);
    let instance = crate::runtime::docker::instance(previous.id, previous.name.as_str());
    let (mut stop, mut start) = (stop("a", &[]), start_again("a", &["stop:a"]));
    stop.expect.instance = Some(instance.clone());
    start.expect.instance = Some(instance);
    let outcome = bench.apply(vec![stop, start]).await;
    (outcome, bench)
}

#[tokio::test(start_paused = true)]
async fn the_previous_container_is_removed_once_the_newer_one_is_healthy() {
    let (outcome, bench) = recreated(loads_in(SECOND), OnFailure::Continue).await;
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(bench.deeds()[2..], ["stop a", "putaside a", "create a", "start a", "remove a"]);
    assert_eq!(bench.sim.world().docker().containers.known().map(Vec::len), Some(1));
}

#[tokio::test(start_paused = true)]
async fn the_previous_container_runs_again_if_the_newer_one_does_not_start() {
    let refused = Behaviour { start_error: Some("no such device".to_owned()), ..Behaviour::default() };
    let never = Behaviour { never_healthy: true, ..Behaviour::default() };
    // A rollback finds nothing left to do.
    for (behaviour, on_failure) in [
        (refused.clone(), OnFailure::Continue),
        (never.clone(), OnFailure::Continue),
        (refused, OnFailure::Rollback),
        (never, OnFailure::Rollback),
    ] {
        let (outcome, bench) = recreated(behaviour, on_failure).await;
        let error = &outcome.failures[0].error;
        assert!(error.ends_with("; the previous revision was restored"), "{error}");
        assert_eq!(bench.warnings(), ["a: the previous revision was restored, because the new one did not start"]);
        let containers = bench.sim.world().docker().containers.known().cloned().expect("known");
        assert_eq!(containers.len(), 1);
        assert_ne!(containers[0].marks.as_ref().map(|marks| marks.spec.clone()), None);
        assert_eq!(containers[0].name, "studio-a");
        assert!(bench.runs("a"));
        assert_eq!(bench.states("a").last(), Some(&State::Starting));
        assert!(bench.sim.violations().is_empty(), "{:?}", bench.sim.violations());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_preparation_stops_nothing() {
    let bench = Bench::new(vec![service("old"), service("new")], &["old"]);
    bench
        .behaves("new", Behaviour { prepare_error: Some("image new is not there".to_owned()), ..Behaviour::default() });
    let outcome = bench.apply(vec![stop("old", &[]), start("new", &["stop:old"])]).await;
    assert!(bench.deeds().is_empty() && bench.runs("old") && !outcome.changed);
    assert_eq!(outcome.failures[0].error, "image new is not there");
    let prevented = bench.requests.lock().expect("unpoisoned")[0].prevented.clone();
    let message = "image new is not there".to_owned();
    assert_eq!(prevented[&"new".into()], Reason { code: ReasonCode::PrepareFailed, message, by: None });
}
