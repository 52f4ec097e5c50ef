//! `lifecycle.deny` and `lifecycle.allow` in plans: a service without a legal route is blocked with the rule, and a
//! service that may not be stopped is not preempted. The simulated clock shows 2026-01-02 03:04 UTC, 04:04 in Berlin: a
//! Friday.

use std::collections::BTreeSet;

use lcm::model::holds::Hold;
use lcm::model::lifecycle::State;
use lcm::model::plan::{Purpose, Request};
use lcm::plan::audit;
use lcm::runtime::registry::observe;

use crate::house::{House, assert_lines, text};

const SERVICES: &str = "
version: 1
name: ruled
gpus: { devices: [{ index: 0, vram: 24GiB }] }
services:
  big: { process: { command: [big] }, vram: 20GiB, priority: 100 }
  low: { process: { command: [low] }, vram: 12GiB, priority: 10 }
  mate: { process: { command: [mate] }, depends_on: [low], priority: 10 }
modes:
  low: { services: [low] }
  mate: { services: [mate] }
  big: { services: [big] }
  both: { services: [big, low] }
  all: { services: [big, mate] }
  keep: { services: [big], others: keep }
";

/// House with the services and these rules, which begin in line 16.
fn house(rules: &str) -> House {
    House::new(&format!("{SERVICES}lifecycle: {{ {rules} }}\n"))
}

/// Returns the plan for a mode without the folder of the manifest.
fn plan(house: &House, mode: &str) -> String {
    short(&house.plan(mode))
}

fn short(text: &str) -> String {
    regex_lite::Regex::new("at [^ ]*/lcm.yaml").unwrap().replace_all(text, "at lcm.yaml").into_owned()
}

#[test]
fn an_unwanted_service_that_may_not_be_stopped_is_blocked() {
    let house = house("deny: [{ from: online, to: stopping, reason: it renders }]");
    house.apply("low");
    assert_lines(
        &plan(&house, "big"),
        "blocked big [no_capacity] it needs 20 480 MiB (priority 100); GPU 0 has 24 576 − 12 288 low (priority 10) = 12 288; low can't be stopped: the rule at lcm.yaml:16 forbids online → stopping (it renders)
         blocked low [rule] it should be stopped (not part of mode big), but can't be: the rule at lcm.yaml:16 forbids online → stopping (it renders)",
    );
    house.apply("big");
}

#[test]
fn a_start_that_a_rule_forbids_is_blocked_and_so_are_dependents() {
    let house = house("deny: [{ to: starting, services: low }]");
    assert_lines(
        &plan(&house, "all"),
        "start:big [wanted_by_mode] 20480 on gpu-0
         blocked low [rule] it can't be started: the rule at lcm.yaml:16 forbids deployed → starting
         blocked mate [dependency] it depends on low, which is blocked: it can't be started: the rule at lcm.yaml:16 forbids deployed → starting",
    );
    house.apply("all");
}

#[test]
fn a_service_that_may_not_be_stopped_is_not_preempted() {
    for (rules, mode) in [
        ("deny: [{ to: stopping, services: low }]", "both"),
        ("deny: [{ to: offline, services: low }]", "both"),
        ("deny: [{ from: online, to: stopping }]", "keep"),
    ] {
        let house = house(rules);
        house.apply("low");
        let plan = plan(&house, mode);
        assert!(plan.starts_with("blocked big [no_capacity]"), "{rules}: {plan}");
        assert!(plan.contains("; low can't be stopped: the rule at lcm.yaml:16 forbids "), "{rules}: {plan}");
        house.apply(mode);
    }
}

#[test]
fn a_dependency_of_a_protected_service_is_protected_too() {
    let house = house("deny: [{ to: stopping, services: mate }]");
    house.apply("mate");
    // Low could be stopped, but mate depends on it.
    assert_lines(
        &plan(&house, "all"),
        "blocked big [no_capacity] it needs 20 480 MiB (priority 100); GPU 0 has 24 576 − 12 288 low (priority 10) = 12 288; low can't be stopped: mate depends on it, and can't be stopped either: the rule at lcm.yaml:16 forbids online → stopping",
    );
    assert_lines(
        &plan(&house, "low"),
        "blocked mate [rule] it should be stopped (not part of mode low), but can't be: the rule at lcm.yaml:16 forbids online → stopping",
    );
    let none = house.plan("big");
    assert!(none.contains("blocked low [rule]") && none.contains("blocked mate [rule]"), "{none}");
    assert!(!none.contains("stop:"), "{none}");
    house.apply("big");
}

