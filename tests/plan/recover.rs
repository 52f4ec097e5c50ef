//! Services that do not stay up: number and times of their restarts, and the memory that is free for others meanwhile.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lcm::model::desired::{Desired, Recover};
use lcm::model::facts::{Attempts, ExitFact};
use lcm::model::holds::Hold;
use lcm::model::names::ServiceName;
use lcm::model::plan::{Plan, ReasonCode, Request};
use lcm::plan::audit;
use lcm::runtime::Driver as _;
use lcm::runtime::process::facts::ProcessReading as _;
use lcm::runtime::process::facts::TreeFact;
use lcm::runtime::registry::observe;
use lcm::sim::Behaviour;
use lcm::store::AttemptStore as _;

use crate::house::{House, assert_lines, block_on, text};

/// Two services that do not fit together, and one that depends on the larger.
const MANIFEST: &str = r#"
version: 1
name: recover
mode: big
gpus: { devices: [{ index: 0, vram: 24GiB }] }
services:
  big: { process: { command: [big] }, vram: 16GiB, priority: 100, health: { tcp: "localhost:9", timeout: 10s } }
  small: { process: { command: [small] }, vram: 12GiB, priority: 10 }
  web: { process: { command: [web] }, depends_on: [big], priority: 5 }
modes: { big: { services: [big] }, both: { services: [big, small] }, all: { services: [web, small] }, none: { services: [] } }
"#;

const MINUTE: u64 = 60;

fn house(mode: &str) -> House {
    let house = House::new(MANIFEST);
    house.apply_for(&house.desired(Some(mode)), &Request::default());
    house
}

fn ago(house: &House, seconds: u64) -> Timestamp {
    house.sim.now() - SignedDuration::try_from(Duration::from_secs(seconds)).expect("a time")
}

/// Records this number of attempts, the last one this many seconds ago.
fn tried(house: &House, service: &str, count: u32, seconds: u64) {
    let desired = house.desired(None);
    let (name, last_at) = (ServiceName::from(service), ago(house, seconds));
    let attempts = Attempts { count, last_at, spec: desired.services[&name].spec.hash().to_owned() };
    block_on(house.store.set_attempts(&desired.project, &name, Some(&attempts))).expect("a memory");
}

fn each_tree(house: &House, service: &str, change: impl Fn(&mut TreeFact)) {
    house.sim.inject(|facts| {
        let trees = facts.processes_mut().trees.known_mut().expect("trees").iter_mut();
        trees.filter(|tree| tree.marks.service == service).for_each(change);
    });
}

/// Ends a service by itself, this many seconds ago.
fn dies(house: &House, service: &str, seconds: u64) {
    let at = Some(ago(house, seconds));
    each_tree(house, service, |tree| {
        tree.members.clear();
        tree.shim = None;
        tree.exit = Some(ExitFact { code: Some(1), signal: None, at });
    });
}

/// Makes a running service stop answering.
fn falls_sick(house: &House, service: &str) {
    house.sim.set_behaviour(service, Behaviour { never_healthy: true, ..Behaviour::default() });
    let started_at = Some(ago(house, 120 * MINUTE));
    each_tree(house, service, |tree| tree.started_at = started_at);
}

fn inspect(house: &House, desired: &Desired) -> Plan {
    house.plan_for(desired, &Request::default())
}

/// Compares plans without the messages of blocked services.
#[track_caller]
fn assert_short(found: &str, expected: &str) {
    let short = |line: &str| match line.split_once("] ") {
        Some((head, _)) if line.starts_with("blocked ") => format!("{head}]\n"),
        Some(_) | None => format!("{line}\n"),
    };
    assert_lines(&found.lines().map(short).collect::<String>(), expected);
}

fn held(plan: &Plan) -> &str {
    &plan.held.first().expect("something is held").reason.message
}

#[test]
fn it_is_restarted_later_each_time_until_its_budget_is_spent() {
    let house = house("big");
    dies(&house, "big", 0);
    let now = || house.plan("big");
    assert_short(&now(), "start:big [exited] 16384 on gpu-0");
    for (count, too_soon, in_time) in [(1, 0, 1), (2, 1, 2), (3, 299, 300), (4, 599, 600), (9, 3599, 3600)] {
        dies(&house, "big", too_soon);
        tried(&house, "big", count, too_soon);
        assert_short(&now(), "held big [backoff]");
        dies(&house, "big", in_time);
        tried(&house, "big", count, in_time);
        assert_short(&now(), "start:big [exited] 16384 on gpu-0");
    }
}

