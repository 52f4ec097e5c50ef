//! Calls that a run commits itself to: recorded before the effect, made once, and settled by the next run where this one
//! is killed or interrupted.

use futures_util::FutureExt as _;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::bench::{Bench, loads_in, service, start, stop};
use super::hooks::{fails, hooked, notifier};
use crate::apply::{Interrupt, RunResult};
use crate::model::desired::Service;
use crate::model::hooks::When;
use crate::model::lifecycle::State;
use crate::model::pending::Due;
use crate::model::plan::{PendingStatus, Plan, Purpose, Request};
use crate::runtime::Driver as _;
use crate::sim::{Behaviour, Reply};
use crate::store::Journal as _;

const SECOND: Duration = Duration::from_secs(1);

/// Changes of a first start, as a notifier receives them.
const ROUTE: [&str; 4] =
    ["a: registered to deploying", "a: deploying to deployed", "a: deployed to starting", "a: starting to online"];

/// Service with all four hooks, none of them required.
fn lenient(name: &str) -> Service {
    let mut service = hooked(name);
    let hooks = &mut service.hooks;
    for hook in hooks.pre_start.iter_mut().chain(&mut hooks.pre_stop) {
        hook.required = false;
    }
    service
}

fn bench(services: Vec<Service>, running: &[&str]) -> Bench {
    let mut bench = Bench::new(services, running);
    bench.desired.notify = vec![notifier("tell", When::After)];
    bench
}

impl Bench {
    /// Returns the real planner's plan for the host and the pending calls.
    async fn planned(&self) -> Plan {
        let mut facts = self.sim.observe(&self.desired).await;
        facts.pending = self.store.pending(&self.desired.project).await.expect("in memory");
        let observed = crate::runtime::registry::observe(&facts, &self.desired);
        crate::plan::plan(&self.desired, &observed, &Request::default())
    }

    async fn apply_planned(&self) -> RunResult {
        self.apply_plan(self.planned().await).await
    }

    /// Kills an apply after this time: nothing of it goes on.
    async fn killed_after(&self, time: Duration, plan: Plan) {
        assert!(timeout(time, self.apply_plan(plan)).await.is_err(), "it was under way");
    }

    fn pending(&self) -> usize {
        self.store.pending(&self.desired.project).now_or_never().expect("at once").expect("in memory").len()
    }
}

