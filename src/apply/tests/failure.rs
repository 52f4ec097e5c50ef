//! Failures: the steps that are skipped for one, and those that are not; rollback.

use std::time::Duration;

use super::bench::{Bench, loads_in, plan, service, start, start_again, stop};
use crate::apply::OnFailure;
use crate::model::event::EventKind;
use crate::model::plan::ReasonCode;
use crate::model::spec::Spec;
use crate::sim::Behaviour;

const SECOND: Duration = Duration::from_secs(1);

fn fails() -> Behaviour {
    Behaviour { start_error: Some("no such program".to_owned()), ..Behaviour::default() }
}

#[tokio::test(start_paused = true)]
async fn a_failure_skips_its_dependents_and_no_other_step() {
    let bench = Bench::new(["a", "b", "c", "d"].map(service).into(), &[]);
    bench.behaves("a", fails());
    let steps = vec![start("a", &[]), start("b", &["start:a"]), start("c", &["start:b"]), start("d", &[])];
    let outcome = bench.apply(steps).await;
    assert!(bench.runs("d") && !bench.runs("b") && !bench.runs("c"));
    assert_eq!((outcome.done, outcome.skipped, outcome.failures.len()), (1, 2, 1));
    assert_eq!(
        bench.skipped(),
        ["start:b: it needs start:a, which did not succeed", "start:c: it needs start:b, which did not succeed"]
    );
    let prevented = bench.requests.lock().expect("unpoisoned")[0].prevented.clone();
    assert_eq!(prevented[&"a".into()].code, ReasonCode::StartFailed);
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_is_not_tried_twice_in_one_run() {
    let bench = Bench::new(vec![service("a"), service("b")], &[]);
    bench.behaves("a", fails());
    let (second, third) = (plan(vec![start("a", &[]), start("b", &[])]), plan(vec![start("a", &[])]));
    bench.next_plans.lock().expect("unpoisoned").extend([second, third]);
    let outcome = bench.apply(vec![start("a", &[])]).await;
    assert_eq!(bench.deeds(), ["start a", "start b"]);
    assert_eq!(outcome.failures.len(), 1);
    assert!(outcome.last_plan.is_some_and(|plan| !plan.steps.is_empty()), "the blocked steps are reported");
}

#[tokio::test(start_paused = true)]
async fn steps_that_were_not_approved_are_not_begun_and_are_reported() {
    let mut bench = Bench::new(["a", "b", "c"].map(service).into(), &["c"]);
    bench.approved = true;
    let second = plan(vec![stop("c", &[]), start("b", &["stop:c"])]);
    bench.next_plans.lock().expect("unpoisoned").push_back(second);
    let outcome = bench.apply(vec![start("a", &[]), start("b", &[])]).await;
    assert_eq!(bench.deeds(), ["start a", "start b"]);
    let refused = outcome.refused.expect("a refusal");
    assert_eq!(refused, "the state has changed, and the saved plan does not contain stop:c; plan again");
    assert_eq!(outcome.last_plan.map(|plan| plan.steps.len()), Some(2), "the remaining plan is reported");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_started_and_is_down_again_has_failed_and_is_not_started_twice() {
    let bench = Bench::new(vec![service("a")], &[]);
    let mut again = start_again("a", &[]);
    again.reason.code = ReasonCode::Exited;
    bench.next_plans.lock().expect("unpoisoned").push_back(plan(vec![again]));
    let outcome = bench.apply(vec![start("a", &[])]).await;
    assert_eq!(bench.deeds(), ["start a"]);
    assert_eq!(outcome.failures[0].error, "started, but did not stay up: a test wants it");
    assert_eq!(bench.requests.lock().expect("unpoisoned")[1].prevented.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn on_failure_stop_begins_nothing_more_and_lets_steps_under_way_end() {
    let mut bench = Bench::new(["a", "b", "c"].map(service).into(), &[]);
    bench.options.on_failure = OnFailure::Stop;
    bench.options.parallelism = 2;
    bench.behaves("a", Behaviour { loading: SECOND, dies_while_loading: true, ..Behaviour::default() });
    bench.behaves("b", loads_in(5 * SECOND));
    let outcome = bench.apply(vec![start("a", &[]), start("b", &[]), start("c", &[])]).await;
    assert!(bench.runs("b") && !bench.runs("c"));
    assert_eq!((outcome.done, outcome.skipped, outcome.failures.len()), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn on_failure_rollback_restores_the_services_that_ran_before() {
    let mut bench = Bench::new(["old", "mid", "new"].map(service).into(), &["old"]);
    bench.options.on_failure = OnFailure::Rollback;
    bench.behaves("new", Behaviour { never_healthy: true, ..Behaviour::default() });
    let steps = vec![stop("old", &[]), start("mid", &["stop:old"]), start("new", &["start:mid"])];
    let outcome = bench.apply(steps).await;
    assert_eq!((bench.runs("old"), bench.runs("mid"), bench.runs("new")), (true, false, false));
    let deeds = bench.deeds();
    assert_eq!(deeds[..3], ["stop old", "start mid", "start new"]);
    assert_eq!(deeds[5], "start old", "after both have ended: {deeds:?}");
    assert_eq!(outcome.failures.len(), 1);
    let planned =
        |kind: &EventKind| matches!(kind, EventKind::Planned { steps, .. } if steps.contains(&"start:old".into()));
    assert!(bench.events().iter().any(planned), "the rollback is reported before it begins");
    assert!(bench.sim.violations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rollback_has_its_own_time_when_the_run_has_none_left() {
    let mut bench = Bench::new(["old", "new"].map(service).into(), &["old"]);
    bench.options.on_failure = OnFailure::Rollback;
    bench.options.timeout = 5 * SECOND;
    bench.behaves("new", loads_in(50 * SECOND));
    let outcome = bench.apply(vec![stop("old", &[]), start("new", &["stop:old"])]).await;
    assert_eq!((bench.runs("old"), bench.runs("new")), (true, false));
    assert_eq!(outcome.failures[0].error, "the run timed out after 5s while the step was under way");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_does_not_restart_a_service_whose_spec_has_changed() {
    let mut bench = Bench::new(["changed", "bad"].map(service).into(), &["changed"]);
    bench.options.on_failure = OnFailure::Rollback;
    if let Some(service) = bench.desired.services.get_mut(&"changed".into()) {
        service.spec = Spec::plain(serde_json::json!({ "command": "newer" }));
    }
    bench.behaves("bad", fails());
    let steps = vec![stop("changed", &[]), start("bad", &["stop:changed"]), start_again("changed", &["start:bad"])];
    bench.apply(steps).await;
    assert!(!bench.runs("changed"));
    let warned = "changed can't be restarted as it was: its spec in the manifest has changed";
    assert!(bench.warnings().iter().any(|warning| warning == warned), "{:?}", bench.warnings());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_timed_out_fails_the_steps_under_way_and_begins_nothing_more() {
    let mut bench = Bench::new(["a", "b"].map(service).into(), &[]);
    bench.options.timeout = 3 * SECOND;
    bench.behaves("a", loads_in(30 * SECOND));
    let outcome = bench.apply(vec![start("a", &[]), start("b", &["start:a"])]).await;
    assert_eq!((outcome.failures.len(), outcome.skipped), (1, 1));
    assert_eq!(bench.deeds(), ["start a"]);
    assert!(outcome.last_plan.is_some());
}
