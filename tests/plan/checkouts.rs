//! Another checkout of the project: running services are left as they are, and only missing ones are started.

use lcm::model::plan::{Purpose, Request};

use crate::house::{House, assert_lines, text};

fn manifest(spec: &str, orphans: &str) -> String {
    format!(
        r"
version: 1
name: yard
orphans: {orphans}
gpus: {{ devices: [{{ index: 0, vram: 10GiB }}] }}
services:
  api: {{ process: {{ command: [api, {spec}] }}, vram: 6GiB, priority: 1 }}
  web: {{ process: {{ command: [web] }} }}
  big: {{ process: {{ command: [big] }}, vram: 8GiB, priority: 9 }}
modes:
  day: {{ services: [api] }}
  night: {{ services: [web, big] }}
"
    )
}

fn elsewhere(purpose: Purpose) -> Request {
    let other_checkout = Some("other_checkout: /a/lcm.yaml manages project yard".to_owned());
    Request { other_checkout, purpose, ..Request::default() }
}

#[test]
fn running_services_are_neither_recreated_nor_stopped_nor_preempted() {
    let house = House::new(&manifest("one", "report"));
    house.apply("day");
    house.rewrite(&manifest("two", "report"));
    let plan = house.plan_for(&house.desired(Some("day")), &elsewhere(Purpose::Apply));
    assert_lines(&text(&plan), "");
    assert!(plan.warnings.iter().any(|warning| warning.starts_with("other_checkout:")), "{:?}", plan.warnings);

    // Another mode starts missing services that fit, and stops nothing.
    let night = text(&house.plan_for(&house.desired(Some("night")), &elsewhere(Purpose::Apply)));
    assert!(night.contains("start:web") && night.contains("blocked big"), "{night}");
    assert!(!night.contains("stop:"), "{night}");
    house.apply_for(&house.desired(Some("night")), &elsewhere(Purpose::Apply));
    let next = text(&house.plan_for(&house.desired(Some("night")), &elsewhere(Purpose::Apply)));
    assert!(!next.contains("start:") && !next.contains("stop:"), "{next}");
    // The checkout that manages it is free to do all of that.
    assert!(house.plan("night").contains("stop:api"));
}

#[test]
fn orphans_of_another_checkout_stay_under_any_orphan_policy() {
    let house = House::new(&manifest("one", "stop"));
    house.apply("day");
    house.rewrite("version: 1\nname: yard\norphans: stop\nservices:\n  web: { process: { command: [web] } }\n");
    let request = Request { prune: true, ..elsewhere(Purpose::Apply) };
    let plan = text(&house.plan_for(&house.desired(None), &request));
    assert!(plan.contains("start:web") && !plan.contains("stop:"), "{plan}");
    assert!(plan.contains("orphan api: ") && plan.contains("left as it is"), "{plan}");
}

#[test]
fn a_command_that_names_services_is_carried_out() {
    let house = House::new(&manifest("one", "report"));
    house.apply("day");
    house.rewrite(&manifest("two", "report"));
    for purpose in [Purpose::Stop, Purpose::Restart] {
        let request = Request { targets: ["api".into()].into(), ..elsewhere(purpose) };
        assert!(text(&house.plan_for(&house.desired(Some("day")), &request)).contains("stop:api"), "{purpose:?}");
    }
    assert!(text(&house.plan_for(&house.desired(Some("day")), &elsewhere(Purpose::Down))).contains("stop:api"));
}
