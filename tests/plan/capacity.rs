//! Capacity of GPUs and ports: placement, victims, moves, foreign memory, and the arithmetic of a refusal.

use lcm::model::facts::{ListenerFact, ProcessOwner};
use lcm::model::plan::Request;

use crate::house::{House, assert_lines, text};

const TWO: &str = r"
version: 1
name: two
gpus: { reserve: 1GiB, devices: [{ index: 0, vram: 24GiB }, { index: 1, vram: 24GiB }] }
services:
  big: { process: { command: [big] }, vram: 20GiB, priority: 100 }
  mid: { process: { command: [mid] }, vram: 12GiB, priority: 50 }
  low: { process: { command: [low] }, vram: 12GiB, priority: 10 }
  pair: { process: { command: [pair] }, vram: 20GiB, gpu: { count: 2 }, priority: 200 }
  pinned: { process: { command: [pinned] }, vram: 12GiB, gpu: 0, priority: 70 }
  odd: { process: { command: [odd] }, vram: 1GiB, gpu: 7 }
modes:
  small: { services: [mid, low] }
  large: { services: [big, mid, low], others: keep }
  pair: { services: [pair, low] }
  pinned: { services: [pinned, mid] }
  odd: { services: [odd] }
";

#[test]
fn services_spread_over_gpus_as_they_fit() {
    let house = House::new(TWO);
    assert_lines(
        &house.plan("small"),
        "start:mid [wanted_by_mode] 12288 on gpu-0
         start:low [wanted_by_mode] 12288 on gpu-1",
    );
    house.apply("small");
}

#[test]
fn the_lowest_priority_is_preempted_and_blocked_with_the_arithmetic() {
    let house = House::new(TWO);
    house.apply("small");
    assert_lines(
        &house.plan("large"),
        "stop:low [preempted] 12288 on gpu-1
         start:big [wanted_by_mode] 20480 on gpu-1 after stop:low
         blocked low [no_capacity] it needs 12 288 MiB (priority 10); GPU 0 has 24 576 − 1 024 reserve − 12 288 mid (priority 50) = 11 264; GPU 1 has 24 576 − 1 024 reserve − 20 480 big (priority 100) = 3 072",
    );
    house.apply("large");
    house.apply("large");
}

#[test]
fn a_service_on_two_gpus_needs_both() {
    let house = House::new(TWO);
    assert_lines(
        &house.plan("pair"),
        "start:pair [wanted_by_mode] 20480 on gpu-0+gpu-1
         blocked low [no_capacity] it needs 12 288 MiB (priority 10); GPU 0 has 24 576 − 1 024 reserve − 20 480 pair (priority 200) = 3 072; GPU 1 has 24 576 − 1 024 reserve − 20 480 pair (priority 200) = 3 072",
    );
    house.apply("pair");
}

const SIX: &str = r"
version: 1
name: six
gpus: { devices: [
  { index: 0, vram: 24GiB }, { index: 1, vram: 24GiB }, { index: 2, vram: 24GiB },
  { index: 3, vram: 24GiB }, { index: 4, vram: 24GiB }, { index: 5, vram: 24GiB } ] }
services:
  last: { process: { command: [last] }, vram: 16GiB, gpu: 5, priority: 50 }
  four: { process: { command: [four] }, vram: 20GiB, gpu: [0, 1, 2, 4], priority: 50 }
  all: { process: { command: [all] }, vram: 12GiB, gpu: [0, 1, 2, 3, 4, 5], priority: 50 }
  pair: { process: { command: [pair] }, vram: 12GiB, gpu: { count: 2 } }
  small: { process: { command: [small] }, vram: 1GiB, gpu: 3 }
modes:
  spread: { services: [last, all] }
  pair: { services: [last, four, pair, small] }
";

#[test]
fn a_refusal_for_several_gpus_states_their_number_and_the_full_ones() {
    let house = House::new(SIX);
    assert_lines(
        &house.plan("spread"),
        "start:last [wanted_by_mode] 16384 on gpu-5
         blocked all [no_capacity] it needs 12 288 MiB on each of 6 GPUs (priority 50); GPU 5 has 24 576 − 16 384 last (priority 50) = 8 192; the other 5 have enough memory",
    );
    let plan = house.plan("pair");
    let full = |gpu: u8| format!("; GPU {gpu} has 24 576 − 20 480 four (priority 50) = 4 096");
    let arithmetic = [0, 1, 2, 4].map(full).concat();
    let expected = format!(
        "it needs 12 288 MiB on each of 2 GPUs (priority 0){arithmetic}; and 1 more is as full; GPU 3 has enough memory"
    );
    assert!(plan.contains(&expected), "{plan}");
}

