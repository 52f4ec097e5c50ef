//! Measurements of starts, stops and memory, recorded for the estimates of later runs.

use futures_util::FutureExt as _;
use std::time::Duration;

use super::bench::{Bench, busy, evict, evictable, headroom, loads_in, service, start, stop, wait_for};
use crate::model::capacity::{HostCapacity, MemoryHolder};
use crate::model::facts::{Estimates, HistoryFact};
use crate::model::lifecycle::State;
use crate::model::names::StepId;
use crate::model::plan::{Purpose, Step};
use crate::model::size::Mebibytes;
use crate::sim::Behaviour;
use crate::store::{Journal as _, Measured};

const SECOND: Duration = Duration::from_secs(1);

fn known(bench: &Bench, service: &str) -> HistoryFact {
    let known = bench.store.last_known(&"studio".into()).now_or_never().expect("at once").expect("it is in memory");
    known.get(&service.into()).cloned().unwrap_or_default()
}

/// Checks a time: the end of a wait is seen at most a twentieth late.
#[track_caller]
fn assert_about(found_ms: Option<u64>, expected: Duration) {
    let found = Duration::from_millis(found_ms.expect("it was measured"));
    assert!(found >= expected && found <= expected * 21 / 20, "{found:?} instead of {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_start_of_thirty_seconds_is_expected_to_take_thirty_seconds() {
    let bench = Bench::new(vec![service("a"), service("b")], &[]);
    bench.behaves("a", loads_in(20 * SECOND));
    bench.behaves("b", loads_in(30 * SECOND));
    bench.apply(vec![start("a", &[]), start("b", &["start:a"])]).await;
    // The time that it waited for another is not its own.
    assert_about(known(&bench, "b").estimates.ready_ms, 30 * SECOND);
    assert_eq!(known(&bench, "b").state, Some(State::Online));
}

#[tokio::test(start_paused = true)]
async fn the_measured_time_of_a_stop_excludes_the_drain() {
    let bench = Bench::new(vec![busy(service("a"), None)], &["a"]);
    let behaviour = Behaviour { busy_for: Some(60 * SECOND), stop_takes: 7 * SECOND, ..Behaviour::default() };
    bench.behaves("a", behaviour);
    bench.apply(vec![stop("a", &[])]).await;
    assert_about(known(&bench, "a").estimates.stopped_ms, 7 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_failed_or_was_begun_by_others_or_took_no_time_is_not_measured() {
    let failing = Bench::new(vec![service("a")], &[]);
    failing.behaves("a", Behaviour { never_healthy: true, ..Behaviour::default() });
    failing.apply(vec![start("a", &[])]).await;
    assert_eq!(known(&failing, "a").state, Some(State::Timeout));

    let waiting = Bench::new(vec![service("a")], &["a"]);
    waiting.behaves("a", loads_in(30 * SECOND));
    assert_eq!(waiting.apply(vec![wait_for("a", &[])]).await.done, 1);

    let instant = Bench::new(vec![service("a")], &[]);
    assert_eq!(instant.apply(vec![start("a", &[])]).await.done, 1);
    for bench in [failing, waiting, instant] {
        assert_eq!(bench.store.measures(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_surplus_copy_is_not_measured_for_its_service() {
    let bench = Bench::new(vec![service("a")], &["a"]);
    bench.behaves("a", Behaviour { stop_takes: 7 * SECOND, ..Behaviour::default() });
    let surplus = Step { id: StepId::from("stop:a#1"), ..stop("a", &[]) };
    assert_eq!(bench.apply(vec![surplus]).await.done, 1);
    assert_eq!(bench.store.measures(), []);
}

fn holding(amounts: &[(&str, Option<u64>)]) -> HostCapacity {
    let holder = |(service, amount): &(&str, Option<u64>)| MemoryHolder {
        service: Some((*service).into()),
        label: (*service).to_owned(),
        counts: Mebibytes(1),
        measured: amount.map(Mebibytes),
    };
    headroom(24_576, amounts.iter().map(holder).collect())
}

#[tokio::test(start_paused = true)]
async fn the_largest_memory_that_a_run_measured_is_recorded_once() {
    let bench = Bench::new(vec![service("a"), service("b")], &[]);
    bench.behaves("a", Behaviour { never_healthy: true, ..Behaviour::default() });
    let readings = [
        holding(&[("a", Some(9_000)), ("b", None), ("orphan", Some(4))]),
        holding(&[("a", Some(700)), ("b", Some(0))]),
    ];
    // One for the admission of each start, and one for each round.
    let readings = readings.into_iter().flat_map(|reading| [reading.clone(), reading]);
    bench.headrooms.lock().expect("unpoisoned").extend(readings);
    bench.next_plans.lock().expect("unpoisoned").push_back(super::bench::plan(vec![start("b", &[])]));
    bench.apply(vec![start("a", &[])]).await;
    let measured: Vec<Measured> = bench.store.measures().iter().map(|measure| measure.what).collect();
    assert_eq!(measured, [Measured::Memory(Mebibytes(9_000))]);
    let expected = Estimates { memory: Some(Mebibytes(9_000)), ..Estimates::default() };
    assert_eq!(known(&bench, "a").estimates, expected);
}

#[tokio::test(start_paused = true)]
async fn an_eviction_is_recorded_with_its_time() {
    let bench = Bench::new(vec![evictable(service("a"), 1)], &["a"]).measured(24_000, &[("a", 1)]);
    assert_eq!(bench.apply(vec![evict("a")]).await.done, 1);
    let began = "2026-01-02T03:04:05Z".parse().expect("a time");
    assert_eq!(known(&bench, "a").evicted_at, Some(began));
}

#[tokio::test(start_paused = true)]
async fn an_eviction_that_fails_is_recorded_so_that_the_next_run_stops_the_service() {
    let bench = Bench::new(vec![evictable(service("a"), 1)], &["a"]).measured(24_000, &[("a", 9_000)]);
    bench.behaves("a", Behaviour { evict_error: Some("connection refused".to_owned()), ..Behaviour::default() });
    assert_eq!(bench.apply(vec![evict("a")]).await.failures[0].error, "connection refused");
    assert!(known(&bench, "a").evicted_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn holds_that_can_not_be_read_forbid_every_step_but_those_of_down() {
    let mut bench = Bench::new(vec![service("a"), service("b")], &["b"]);
    (bench.forgets, bench.hides_holds) = (true, true);
    let outcome = bench.apply(vec![stop("b", &[]), start("a", &["stop:b"])]).await;
    assert_eq!((outcome.done, outcome.changed), (0, false));
    assert!(bench.runs("b") && !bench.runs("a"));
    let unknown = "operator holds can't be read: can't write the store lcm.db: the disk is full";
    assert!(bench.warnings().iter().any(|warning| warning == unknown), "{:?}", bench.warnings());
    bench.purpose = Purpose::Down;
    assert_eq!(bench.apply(vec![stop("b", &[])]).await.done, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_failure_is_reported_once_and_stops_nothing() {
    let mut bench = Bench::new(vec![service("a"), service("b")], &["b"]);
    bench.forgets = true;
    bench.behaves("a", loads_in(30 * SECOND));
    bench.behaves("b", Behaviour { stop_takes: SECOND, ..Behaviour::default() });
    let outcome = bench.apply(vec![stop("b", &[]), start("a", &["stop:b"])]).await;
    assert_eq!((outcome.done, outcome.failures.len()), (2, 0));
    let forgets = "the history is not kept in this run: can't write the store lcm.db: the disk is full";
    assert_eq!(bench.warnings(), [forgets]);
}