#[test]
fn the_message_of_a_held_service_states_its_attempts_and_the_next_one() {
    let house = house("big");
    dies(&house, "big", 0);
    tried(&house, "big", 2, 0);
    let plan = inspect(&house, &house.desired(Some("big")));
    let said = held(&plan);
    assert!(said.starts_with("it exited with 1; 2 of 3 attempts are spent; the next is due at "), "{said}");
    assert_eq!(
        plan.held[0].since,
        Some(house.inspect(&house.desired(None)).history[&"big".into()].attempts.clone().expect("tried").last_at)
    );
    tried(&house, "big", 4, 0);
    let plan = inspect(&house, &house.desired(Some("big")));
    let said = held(&plan);
    assert!(said.contains("all 3 attempts are spent, and 1 more; the next attempt is due at "), "{said}");
    assert!(said.ends_with("or as soon as its spec changes or after `lcm resume big`"), "{said}");
}

#[test]
fn a_failing_service_with_a_spent_budget_frees_its_memory() {
    let house = house("big");
    falls_sick(&house, "big");
    assert_short(
        &house.plan("both"),
        "stop:big [unhealthy] 16384 on gpu-0
         start:big [unhealthy] 16384 on gpu-0 after stop:big
         blocked small [no_capacity]",
    );
    tried(&house, "big", 2, 1);
    assert_short(
        &house.plan("both"),
        "blocked small [no_capacity]
         held big [backoff]",
    );
    tried(&house, "big", 3, 1);
    assert_short(
        &house.plan("all"),
        "stop:big [backoff] 16384 on gpu-0
         start:small [wanted_by_mode] 12288 on gpu-0 after stop:big
         blocked web [dependency]
         held big [backoff]",
    );
}

/// House in which the larger one died three times, five minutes ago.
fn due_for_a_retry() -> House {
    let house = house("big");
    dies(&house, "big", 5 * MINUTE);
    tried(&house, "big", 3, 5 * MINUTE);
    house
}

#[test]
fn a_retry_takes_only_free_memory_and_preempts_nothing() {
    let house = due_for_a_retry();
    assert_short(
        &house.plan("both"),
        "start:small [wanted_by_mode] 12288 on gpu-0
         held big [budget_spent]",
    );
    assert_short(&house.plan("big"), "start:big [exited] 16384 on gpu-0");
    tried(&house, "big", 3, 0);
    let outcome = house.try_apply(&house.desired(Some("both")), &Request::default());
    assert!(outcome.failures.is_empty());
    tried(&house, "big", 3, 5 * MINUTE);
    let plan = inspect(&house, &house.desired(Some("both")));
    assert_short(&text(&plan), "held big [budget_spent]");
    let said = held(&plan);
    assert!(said.contains("it exited with 1; it needs ") && said.contains(" small "), "{said}");
    assert!(
        said.ends_with("all 3 attempts are spent; `lcm apply` tries it again if no other service has to stop for it"),
        "{said}"
    );
    // With a budget of its own again it preempts lower priorities.
    block_on(house.store.set_attempts(&"recover".into(), &"big".into(), None)).expect("a memory");
    assert!(house.plan("both").contains("stop:small [preempted]"), "{}", house.plan("both"));
}

#[test]
fn dependents_of_a_retry_wait_until_it_is_up() {
    let house = due_for_a_retry();
    assert_short(
        &house.plan("all"),
        "start:small [wanted_by_mode] 12288 on gpu-0
         blocked web [dependency]
         held big [budget_spent]",
    );
    let mut desired = house.desired(Some("all"));
    desired.modes.get_mut(&"all".into()).expect("a mode").services.remove(&"small".into());
    assert_short(
        &text(&inspect(&house, &desired)),
        "start:big [exited] 16384 on gpu-0
         blocked web [dependency]",
    );
    // Once it is up, the same run starts its dependent.
    house.apply_for(&desired, &Request::default());
    assert_short(&text(&inspect(&house, &desired)), "");
}

#[test]
fn free_memory_is_reserved_for_a_service_whose_next_attempt_is_due_soon() {
    let house = house("big");
    dies(&house, "big", 0);
    tried(&house, "big", 2, 0);
    assert_short(
        &house.plan("all"),
        "blocked small [no_capacity]
         blocked web [dependency]
         held big [backoff]",
    );
    tried(&house, "big", 3, 0);
    let outcome = house.try_apply(&house.desired(Some("both")), &Request::default());
    assert!(outcome.failures.is_empty());
    tried(&house, "big", 2, 0);
    assert_short(&house.plan("both"), "held big [backoff]");
}

#[test]
fn a_failing_service_is_retried_on_its_own_gpu() {
    let house = house("big");
    falls_sick(&house, "big");
    tried(&house, "big", 3, 5 * MINUTE);
    assert_short(
        &house.plan("both"),
        "stop:big [unhealthy] 16384 on gpu-0
         start:big [unhealthy] 16384 on gpu-0 after stop:big
         blocked small [no_capacity]",
    );
}

