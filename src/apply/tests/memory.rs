//! Admission: starts begin one at a time, once their memory is measured to be free; a shortfall names the holders.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bench::{Bench, headroom, loads_in, start, stop, takes, wait_for};
use crate::apply::Interrupt;
use crate::apply::admission::memory::{Need, Shortfall, no_amounts, shortfall};
use crate::apply::run::{ReservationState, StartReservation};
use crate::model::capacity::{HostCapacity, MemoryHolder};
use crate::model::event::{EventKind, Stage};
use crate::model::facts::Reading;
use crate::model::names::GpuId;
use crate::model::plan::ReasonCode;
use crate::model::size::Mebibytes;
use crate::sim::{Behaviour, Intrusion};

const SECOND: Duration = Duration::from_secs(1);

fn two(a: u64, b: u64) -> Bench {
    Bench::new(vec![takes(a, "a"), takes(b, "b")], &[]).measured(24_000, &[])
}

fn intrusion(after: Duration, memory: u64, lasts: Duration) -> Intrusion {
    let program = "blender".to_owned();
    Intrusion { gpu: "gpu-0".into(), after, program, memory: Mebibytes(memory), lasts }
}

fn is_begun(service: &'static str) -> impl Fn(&EventKind) -> bool {
    move |kind| matches!(kind, EventKind::Stage { stage: Stage::Start, service: name, .. } if name.as_str() == service)
}

