//! Real settings of running services compared with the manifest: changed in place where the engine can, recreated where
//! it can't, and left where they do not concern the manifest.

use lcm::model::facts::{Facts, PathFact, ProbeReading, Reading};
use lcm::model::lifecycle::Action;
use lcm::model::plan::{Plan, Request};
use lcm::runtime::docker::facts::ContainerState;
use lcm::runtime::docker::facts::DockerReading as _;
use lcm::runtime::docker::settings::ContainerSettings;
use lcm::runtime::process::facts::ProcessReading as _;
use lcm::runtime::process::facts::{HeldFact, HeldPath};
use lcm::sim::Behaviour;

use crate::house::{House, assert_lines, text};

const MANIFEST: &str = r#"
version: 1
name: drift
services:
  api:
    docker:
      image: "api:1"
      ports: ["127.0.0.1:8080:80"]
      volumes: ["/srv/conf:/conf:ro", "data:/data"]
      networks: [inside]
      environment: { MODE: fast, TOKEN: { env: TOKEN } }
modes:
  on: { services: [api] }
  quiet: { services: [] }
  idle: { services: [], others: keep }
"#;

/// House in which the service runs as the manifest describes it.
fn running() -> House {
    let house = House::new(MANIFEST);
    house.sim.inject(|facts| {
        facts.docker_mut().networks = Reading::Known([("inside".to_owned(), "n1".to_owned())].into());
        facts.paths = [("/srv/conf".to_owned(), path("/srv/r1/conf", "1:1"))].into();
    });
    house.apply("on");
    house
}

fn path(real: &str, id: &str) -> PathFact {
    PathFact { real: real.to_owned(), id: id.to_owned() }
}

fn change(house: &House, change: impl FnOnce(&mut ContainerSettings)) {
    house.sim.inject(|facts| change(settings(facts)));
}

fn settings(facts: &mut Facts) -> &mut ContainerSettings {
    let containers = facts.docker_mut().containers.known_mut().expect("containers");
    containers[0].settings.as_mut().expect("real settings")
}

fn planned(house: &House) -> Plan {
    house.plan_for(&house.desired(Some("on")), &Request::default())
}

/// Diff of the first step that has one.
fn diff(plan: &Plan) -> &str {
    plan.steps.iter().find_map(|step| step.diff.as_deref()).expect("a difference")
}

#[test]
fn settings_that_the_engine_can_change_are_changed_in_place() {
    type Change = fn(&mut ContainerSettings);
    let cases: [(&str, Change, &str); 5] = [
        ("restart policy", |real| real.restart = "always".to_owned(), "-restart policy: always\n+restart policy: no"),
        ("limit PidsLimit", |real| drop(real.limits.insert("PidsLimit".into(), "50".into())), "-limit PidsLimit: 50"),
        ("network inside", |real| drop(real.networks.remove("inside")), "+network inside: n1"),
        (
            "network inside",
            |real| drop(real.networks.insert("inside".into(), "n0".into())),
            "-network inside: n0\n+network inside: n1",
        ),
        ("network other", |real| drop(real.networks.insert("other".into(), "n7".into())), "-network other: n7"),
    ];
    for (setting, change_by_hand, shown) in cases {
        let house = running();
        change(&house, change_by_hand);
        let plan = planned(&house);
        assert_lines(&text(&plan), "update:api [settings_changed]");
        assert_eq!(plan.steps[0].reason.message, format!("its container differs from the manifest in {setting}"));
        assert_eq!(diff(&plan), shown);
        house.apply("on");
        assert_eq!(house.transitions().iter().filter(|made| made.reason.contains(setting)).count(), 2, "{setting}");
    }
}

#[test]
fn settings_that_no_engine_can_change_recreate_the_container() {
    type Change = fn(&mut ContainerSettings);
    let cases: [(Change, &str); 7] = [
        (
            |real| drop(real.mounts.insert("/conf".into(), "/srv/r0/conf:ro".into())),
            "-mount /conf: /srv/r0/conf:ro\n+mount /conf: /srv/r1/conf:ro",
        ),
        (
            |real| drop(real.mounts.insert("/conf".into(), "/srv/r1/conf".into())),
            "-mount /conf: /srv/r1/conf\n+mount /conf: /srv/r1/conf:ro",
        ),
        (|real| drop(real.mounts.insert("/more".into(), "/etc".into())), "-mount /more: /etc"),
        (|real| real.ports = ["8080->80/tcp".to_owned()].into(), "+port 127.0.0.1:8080->80/tcp\n-port 8080->80/tcp"),
        (|real| drop(real.limits.insert("Memory".into(), "104857600".into())), "-limit Memory: 104857600"),
        (|real| real.devices = ["/dev/kvm:/dev/kvm:rwm".to_owned()].into(), "-device /dev/kvm:/dev/kvm:rwm"),
        (
            |real| drop(real.digests.insert("environment MODE".into(), "0".into())),
            "-environment MODE: differs from the manifest",
        ),
    ];
    for (change_by_hand, shown) in cases {
        let house = running();
        change(&house, change_by_hand);
        let plan = planned(&house);
        assert_lines(&text(&plan), "stop:api [settings_changed]\nstart:api [settings_changed] after stop:api");
        assert_eq!(diff(&plan), shown);
        house.apply("on");
    }
}

