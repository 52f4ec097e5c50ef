//! Services that do not stay up: how often and how soon they are brought back, and what is free for others meanwhile.

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

/// Two that do not fit together, and one that needs the larger.
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

/// So many attempts, the last so many seconds ago.
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

/// It ends by itself, so many seconds ago.
fn dies(house: &House, service: &str, seconds: u64) {
    let at = Some(ago(house, seconds));
    each_tree(house, service, |tree| {
        tree.members.clear();
        tree.shim = None;
        tree.exit = Some(ExitFact { code: Some(1), signal: None, at });
    });
}

/// It runs, and does not answer.
fn falls_sick(house: &House, service: &str) {
    house.sim.set_behaviour(service, Behaviour { never_healthy: true, ..Behaviour::default() });
    let started_at = Some(ago(house, 120 * MINUTE));
    each_tree(house, service, |tree| tree.started_at = started_at);
}

fn look(house: &House, desired: &Desired) -> Plan {
    house.plan_for(desired, &Request::default())
}

/// Without the sums of what is blocked.
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
fn it_is_brought_back_later_each_time_until_its_budget_is_spent() {
    let house = house("big");
    dies(&house, "big", 0);
    let now = || house.plan("big");
    assert_short(&now(), "start:big [exited] 16384 on gpu-0");
    for (count, too_soon, in_time) in [(1, 0, 1), (2, 1, 2), (3, 299, 300), (4, 599, 600), (9, 3599, 3600)] {
        dies(&house, "big", too_soon);
        tried(&house, "big", count, too_soon);
        assert_short(&now(), "held big [budget_spent]");
        dies(&house, "big", in_time);
        tried(&house, "big", count, in_time);
        assert_short(&now(), "start:big [exited] 16384 on gpu-0");
    }
}

#[test]
fn what_is_held_says_what_was_tried_and_when_it_goes_on() {
    let house = house("big");
    dies(&house, "big", 0);
    tried(&house, "big", 2, 0);
    let plan = look(&house, &house.desired(Some("big")));
    let said = held(&plan);
    assert!(said.starts_with("it exited with 1; 2 of 3 attempts are spent; the next is due in "), "{said}");
    assert_eq!(
        plan.held[0].since,
        Some(house.look(&house.desired(None)).history[&"big".into()].attempts.clone().expect("tried").last_at)
    );
    tried(&house, "big", 4, 0);
    let plan = look(&house, &house.desired(Some("big")));
    let said = held(&plan);
    assert!(said.contains("all 3 attempts are spent, and 1 more; it is tried again in "), "{said}");
    assert!(said.ends_with("when its spec changes, or after `lcm resume big`"), "{said}");
}

#[test]
fn a_spent_one_that_runs_badly_makes_room_for_others() {
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
         held big [budget_spent]",
    );
    tried(&house, "big", 3, 1);
    assert_short(
        &house.plan("all"),
        "stop:big [budget_spent] 16384 on gpu-0
         start:small [wanted_by_mode] 12288 on gpu-0 after stop:big
         blocked web [dependency]
         held big [budget_spent]",
    );
}

/// The larger one died three times, and has had its five minutes.
fn due_for_a_retry() -> House {
    let house = house("big");
    dies(&house, "big", 5 * MINUTE);
    tried(&house, "big", 3, 5 * MINUTE);
    house
}

#[test]
fn a_retry_takes_what_is_left_and_nobody_gives_way_for_it() {
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
    let plan = look(&house, &house.desired(Some("both")));
    assert_short(&text(&plan), "held big [budget_spent]");
    let said = held(&plan);
    assert!(said.contains("it exited with 1; it needs ") && said.contains(" small "), "{said}");
    assert!(said.ends_with("all 3 attempts are spent; it is tried again without making room"), "{said}");
    // With a budget of its own again it matters more.
    block_on(house.store.set_attempts(&"recover".into(), &"big".into(), None)).expect("a memory");
    assert!(house.plan("both").contains("stop:small [preempted]"), "{}", house.plan("both"));
}

#[test]
fn whoever_depends_on_a_retry_waits_until_it_is_up() {
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
        &text(&look(&house, &desired)),
        "start:big [exited] 16384 on gpu-0
         blocked web [dependency]",
    );
    // Once it is, the same run starts what waits for it.
    house.apply_for(&desired, &Request::default());
    assert_short(&text(&look(&house, &desired)), "");
}

#[test]
fn the_room_of_one_that_is_soon_tried_again_is_kept_for_it_where_it_is_free() {
    let house = house("big");
    dies(&house, "big", 0);
    tried(&house, "big", 2, 0);
    assert_short(
        &house.plan("all"),
        "blocked small [no_capacity]
         blocked web [dependency]
         held big [budget_spent]",
    );
    tried(&house, "big", 3, 0);
    let outcome = house.try_apply(&house.desired(Some("both")), &Request::default());
    assert!(outcome.failures.is_empty());
    tried(&house, "big", 2, 0);
    assert_short(&house.plan("both"), "held big [budget_spent]");
}

