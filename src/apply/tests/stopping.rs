//! Stops: eviction, draining, and stale steps.

use std::time::Duration;

use tokio::time::Instant;

use super::bench::{Bench, busy, evictable, service, stop};
use crate::model::desired::StopPolicy;
use crate::model::event::EventKind;
use crate::model::facts::Marks;
use crate::model::lifecycle::State;
use crate::model::names::StepId;
use crate::model::plan::Step;
use crate::runtime::process::facts::ProcessReading as _;
use crate::sim::Behaviour;

const SECOND: Duration = Duration::from_secs(1);

fn is_end(kind: &EventKind) -> bool {
    matches!(kind, EventKind::StepDone { .. } | EventKind::StepFailed { .. })
}

fn busy_for(time: Duration) -> Behaviour {
    Behaviour { busy_for: Some(time), ..Behaviour::default() }
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_its_route() {
    let bench = Bench::new(vec![service("a")], &["a"]);
    let outcome = bench.apply(vec![stop("a", &[])]).await;
    assert_eq!((outcome.done, bench.runs("a")), (1, false));
    assert_eq!(bench.states("a"), [State::Stopping, State::Offline]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_service_is_stopped_when_it_is_idle() {
    let bench = Bench::new(vec![busy(service("a"), None)], &["a"]);
    bench.behaves("a", busy_for(20 * SECOND));
    let outcome = bench.apply(vec![stop("a", &[])]).await;
    assert_eq!(outcome.done, 1);
    let took = bench.time_of(is_end).expect("it ended");
    assert!(took >= 20 * SECOND && took <= 22 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_over_stops_a_busy_service_anyway() {
    let bench = Bench::new(vec![busy(service("a"), Some(5 * SECOND))], &["a"]);
    bench.behaves("a", busy_for(3600 * SECOND));
    let outcome = bench.apply(vec![stop("a", &[])]).await;
    assert_eq!((outcome.done, bench.time_of(is_end)), (1, Some(5 * SECOND)));
    assert_eq!(bench.warnings(), ["a is still busy after 5s (1 in its queue); it is stopped anyway"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_drain_the_stop_of_a_busy_service_fails_when_the_run_is_out_of_time() {
    let mut bench = Bench::new(vec![busy(service("a"), None)], &["a"]);
    bench.options.timeout = 60 * SECOND;
    bench.behaves("a", busy_for(3600 * SECOND));
    let outcome = bench.apply(vec![stop("a", &[])]).await;
    assert!(bench.runs("a") && bench.states("a").is_empty());
    assert!(outcome.failures[0].error.starts_with("still busy after 1m (1 in its queue)"), "{:?}", outcome.failures);
}

#[tokio::test(start_paused = true)]
async fn force_does_not_wait_for_a_busy_service() {
    let mut bench = Bench::new(vec![busy(service("a"), None)], &["a"]);
    bench.options.force = true;
    bench.behaves("a", busy_for(3600 * SECOND));
    let outcome = bench.apply(vec![stop("a", &[])]).await;
    assert_eq!((outcome.done, bench.time_of(is_end)), (1, Some(Duration::ZERO)));
}

#[tokio::test(start_paused = true)]
async fn a_failed_eviction_is_a_warning_and_the_stop_goes_on() {
    let bench = Bench::new(vec![evictable(service("a"), 1)], &["a"]);
    bench.behaves("a", Behaviour { evict_error: Some("refused".to_owned()), ..Behaviour::default() });
    let outcome = bench.apply(vec![stop("a", &[])]).await;
    assert_eq!(outcome.done, 1);
    assert_eq!(bench.deeds(), ["evict a", "stop a"]);
    assert_eq!(bench.warnings(), ["a could not be evicted before its stop: refused"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_ignores_its_signal_is_waited_for_until_it_is_killed() {
    let bench = Bench::new(vec![service("a")], &["a"]);
    bench.behaves("a", Behaviour { ignores_term: true, ..Behaviour::default() });
    bench.apply(vec![stop("a", &[])]).await;
    assert_eq!((bench.runs("a"), bench.time_of(is_end)), (false, Some(10 * SECOND)));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_survives_fails_its_stop_and_is_in_error() {
    let bench = Bench::new(vec![service("a")], &["a"]);
    bench.behaves("a", Behaviour { stop_error: Some("python3 (pid 7)".to_owned()), ..Behaviour::default() });
    let outcome = bench.apply(vec![stop("a", &[])]).await;
    assert_eq!(outcome.failures[0].error, "still running 10s after it was killed: python3 (pid 7)");
    assert_eq!(bench.states("a"), [State::Stopping, State::Error]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_has_ended_needs_no_stop() {
    let bench = Bench::new(vec![service("a")], &["a"]);
    bench.sim.inject(|facts| facts.processes_mut().trees.known_mut().expect("known")[0].members.clear());
    let outcome = bench.apply(vec![stop("a", &[])]).await;
    assert_eq!((outcome.done, outcome.changed, outcome.failures.len()), (0, false, 0));
}

#[tokio::test(start_paused = true)]
async fn another_instance_makes_the_step_stale_and_is_not_touched() {
    let bench = Bench::new(vec![service("a")], &["a"]);
    bench.sim.inject(|facts| {
        let marks = &mut facts.processes_mut().trees.known_mut().expect("known")[0].marks;
        *marks = Marks { salt: "another".to_owned(), ..marks.clone() };
    });
    let outcome = bench.apply(vec![stop("a", &[])]).await;
    assert!(bench.runs("a") && bench.deeds().is_empty() && outcome.failures.is_empty());
    assert_eq!((outcome.skipped, bench.requests.lock().expect("unpoisoned").len()), (1, 1));
    assert!(bench.skipped()[0].starts_with("stop:a: stale: a different instance is running"), "{:?}", bench.skipped());
}

#[tokio::test(start_paused = true)]
async fn a_surplus_copy_is_stopped_by_its_instance_and_its_service_is_left() {
    let bench = Bench::new(vec![service("a")], &["a"]);
    let outcome = bench.apply(vec![surplus(&bench)]).await;
    assert_eq!(outcome.done, 1);
    assert!(bench.runs("a") && bench.states("a").is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_orphan_with_the_name_of_a_service_is_stopped_by_its_own_policy() {
    let mut bench = Bench::new(vec![service("a")], &["a"]);
    let patient = StopPolicy { grace: 77 * SECOND, ..StopPolicy::default() };
    bench.orphans.insert("a".into(), patient);
    bench.behaves("a", Behaviour { ignores_term: true, ..Behaviour::default() });
    let (step, began) = (surplus(&bench), Instant::now());
    assert_eq!(bench.apply(vec![step]).await.done, 1);
    assert_eq!(began.elapsed().as_secs(), 77);
}

/// Adds a surplus copy with the name of service `a`, and returns its stop.
fn surplus(bench: &Bench) -> Step {
    bench.sim.inject(|facts| {
        let trees = facts.processes_mut().trees.known_mut().expect("known");
        let mut copy = trees[0].clone();
        copy.marks.salt = "surplus".to_owned();
        trees.push(copy);
    });
    let mut surplus = stop("a", &[]);
    surplus.id = StepId::from("stop:a#1");
    surplus.expect.instance = Some(crate::runtime::process::instance("surplus".to_owned()));
    surplus
}
