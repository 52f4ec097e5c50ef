//! Hooks and notifiers: when they are called, what they may prevent, and that no step waits for a notifier.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::bench::{Bench, busy, container, depends, loads_in, service, start, start_again, stop, wait_for};
use crate::apply::{Interrupt, OnFailure};
use crate::model::call::Call;
use crate::model::desired::{Condition, Service};
use crate::model::event::{CallOutcome, EventKind, Stage};
use crate::model::hooks::{Hook, Hooks, Notifier, When};
use crate::model::lifecycle::{Class, State};
use crate::model::plan::ReasonCode;
use crate::model::size::Mebibytes;
use crate::model::spec::Spec;
use crate::runtime::docker::facts::DockerReading as _;
use crate::runtime::process::facts::ProcessReading as _;
use crate::sim::{self, Behaviour, Intrusion, Reply};
use crate::store::Journal as _;

const SECOND: Duration = Duration::from_secs(1);

fn exec(word: &str) -> Call {
    Call::Exec(vec![word.to_owned()])
}

fn hook(word: &str, required: bool) -> Hook {
    Hook { call: exec(word), cwd: PathBuf::from("/"), timeout: 30 * SECOND, required }
}

/// Service with one hook at each point, named after it: `pre_start-a`. Those before a change are required.
pub(super) fn hooked(name: &str) -> Service {
    let one = |point: &str, required| vec![hook(&format!("{point}-{name}"), required)];
    let hooks = Hooks {
        pre_start: one("pre_start", true),
        post_start: one("post_start", false),
        pre_stop: one("pre_stop", true),
        post_stop: one("post_stop", false),
    };
    Service { hooks: Box::new(hooks), ..service(name) }
}

pub(super) fn notifier(word: &str, when: When) -> Notifier {
    Notifier {
        call: exec(word),
        cwd: PathBuf::from("/"),
        timeout: 5 * SECOND,
        when,
        states: [].into(),
        classes: [].into(),
        services: [].into(),
        events: [].into(),
        source: "lcm.yaml:9".to_owned(),
    }
}

pub(super) fn fails(error: &str, output: &str) -> Reply {
    Reply { error: Some(error.to_owned()), output: output.to_owned(), ..Reply::default() }
}

fn takes(takes: Duration) -> Reply {
    Reply { takes, ..Reply::default() }
}

impl Bench {
    /// Returns the calls that were made, in order.
    pub(super) fn called(&self) -> Vec<String> {
        self.sim.calls().into_iter().map(|call| call.what).collect()
    }

    /// Returns the changes that this notifier has accepted: `a: offline to starting`.
    pub(super) fn received(&self, word: &str) -> Vec<String> {
        let calls: Vec<sim::RecordedCall> =
            self.sim.calls().into_iter().filter(|call| call.answered && call.what == word).collect();
        calls
            .iter()
            .map(|call| format!("{}: {} to {}", call.payload.service, call.payload.from, call.payload.to))
            .collect()
    }