#[test]
fn what_runs_badly_is_tried_again_where_it_is() {
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
fn another_spec_or_ten_minutes_of_being_well_make_the_budget_whole() {
    let house = house("big");
    tried(&house, "big", 3, 10 * MINUTE);
    let recovered = |house: &House| look(house, &house.desired(Some("big"))).recovered;
    assert_eq!(recovered(&house), [], "a start may take 10 s of that");
    tried(&house, "big", 3, 10 * MINUTE + 10);
    each_tree(&house, "big", |tree| tree.started_at = None);
    assert_eq!(recovered(&house), [], "nobody knows since when it runs");
    let started_at = Some(ago(&house, 10 * MINUTE + 10));
    each_tree(&house, "big", |tree| tree.started_at = started_at);
    assert_eq!(recovered(&house), ["big".into()]);
    // It lived so long, and only then ended.
    dies(&house, "big", 0);
    assert_eq!(recovered(&house), ["big".into()]);
    assert_short(&house.plan("big"), "start:big [exited] 16384 on gpu-0");
    dies(&house, "big", 60);
    tried(&house, "big", 3, 4 * MINUTE);
    assert_short(&house.plan("big"), "held big [budget_spent]");
    house.rewrite(&MANIFEST.replace("command: [big]", "command: [big, --less]"));
    assert_short(&house.plan("big"), "start:big [exited] 16384 on gpu-0");
    assert_eq!(recovered(&house), ["big".into()]);
}

#[test]
fn an_older_self_runs_on_when_the_new_one_does_not_come_up() {
    let house = house("big");
    house.rewrite(&MANIFEST.replace("command: [big]", "command: [big, --more]"));
    tried(&house, "big", 3, 0);
    assert_short(&house.plan("big"), "blocked big [budget_spent]");
    each_tree(&house, "big", |tree| tree.started_at = Some("2025-01-02T03:04:05Z".parse().expect("a time")));
    assert_eq!(look(&house, &house.desired(None)).recovered, [], "it is not the new one that is well");
    tried(&house, "big", 3, 5 * MINUTE);
    assert_short(
        &house.plan("big"),
        "stop:big [spec_changed] 16384 on gpu-0
         start:big [spec_changed] 16384 on gpu-0 after stop:big",
    );
}

#[test]
fn one_without_attempts_is_started_and_never_brought_back() {
    let house = House::new(MANIFEST);
    let mut desired = house.desired(Some("big"));
    let recover = Recover { attempts: 0, ..Recover::default() };
    desired.services.get_mut(&"big".into()).expect("a service").recover = recover;
    house.apply_for(&desired, &Request::default());
    dies(&house, "big", 60);
    let plan = look(&house, &desired);
    assert_short(&text(&plan), "held big [budget_spent]");
    assert!(plan.held[0].since.is_some() && held(&plan).contains("`recover.attempts` is 0"), "{plan:?}");
    // Leave for one more start, given after its end.
    tried(&house, "big", 0, 61);
    assert_short(&text(&look(&house, &desired)), "held big [budget_spent]");
    tried(&house, "big", 0, 59);
    assert_short(&text(&look(&house, &desired)), "start:big [exited] 16384 on gpu-0");
}

#[test]
fn what_was_switched_off_while_it_was_well_is_started_at_once() {
    let house = house("big");
    tried(&house, "big", 3, 0);
    house.apply("none");
    assert_eq!(house.look(&house.desired(None)).history[&"big".into()].attempts, None);
    house.apply("big");
}

#[test]
fn the_audit_knows_the_budgets() {
    let house = house("big");
    falls_sick(&house, "big");
    let desired = house.desired(Some("both"));
    let findings = |plan: &Plan| {
        let observed = observe(&house.look(&desired), &desired);
        audit(plan, &desired, &observed, &Request::default()).join("; ")
    };
    let brought_back = look(&house, &desired);
    tried(&house, "big", 2, 1);
    assert_eq!(findings(&brought_back), "start:big: its budget keeps it from being brought up");
    tried(&house, "big", 3, 1);
    let given_up = look(&house, &desired);
    assert_eq!(findings(&given_up), "");
    tried(&house, "big", 2, 1);
    assert_eq!(findings(&given_up), "stop:big: its budget is not spent");

    let house = due_for_a_retry();
    tried(&house, "big", 3, 0);
    assert!(house.try_apply(&desired, &Request::default()).failures.is_empty());
    block_on(house.store.set_attempts(&"recover".into(), &"big".into(), None)).expect("a memory");
    let preempts = look(&house, &desired);
    assert_eq!(preempts.steps[0].reason.code, ReasonCode::Preempted);
    tried(&house, "big", 3, 5 * MINUTE);
    let observed = observe(&house.look(&desired), &desired);
    assert_eq!(
        audit(&preempts, &desired, &observed, &Request::default()),
        ["stop:small: big is only tried again, and nobody gives way for that"]
    );
}

#[test]
fn what_an_operator_holds_keeps_what_it_depends_on() {
    let house = house("all");
    house.say("web", Some(Hold::Maintain));
    falls_sick(&house, "big");
    tried(&house, "big", 3, 1);
    assert_short(
        &house.plan("both"),
        "blocked small [no_capacity]
         held big [budget_spent]
         held web [maintenance]",
    );
}