#[test]
fn a_running_service_moves_for_a_higher_priority_that_is_bound_to_its_gpu() {
    let house = House::new(TWO);
    house.apply("small");
    assert_lines(
        &house.plan("pinned"),
        "stop:low [not_in_mode] 12288 on gpu-1
         stop:mid [moved] 12288 on gpu-0
         start:pinned [wanted_by_mode] 12288 on gpu-0 after stop:mid
         start:mid [moved] 12288 on gpu-1 after stop:low, stop:mid",
    );
    house.apply("pinned");
}

#[test]
fn a_missing_gpu_blocks() {
    let house = House::new(TWO);
    assert_lines(&house.plan("odd"), "blocked odd [no_capacity] GPU 7 is not found");
}

#[test]
fn without_a_gpu_only_services_that_need_one_are_blocked() {
    let house = House::new(
        "version: 1\nname: none\nservices:\n  a: { process: { command: [a] }, vram: 1GiB }\n  b: { process: { command: [b] } }\n",
    );
    let plan = text(&house.plan_for(&house.desired(None), &Request::default()));
    assert!(plan.starts_with("start:b [wanted_by_mode]\nblocked a [no_capacity] no GPU found"), "{plan}");
}

const PORTS: &str = r#"
version: 1
name: ports
services:
  old: { docker: { image: "old:1", ports: ["8080:80"] }, priority: 1 }
  new: { docker: { image: "new:1", ports: ["8080:80"] }, priority: 2 }
modes:
  old: { services: [old] }
  new: { services: [new] }
  keep: { services: [new], others: keep }
"#;

#[test]
fn a_port_is_allocated_like_memory() {
    let house = House::new(PORTS);
    house.apply("old");
    assert_lines(&house.plan("new"), "stop:old [not_in_mode]\nstart:new [wanted_by_mode] after stop:old");
    assert_lines(&house.plan("keep"), "stop:old [preempted]\nstart:new [wanted_by_mode] after stop:old");
    house.apply("keep");
}

#[test]
fn a_foreign_listener_blocks_and_is_named() {
    let house = House::new(PORTS);
    house.sim.inject(|facts| {
        let foreign = ListenerFact {
            port: 8080,
            address: None,
            pid: Some(4711),
            program: Some("python3".to_owned()),
            owner: ProcessOwner::Foreign,
        };
        facts.listeners.known_mut().expect("listeners").push(foreign);
    });
    assert_lines(
        &house.plan("new"),
        "blocked new [port_taken] port 8080 is held by python3 (pid 4711), which this project does not manage",
    );
}

const ADDRESSES: &str = r#"
version: 1
name: addresses
services:
  one: { docker: { image: "x:1", ports: ["127.0.0.1:8080:80"] }, priority: 30 }
  two: { docker: { image: "x:1", ports: ["127.0.0.9:8080:80"] }, priority: 20 }
  names: { docker: { image: "x:1", ports: ["8080:80/udp"] }, priority: 10 }
  all: { docker: { image: "x:1", ports: ["8080:80"] }, priority: 5 }
modes:
  apart: { services: [one, two, names] }
  all: { services: [all] }
  more: { services: [all], others: keep }
"#;

#[test]
fn ports_on_different_addresses_or_by_different_protocols_do_not_clash() {
    let house = House::new(ADDRESSES);
    assert_lines(
        &house.plan("apart"),
        "start:one [wanted_by_mode]\nstart:two [wanted_by_mode]\nstart:names [wanted_by_mode]",
    );
    house.apply("apart");
    assert_lines(
        &house.plan("all"),
        "stop:names [not_in_mode]\nstop:two [not_in_mode]\nstop:one [not_in_mode]\n\
         start:all [wanted_by_mode] after stop:two, stop:one",
    );
    assert_lines(&house.plan("more"), "blocked all [port_taken] port 127.0.0.1:8080 belongs to one (priority 30)");
}

#[test]
fn a_foreign_listener_on_another_address_blocks_nothing() {
    let house = House::new(ADDRESSES);
    let listen = |address: &str| ListenerFact {
        port: 8080,
        address: Some(address.parse().expect("an address")),
        pid: Some(4711),
        program: Some("python3".to_owned()),
        owner: ProcessOwner::Foreign,
    };
    house.sim.inject(|facts| facts.listeners.known_mut().expect("listeners").push(listen("127.0.0.9")));
    let plan = house.plan("apart");
    assert!(plan.contains("start:one [wanted_by_mode]"), "{plan}");
    assert!(plan.contains("blocked two [port_taken] port 127.0.0.9:8080 is held by python3 (pid 4711)"), "{plan}");
    house.sim.inject(|facts| facts.listeners.known_mut().expect("listeners").push(listen("0.0.0.0")));
    assert!(house.plan("apart").contains("blocked one [port_taken] port 127.0.0.1:8080 is held by python3"));
}
