//! The first interrupt: nothing new begins, and the run ends within five seconds.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::bench::{Bench, loads_in, service, start, stop};
use crate::apply::{Interrupt, RunResult};
use crate::model::plan::Step;
use crate::sim::Behaviour;

const SECOND: Duration = Duration::from_secs(1);

async fn interrupted(bench: &Bench, after: Duration, steps: Vec<Step>) -> (RunResult, Duration) {
    let interrupt = async {
        sleep(after).await;
        bench.interrupt.send_replace(Some(Interrupt::Interrupted));
        Instant::now()
    };
    let (outcome, began) = tokio::join!(bench.apply(steps), interrupt);
    (outcome, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_once_and_nothing_new_begins() {
    let bench = Bench::new(["a", "b"].map(service).into(), &[]);
    bench.behaves("a", loads_in(30 * SECOND));
    let (outcome, took) = interrupted(&bench, 3 * SECOND, vec![start("a", &[]), start("b", &["start:a"])]).await;
    assert!(took.is_zero(), "{took:?}");
    assert_eq!(outcome.interrupted, Some(Interrupt::Interrupted));
    assert!(outcome.failures.is_empty() && outcome.last_plan.is_none() && outcome.changed);
    assert_eq!(outcome.skipped, 2);
    assert!(bench.runs("a") && !bench.runs("b"));
}

#[tokio::test(start_paused = true)]
async fn an_effect_under_way_may_end_within_its_time() {
    let bench = Bench::new(vec![service("a")], &["a"]);
    bench.behaves("a", Behaviour { stop_takes: 5 * SECOND, ..Behaviour::default() });
    let (outcome, took) = interrupted(&bench, 3 * SECOND, vec![stop("a", &[])]).await;
    assert_eq!((outcome.done, took), (1, 2 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn an_effect_that_takes_longer_is_not_waited_for() {
    let bench = Bench::new(vec![service("a")], &["a"]);
    bench.behaves("a", Behaviour { ignores_term: true, ..Behaviour::default() });
    let (outcome, took) = interrupted(&bench, SECOND, vec![stop("a", &[])]).await;
    assert_eq!((outcome.done, outcome.skipped, took), (0, 1, 4 * SECOND));
    sleep(6 * SECOND).await;
    assert!(!bench.runs("a"), "the service that was signalled still ends");
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_before_the_first_step_changes_nothing() {
    let bench = Bench::new(vec![service("a")], &["a"]);
    bench.interrupt.send_replace(Some(Interrupt::Terminated));
    let outcome = bench.apply(vec![stop("a", &[])]).await;
    assert_eq!((outcome.changed, outcome.interrupted), (false, Some(Interrupt::Terminated)));
    assert!(bench.runs("a"));
}

#[tokio::test(start_paused = true)]
async fn no_step_begins_once_the_lock_of_the_host_is_lost() {
    let bench = Bench::new(["a", "b", "c"].map(service).into(), &[]);
    *bench.lock_steps.lock().expect("unpoisoned") = Some(1);
    let outcome = bench.apply(vec![start("a", &[]), start("b", &["start:a"]), start("c", &[])]).await;
    assert!(outcome.lock_lost && outcome.changed, "{outcome:?}");
    assert_eq!(outcome.refused.as_deref(), Some("the lock was removed"));
    assert!(outcome.failures.is_empty() && outcome.last_plan.is_none());
    assert_eq!((outcome.done, outcome.skipped), (1, 2), "the step under way was completed");
    assert!(bench.runs("a") && !bench.runs("b") && !bench.runs("c"));
}