    fn outcomes(&self) -> Vec<(String, CallOutcome)> {
        let outcome = |kind| match kind {
            EventKind::Hook { call, outcome, .. } => Some((call, outcome)),
            _ => None,
        };
        self.events().into_iter().filter_map(outcome).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_recreation_calls_all_four_hooks_in_order() {
    let bench = Bench::new(vec![busy(hooked("a"), None)], &["a"]);
    bench.behaves("a", Behaviour { busy_for: Some(3 * SECOND), ..loads_in(2 * SECOND) });
    let outcome = bench.apply(vec![stop("a", &[]), start_again("a", &["stop:a"])]).await;
    assert_eq!((outcome.done, outcome.failures.len()), (2, 0));
    assert_eq!(bench.called(), ["pre_stop-a", "post_stop-a", "pre_start-a", "post_start-a"]);
    let calls = bench.sim.calls();
    let seconds = |number: usize| calls[number].at.duration_since(calls[0].at).as_secs();
    assert_eq!((seconds(1), seconds(2), seconds(3)), (0, 0, 2), "the last one once the service is healthy");
    let first = bench.time_of(|kind| matches!(kind, EventKind::Stage { stage: Stage::Hook, .. }));
    assert!(first >= Some(3 * SECOND), "the first one once the service is idle: {first:?}");
    let ends = |number: usize| (calls[number].payload.from, calls[number].payload.to);
    assert_eq!((ends(0), ends(3)), ((State::Online, State::Offline), (State::Offline, State::Online)));
    assert_ne!(calls[2].payload.instance, calls[3].payload.instance, "the new instance is named once it exists");
    let stages = |step| bench.stages(step).into_iter().map(|(stage, _)| stage).collect::<Vec<_>>();
    assert_eq!(stages("stop:a"), [Stage::Drain, Stage::Hook, Stage::Stop, Stage::Release, Stage::Hook]);
    assert_eq!(stages("start:a"), [Stage::Release, Stage::Hook, Stage::Start, Stage::Health, Stage::Hook]);
    let kept: Vec<String> =
        bench.store.calls().into_iter().map(|call| format!("{} {}", call.hook, call.call)).collect();
    assert_eq!(kept[..2], ["pre_stop pre_stop-a", "post_stop post_stop-a"]);
    assert_eq!(bench.outcomes().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_veto_prevents_one_step_and_its_dependents_and_no_other() {
    let on_a = depends(service("b"), "a", Condition::Healthy);
    let bench = Bench::new(vec![hooked("a"), on_a, hooked("c")], &[]);
    bench.sim.set_reply("pre_start-a", fails("exits 3", "looking\nno licence\n\n"));
    let outcome = bench.apply(vec![start("a", &[]), start("b", &["start:a"]), start("c", &[])]).await;
    assert!(!bench.runs("a") && !bench.runs("b") && bench.runs("c"));
    assert_eq!(bench.states("a"), [], "nothing was begun");
    let failure = &outcome.failures[0];
    assert_eq!(failure.error, "vetoed by its pre_start hook pre_start-a, which exits 3: no licence");
    assert_eq!(failure.log, ["looking", "no licence"]);
    assert_eq!((outcome.done, outcome.skipped, outcome.failures.len()), (1, 1, 1));
    assert_eq!(bench.called(), ["pre_start-a", "pre_start-c", "post_start-c"], "and is not called again");
    let prevented = bench.requests.lock().expect("unpoisoned")[0].prevented.clone();
    assert_eq!(prevented.values().map(|reason| reason.code).collect::<Vec<_>>(), [ReasonCode::Vetoed]);
    assert_eq!(bench.outcomes()[0], ("pre_start-a".to_owned(), CallOutcome::Vetoed));
    assert_eq!(bench.store.calls()[0].output, "looking\nno licence\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_vetoed_stop_leaves_it_running_and_its_deadline_vetoes_too() {
    let bench = Bench::new(vec![hooked("a"), hooked("b")], &["a", "b"]);
    bench.sim.set_reply("pre_stop-a", takes(300 * SECOND));
    let outcome = bench.apply(vec![stop("a", &[]), stop("b", &[])]).await;
    assert!(bench.runs("a") && !bench.runs("b") && bench.states("a").is_empty());
    assert_eq!(outcome.failures[0].error, "vetoed by its pre_stop hook pre_stop-a, which did not end within 30s");
    assert_eq!(bench.stages("stop:a"), [(Stage::Hook, 30 * SECOND)]);
}

#[tokio::test(start_paused = true)]
async fn the_memory_of_a_vetoed_start_is_free_for_others() {
    let large = |service| Service { vram: Mebibytes(60), ..service };
    let (a, b) = (large(hooked("a")), large(service("b")));
    let bench = Bench::new(vec![a, b], &[]).measured(100, &[]);
    bench.sim.set_reply("pre_start-a", Reply { takes: 9 * SECOND, ..fails("exits 1", "") });
    let outcome = bench.apply(vec![start("a", &[]), start("b", &[])]).await;
    assert_eq!((outcome.done, bench.runs("b")), (1, true), "{:?}", outcome.failures);
}

#[tokio::test(start_paused = true)]
async fn memory_that_is_taken_while_a_hook_runs_is_missed_before_the_start() {
    let mut bench = Bench::new(vec![Service { vram: Mebibytes(60), ..hooked("a") }], &[]).measured(100, &[]);
    bench.options.release_timeout = 5 * SECOND;
    bench.sim.set_reply("pre_start-a", takes(9 * SECOND));
    let program = "blender".to_owned();
    let gpu = "gpu-0".into();
    bench.sim.intrude(Intrusion { gpu, after: 4 * SECOND, program, memory: Mebibytes(50), lasts: 3600 * SECOND });
    let outcome = bench.apply(vec![start("a", &[])]).await;
    assert!(outcome.failures[0].error.contains("it needs 60 MiB"), "{:?}", outcome.failures);
    assert_eq!((bench.called(), bench.deeds().len()), (vec!["pre_start-a".to_owned()], 0));
}

#[tokio::test(start_paused = true)]
async fn a_failed_hook_that_is_not_required_stops_nothing() {
    let mut a = hooked("a");
    a.hooks.pre_start = vec![hook("first", false), hook("second", false)];
    a.hooks.post_start = vec![hook("third", true), hook("fourth", false)];
    let bench = Bench::new(vec![a], &[]);
    for word in ["first", "third"] {
        bench.sim.set_reply(word, fails("exits 1", "it is late"));
    }
    let outcome = bench.apply(vec![start("a", &[])]).await;
    assert_eq!((outcome.done, outcome.failures.len()), (1, 0));
    assert_eq!(bench.called(), ["first", "second", "third", "fourth"]);
    let failed = ["first", "third"].map(|word| (word.to_owned(), CallOutcome::Failed));
    let outcomes = bench.outcomes();
    assert_eq!((&outcomes[0], &outcomes[2]), (&failed[0], &failed[1]));
    let errors: Vec<Option<String>> = bench.store.calls().into_iter().map(|call| call.error).collect();
    assert_eq!(errors.iter().flatten().count(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_measured_time_of_a_start_excludes_its_hooks() {
    let bench = Bench::new(vec![hooked("a")], &[]);
    bench.behaves("a", loads_in(2 * SECOND));
    for word in ["pre_start-a", "post_start-a"] {
        bench.sim.set_reply(word, takes(20 * SECOND));
    }
    bench.apply(vec![start("a", &[])]).await;
    let took = bench.store.measures().into_iter().find_map(|measure| match measure.what {
        crate::store::Measured::Ready { took_ms } => Some(took_ms),
        _ => None,
    });
    assert!(took.is_some_and(|took_ms| (2000..3000).contains(&took_ms)), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_or_is_not_needed_calls_no_hook_afterwards() {
    let bench = Bench::new(vec![hooked("a"), hooked("b"), hooked("c")], &["b", "c"]);
    bench.behaves("a", Behaviour { start_error: Some("no".to_owned()), ..Behaviour::default() });
    bench.apply(vec![start("a", &[]), start("b", &[]), wait_for("c", &[])]).await;
    assert_eq!(bench.called(), ["pre_start-a", "post_start-c"], "b ran already, c was begun by an earlier run");
}

#[tokio::test(start_paused = true)]
async fn the_restoration_of_a_previous_revision_calls_no_hook() {
    let a = Service { hooks: hooked("a").hooks, ..container("a") };
    let mut bench = Bench::new(vec![a], &[]);
    bench.apply(vec![start("a", &[])]).await;
    let previous = bench.sim.world().docker().containers.known().expect("known")[0].clone();
    let instance = crate::runtime::docker::instance(previous.id, previous.name.as_str());
    if let Some(service) = bench.desired.services.get_mut(&"a".into()) {
        service.spec = Spec::plain(serde_json::json!({ "command": "newer" }));
    }
    bench.behaves("a", Behaviour { never_healthy: true, ..Behaviour::default() });
    let (mut stop, mut start) = (stop("a", &[]), start_again("a", &["stop:a"]));
    (stop.expect.instance, start.expect.instance) = (Some(instance.clone()), Some(instance));
    let outcome = bench.apply(vec![stop, start]).await;
    assert!(outcome.failures[0].error.ends_with("; the previous revision was restored"), "{:?}", outcome.failures);
    assert_eq!(bench.called()[2..], ["pre_stop-a", "post_stop-a", "pre_start-a"]);
}

#[tokio::test(start_paused = true)]
async fn a_surplus_copy_calls_no_hook() {
    let bench = Bench::new(vec![hooked("a")], &["a"]);
    bench.sim.inject(|facts| {
        let trees = facts.processes_mut().trees.known_mut().expect("known");
        let mut copy = trees[0].clone();
        copy.marks.salt = "surplus".to_owned();
        trees.push(copy);
    });
    let mut surplus = stop("a", &[]);
    surplus.id = "stop:a#1".into();
    surplus.expect.instance = Some(crate::runtime::process::instance("surplus".to_owned()));
    let outcome = bench.apply(vec![surplus]).await;
    assert_eq!((outcome.done, bench.called().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_calls_hooks_like_any_other_plan() {
    let mut bench = Bench::new(vec![hooked("a"), service("b")], &[]);
    bench.options.on_failure = OnFailure::Rollback;
    bench.behaves("b", Behaviour { start_error: Some("no".to_owned()), ..Behaviour::default() });
    bench.apply(vec![start("a", &[]), start("b", &["start:a"])]).await;
    assert!(!bench.runs("a"));
    assert_eq!(bench.called(), ["pre_start-a", "post_start-a", "pre_stop-a", "post_stop-a"]);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_hook_has_four_seconds_and_its_step_is_not_carried_out() {
    let bench = Bench::new(vec![hooked("a"), hooked("b")], &["a", "b"]);
    bench.sim.set_reply("pre_stop-a", takes(3 * SECOND));
    bench.sim.set_reply("pre_stop-b", takes(20 * SECOND));
    let interrupt = async {
        sleep(SECOND).await;
        bench.interrupt.send_replace(Some(Interrupt::Interrupted));
        Instant::now()
    };
    let (outcome, began) = tokio::join!(bench.apply(vec![stop("a", &[]), stop("b", &[])]), interrupt);
    assert_eq!(began.elapsed(), 4 * SECOND);
    assert!(bench.runs("a") && bench.runs("b") && !outcome.changed);
    let answered: Vec<bool> = bench.sim.calls().into_iter().map(|call| call.answered).collect();
    assert_eq!((answered, outcome.skipped, outcome.failures.len()), (vec![true, false], 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_slow_notifier_delays_nothing_and_receives_all_in_order() {
    let mut bench = Bench::new(vec![service("a"), service("b")], &["a"]);
    bench.desired.notify = vec![notifier("slow", When::After), notifier("quick", When::After)];
    bench.sim.set_reply("slow", takes(SECOND));
    let outcome = bench.apply(vec![stop("a", &[]), start("b", &["stop:a"])]).await;
    assert_eq!(outcome.done, 2);
    let ended = bench.time_of(|kind| matches!(kind, EventKind::StepDone { step, .. } if step.as_str() == "start:b"));
    assert_eq!(ended, Some(Duration::ZERO));
    let all = bench.received("quick");
    assert_eq!(all[..3], ["a: online to stopping", "a: stopping to offline", "b: registered to deploying"]);
    assert_eq!(all.len(), 6);
    assert_eq!(bench.received("slow"), all[..5], "as many as its own timeout allows at the end of the run");
    let left = "1 notification was not delivered to slow (lcm.yaml:9): not accepted within 5s of the end of the run; \
                the next run tries again";
    assert_eq!(bench.warnings(), [left]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_is_bounded_and_the_rest_is_left_to_the_next_run() {
    let names: Vec<String> = (0..30).map(|number| format!("s{number}")).collect();
    let mut bench = Bench::new(names.iter().map(|name| service(name)).collect(), &[]);
    bench.desired.notify = vec![notifier("stuck", When::After)];
    bench.sim.set_reply("stuck", takes(3600 * SECOND));
    let outcome = bench.apply(names.iter().map(|name| start(name, &[])).collect()).await;
    assert_eq!(outcome.done, 30);
    let [left] = &bench.warnings()[..] else { panic!("{:?}", bench.warnings()) };
    let (count, rest) = left.split_once(' ').expect(left);
    assert!(matches!(count.parse::<usize>(), Ok(119..=120)), "of 120 notifications: {left}");
    assert!(rest.ends_with("of the end of the run; the next run tries again"), "{left}");
    assert_eq!(bench.store.pending(&bench.desired.project).await.expect("in memory").len().to_string(), count);
}

#[tokio::test(start_paused = true)]
async fn a_notifier_receives_the_changes_that_it_subscribes_to_before_or_after() {
    let mut bench = Bench::new(vec![service("a"), service("b")], &["a", "b"]);
    let mut before = notifier("before", When::Before);
    before.states = [State::Offline].into();
    let mut after = notifier("after", When::After);
    (after.classes, after.services) = ([Class::NotRunning].into(), ["b".into()].into());
    bench.desired.notify = vec![before, after];
    for name in ["a", "b"] {
        bench.behaves(name, Behaviour { stop_takes: 3 * SECOND, ..Behaviour::default() });
    }
    bench.apply(vec![stop("a", &[]), stop("b", &[])]).await;
    assert_eq!(bench.received("before"), ["a: stopping to offline", "b: stopping to offline"]);
    assert_eq!(bench.received("after"), ["b: stopping to offline"]);
    let calls = bench.sim.calls();
    assert!(calls[0].at < calls[2].at, "notified before the service is down");
    assert_eq!(serde_json::json!(calls[0].payload)["hook"], "notify_before");
}

#[tokio::test(start_paused = true)]
async fn a_failed_notification_is_recorded_and_changes_nothing() {
    let mut bench = Bench::new(vec![service("a")], &["a"]);
    bench.desired.notify = vec![notifier("broken", When::After)];
    bench.sim.set_reply("broken", fails("exits 1", "connection refused"));
    let outcome = bench.apply(vec![stop("a", &[])]).await;
    assert_eq!((outcome.done, outcome.failures.len()), (1, 0));
    let calls: Vec<_> = bench.store.calls().into_iter().map(|call| (call.hook, call.output)).collect();
    assert_eq!(calls, vec![("notify_after".to_owned(), "connection refused".to_owned()); 2]);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_run_leaves_its_notifiers_within_its_five_seconds() {
    let mut bench = Bench::new(vec![service("a")], &["a"]);
    bench.desired.notify = vec![Notifier { timeout: 60 * SECOND, ..notifier("stuck", When::After) }];
    bench.sim.set_reply("stuck", takes(3600 * SECOND));
    bench.behaves("a", Behaviour { ignores_term: true, ..Behaviour::default() });
    let interrupt = async {
        sleep(SECOND).await;
        bench.interrupt.send_replace(Some(Interrupt::Interrupted));
        Instant::now()
    };
    let (_, began) = tokio::join!(bench.apply(vec![stop("a", &[])]), interrupt);
    assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
    assert_eq!(
        bench.warnings(),
        ["1 notification was not delivered to stuck (lcm.yaml:9): the run was interrupted; the next run tries again"]
    );
}