/// Checks a time: the end of a wait is seen at most a twentieth late.
#[track_caller]
fn assert_about(found: Option<Duration>, expected: Duration) {
    let found = found.expect("it came");
    assert!(found >= expected && found <= expected * 21 / 20 + SECOND / 20, "{found:?} instead of {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn of_two_starts_that_would_both_fit_alone_one_is_admitted() {
    let bench = two(15_000, 15_000);
    bench.behaves("a", loads_in(10 * SECOND));
    let outcome = bench.apply(vec![start("a", &[]), start("b", &[])]).await;
    assert_eq!(outcome.done, 1);
    let why = "it needs 15 000 MiB; GPU 0 has 24 000 − 15 000 a (priority 0) = 9 000; waited 2m for it";
    assert_eq!(outcome.failures[0].error, why);
    assert_eq!(bench.requests.lock().expect("unpoisoned")[0].prevented[&"b".into()].code, ReasonCode::NoCapacity);
    assert!(bench.runs("a") && !bench.runs("b"));
    assert_eq!(bench.sim.violations(), Vec::<String>::new());
    let waits = |kind: &EventKind| matches!(kind, EventKind::Stage { stage: Stage::Release, detail: Some(_), .. });
    assert_eq!(bench.time_of(waits), Some(Duration::ZERO), "the wait is reported with its reason");
}

#[tokio::test(start_paused = true)]
async fn two_starts_that_fit_together_are_admitted_at_once() {
    let bench = two(12_000, 12_000);
    bench.behaves("a", loads_in(10 * SECOND));
    let outcome = bench.apply(vec![start("a", &[]), start("b", &[])]).await;
    assert_eq!((outcome.done, bench.time_of(is_begun("b"))), (2, Some(Duration::ZERO)));
}

#[tokio::test(start_paused = true)]
async fn memory_is_reserved_for_an_admitted_service_that_does_not_run_yet() {
    let bench = two(15_000, 15_000);
    bench.behaves("a", Behaviour { begins_after: 20 * SECOND, ..Behaviour::default() });
    let outcome = bench.apply(vec![start("a", &[]), start("b", &[])]).await;
    assert_eq!((outcome.done, bench.runs("a"), bench.runs("b")), (1, true, false), "{:?}", outcome.failures);
    let reserved = |kind: &EventKind| match kind {
        EventKind::Stage { stage: Stage::Release, detail: Some(detail), .. } => {
            detail.contains("− 15 000 reserved for a")
        }
        _ => false,
    };
    assert!(bench.time_of(reserved).is_some(), "{:?}", bench.events());
    assert_eq!(bench.sim.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn no_second_start_is_admitted_beside_a_healthy_service_that_loads_late() {
    let bench = two(15_000, 15_000);
    bench.behaves("a", Behaviour { late: Some(300 * SECOND), ..Behaviour::default() });
    let outcome = bench.apply(vec![start("a", &[]), start("b", &["start:a"])]).await;
    assert!(outcome.failures[0].error.contains("− 15 000 a (priority 0)"), "{:?}", outcome.failures);
    tokio::time::sleep(300 * SECOND).await;
    assert_eq!(bench.sim.worst()["gpu-0"], Mebibytes(15_000));
    assert_eq!(bench.sim.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn foreign_memory_is_waited_for() {
    let bench = two(15_000, 1);
    bench.sim.intrude(intrusion(Duration::ZERO, 20_000, 60 * SECOND));
    let outcome = bench.apply(vec![start("a", &[])]).await;
    assert_eq!(outcome.done, 1);
    assert_about(bench.time_of(is_begun("a")), 60 * SECOND);
    let stages = bench.stages("start:a");
    assert_eq!(
        stages.iter().map(|(stage, _)| *stage).collect::<Vec<_>>(),
        [Stage::Release, Stage::Start, Stage::Health]
    );
    assert_about(Some(stages[0].1), 60 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_program_that_starts_during_a_wait_is_named() {
    let bench = Bench::new(vec![takes(15_000, "old"), takes(15_001, "new")], &["old"]);
    let bench = bench.measured(24_000, &[("old", 15_000)]);
    bench.behaves("old", Behaviour { release_lag: 20 * SECOND, ..Behaviour::default() });
    bench.sim.intrude(intrusion(10 * SECOND, 20_000, 3600 * SECOND));
    let outcome = bench.apply(vec![stop("old", &[]), start("new", &["stop:old"])]).await;
    // It wanted more, and took the free memory before that of the old service was released.
    let why = "it needs 15 001 MiB; GPU 0 has 24 000 − 9 000 foreign (blender) = 15 000; waited 2m for it";
    assert_eq!((outcome.done, outcome.failures[0].error.as_str()), (1, why));
    assert_eq!(bench.sim.worst()["gpu-0"], Mebibytes(24_000));
}

#[tokio::test(start_paused = true)]
async fn reservations_count_in_full_where_the_driver_does_not_measure_by_process() {
    let mut bench = Bench::new(["a", "b", "c"].map(|name| takes(8_000, name)).into(), &[]).measured(24_000, &[]);
    bench.sim.silence();
    bench.behaves("a", loads_in(600 * SECOND));
    bench.desired.services.get_mut(&"a".into()).expect("it is there").health.timeout = 700 * SECOND;
    bench.behaves("b", loads_in(300 * SECOND));
    bench.desired.services.get_mut(&"b".into()).expect("it is there").health.timeout = 700 * SECOND;
    let outcome = bench.apply(vec![start("a", &[]), start("b", &[]), start("c", &["start:b"])]).await;
    assert_eq!((outcome.done, outcome.failures.len()), (3, 0), "{:?}", outcome.failures);
    // Longer than a start waits for memory: the other service loads, and that ends. The part of its reservation that is
    // among the used memory is unknown until then.
    assert_about(bench.time_of(is_begun("c")), 600 * SECOND);

    let mut bench = two(12_000, 12_000);
    bench.sim.silence();
    bench.behaves("a", loads_in(600 * SECOND));
    bench.desired.services.get_mut(&"a".into()).expect("it is there").health.timeout = 700 * SECOND;
    bench.sim.intrude(intrusion(Duration::ZERO, 4_000, 3600 * SECOND));
    let outcome = bench.apply(vec![start("a", &[]), start("b", &[])]).await;
    let why = "it needs 12 000 MiB; GPU 0 has 24 000 − 1 000 foreign (blender) − 12 000 a (priority 0) = 11 000; waited 2m for it";
    assert_eq!(outcome.failures[0].error, why);
    assert_eq!(bench.sim.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_gpu_that_is_lost_or_no_longer_exists_is_not_waited_for() {
    let bench = two(1, 1);
    bench.sim.inject(|facts| facts.gpus.known_mut().expect("known")[0].lost = Some("it fell off the bus".to_owned()));
    let outcome = bench.apply(vec![start("a", &[])]).await;
    assert_eq!(outcome.failures[0].error, "GPU 0 can't be used any more: it fell off the bus");
    assert_eq!(bench.requests.lock().expect("unpoisoned")[0].prevented[&"a".into()].code, ReasonCode::GpuLost);

    let gone = two(1, 1);
    gone.sim.inject(|facts| facts.gpus = Reading::Known(Vec::new()));
    let outcome = gone.apply(vec![start("a", &[])]).await;
    assert_eq!(outcome.failures[0].error, "GPU gpu-0 no longer exists");
    for bench in [bench, gone] {
        let failed = |kind: &EventKind| matches!(kind, EventKind::StepFailed { .. });
        assert_eq!((bench.time_of(failed), bench.runs("a")), (Some(Duration::ZERO), false));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_started_while_gpus_can_not_be_read() {
    let bench = two(1, 1);
    bench.sim.inject(|facts| facts.gpus = Reading::Unknown("NVML does not answer".to_owned()));
    let outcome = bench.apply(vec![start("a", &[])]).await;
    let why = "free GPU memory can't be read: NVML does not answer; waited 2m for it";
    assert_eq!(outcome.failures[0].error, why);
    assert_eq!(bench.requests.lock().expect("unpoisoned")[0].prevented[&"a".into()].code, ReasonCode::Unknown);
    assert!(!bench.runs("a"));
}

#[tokio::test(start_paused = true)]
async fn a_gpu_that_can_not_be_read_is_waited_for_until_the_timeout() {
    for (id, why) in [
        ("gpu-0", "GPU 0 can't be used for now: it does not answer; waited 2m for it"),
        ("gpu-7", "GPU gpu-0 is not found, and GPU 7 can't be used for now: it does not answer; waited 2m for it"),
    ] {
        let bench = two(1, 1);
        bench.sim.inject(|facts| {
            let gpus = facts.gpus.known_mut().expect("known");
            (gpus[0].id, gpus[0].unreadable) = (id.into(), Some("it does not answer".to_owned()));
            gpus[0].index = if id == "gpu-0" { 0 } else { 7 };
        });
        let outcome = bench.apply(vec![start("a", &[])]).await;
        assert_eq!(outcome.failures[0].error, why);
        assert_eq!(bench.requests.lock().expect("unpoisoned")[0].prevented[&"a".into()].code, ReasonCode::Unknown);
        assert!(!bench.runs("a"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_ends_the_wait_for_memory() {
    let bench = two(15_000, 1);
    bench.sim.intrude(intrusion(Duration::ZERO, 20_000, 3600 * SECOND));
    let interrupt = async {
        tokio::time::sleep(30 * SECOND).await;
        bench.interrupt.send_replace(Some(Interrupt::Interrupted));
        tokio::time::Instant::now()
    };
    let (outcome, at) = tokio::join!(bench.apply(vec![start("a", &[])]), interrupt);
    assert!(at.elapsed().is_zero() && outcome.failures.is_empty() && outcome.skipped == 1);
    assert!(!bench.runs("a") && !outcome.changed);
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_the_run_ends_the_wait_for_memory() {
    let mut bench = two(15_000, 1);
    bench.options.timeout = 50 * SECOND;
    bench.sim.intrude(intrusion(Duration::ZERO, 20_000, 3600 * SECOND));
    let outcome = bench.apply(vec![start("a", &[])]).await;
    assert_eq!(outcome.failures[0].error, "the run timed out after 50s while the step was under way");
    assert!(!bench.runs("a"));
}

#[tokio::test(start_paused = true)]
async fn memory_is_reserved_for_a_service_that_was_starting_already() {
    let bench = Bench::new(vec![takes(15_000, "a"), takes(15_000, "b")], &["a"]).measured(24_000, &[]);
    bench.sim.silence();
    bench.behaves("a", loads_in(20 * SECOND));
    let outcome = bench.apply(vec![wait_for("a", &[]), start("b", &[])]).await;
    assert!(!bench.runs("b") && outcome.done == 1, "{:?}", outcome.failures);
}

#[tokio::test(start_paused = true)]
async fn the_reservation_of_a_failed_start_is_dropped() {
    let bench = two(15_000, 15_000);
    bench.behaves("a", Behaviour { start_error: Some("no such device".to_owned()), ..Behaviour::default() });
    let outcome = bench.apply(vec![start("a", &[]), start("b", &[])]).await;
    assert_eq!((outcome.done, bench.runs("b")), (1, true), "{:?}", outcome.failures);
}

/// GPU 0 with an orphan on it that has the name of service `a`.
fn orphaned(amount: u64) -> HostCapacity {
    let held = MemoryHolder { service: None, label: "orphan a".to_owned(), counts: Mebibytes(amount), measured: None };
    headroom(24_000, vec![held])
}

#[test]
fn an_orphan_with_a_services_name_counts_beside_it() {
    let (a, b) = (takes(8_000, "a"), takes(8_000, "b"));
    let gpus = [GpuId::from("gpu-0")];
    let line = |service, reserved: &[GpuId]| {
        let reservation = |gpu: &GpuId| StartReservation {
            gpus: vec![gpu.clone()],
            amount: a.vram,
            by_gpu: BTreeMap::new(),
            ram: Mebibytes::ZERO,
            state: ReservationState::Loading,
        };
        let reservations = reserved.iter().map(|gpu| ("a".into(), reservation(gpu))).collect();
        match shortfall(
            &orphaned(18_000),
            &Need {
                service,
                gpus: &gpus,
                amount: service.vram,
                by_gpu: no_amounts(),
                ram: Mebibytes::ZERO,
                held: Mebibytes::ZERO,
                is_beside: false,
            },
            &reservations,
        ) {
            Some(Shortfall::Short { line, .. }) => line,
            other => panic!("{other:?}"),
        }
    };
    let beside = "it needs 8 000 MiB; GPU 0 has 24 000 − 18 000 orphan a";
    assert_eq!(line(&a, &[]), format!("{beside} = 6 000"), "it counts against the service of its name too");
    assert_eq!(line(&b, &[]), format!("{beside} = 6 000"));
    assert_eq!(line(&b, &["gpu-1".into()]), format!("{beside} = 6 000"), "the orphan stays on its GPU");
    let both = format!("{beside} − 8 000 reserved for a = −2 000");
    assert_eq!(line(&b, &gpus), both, "the reservation is not part of the memory that it holds");
}
