//! Services whose runtime or container name changed in the manifest, and instances of ours under wrong names: health
//! does not matter, no instance is forgotten, and all of their memory counts.

use crate::house::{House, assert_lines, text};
use lcm::model::desired::Desired;
use lcm::model::facts::{Facts, Marks};
use lcm::model::plan::{Purpose, Request};
use lcm::model::size::Mebibytes;
use lcm::plan::{audit, plan};
use lcm::runtime::docker::facts::DockerReading as _;
use lcm::runtime::docker::facts::{ContainerFact, ContainerState};
use lcm::runtime::registry::observe;

fn manifest(run: &str) -> String {
    format!(
        "version: 1\nname: move\ngpus: {{ devices: [{{ index: 0, vram: 24GiB }}] }}\nservices:\n  a: {{ {run}, vram: 8GiB, \
         health: {{ http: \"http://localhost:9000/\" }} }}\nmodes: {{ on: {{ services: [a] }}, idle: {{ services: [] }} }}\n"
    )
}

const PROCESS: &str = "process: { command: [a] }";
const CONTAINER: &str = "docker: { image: \"a:1\", gpu_access: none, ports: [\"9000:9000\"] }";
const RENAMED: &str = "docker: { image: \"a:1\", container_name: other, gpu_access: none, ports: [\"9000:9000\"] }";
const EXISTING: &str = "docker: { container: theirs }";

/// Plan for facts as a machine reads them, which does not probe an instance that differs from the manifest.
fn planned(facts: &Facts, desired: &Desired, request: &Request) -> String {
    let mut facts = facts.clone();
    facts.probes.clear();
    let observed = observe(&facts, desired);
    let made = plan(desired, &observed, request);
    assert_eq!(audit(&made, desired, &observed, request), Vec::<String>::new());
    text(&made)
}

fn moved(from: &str, to: &str) -> (House, Desired) {
    let house = House::new(&manifest(from));
    house.apply("on");
    house.rewrite(&manifest(to));
    let desired = house.desired(Some("on"));
    (house, desired)
}

#[test]
fn another_runtime_or_name_is_a_restart_at_any_health() {
    let restart = "stop:a [spec_changed] 8192 on gpu-0
         start:a [spec_changed] 8192 on gpu-0 after stop:a";
    let removed = "stop:a [spec_changed] 8192 on gpu-0
         remove:a [spec_changed] after stop:a
         start:a [spec_changed] 8192 on gpu-0 after stop:a, remove:a";
    for (from, to, expected) in
        [(PROCESS, CONTAINER, restart), (CONTAINER, PROCESS, removed), (CONTAINER, RENAMED, removed)]
    {
        let (house, desired) = moved(from, to);
        assert_lines(&planned(&house.inspect(&desired), &desired, &Request::default()), expected);
        house.apply("on");
    }
}

#[test]
fn another_runtime_is_still_stopped_where_it_is_off_and_on_down() {
    let (house, _) = moved(PROCESS, CONTAINER);
    let idle = house.desired(Some("idle"));
    assert_lines(&planned(&house.inspect(&idle), &idle, &Request::default()), "stop:a [not_in_mode] 8192 on gpu-0");
    let down = Request { purpose: Purpose::Down, ..Request::default() };
    assert_lines(&planned(&house.inspect(&idle), &idle, &down), "stop:a [requested] 8192 on gpu-0");
    house.apply("idle");
}

#[test]
fn a_container_left_behind_after_a_change_of_runtime_or_name_is_an_orphan() {
    for to in [PROCESS, EXISTING] {
        let (house, desired) = moved(CONTAINER, to);
        let mut facts = house.inspect(&desired);
        let left = &mut facts.docker_mut().containers.known_mut().expect("containers")[0];
        left.name = "left".to_owned();
        // As lcm left it when the manifest gave it that name.
        left.marks.as_mut().expect("it is ours").name = "left".to_owned();
        if to == PROCESS {
            left.state = ContainerState::Exited;
            left.exit_code = Some(0);
        }
        let theirs =
            ContainerFact { id: "e".repeat(64), name: "theirs".to_owned(), marks: None, ports: vec![], ..left.clone() };
        facts.docker_mut().containers.known_mut().expect("containers").push(theirs);
        let observed = observe(&facts, &desired);
        assert_eq!(observed.orphans.len(), 1, "{to}: {:?}", observed.orphans);
        let held = if to == PROCESS { Mebibytes::ZERO } else { Mebibytes(2 * 8192) };
        let made = plan(&desired, &observed, &Request::default());
        assert_eq!(made.gpus[0].before_mib, held, "{to}: what it holds is counted");
        let prune = Request { prune: true, ..Request::default() };
        assert!(planned(&facts, &desired, &prune).contains("remove:a#1 [orphaned]"), "{to}");
    }
}

#[test]
fn an_orphan_with_the_services_name_is_part_of_its_arithmetic() {
    let (house, desired) = moved(CONTAINER, EXISTING);
    let mut facts = house.inspect(&desired);
    let containers = facts.docker_mut().containers.known_mut().expect("containers");
    containers[0].marks.as_mut().expect("it is ours").vram_mib = 18_000;
    let theirs = ContainerFact {
        id: "e".repeat(64),
        name: "theirs".to_owned(),
        state: ContainerState::Exited,
        marks: None,
        ports: vec![],
        ..containers[0].clone()
    };
    containers.push(theirs);
    let arithmetic = "it needs 8 192 MiB; GPU 0 has 24 576 − 18 000 orphan a = 6 576";
    assert_lines(
        &planned(&facts, &desired, &Request::default()),
        &format!(
            "blocked a [no_capacity] {arithmetic}
         orphan a: container move-a (sim00000001); only reported; `lcm apply --prune` stops and removes it"
        ),
    );
}

#[test]
fn a_running_container_that_was_put_aside_is_counted() {
    let (house, desired) = moved(CONTAINER, CONTAINER);
    let mut facts = house.inspect(&desired);
    let containers = facts.docker_mut().containers.known_mut().expect("containers");
    let current: &ContainerFact = &containers[0];
    let marks = current.marks.clone().map(|marks| Marks { salt: "older".to_owned(), ..marks });
    let aside = ContainerFact {
        id: "f".repeat(64),
        marks,
        name: "move-a.lcm-old".to_owned(),
        state: ContainerState::Running,
        ports: Vec::new(),
        ..current.clone()
    };
    containers.push(aside.clone());
    let observed = observe(&facts, &desired);
    assert_eq!(observed.services.values().next().expect("a").previous, None);
    let orphan = &observed.orphans[0];
    assert_eq!(orphan.instance, lcm::runtime::docker::instance(aside.id.clone(), aside.name.as_str()));
    let made = plan(&desired, &observed, &Request::default());
    assert_eq!(made.gpus[0].before_mib, Mebibytes(2 * 8192));

    // Without a successor it is the service, under another name.
    facts.docker_mut().containers.known_mut().expect("containers").remove(0);
    facts.listeners.known_mut().expect("listeners").clear();
    let expected = "stop:a [spec_changed] 8192 on gpu-0
         start:a [spec_changed] 8192 on gpu-0 after stop:a";
    assert_lines(&planned(&facts, &desired, &Request::default()), expected);
}