#[test]
fn another_spec_or_ten_healthy_minutes_restore_the_budget() {
    let house = house("big");
    tried(&house, "big", 3, 10 * MINUTE);
    let recovered = |house: &House| inspect(house, &house.desired(Some("big"))).recovered;
    assert_eq!(recovered(&house), [], "a start may take 10 s of that");
    tried(&house, "big", 3, 10 * MINUTE + 10);
    each_tree(&house, "big", |tree| tree.started_at = None);
    assert_eq!(recovered(&house), [], "the start of its run is unknown");
    let started_at = Some(ago(&house, 10 * MINUTE + 10));
    each_tree(&house, "big", |tree| tree.started_at = started_at);
    assert_eq!(recovered(&house), ["big".into()]);
    // It ended only after that time.
    dies(&house, "big", 0);
    assert_eq!(recovered(&house), ["big".into()]);
    assert_short(&house.plan("big"), "start:big [exited] 16384 on gpu-0");
    dies(&house, "big", 60);
    tried(&house, "big", 3, 4 * MINUTE);
    assert_short(&house.plan("big"), "held big [backoff]");
    house.rewrite(&MANIFEST.replace("command: [big]", "command: [big, --less]"));
    assert_short(&house.plan("big"), "start:big [exited] 16384 on gpu-0");
    assert_eq!(recovered(&house), ["big".into()]);
}

#[test]
fn the_previous_revision_keeps_running_when_the_new_one_fails() {
    let house = house("big");
    house.rewrite(&MANIFEST.replace("command: [big]", "command: [big, --more]"));
    tried(&house, "big", 3, 0);
    assert_short(&house.plan("big"), "blocked big [backoff]");
    each_tree(&house, "big", |tree| tree.started_at = Some("2025-01-02T03:04:05Z".parse().expect("a time")));
    assert_eq!(inspect(&house, &house.desired(None)).recovered, [], "it is not the new one that is well");
    tried(&house, "big", 3, 5 * MINUTE);
    assert_short(
        &house.plan("big"),
        "stop:big [spec_changed] 16384 on gpu-0
         start:big [spec_changed] 16384 on gpu-0 after stop:big",
    );
}

#[test]
fn a_service_without_attempts_is_started_and_never_restarted() {
    let house = House::new(MANIFEST);
    let mut desired = house.desired(Some("big"));
    let recover = Recover { attempts: 0, ..Recover::default() };
    desired.services.get_mut(&"big".into()).expect("a service").recover = recover;
    house.apply_for(&desired, &Request::default());
    dies(&house, "big", 60);
    let plan = inspect(&house, &desired);
    assert_short(&text(&plan), "held big [budget_spent]");
    assert!(plan.held[0].since.is_some() && held(&plan).contains("`recover.attempts` is 0"), "{plan:?}");
    // One more start is allowed, granted after its end.
    tried(&house, "big", 0, 61);
    assert_short(&text(&inspect(&house, &desired)), "held big [budget_spent]");
    tried(&house, "big", 0, 59);
    assert_short(&text(&inspect(&house, &desired)), "start:big [exited] 16384 on gpu-0");
}

#[test]
fn a_service_that_was_stopped_while_healthy_is_started_at_once() {
    let house = house("big");
    tried(&house, "big", 3, 0);
    house.apply("none");
    assert_eq!(house.inspect(&house.desired(None)).history[&"big".into()].attempts, None);
    house.apply("big");
}

#[test]
fn the_audit_checks_budgets() {
    let house = house("big");
    falls_sick(&house, "big");
    let desired = house.desired(Some("both"));
    let findings = |plan: &Plan| {
        let observed = observe(&house.inspect(&desired), &desired);
        audit(plan, &desired, &observed, &Request::default()).join("; ")
    };
    let brought_back = inspect(&house, &desired);
    tried(&house, "big", 2, 1);
    assert_eq!(findings(&brought_back), "start:big: its budget forbids a start");
    tried(&house, "big", 3, 1);
    let given_up = inspect(&house, &desired);
    assert_eq!(findings(&given_up), "");
    tried(&house, "big", 2, 1);
    assert_eq!(findings(&given_up), "stop:big: its budget is not spent");

    let house = due_for_a_retry();
    tried(&house, "big", 3, 0);
    assert!(house.try_apply(&desired, &Request::default()).failures.is_empty());
    block_on(house.store.set_attempts(&"recover".into(), &"big".into(), None)).expect("a memory");
    let preempts = inspect(&house, &desired);
    assert_eq!(preempts.steps[0].reason.code, ReasonCode::Preempted);
    tried(&house, "big", 3, 5 * MINUTE);
    let observed = observe(&house.inspect(&desired), &desired);
    assert_eq!(
        audit(&preempts, &desired, &observed, &Request::default()),
        ["stop:small: big is only retried, which preempts nothing"]
    );
}

#[test]
fn a_held_service_keeps_its_dependencies_running() {
    let house = house("all");
    house.set_hold("web", Some(Hold::Maintain));
    falls_sick(&house, "big");
    tried(&house, "big", 3, 1);
    assert_short(
        &house.plan("both"),
        "blocked small [no_capacity]
         held big [backoff]
         held web [maintenance]",
    );
}
