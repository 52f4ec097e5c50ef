//! Options of containers: limits follow the manifest without a restart, the others recreate the container, and rights
//! beyond the manifest are a difference.

use lcm::model::plan::{Plan, Request};
use lcm::runtime::docker::facts::DockerReading as _;
use lcm::runtime::docker::settings::ContainerSettings;

use crate::house::{House, assert_lines, text};

const MANIFEST: &str = r#"
version: 1
name: options
services:
  api:
    docker:
      image: "api:1"
      hostname: api.lan
      init: true
      mem_limit: 1GiB
      cpus: 2
      logging: { driver: json-file, options: { max-size: 20m } }
modes:
  on: { services: [api] }
  quiet: { services: [] }
"#;

const UPDATE: &str = "update:api [settings_changed]";
const RECREATE: &str = "stop:api [settings_changed]\nstart:api [settings_changed] after stop:api";

fn running() -> House {
    let house = House::new(MANIFEST);
    house.apply("on");
    assert_lines(&house.plan("on"), "");
    house
}

fn change(house: &House, change: impl FnOnce(&mut ContainerSettings)) {
    house.sim.inject(|facts| {
        let containers = facts.docker_mut().containers.known_mut().expect("containers");
        change(containers[0].settings.as_mut().expect("real settings"));
    });
}

fn planned(house: &House) -> Plan {
    house.plan_for(&house.desired(Some("on")), &Request::default())
}

fn diff(plan: &Plan) -> &str {
    plan.steps.iter().find_map(|step| step.diff.as_deref()).expect("a difference")
}

fn container(house: &House) -> String {
    house.inspect(&house.desired(Some("on"))).docker().containers.known().expect("containers")[0].id.clone()
}

#[test]
fn a_changed_limit_is_applied_to_the_running_container() {
    for (from, to, shown) in [
        ("mem_limit: 1GiB", "mem_limit: 2GiB", "-limit Memory: 1073741824\n+limit Memory: 2147483648"),
        ("cpus: 2", "cpus: 0.5", "-limit NanoCpus: 2000000000\n+limit NanoCpus: 500000000"),
    ] {
        let house = running();
        let before = container(&house);
        house.rewrite(&MANIFEST.replace(from, to));
        let plan = planned(&house);
        assert_lines(&text(&plan), UPDATE);
        assert_eq!(diff(&plan), shown);
        house.apply("on");
        assert_lines(&house.plan("on"), "");
        assert_eq!(container(&house), before, "it is the same container");
    }
}

#[test]
fn a_limit_that_is_added_is_applied_and_one_that_is_removed_recreates() {
    let (house, without) = (running(), MANIFEST.replace("mem_limit: 1GiB\n", "user: \"1\"\n"));
    // A limit can't be taken from a running container.
    house.rewrite(&MANIFEST.replace("      mem_limit: 1GiB\n", ""));
    let plan = planned(&house);
    assert_lines(&text(&plan), RECREATE);
    assert_eq!(diff(&plan), "-limit Memory: 1073741824");
    house.apply("on");
    house.rewrite(MANIFEST);
    assert_lines(&house.plan("on"), UPDATE);
    house.apply("on");
    // Together with a changed spec it is one new container.
    house.rewrite(&without);
    assert_lines(&house.plan("on"), "stop:api [spec_changed]\nstart:api [spec_changed] after stop:api");
    house.apply("on");
    assert_lines(&house.plan("on"), "");
}

#[test]
fn a_stopped_container_gets_its_new_limit_as_it_starts() {
    let house = running();
    let before = container(&house);
    house.apply("quiet");
    house.rewrite(&MANIFEST.replace("mem_limit: 1GiB", "mem_limit: 2GiB"));
    assert_lines(&house.plan("quiet"), "");
    house.apply("on");
    assert_lines(&house.plan("on"), "");
    assert_eq!(container(&house), before);
}

#[test]
fn a_limit_changed_by_hand_is_set_back() {
    let house = running();
    change(&house, |real| drop(real.limits.insert("NanoCpus".into(), "100000000".into())));
    let plan = planned(&house);
    assert_lines(&text(&plan), UPDATE);
    assert_eq!(diff(&plan), "-limit NanoCpus: 100000000\n+limit NanoCpus: 2000000000");
    house.apply("on");
    // Both at once are one recreation.
    change(&house, |real| {
        real.limits.insert("NanoCpus".into(), "100000000".into());
        real.options.insert("hostname".into(), "other".into());
    });
    assert_lines(&house.plan("on"), RECREATE);
    house.apply("on");
}

#[test]
fn a_container_that_is_not_compared_still_follows_its_limits() {
    let house = running();
    let before = container(&house);
    house.sim.inject(|facts| {
        let containers = facts.docker_mut().containers.known_mut().expect("containers");
        containers[0].marks.as_mut().expect("marks").compared = 0;
    });
    change(&house, |real| drop(real.options.insert("hostname".into(), "other".into())));
    let plan = planned(&house);
    assert_lines(&text(&plan), "");
    assert!(plan.warnings.iter().any(|warning| warning.contains("in hostname")), "{:?}", plan.warnings);
    house.rewrite(&MANIFEST.replace("mem_limit: 1GiB", "mem_limit: 2GiB"));
    assert_lines(&house.plan("on"), UPDATE);
    house.apply("on");
    assert_lines(&house.plan("on"), "");
    assert_eq!(container(&house), before);
}

#[test]
fn other_options_and_rights_beyond_the_manifest_recreate() {
    type Change = fn(&mut ContainerSettings);
    let cases: [(Change, &str); 5] = [
        (|real| drop(real.options.insert("hostname".into(), "other".into())), "-hostname: other\n+hostname: api.lan"),
        (|real| drop(real.options.remove("init")), "+init: true"),
        (|real| drop(real.options.insert("privileged".into(), "true".into())), "-privileged: true"),
        (|real| drop(real.options.insert("cap_add".into(), "SYS_ADMIN".into())), "-cap_add: SYS_ADMIN"),
        (
            |real| drop(real.digests.insert("logging option max-size".into(), "0".into())),
            "-logging option max-size: differs from the manifest",
        ),
    ];
    for (change_by_hand, shown) in cases {
        let house = running();
        change(&house, change_by_hand);
        let plan = planned(&house);
        assert_lines(&text(&plan), RECREATE);
        assert_eq!(diff(&plan), shown);
        house.apply("on");
        assert_lines(&house.plan("on"), "");
    }
}

/// The plan shows what a manifest gives a container, before it has it.
#[test]
fn new_rights_are_shown_in_the_plan() {
    let house = running();
    let rights =
        "init: true\n      privileged: true\n      cap_add: [SYS_ADMIN]\n      security_opt: [seccomp=unconfined]\n";
    house.rewrite(&MANIFEST.replace("init: true\n", rights));
    let plan = planned(&house);
    assert_lines(&text(&plan), "stop:api [spec_changed]\nstart:api [spec_changed] after stop:api");
    for part in ["privileged", "SYS_ADMIN", "seccomp=unconfined"] {
        assert!(diff(&plan).contains(part), "{part}: {}", diff(&plan));
    }
    house.apply("on");
    assert_lines(&house.plan("on"), "");
}
