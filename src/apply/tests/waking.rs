//! Wakes: admitted as starts are, called, and done when the service answers.

use std::collections::BTreeSet;
use std::time::Duration;

use super::bench::{Bench, loads_in, start, stop, takes, wake, wakeable};
use crate::model::desired::Service;
use crate::model::plan::ReasonCode;
use crate::model::size::Mebibytes;
use crate::runtime::process::facts::ProcessReading as _;
use crate::sim::{Behaviour, Intrusion, OVERCOMMITTED, OVERRESERVED};

const SECOND: Duration = Duration::from_secs(1);

/// `a` runs and holds 1 000 MiB of its 20 000; `b` holds `b` MiB.
fn asleep(b: u64) -> Bench {
    let services = vec![wakeable(takes(20_000, "a")), takes(b.max(1), "b"), takes(8_000, "c")];
    Bench::new(services, &["a", "b"]).measured(24_000, &[("a", 1_000), ("b", b)])
}

fn used(bench: &Bench) -> Option<Mebibytes> {
    bench.sim.world().gpus.known().expect("known")[0].used
}

#[tokio::test(start_paused = true)]
async fn a_wake_waits_for_the_stop_that_it_needs_and_takes_its_memory() {
    let bench = asleep(18_000);
    bench.behaves("b", Behaviour { release_lag: 5 * SECOND, ..Behaviour::default() });
    let outcome = bench.apply(vec![stop("b", &[]), wake("a", &["stop:b"])]).await;
    assert!(outcome.failures.is_empty() && outcome.changed, "{:?}", outcome.failures);
    assert_eq!((outcome.done, used(&bench)), (2, Some(Mebibytes(20_000))));
    assert_eq!(bench.deeds(), ["stop b", "wake a"]);
    assert_eq!(bench.states("a"), [], "it runs on");
    assert_eq!(bench.sim.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_wake_without_free_memory_is_not_carried_out() {
    let bench = asleep(18_000);
    let outcome = bench.apply(vec![wake("a", &[])]).await;
    let why = "it needs 20 000 MiB; GPU 0 has 24 000 − 18 000 b (priority 0) = 6 000; waited 2m for it";
    assert_eq!(outcome.failures[0].error, why);
    assert_eq!(bench.requests.lock().expect("unpoisoned")[0].prevented[&"a".into()].code, ReasonCode::NoCapacity);
    assert!(bench.deeds().is_empty() && bench.runs("a"));
}

#[tokio::test(start_paused = true)]
async fn a_wake_needs_no_free_port() {
    let on_port = |service: Service| Service { ports: BTreeSet::from([8188.into()]), ..service };
    // In the simulation, each holds the port of the other.
    let services = vec![on_port(wakeable(takes(20_000, "a"))), on_port(takes(1, "b"))];
    let bench = Bench::new(services, &["a", "b"]).measured(24_000, &[("a", 1_000), ("b", 0)]);
    let outcome = bench.apply(vec![wake("a", &[])]).await;
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(bench.deeds(), ["wake a"]);
}

#[tokio::test(start_paused = true)]
async fn a_start_beside_a_wake_gets_none_of_the_memory_reserved_for_it() {
    let bench = asleep(0);
    // It answers late, and its memory is reserved meanwhile.
    bench.behaves("a", loads_in(10 * SECOND));
    let outcome = bench.apply(vec![wake("a", &[]), start("c", &[])]).await;
    assert_eq!(outcome.done, 1, "{:?}", outcome.failures);
    assert!(outcome.failures[0].error.starts_with("it needs 8 000 MiB; GPU 0 has 24 000 − 20 000 a"), "{outcome:?}");
    assert_eq!(bench.sim.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_wake_that_is_refused_or_gets_no_answer_has_failed() {
    let refuses = Behaviour { wake_error: Some("it answers 500".to_owned()), ..Behaviour::default() };
    let silent = Behaviour { never_healthy: true, ..Behaviour::default() };
    for (behaviour, why) in
        [(refuses, "it answers 500"), (silent, "woken, but then not healthy after 1m: it answers 503")]
    {
        let bench = asleep(0);
        bench.behaves("a", behaviour);
        let outcome = bench.apply(vec![wake("a", &[])]).await;
        assert_eq!(outcome.failures[0].error, why);
        assert_eq!(bench.requests.lock().expect("unpoisoned")[0].prevented[&"a".into()].code, ReasonCode::StartFailed);
        assert!(bench.runs("a"), "it goes on running");
    }
}

#[tokio::test(start_paused = true)]
async fn another_instance_than_the_one_in_the_plan_is_not_woken() {
    let bench = asleep(0);
    bench
        .sim
        .inject(|facts| facts.processes_mut().trees.known_mut().expect("known")[0].marks.salt = "another".to_owned());
    let outcome = bench.apply(vec![wake("a", &[])]).await;
    assert!(outcome.failures.is_empty() && bench.deeds().is_empty());
    assert!(bench.skipped()[0].contains("a different instance is running"), "{:?}", bench.skipped());
    let bench = asleep(0);
    bench.sim.inject(|facts| facts.processes_mut().trees.known_mut().expect("known")[0].members.clear());
    bench.apply(vec![wake("a", &[])]).await;
    assert!(bench.skipped()[0].contains("it has ended since"), "{:?}", bench.skipped());
}

#[tokio::test(start_paused = true)]
async fn the_simulator_reports_starts_that_are_admitted_on_reserved_memory() {
    let bench = asleep(0);
    bench.sim.inject(|facts| facts.processes_mut().trees.known_mut().expect("known")[0].marks.vram_mib = 20_000);
    bench.headrooms.lock().expect("unpoisoned").extend([super::bench::headroom(24_000, Vec::new())]);
    bench.apply(vec![start("c", &[])]).await;
    assert!(bench.sim.violations()[0].starts_with(OVERRESERVED), "{:?}", bench.sim.violations());

    let bench = asleep(0);
    bench.sim.inject(|facts| facts.processes_mut().trees.known_mut().expect("known")[0].marks.vram_mib = 20_000);
    bench.sim.release(BTreeSet::from([("a".into(), "gpu-0".into())]));
    bench.headrooms.lock().expect("unpoisoned").extend([super::bench::headroom(24_000, Vec::new())]);
    bench.apply(vec![start("c", &[])]).await;
    assert_eq!(bench.sim.violations(), Vec::<String>::new(), "the plan does not reserve it any more");

    let bench = asleep(18_000);
    bench.headrooms.lock().expect("unpoisoned").extend([super::bench::headroom(40_000, Vec::new())]);
    bench.apply(vec![wake("a", &[])]).await;
    assert!(bench.sim.violations()[0].starts_with(OVERCOMMITTED), "{:?}", bench.sim.violations());
}

#[tokio::test(start_paused = true)]
async fn memory_that_is_taken_between_a_plan_and_its_wake_is_waited_for() {
    let bench = asleep(0);
    let (memory, lasts) = (Mebibytes(10_000), 30 * SECOND);
    let program = "blender".to_owned();
    bench.sim.intrude(Intrusion { gpu: "gpu-0".into(), after: Duration::ZERO, program, memory, lasts });
    let outcome = bench.apply(vec![wake("a", &[])]).await;
    assert_eq!((outcome.done, used(&bench)), (1, Some(Mebibytes(20_000))), "{:?}", outcome.failures);
}