#[test]
fn a_change_that_the_engine_refuses_recreates_the_container_in_the_same_run() {
    let house = running();
    house
        .sim
        .set_behaviour("api", lcm::sim::Behaviour { update_error: Some("not here".to_owned()), ..Default::default() });
    change(&house, |real| real.restart = "always".to_owned());
    assert_lines(&text(&planned(&house)), "update:api [settings_changed]");
    let outcome = house.apply("on");
    assert!(outcome.changed && outcome.failures.is_empty(), "{outcome:?}");
}

#[test]
fn a_link_that_now_resolves_to_another_host_folder_is_a_change() {
    let house = running();
    house.sim.inject(|facts| facts.paths = [("/srv/conf".to_owned(), path("/srv/r2/conf", "1:2"))].into());
    assert_eq!(diff(&planned(&house)), "-mount /conf: /srv/r1/conf:ro\n+mount /conf: /srv/r2/conf:ro");
    house.apply("on");
}

#[test]
fn a_recreated_network_is_joined_again() {
    let house = running();
    house
        .sim
        .inject(|facts| facts.docker_mut().networks = Reading::Known([("inside".to_owned(), "n2".to_owned())].into()));
    assert_lines(&text(&planned(&house)), "update:api [settings_changed]");
    house.apply("on");
    // Networks that can't be listed cause no change.
    house.sim.inject(|facts| facts.docker_mut().networks = Reading::Unknown("the engine is busy".to_owned()));
    assert_lines(&text(&planned(&house)), "");
}

#[test]
fn a_container_of_an_earlier_lcm_only_gets_a_warning() {
    let house = running();
    change(&house, |real| drop(real.mounts.insert("/conf".into(), "/srv/conf:ro".into())));
    house.sim.inject(|facts| {
        let containers = facts.docker_mut().containers.known_mut().expect("containers");
        containers[0].marks.as_mut().expect("marks").compared = 0;
    });
    let plan = planned(&house);
    assert_lines(&text(&plan), "");
    let warned = plan
        .warnings
        .iter()
        .any(|warning| warning.starts_with("api: its container differs from the manifest in mount /conf"));
    assert!(warned, "{:?}", plan.warnings);
    // A changed spec recreates it, and it is compared from then on.
    house.rewrite(&MANIFEST.replace("fast", "slow"));
    house.apply("on");
    change(&house, |real| real.restart = "always".to_owned());
    assert_lines(&house.plan("on"), "update:api [settings_changed]");
}

#[test]
fn a_pause_without_a_hold_ends_with_the_next_apply() {
    let house = running();
    house.sim.inject(|facts| {
        facts.docker_mut().containers.known_mut().expect("containers")[0].state = ContainerState::Paused;
    });
    let plan = planned(&house);
    assert_lines(&text(&plan), "unpause:api [settings_changed]");
    assert_eq!(plan.steps[0].action, Action::Unpause);
    house.apply("on");
    // A changed and paused service is recreated at once.
    house.sim.inject(|facts| {
        facts.docker_mut().containers.known_mut().expect("containers")[0].state = ContainerState::Paused;
    });
    change(&house, |real| drop(real.mounts.remove("/data")));
    assert_lines(&house.plan("on"), "stop:api [settings_changed]\nstart:api [settings_changed] after stop:api");
    house.apply("on");
}

#[test]
fn a_missing_network_is_the_reason_to_recreate_a_service_that_does_not_answer() {
    let probed = "\n    health: { http: \"http://127.0.0.1:8080/\" }\nmodes:";
    let house = House::new(&MANIFEST.replace("\nmodes:", probed));
    house
        .sim
        .inject(|facts| facts.docker_mut().networks = Reading::Known([("inside".to_owned(), "n1".to_owned())].into()));
    house.sim.inject(|facts| facts.paths = [("/srv/conf".to_owned(), path("/srv/r1/conf", "1:1"))].into());
    house.apply("on");
    change(&house, |real| drop(real.networks.remove("inside")));
    assert_lines(&house.plan("on"), "update:api [settings_changed]");
    let again = "stop:api [settings_changed]\nstart:api [settings_changed] after stop:api";
    for started_at in ["2026-01-02T03:04:00Z", "2026-01-01T00:00:00Z"] {
        house.sim.inject(|facts| {
            facts.docker_mut().containers.known_mut().expect("containers")[0].started_at = started_at.parse().ok();
            facts.probes.entry("api".into()).or_default().health =
                Some(ProbeReading::Failed { failures: 3, detail: "connection refused".to_owned() });
        });
        house.sim.set_behaviour("api", Behaviour { never_healthy: true, ..Behaviour::default() });
        assert_lines(&house.plan("on"), again);
    }
}

