//! Attempts that a run records, and when.

use futures_util::FutureExt as _;
use std::time::Duration;

use super::bench::{Bench, PROJECT, plan, service, start, start_again, stop, wait_for};
use crate::apply::OnFailure;
use crate::model::facts::Attempts;
use crate::model::lifecycle::State;
use crate::model::plan::{Held, Plan, Reason, ReasonCode, Step};
use crate::runtime::Driver as _;
use crate::sim::{Behaviour, Crash};
use crate::store::{AttemptStore as _, Journal as _};

const SECOND: Duration = Duration::from_secs(1);

fn because(code: ReasonCode, mut step: Step) -> Step {
    step.reason.code = code;
    step
}

/// Start of a service that has exited.
fn back(service: &str) -> Step {
    because(ReasonCode::Exited, start(service, &[]))
}

fn fails() -> Behaviour {
    Behaviour { start_error: Some("no such program".to_owned()), ..Behaviour::default() }
}

impl Bench {
    fn attempts(&self, service: &str) -> Option<Attempts> {
        let known = self.store.last_known(&PROJECT.into()).now_or_never().expect("at once").expect("a memory");
        known.get(&service.into()).and_then(|fact| fact.attempts.clone())
    }

    fn count(&self, service: &str) -> Option<u32> {
        self.attempts(service).map(|attempts| attempts.count)
    }

    fn tried(&self, service: &str, count: u32) {
        let spec = self.desired.services[&service.into()].spec.hash().to_owned();
        let attempts = Attempts { count, last_at: self.sim.now(), spec };
        self.store
            .set_attempts(&PROJECT.into(), &service.into(), Some(&attempts))
            .now_or_never()
            .expect("at once")
            .expect("a memory");
    }

