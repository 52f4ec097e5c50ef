//! Release of memory: waited for after a stop, and measured after an eviction, whose own result proves nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use super::bench::{Bench, busy, container, evict, evictable, start, start_again, stop, takes};
use crate::model::desired::{Mode, Others, Service};
use crate::model::event::Stage;
use crate::model::facts::{GpuHolder, ProcessOwner, Reading};
use crate::model::lifecycle::State;
use crate::model::plan::Step;
use crate::model::size::Mebibytes;
use crate::model::spec::Spec;
use crate::runtime::docker::facts::DockerReading as _;
use crate::runtime::process::facts::ProcessReading as _;
use crate::sim::Behaviour;

const SECOND: Duration = Duration::from_secs(1);

fn old_and_new(behaviour: Behaviour) -> Bench {
    let bench = Bench::new(vec![takes(15_000, "old"), takes(15_000, "new")], &["old"]);
    let bench = bench.measured(24_000, &[("old", 15_000)]);
    bench.behaves("old", behaviour);
    bench
}

#[tokio::test(start_paused = true)]
async fn memory_that_is_released_late_is_waited_for_and_its_time_is_reported() {
    let bench = old_and_new(Behaviour { release_lag: 20 * SECOND, stop_takes: 3 * SECOND, ..Behaviour::default() });
    let outcome = bench.apply(vec![stop("old", &[]), start("new", &["stop:old"])]).await;
    assert_eq!(outcome.done, 2, "{:?}", outcome.failures);
    let stages = bench.stages("stop:old");
    assert_eq!(stages[0], (Stage::Stop, 3 * SECOND));
    let (stage, took) = stages[1];
    assert!(stage == Stage::Release && took >= 20 * SECOND && took <= 21 * SECOND, "{stages:?}");
    assert_eq!(stages.len(), 2);
    assert_eq!(bench.sim.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn memory_that_is_never_released_fails_the_stop_and_names_its_holder() {
    let bench = old_and_new(Behaviour { leaks: true, ..Behaviour::default() });
    let outcome = bench.apply(vec![stop("old", &[]), start("new", &["stop:old"])]).await;
    let why = "stopped, but its resources were not released within 2m: pid 4711 (old) still holds 15 000 MiB on GPU 0";
    assert_eq!(outcome.failures[0].error, why);
    assert!(!bench.runs("new"));
    assert_eq!(bench.skipped(), ["start:new: it needs stop:old, which did not succeed"]);

    let outcome = bench.apply(vec![start("new", &[])]).await;
    let why = "it needs 15 000 MiB; GPU 0 has 24 000 − 15 000 foreign (a process that has ended (pid 4711)) = 9 000; \
               waited 2m for it";
    assert_eq!(outcome.failures[0].error, why);
    assert!(!bench.runs("new"));
}

#[tokio::test(start_paused = true)]
async fn a_gpu_that_can_not_be_read_proves_no_release_and_no_eviction() {
    let evicting = evicting(Behaviour { release_lag: 20 * SECOND, ..Behaviour::default() });
    let stopping = old_and_new(Behaviour { release_lag: 20 * SECOND, ..Behaviour::default() });
    for (bench, step, error) in [
        (
            evicting,
            evict("a"),
            "evicted, but after 2m its memory can't be read: GPU 0 can't be used for now: it does not answer",
        ),
        (
            stopping,
            stop("old", &[]),
            "stopped, but its resources were not released within 2m: the processes on GPU 0 can't be read: it does not \
             answer",
        ),
    ] {
        let silence = async {
            tokio::time::sleep(10 * SECOND).await;
            bench.sim.inject(|facts| {
                let gpu = &mut facts.gpus.known_mut().expect("known")[0];
                (gpu.used, gpu.holders, gpu.unreadable) = (None, Vec::new(), Some("it does not answer".to_owned()));
            });
        };
        let (outcome, ()) = tokio::join!(bench.apply(vec![step]), silence);
        assert_eq!(outcome.failures[0].error, error);
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_on_a_gpu_counts_even_if_its_memory_is_not_measured() {
    let bench = old_and_new(Behaviour { leaks: true, ..Behaviour::default() });
    bench.sim.silence();
    let outcome = bench.apply(vec![stop("old", &[])]).await;
    let why = "stopped, but its resources were not released within 2m: pid 4711 (old) still holds memory on GPU 0";
    assert_eq!(outcome.failures[0].error, why);
}

/// Stops a service while the driver does not answer, until this time has passed.
async fn stopped_while_the_driver_is_away(time: Duration, behaviour: Behaviour) -> (Bench, Vec<String>) {
    let bench = old_and_new(behaviour);
    let mut restored = Reading::Unknown("the driver is being replaced".to_owned());
    bench.sim.inject(|facts| std::mem::swap(&mut facts.gpus, &mut restored));
    // A plan that is made meanwhile has no GPU.
    let step = Step { gpus: Vec::new(), ..stop("old", &[]) };
    let comes_back = async {
        tokio::time::sleep(time).await;
        bench.sim.inject(|facts| facts.gpus = restored);
    };
    let (outcome, ()) = tokio::join!(bench.apply(vec![step]), comes_back);
    let failures = outcome.failures.into_iter().map(|failure| failure.error).collect();
    (bench, failures)
}

#[tokio::test(start_paused = true)]
async fn a_gpu_whose_memory_is_never_measured_delays_no_stop_if_its_processes_are_known() {
    let bench = old_and_new(Behaviour::default());
    bench.sim.inject(|facts| {
        let gpu = &mut facts.gpus.known_mut().expect("known")[0];
        (gpu.used, gpu.unreadable) = (None, Some("it does not report its memory".to_owned()));
    });
    let began = tokio::time::Instant::now();
    let outcome = bench.apply(vec![stop("old", &[])]).await;
    assert_eq!((outcome.done, bench.warnings(), began.elapsed() < SECOND), (1, Vec::new(), true));
}

#[tokio::test(start_paused = true)]
async fn a_release_is_reported_as_not_measured_where_the_driver_names_no_process() {
    let bench = old_and_new(Behaviour::default());
    bench.sim.inject(|facts| {
        let (program, owner) = ("unnamed".to_owned(), ProcessOwner::Foreign);
        let unnamed = GpuHolder { pid: 0, program, memory: None, owner };
        facts.gpus.known_mut().expect("known")[0].holders = vec![unnamed];
    });
    let began = tokio::time::Instant::now();
    let outcome = bench.apply(vec![stop("old", &[])]).await;
    assert_eq!((outcome.done, began.elapsed() < SECOND), (1, true));
    let why = "old was stopped, but the release of its GPU memory was not measured: the driver does not name the \
               processes on GPU 0";
    assert_eq!(bench.warnings(), [why]);
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_does_not_answer_for_a_moment_before_a_stop_is_read_again() {
    let leaks = Behaviour { leaks: true, ..Behaviour::default() };
    let (bench, failures) = stopped_while_the_driver_is_away(SECOND, leaks).await;
    let why = "stopped, but its resources were not released within 2m: pid 4711 (old) still holds 15 000 MiB on GPU 0";
    assert_eq!((failures, bench.warnings()), (vec![why.to_owned()], Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_release_is_reported_as_not_measured_where_the_gpus_could_not_be_read_before() {
    let slow = Behaviour { leaks: true, stop_takes: 10 * SECOND, ..Behaviour::default() };
    for time in [5 * SECOND, 3600 * SECOND] {
        let (bench, failures) = stopped_while_the_driver_is_away(time, slow.clone()).await;
        assert_eq!((failures, bench.runs("old")), (Vec::new(), false));
        let why = "old was stopped, but the release of its GPU memory was not measured: the GPUs could not be read \
                   before the stop: the driver is being replaced";
        assert_eq!(bench.warnings(), [why]);
    }
}

#[tokio::test(start_paused = true)]
async fn processes_on_a_gpu_are_waited_for_even_if_it_could_not_be_read_before_the_stop() {
    let service = Service { ports: BTreeSet::from([8188.into()]), ..takes(15_000, "old") };
    let bench = Bench::new(vec![service], &["old"]).measured(24_000, &[("old", 15_000)]);
    let unread = || "the driver is being replaced".to_owned();
    let mut restored = Reading::Unknown(unread());
    bench.sim.inject(|facts| {
        std::mem::swap(&mut facts.gpus, &mut restored);
        facts.listeners = Reading::Unknown(unread());
    });
    let comes_back = async {
        // It has ended by then, and its ports are still looked after.
        tokio::time::sleep(10 * SECOND).await;
        bench.sim.inject(|facts| (facts.gpus, facts.listeners) = (restored, Reading::NotAsked));
    };
    let (outcome, ()) = tokio::join!(bench.apply(vec![stop("old", &[])]), comes_back);
    let why = "stopped, but its resources were not released within 2m: pid 4711 (old) still holds 15 000 MiB on GPU 0";
    assert_eq!(outcome.failures.iter().map(|failure| failure.error.as_str()).collect::<Vec<_>>(), [why]);
}

#[tokio::test(start_paused = true)]
async fn ports_that_cannot_be_looked_at_are_not_free() {
    let service = Service { ports: BTreeSet::from([8188.into()]), ..takes(15_000, "old") };
    let bench = Bench::new(vec![service], &["old"]).measured(24_000, &[("old", 15_000)]);
    bench.sim.inject(|facts| facts.listeners = Reading::Unknown("no permission".to_owned()));
    let outcome = bench.apply(vec![stop("old", &[])]).await;
    let why = "stopped, but its resources were not released within 2m: its ports can't be read: ";
    assert!(outcome.failures[0].error.starts_with(why), "{:?}", outcome.failures);
}

#[tokio::test(start_paused = true)]
async fn a_surplus_copy_does_not_wait_for_the_memory_of_its_service() {
    let bench = Bench::new(vec![takes(4_000, "a")], &["a"]).measured(24_000, &[("a", 4_000)]);
    bench.sim.inject(|facts| {
        let trees = facts.processes_mut().trees.known_mut().expect("known");
        trees[0].members[0].pid = 4711;
        let mut copy = trees[0].clone();
        copy.marks.salt = "surplus".to_owned();
        copy.members[0].pid = 5000;
        trees.push(copy);
    });
    let mut surplus = stop("a", &[]);
    surplus.id = "stop:a#1".into();
    surplus.expect.instance = Some(crate::runtime::process::instance("surplus".to_owned()));
    let outcome = bench.apply(vec![surplus]).await;
    assert_eq!((outcome.done, bench.runs("a")), (1, true), "{:?}", outcome.failures);
}

#[tokio::test(start_paused = true)]
async fn a_stop_evicts_drains_stops_and_waits_in_this_order() {
    let service = busy(evictable(takes(15_000, "old"), 1_000), None);
    let bench = Bench::new(vec![service], &["old"]).measured(24_000, &[("old", 15_000)]);
    let behaviour = Behaviour {
        busy_for: Some(10 * SECOND),
        stop_takes: 2 * SECOND,
        release_lag: 5 * SECOND,
        ..Behaviour::default()
    };
    bench.behaves("old", behaviour);
    bench.apply(vec![stop("old", &[])]).await;
    let stages = bench.stages("stop:old");
    let names: Vec<Stage> = stages.iter().map(|(stage, _)| *stage).collect();
    assert_eq!(names, [Stage::Evict, Stage::Drain, Stage::Stop, Stage::Release]);
    assert!(stages[1].1 >= 10 * SECOND && stages[2].1 == 2 * SECOND && stages[3].1 >= 5 * SECOND, "{stages:?}");
}

fn evicting(behaviour: Behaviour) -> Bench {
    let bench = Bench::new(vec![evictable(takes(18_000, "a"), 1_024)], &["a"]).measured(24_000, &[("a", 18_000)]);
    bench.behaves("a", behaviour);
    bench
}

#[tokio::test(start_paused = true)]
async fn an_eviction_is_done_when_no_more_is_measured_than_the_service_may_keep() {
    let bench = evicting(Behaviour { release_lag: 7 * SECOND, ..Behaviour::default() });
    let outcome = bench.apply(vec![evict("a")]).await;
    assert_eq!((outcome.done, bench.runs("a")), (1, true), "{:?}", outcome.failures);
    let stages = bench.stages("evict:a");
    assert_eq!(stages[0].0, Stage::Evict);
    assert!(stages[1].0 == Stage::Release && stages[1].1 >= 7 * SECOND && stages[1].1 <= 8 * SECOND, "{stages:?}");
    assert_eq!(bench.sim.world().gpus.known().expect("known")[0].used, Some(Mebibytes(1_024)));
}

/// Bench whose mode wants `b`; `a`, which may go on running, holds little enough to look evicted.
fn beside_a_little(behaviour: Behaviour) -> Bench {
    let services = vec![evictable(takes(18_000, "a"), 1_024), takes(15_000, "b")];
    let mut bench = Bench::new(services, &["a"]).measured(24_000, &[("a", 600)]);
    let mode = Mode {
        description: None,
        services: BTreeSet::from(["b".into()]),
        goals: BTreeSet::new(),
        stop: BTreeSet::new(),
        others: Others::Keep,
    };
    bench.desired.modes.insert("b".into(), mode);
    bench.desired.mode = Some("b".into());
    bench.behaves("a", behaviour);
    bench
}

#[tokio::test(start_paused = true)]
async fn no_start_is_admitted_beside_a_service_that_looks_evicted_and_does_not_answer() {
    let bench = beside_a_little(Behaviour { never_healthy: true, ..Behaviour::default() });
    let outcome = bench.apply(vec![start("b", &[])]).await;
    let why = "it needs 15 000 MiB; GPU 0 has 24 000 − 18 000 a (priority 0) = 6 000; waited 2m for it";
    assert_eq!(outcome.failures[0].error, why);
    assert!(!bench.runs("b"));

    let outcome = beside_a_little(Behaviour::default()).apply(vec![start("b", &[])]).await;
    assert_eq!(outcome.done, 1, "{:?}", outcome.failures);
}

#[tokio::test(start_paused = true)]
async fn an_eviction_that_frees_too_little_fails_and_reports_by_how_much() {
    let bench = evicting(Behaviour { evicts_to: Some(Mebibytes(2_000)), ..Behaviour::default() });
    let outcome = bench.apply(vec![evict("a")]).await;
    let why = "evicted, but after 2m it still holds 2 000 MiB on GPU 0, 976 MiB more than it may keep";
    assert_eq!(outcome.failures[0].error, why);
    assert!(bench.runs("a"));

    let refused = evicting(Behaviour { evict_error: Some("refused".to_owned()), ..Behaviour::default() });
    assert_eq!(refused.apply(vec![evict("a")]).await.failures[0].error, "refused");
}

#[tokio::test(start_paused = true)]
async fn an_eviction_that_is_not_measured_fails() {
    let bench = evicting(Behaviour::default());
    bench.sim.silence();
    let beside_others = evicting(Behaviour::default());
    beside_others.sim.inject(|facts| {
        let gpu = &mut facts.gpus.known_mut().expect("known")[0];
        let (program, owner) = ("unnamed".to_owned(), ProcessOwner::Foreign);
        gpu.holders.push(GpuHolder { pid: 0, program, memory: None, owner });
    });
    for bench in [bench, beside_others] {
        let outcome = bench.apply(vec![evict("a")]).await;
        assert_eq!(outcome.failures[0].error, "evicted, but after 2m its memory on GPU 0 is not measured");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_has_ended_needs_no_eviction() {
    let bench = evicting(Behaviour::default());
    bench.sim.inject(|facts| facts.processes_mut().trees.known_mut().expect("known")[0].members.clear());
    let outcome = bench.apply(vec![evict("a")]).await;
    assert!(bench.deeds().is_empty() && outcome.failures.is_empty() && !outcome.changed);
}

/// Recreates a container as one that does not become healthy. Returns the bench and the error.
async fn recreated(behaviour: Behaviour) -> (Bench, String) {
    let bench = Bench::new(vec![Service { vram: Mebibytes(15_000), ..container("a") }], &[]);
    let mut bench = bench.measured(24_000, &[]);
    bench.apply(vec![start("a", &[])]).await;
    let previous = bench.sim.world().docker().containers.known().expect("known")[0].clone();
    bench.desired.services.get_mut(&"a".into()).expect("there").spec =
        Spec::plain(serde_json::json!({ "command": "newer" }));
    bench.behaves("a", behaviour);
    let instance = crate::runtime::docker::instance(previous.id, previous.name.as_str());
    let (mut stop, mut start) = (stop("a", &[]), start_again("a", &["stop:a"]));
    stop.expect.instance = Some(instance.clone());
    stop.vram_mib = Mebibytes(15_000);
    start.expect.instance = Some(instance);
    let outcome = bench.apply(vec![stop, start]).await;
    let error = outcome.failures[0].error.clone();
    (bench, error)
}

#[tokio::test(start_paused = true)]
async fn a_previous_revision_is_restored_once_the_memory_of_the_newer_one_is_free() {
    let lags = Behaviour { never_healthy: true, release_lag: 5 * SECOND, ..Behaviour::default() };
    let (bench, error) = recreated(lags).await;
    assert!(error.ends_with("; the previous revision was restored"), "{error}");
    assert!(bench.runs("a"));
    assert_eq!(bench.states("a").last(), Some(&State::Starting));
    assert_eq!(bench.sim.violations(), Vec::<String>::new());
}