#[test]
fn a_dependent_of_a_paused_service_starts_after_the_resume() {
    let house = running();
    let above = "  above: { process: { command: [serve], cwd: /srv }, depends_on: [api] }\nmodes:";
    house.rewrite(&MANIFEST.replace("modes:", above).replace("on: { services: [api] }", "on: { services: [above] }"));
    house.sim.inject(|facts| {
        facts.docker_mut().containers.known_mut().expect("containers")[0].state = ContainerState::Paused;
    });
    assert_lines(&house.plan("on"), "unpause:api [settings_changed]\nstart:above [wanted_by_mode] after unpause:api");
    house.apply("on");
}

#[test]
fn an_unwanted_service_is_left_as_it_is() {
    let house = running();
    change(&house, |real| real.restart = "always".to_owned());
    assert_lines(&house.plan("idle"), "");
    assert_lines(&house.plan("quiet"), "stop:api [not_in_mode]");
}

#[test]
fn a_secret_that_is_missing_here_compares_nothing() {
    let house = running();
    change(&house, |real| drop(real.digests.insert("environment TOKEN".into(), "0".into())));
    let none = house.desired_with(Some("on"), &std::collections::BTreeMap::new());
    assert_lines(&text(&house.plan_for(&none, &Request::default())), "");
    assert_lines(&house.plan("on"), "stop:api [settings_changed]\nstart:api [settings_changed] after stop:api");
}

const PROCESS: &str = r"
version: 1
name: drift
services:
  web: { process: { command: [./serve.sh], cwd: /srv/current } }
modes:
  on: { services: [web] }
";

/// House with a process that works in `/srv/r1`, to which the manifest's folder now resolves with this id.
fn process(now: Option<PathFact>, held: HeldFact) -> House {
    let house = House::new(PROCESS);
    house.apply("on");
    house.sim.inject(|facts| {
        facts.paths = now.map(|now| ("/srv/current".to_owned(), now)).into_iter().collect();
        facts.processes_mut().trees.known_mut().expect("trees")[0].held = Some(held);
    });
    house
}

fn held(path: &str, id: &str, now: Option<&str>) -> HeldPath {
    HeldPath { path: path.to_owned(), id: id.to_owned(), now: now.map(str::to_owned) }
}

fn program() -> HeldPath {
    held("/srv/r1/serve.sh", "1:7", Some("1:7"))
}

#[test]
fn a_process_works_in_the_folder_that_its_shim_holds() {
    let folder = || held("/srv/r1", "1:1", Some("1:1"));
    let same = process(Some(path("/srv/r1", "1:1")), HeldFact { folder: folder(), program: Some(program()) });
    assert_lines(&same.plan("on"), "");
    // A folder that was moved with its content is the same folder.
    let moved = process(
        Some(path("/srv/r9", "1:1")),
        HeldFact { folder: held("/srv/r9", "1:1", Some("1:1")), program: Some(program()) },
    );
    assert_lines(&moved.plan("on"), "");
    let linked = process(Some(path("/srv/r2", "1:2")), HeldFact { folder: folder(), program: Some(program()) });
    let plan = linked.plan_for(&linked.desired(Some("on")), &Request::default());
    assert_lines(&text(&plan), "stop:web [settings_changed]\nstart:web [settings_changed] after stop:web");
    assert_eq!(plan.steps[0].reason.message, "its working folder is /srv/r1, but `cwd` leads to /srv/r2 now");
    let gone = process(None, HeldFact { folder: held("/srv/r1", "1:1", None), program: Some(program()) });
    let plan = gone.plan_for(&gone.desired(Some("on")), &Request::default());
    assert_eq!(plan.steps[0].reason.message, "its working folder /srv/current is gone");
    assert_eq!(diff(&plan), "-cwd: /srv/r1 (deleted)\n+cwd: /srv/current");
}

#[test]
fn a_replaced_program_is_reported_and_a_missing_one_is_a_change() {
    let with = |program: HeldPath| {
        let folder = held("/srv/r1", "1:1", Some("1:1"));
        process(Some(path("/srv/r1", "1:1")), HeldFact { folder, program: Some(program) })
    };
    let replaced = with(held("/srv/r1/serve.sh", "1:7", Some("1:8")));
    let plan = replaced.plan_for(&replaced.desired(Some("on")), &Request::default());
    assert_lines(&text(&plan), "");
    assert!(
        plan.warnings.iter().any(|warning| warning.contains("program_replaced: /srv/r1/serve.sh")),
        "{:?}",
        plan.warnings
    );
    let gone = with(held("/srv/r1/serve.sh", "1:7", None));
    assert_lines(&gone.plan("on"), "stop:web [settings_changed]\nstart:web [settings_changed] after stop:web");
}
