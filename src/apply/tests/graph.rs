//! Order of steps: when each begins.

use std::time::Duration;

use super::bench::{Bench, depends, loads_in, service, start, stop};
use crate::model::desired::Condition;
use crate::model::event::EventKind;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_step_begins_when_its_needs_are_done() {
    let bench = Bench::new(vec![service("a"), service("b"), service("c")], &["a"]);
    bench.behaves("b", loads_in(SECOND));
    let outcome = bench.apply(vec![stop("a", &[]), start("b", &["stop:a"]), start("c", &["start:b"])]).await;
    assert_eq!(bench.deeds(), ["stop a", "start b", "start c"]);
    assert!(outcome.changed && outcome.failures.is_empty(), "{outcome:?}");
    assert_eq!((outcome.done, outcome.skipped), (3, 0));
    let began = bench.time_of(|kind| matches!(kind, EventKind::StepStarted { step, .. } if step.as_str() == "start:c"));
    assert!(began.is_some_and(|began| began >= SECOND), "{began:?}");
    assert!(outcome.last_plan.is_some_and(|plan| plan.steps.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn no_more_steps_are_under_way_than_allowed() {
    let names = ["a", "b", "c", "d", "e"];
    let mut bench = Bench::new(names.iter().map(|name| service(name)).collect(), &[]);
    bench.options.parallelism = 2;
    for name in names {
        bench.behaves(name, loads_in(SECOND));
    }
    let outcome = bench.apply(names.iter().map(|name| start(name, &[])).collect()).await;
    assert_eq!(outcome.done, 5);
    let (mut under_way, mut most) = (0_i32, 0);
    for kind in bench.events() {
        match kind {
            EventKind::StepStarted { .. } => under_way += 1,
            EventKind::StepDone { .. } => under_way -= 1,
            _ => {}
        }
        most = most.max(under_way);
    }
    assert_eq!(most, 2);
    assert_eq!(bench.deeds(), ["start a", "start b", "start c", "start d", "start e"], "in the plan's order");
}

#[tokio::test(start_paused = true)]
async fn a_dependent_with_the_condition_started_does_not_wait_for_health() {
    let loading = Duration::from_secs(30);
    for (condition, early) in [(Condition::Started, true), (Condition::Healthy, false)] {
        let bench = Bench::new(vec![service("base"), depends(service("top"), "base", condition)], &[]);
        bench.behaves("base", loads_in(loading));
        let outcome = bench.apply(vec![start("base", &[]), start("top", &["start:base"])]).await;
        assert_eq!(outcome.done, 2);
        let top =
            |kind: &EventKind| matches!(kind, EventKind::StepStarted { step, .. } if step.as_str() == "start:top");
        let began = bench.time_of(top).expect("it began");
        assert_eq!(began < loading, early, "{condition:?}: {began:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_is_reported_at_least_every_ten_seconds() {
    let bench = Bench::new(vec![service("slow")], &[]);
    bench.behaves("slow", loads_in(Duration::from_secs(35)));
    bench.apply(vec![start("slow", &[])]).await;
    let waiting = |kind: &EventKind| matches!(kind, EventKind::Heartbeat { waiting, .. } if waiting.len() == 1);
    assert_eq!(bench.events().iter().filter(|kind| waiting(kind)).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_second_plan_is_carried_out_in_the_same_run_and_a_third_that_brings_nothing_new_is_not() {
    let bench = Bench::new(vec![service("a"), service("b")], &[]);
    let more = super::bench::plan(vec![start("b", &[])]);
    bench.next_plans.lock().expect("unpoisoned").push_back(more);
    let outcome = bench.apply(vec![start("a", &[])]).await;
    assert_eq!(bench.deeds(), ["start a", "start b"]);
    assert_eq!(outcome.done, 2);
    assert_eq!(bench.requests.lock().expect("unpoisoned").len(), 2);
}