    fn plans(&self, plans: impl IntoIterator<Item = Plan>) {
        self.next_plans.lock().expect("unpoisoned").extend(plans);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_recorded_before_the_start_has_its_effect() {
    for side in [Crash::Before, Crash::After] {
        let bench = Bench::new(vec![service("a")], &[]);
        bench.sim.crash_at(1, side);
        tokio::select! {
            biased;
            () = bench.sim.crashed() => {}
            _ = bench.apply(vec![back("a")]) => panic!("it goes on"),
        }
        assert_eq!(bench.count("a"), Some(1), "{side:?}");
        bench.sim.revive();
        // A service that is starting by now is that same attempt.
        if side == Crash::After {
            bench.behaves("a", Behaviour { dies_after: Some(SECOND), loading: 2 * SECOND, ..Behaviour::default() });
            assert!(bench.runs("a"));
        }
        bench.apply(vec![back("a")]).await;
        assert_eq!(bench.count("a"), Some(if side == Crash::Before { 2 } else { 1 }), "{side:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_attempt_counts_once_whether_it_fails_or_not() {
    let bench = Bench::new(["a", "b", "c", "d"].map(service).into(), &[]);
    bench.behaves("a", fails());
    bench.behaves("b", fails());
    bench.apply(vec![back("a"), start("b", &[]), back("c"), start("d", &[])]).await;
    assert_eq!(["a", "b", "c", "d"].map(|name| bench.count(name)), [Some(1), Some(1), Some(1), None]);
    let first = bench.attempts("b").expect("it failed");
    assert_eq!(first.spec, bench.desired.services[&"b".into()].spec.hash());
    tokio::time::sleep(SECOND).await;
    // A start after a failure is one more attempt, for any reason.
    bench.apply(vec![start("b", &[])]).await;
    let second = bench.attempts("b").expect("it failed");
    assert!(second.count == 2 && second.last_at > first.last_at, "{first:?} {second:?}");
}

#[tokio::test(start_paused = true)]
async fn failures_that_the_service_did_not_cause_are_not_counted() {
    let mut bench = Bench::new(["a", "b"].map(service).into(), &[]);
    bench.options.timeout = SECOND;
    bench.behaves("a", Behaviour { loading: 60 * SECOND, ..Behaviour::default() });
    bench.behaves("b", Behaviour { prepare_error: Some("no such image".to_owned()), ..Behaviour::default() });
    bench.plans([plan(vec![start("a", &[])])]);
    let outcome = bench.apply(vec![start("a", &[]), start("b", &[])]).await;
    assert_eq!(outcome.failures.len(), 2);
    assert_eq!(["a", "b"].map(|name| bench.count(name)), [None, None]);
}

#[tokio::test(start_paused = true)]
async fn a_first_start_that_fails_while_it_is_awaited_counts_too() {
    let bench = Bench::new(vec![service("a")], &["a"]);
    bench.behaves("a", Behaviour { never_healthy: true, ..Behaviour::default() });
    bench.apply(vec![wait_for("a", &[])]).await;
    assert_eq!(bench.count("a"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_did_not_stay_up_is_reported_and_counted_even_if_its_budget_is_spent() {
    let bench = Bench::new(vec![service("a"), service("b")], &[]);
    let held = |service: &str| {
        let reason = Reason { code: ReasonCode::BudgetSpent, message: "it exited with 1".to_owned(), by: None };
        Held { service: service.into(), reason, by: None, since: None }
    };
    bench.plans([Plan { held: vec![held("a"), held("b")], ..plan(Vec::new()) }]);
    let outcome = bench.apply(vec![back("a")]).await;
    let errors: Vec<&str> = outcome.failures.iter().map(|failure| failure.error.as_str()).collect();
    assert_eq!(errors, ["started, but did not stay up: it exited with 1"]);
    assert_eq!((bench.count("a"), bench.count("b")), (Some(1), None));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_counted_for_the_service_whose_memory_is_not_released() {
    let bench = Bench::new(["a", "b"].map(service).into(), &["b"]).measured(100, &[("b", 60)]);
    bench.behaves("b", Behaviour { leaks: true, ..Behaviour::default() });
    let mut frees_capacity = because(ReasonCode::Preempted, stop("b", &[]));
    frees_capacity.reason.by = Some("a".to_owned());
    frees_capacity.gpus = vec!["gpu-0".into()];
    let outcome = bench.apply(vec![frees_capacity, start("a", &["stop:b"])]).await;
    assert!(outcome.failures[0].error.contains("its resources were not released"), "{:?}", outcome.failures);
    assert_eq!((bench.count("a"), bench.count("b")), (Some(1), None));
}

#[tokio::test(start_paused = true)]
async fn the_attempts_of_a_healthy_service_are_forgotten_by_its_stop_and_those_of_a_failed_one_are_not() {
    let bench = Bench::new(["a", "b"].map(service).into(), &["a", "b"]);
    bench.tried("a", 2);
    bench.tried("b", 3);
    let mut given_up = because(ReasonCode::BudgetSpent, stop("b", &[]));
    (given_up.expect.state, given_up.route) = (State::Error, vec![State::Error, State::Offline]);
    bench.apply(vec![stop("a", &[]), given_up]).await;
    assert_eq!((bench.count("a"), bench.count("b")), (None, Some(3)));
}

#[tokio::test(start_paused = true)]
async fn attempts_of_recovered_services_are_forgotten_before_the_first_step() {
    let bench = Bench::new(vec![service("a")], &[]);
    bench.tried("a", 3);
    bench.plans([plan(vec![back("a")]), plan(Vec::new())]);
    let recovered = vec!["a".into()];
    bench.apply_plan(Plan { recovered, ..plan(vec![back("a")]) }).await;
    assert_eq!(bench.count("a"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_spends_the_whole_budget_of_a_failed_service() {
    let mut bench = Bench::new(["a", "b"].map(service).into(), &["b"]);
    bench.options.on_failure = OnFailure::Rollback;
    bench.behaves("a", fails());
    bench.apply(vec![stop("b", &[]), start("a", &["stop:b"])]).await;
    assert!(bench.runs("b"));
    assert_eq!((bench.count("a"), bench.count("b")), (Some(3), None));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_stops_no_start() {
    let mut bench = Bench::new(vec![service("a")], &[]);
    bench.forgets = true;
    let outcome = bench.apply(vec![because(ReasonCode::Unhealthy, start_again("a", &[]))]).await;
    assert!(bench.runs("a") && outcome.failures.is_empty());
    let warned: Vec<String> =
        bench.warnings().iter().filter_map(|warning| warning.split(':').next().map(str::to_owned)).collect();
    assert_eq!(warned, ["the history is not kept in this run"]);
}