#[test]
fn hours_are_judged_by_the_time_of_the_observation() {
    for (hours, wanted) in [
        ("hours: 04:00-05:00, zone: Europe/Berlin", "forbids online → stopping until 05:00 Europe/Berlin\n"),
        ("hours: 03:00-03:05, zone: UTC", "forbids online → stopping until 03:05 UTC\n"),
        ("hours: 22:00-06:00, zone: UTC", "forbids online → stopping until 06:00 UTC\n"),
        (
            "hours: { from: 00:00, until: 24:00, days: [fri-sat], zone: UTC }, reason: weekend",
            "forbids online → stopping until 2026-01-04 00:00 UTC (weekend)\n",
        ),
        ("hours: 04:00-05:00, zone: UTC", ""),
        ("hours: { from: 22:00, until: 06:00, days: fri, zone: UTC }", ""),
        ("mode: low", ""),
        ("mode: [low, big]", "forbids online → stopping\n"),
        ("services: big", ""),
    ] {
        let house = house(&format!("deny: [{{ from: online, to: stopping, {hours} }}]"));
        house.apply("low");
        let plan = plan(&house, "big");
        let blocked = plan.contains(&format!("but can't be: the rule at lcm.yaml:16 {wanted}"));
        assert_eq!(blocked, !wanted.is_empty(), "{hours}: {plan}");
        assert_eq!(plan.contains("stop:low [not_in_mode]"), wanted.is_empty(), "{hours}: {plan}");
        house.apply("big");
    }
}

#[test]
fn a_service_that_could_not_be_started_again_is_not_stopped() {
    let rules = "lifecycle: { deny: [{ from: offline, to: starting, services: api }] }\n";
    let manifest = |image: &str| {
        format!(
            "version: 1\nname: ruled\nservices:\n  api: {{ docker: {{ image: '{image}' }} }}\nmodes: {{ on: {{ services: [api] }} }}\n{rules}"
        )
    };
    let house = House::new(&manifest("api:1"));
    house.apply("on");
    house.rewrite(&manifest("api:2"));
    assert_lines(
        &plan(&house, "on"),
        "blocked api [rule] its spec has changed in the manifest; it needs a restart, but it could not be started again: the rule at lcm.yaml:6 forbids offline → starting",
    );
    house.apply("on");
}

#[test]
fn services_that_restart_together_are_left_together() {
    let manifest = |image: &str, rules: &str| {
        format!(
            "version: 1\nname: ruled\nservices:\n  api: {{ docker: {{ image: '{image}' }} }}\n  web: {{ process: {{ command: [web] }}, depends_on: {{ api: {{ restart: true }} }} }}\n  log: {{ process: {{ command: [log] }}, depends_on: [api] }}\nmodes: {{ on: {{ services: [web, log] }} }}\nlifecycle: {{ deny: [{rules}] }}\n"
        )
    };
    for (rules, blocked) in [
        (
            "{ to: stopping, services: web }",
            "web, which restarts with it, can't be restarted: the rule at lcm.yaml:8 forbids online → stopping",
        ),
        ("{ to: stopping, services: api }", "it can't be stopped: the rule at lcm.yaml:8 forbids online → stopping"),
    ] {
        let house = House::new(&manifest("api:1", rules));
        house.apply("on");
        house.rewrite(&manifest("api:2", rules));
        let wanted =
            format!("blocked api [rule] its spec has changed in the manifest; it needs a restart, but {blocked}");
        assert_lines(&plan(&house, "on"), &wanted);
        house.apply("on");
    }
    // A dependent that does not restart with it does not protect it.
    let rules = "{ to: stopping, services: log }";
    let house = House::new(&manifest("api:1", rules));
    house.apply("on");
    house.rewrite(&manifest("api:2", rules));
    assert!(plan(&house, "on").starts_with("stop:web [dependency]"));
    house.apply("on");
}

#[test]
fn down_obeys_rules_too() {
    let down = Request { purpose: Purpose::Down, ..Request::default() };
    let house = house("deny: [{ to: stopping, services: mate }]");
    house.apply("mate");
    let desired = house.desired(Some("mate"));
    assert_lines(
        &short(&text(&house.plan_for(&desired, &down))),
        "blocked low [rule] it should be stopped (requested by `lcm down`), but can't be: mate depends on it, and can't be stopped either: the rule at lcm.yaml:16 forbids online → stopping
         blocked mate [rule] it should be stopped (requested by `lcm down`), but can't be: the rule at lcm.yaml:16 forbids online → stopping",
    );
    let text_of = |house: &House| short(&text(&house.plan_for(&house.desired(Some("on")), &down)));
    let kept = House::new(
        "version: 1\nname: ruled\nservices: { api: { docker: { image: api } } }\nmodes: { on: { services: [api] } }\nlifecycle: { deny: [{ to: deleted }] }\n",
    );
    kept.apply("on");
    assert_lines(&text_of(&kept), "stop:api [requested]");
    kept.apply_for(&kept.desired(Some("on")), &down);
    assert_lines(
        &text_of(&kept),
        "blocked api [rule] its container should be removed (requested by `lcm down`), but can't be: the rule at lcm.yaml:5 forbids offline → deleted",
    );
}