#[tokio::test(start_paused = true)]
async fn calls_after_a_start_are_made_by_the_run_that_finds_the_service_healthy() {
    let bench = bench(vec![lenient("a")], &[]);
    bench.behaves("a", loads_in(6 * SECOND));
    bench.killed_after(2 * SECOND, super::bench::plan(vec![start("a", &[])])).await;
    sleep(10 * SECOND).await;
    let plan = bench.planned().await;
    assert!(plan.changes && plan.steps.is_empty(), "{plan:#?}");
    let lines: Vec<&str> = plan.pending.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(lines[0], "post_start hook post_start-a: a is online, and run run-0 did not make the call");
    let outcome = bench.apply_plan(plan).await;
    assert!(outcome.changed && outcome.settled == 2, "{outcome:?}");
    assert_eq!(bench.called().iter().filter(|call| call.starts_with("post_start")).count(), 1);
    assert_eq!(bench.received("tell"), ROUTE);
    assert_eq!((bench.pending(), bench.planned().await.is_idle()), (0, true));
    assert!(!bench.apply_planned().await.changed);
    assert_eq!(bench.called().len(), 2 + ROUTE.len(), "no call is made twice: {:?}", bench.called());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_the_start_of_another_run_makes_the_calls_after_it() {
    let bench = bench(vec![lenient("a")], &[]);
    bench.behaves("a", loads_in(6 * SECOND));
    bench.killed_after(2 * SECOND, super::bench::plan(vec![start("a", &[])])).await;
    let outcome = bench.apply_planned().await;
    assert!(outcome.changed, "the end of a start is a change: {outcome:?}");
    let called = bench.called();
    let hooks: Vec<&String> = called.iter().filter(|call| *call != "tell").collect();
    assert_eq!(hooks, ["pre_start-a", "post_start-a"]);
    assert_eq!((bench.received("tell"), bench.pending()), (ROUTE.map(Into::into).to_vec(), 0));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledged_hook_before_a_change_is_not_called_again_for_it() {
    let bench = bench(vec![lenient("a")], &["a"]);
    bench.sim.set_reply("post_stop-a", Reply { takes: 20 * SECOND, ..Reply::default() });
    bench.killed_after(2 * SECOND, super::bench::plan(vec![stop("a", &[])])).await;
    let recorded = bench.store.pending(&bench.desired.project).await.expect("in memory");
    assert_eq!(recorded.iter().filter(|call| call.due == Due::Acknowledged).count(), 1);
    assert_eq!(recorded.iter().filter(|call| call.due == Due::Reached(State::Offline)).count(), 1);
    // The service is down, so that its last hook is due. The manifest wants it to run again.
    bench.sim.set_reply("post_stop-a", Reply::default());
    let outcome = bench.apply_planned().await;
    assert!(outcome.failures.is_empty(), "{outcome:?}");
    let called = bench.called();
    let hooks: Vec<&String> = called.iter().filter(|call| *call != "tell").collect();
    assert_eq!(
        hooks,
        ["pre_stop-a", "post_stop-a", "post_stop-a", "pre_start-a", "post_start-a"],
        "interrupted, and again"
    );
    assert!(bench.planned().await.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_required_hook_is_called_for_every_change_even_if_it_succeeded_in_an_earlier_run() {
    let bench = bench(vec![hooked("a")], &[]);
    bench.behaves("a", Behaviour { begins_after: 20 * SECOND, ..Behaviour::default() });
    bench.killed_after(2 * SECOND, super::bench::plan(vec![start("a", &[])])).await;
    bench.behaves("a", Behaviour::default());
    bench.sim.set_reply("pre_start-a", fails("exits 1", "there is no licence.txt"));
    let outcome = bench.apply(vec![start("a", &[])]).await;
    assert!(!bench.runs("a") && outcome.failures.len() == 1, "{outcome:?}");
    assert_eq!(bench.called().iter().filter(|call| *call == "pre_start-a").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_was_killed_before_its_effect_does_not_call_its_hooks_twice() {
    let bench = bench(vec![lenient("a")], &["a"]);
    bench.behaves("a", crate::sim::Behaviour { stop_takes: 20 * SECOND, ..Default::default() });
    bench.killed_after(2 * SECOND, super::bench::plan(vec![stop("a", &[])])).await;
    bench.apply(vec![stop("a", &[])]).await;
    let called = bench.called();
    assert_eq!(called.iter().filter(|call| *call == "pre_stop-a").count(), 1, "{called:?}");
    assert_eq!(called.iter().filter(|call| *call == "post_stop-a").count(), 1, "{called:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_is_no_longer_in_the_manifest_is_dropped_and_reported() {
    let mut bench = bench(vec![lenient("a")], &[]);
    bench.behaves("a", loads_in(6 * SECOND));
    bench.killed_after(2 * SECOND, super::bench::plan(vec![start("a", &[])])).await;
    sleep(10 * SECOND).await;
    bench.desired.services.get_mut(&"a".into()).expect("there").hooks.post_start.clear();
    bench.desired.notify.clear();
    let plan = bench.planned().await;
    assert!(!plan.changes && plan.pending.iter().all(|line| line.status == PendingStatus::Dropped), "{plan:#?}");
    let outcome = bench.apply_plan(plan).await;
    assert!(!outcome.changed && bench.pending() == 0, "{outcome:?}");
    assert!(bench.warnings()[0].contains("no longer in the manifest"), "{:?}", bench.warnings());
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_run_leaves_its_notifications_to_the_next() {
    let bench = bench(vec![service("a")], &[]);
    bench.sim.set_reply("tell", Reply { takes: 60 * SECOND, ..Reply::default() });
    let interrupted = async {
        sleep(SECOND).await;
        bench.interrupt.send_replace(Some(Interrupt::HungUp));
    };
    let (outcome, ()) = tokio::join!(bench.apply(vec![start("a", &[])]), interrupted);
    assert_eq!(outcome.interrupted, Some(Interrupt::HungUp));
    let warnings = bench.warnings();
    assert!(warnings[0].ends_with("the run was interrupted; the next run tries again"), "{warnings:?}");
    bench.interrupt.send_replace(None);
    bench.sim.set_reply("tell", Reply::default());
    assert!(bench.apply_planned().await.changed);
    assert_eq!((bench.received("tell"), bench.pending()), (ROUTE.map(Into::into).to_vec(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_notifier_that_never_answers_is_given_up_after_some_runs() {
    let bench = bench(vec![service("a")], &[]);
    bench.sim.set_reply("tell", Reply { takes: 3_600 * SECOND, ..Reply::default() });
    bench.apply(vec![start("a", &[])]).await;
    for _ in 0..3 {
        bench.apply_planned().await;
    }
    assert_eq!((bench.pending(), bench.planned().await.is_idle()), (0, true));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_written_forbids_steps_with_calls_to_record() {
    let mut bench = Bench::new(vec![lenient("a"), service("b")], &[]);
    bench.forgets = true;
    let outcome = bench.apply(vec![start("a", &[]), start("b", &[])]).await;
    assert_eq!((bench.runs("a"), bench.runs("b")), (false, true));
    let why = "its hooks and notifications can't be recorded, so it was not begun: can't write the store lcm.db: the disk is full";
    assert_eq!(outcome.failures[0].error, why);
    assert_eq!(bench.called(), Vec::<String>::new(), "no hook was called either");

    let mut bench = Bench::new(vec![lenient("a")], &["a"]);
    (bench.forgets, bench.purpose) = (true, Purpose::Down);
    let outcome = bench.apply(vec![stop("a", &[])]).await;
    assert!(outcome.failures.is_empty() && !bench.runs("a"), "{outcome:?}");
}