#[test]
fn an_orphan_that_may_not_be_stopped_stays_and_is_reported() {
    let manifest = |services: &str| {
        format!(
            "version: 1\nname: ruled\norphans: stop\nservices: {{ {services} }}\nmodes: {{ on: {{ services: [a] }}, quiet: {{}} }}\nlifecycle: {{ deny: [{{ to: stopping }}] }}\n"
        )
    };
    let house = House::new(&manifest("a: { process: { command: [a] } }, b: { process: { command: [b] } }"));
    let everything = manifest("a: { process: { command: [a] } }, b: { process: { command: [b] } }")
        .replace("services: [a]", "services: [a, b]");
    house.rewrite(&everything);
    house.apply("on");
    house.rewrite(&manifest("a: { process: { command: [a] } }"));
    assert_lines(
        &plan(&house, "on"),
        "blocked b [rule] it should be stopped (not in the manifest), but can't be: the rule at lcm.yaml:6 forbids online → stopping
         orphan b: pid 100005 (b) of uid 0; a rule keeps it from being stopped",
    );
    house.apply("on");
}

#[test]
fn targets_and_strict_obey_rules() {
    let house = house("deny: [{ to: starting, services: low }]");
    let strict = Request { strict: true, ..Request::default() };
    assert!(!house.plan_with("both", &strict).contains("start:"));
    let target = Request { targets: BTreeSet::from(["big".into()]), ..Request::default() };
    assert_lines(&house.plan_with("both", &target), "start:big [wanted_by_mode] 20480 on gpu-0");
}

#[test]
fn an_allow_rule_changes_no_plan_that_has_its_routes() {
    let house = house("allow: [{ from: offline, to: online }, { from: terminated, to: starting }]");
    assert_lines(&plan(&house, "low"), "start:low [wanted_by_mode] 12288 on gpu-0");
    house.apply("low");
    house.apply("big");
    house.apply("low");
}

/// No observation has this state of a service today, but it must lead to a plan with a route, or a reason.
#[test]
fn without_a_route_the_message_lists_possible_states_and_an_allow_rule_opens_one() {
    for (rules, wanted) in [
        (
            "",
            "blocked low [rule] it can't be started: the lifecycle does not allow start in state terminated; states that may follow: deleted\n",
        ),
        (
            "allow: [{ from: terminated, to: offline }]",
            "blocked low [rule] it can't be started: the lifecycle does not allow start in state terminated; states that may follow: offline, deleted\n",
        ),
        ("allow: [{ from: terminated, to: starting }]", "start:low [wanted_by_mode] 12288 on gpu-0\n"),
        (
            "allow: [{ from: terminated, to: starting }], deny: [{ to: starting }]",
            "blocked low [rule] it can't be started: the rule at lcm.yaml:16 forbids terminated → starting\n",
        ),
    ] {
        let house = house(rules);
        let desired = house.desired(Some("low"));
        let mut observed = observe(&house.inspect(&desired), &desired);
        observed.services.get_mut(&"low".into()).expect("it is seen").state = State::Terminated;
        let plan = lcm::plan::plan(&desired, &observed, &Request::default());
        assert_eq!(short(&text(&plan)), wanted, "{rules}");
        assert_eq!(audit(&plan, &desired, &observed, &Request::default()), Vec::<String>::new());
        if let Some(step) = plan.steps.first() {
            assert_eq!(step.route, [State::Terminated, State::Starting, State::Online]);
        }
    }
}

#[test]
fn the_audit_checks_each_change_by_itself() {
    let free = house("");
    let desired = free.desired(Some("low"));
    let observed = observe(&free.inspect(&desired), &desired);
    let plan = lcm::plan::plan(&desired, &observed, &Request::default());
    let ruled = |rules: &str| {
        let desired = house(rules).desired(Some("low"));
        audit(&plan, &desired, &observed, &Request::default()).iter().map(|finding| short(finding)).collect::<Vec<_>>()
    };
    assert_eq!(ruled(""), Vec::<String>::new());
    assert_eq!(ruled("deny: [{ to: online }]"), ["start:low: the rule at lcm.yaml:16 forbids starting → online"]);
    assert_eq!(ruled("deny: [{ to: online, services: big }]"), Vec::<String>::new());
    assert_eq!(ruled("deny: [{ to: online, hours: 00:00-03:04, zone: UTC }]"), Vec::<String>::new());
}

#[test]
fn a_hold_obeys_the_rules_on_its_own_route() {
    let planned = |rules: &str| {
        let house = house(rules);
        house.apply("low");
        house.set_hold("low", Some(Hold::Terminate));
        let plan = plan(&house, "low");
        house.apply("low");
        plan
    };
    assert_lines(&planned("deny: [{ to: terminated }]"), "held low [terminated]");
    let plan = planned("deny: [{ from: stopping, to: offline }]");
    assert!(plan.starts_with("stop:low [terminated]"), "{plan}");
}
