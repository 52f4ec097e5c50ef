//! Host memory beside GPU memory, amounts by GPU, shares of a GPU, and GPUs that use the host's memory.

use std::time::Duration;

use lcm::model::facts::{HostMemoryFact, Reading};
use lcm::model::plan::{Plan, Request};
use lcm::model::size::Mebibytes;
use lcm::plan::audit;
use lcm::runtime::registry::observe;
use lcm::sim::{Behaviour, Deed};

use crate::house::{House, assert_lines, text};

/// Machine with this manifest and this much host memory, of which some is available.
fn house(manifest: &str, total: u64, available: u64) -> House {
    let house = House::new(manifest);
    let fact = HostMemoryFact { total: Mebibytes(total), available: Some(Mebibytes(available)), holders: Vec::new() };
    house.sim.inject(|facts| facts.memory = Reading::Known(fact));
    house
}

const HOST: &str = r"
version: 1
name: host
gpus: { devices: [{ index: 0, vram: 24GiB }, { index: 1, vram: 24GiB }] }
host: { reserve: 2GiB }
services:
  big: { process: { command: [big] }, vram: 8GiB, ram: 24GiB, priority: 100 }
  mid: { process: { command: [mid] }, vram: 8GiB, ram: 16GiB, priority: 50 }
  low: { process: { command: [low] }, ram: 8GiB, priority: 10 }
  free: { process: { command: [free] }, vram: 1GiB }
modes:
  small: { services: [mid, low] }
  large: { services: [big, mid, low, free], others: keep }
  one: { services: [big] }
";

#[test]
fn host_memory_is_a_capacity_of_its_own() {
    let house = house(HOST, 32 << 10, 30 << 10);
    assert_lines(
        &house.plan("small"),
        "start:mid [wanted_by_mode] 8192 on gpu-0 16384 of the host
         start:low [wanted_by_mode] 8192 of the host",
    );
    let desired = house.desired(Some("small"));
    let plan = house.plan_for(&desired, &Request::default());
    let line = plan.memory.as_ref().expect("it is counted");
    let figures =
        [line.capacity_mib, line.reserve_mib, line.foreign_mib, line.before_mib, line.peak_mib, line.after_mib];
    assert_eq!(figures.map(|amount| amount.0), [32 << 10, 2 << 10, 2 << 10, 2 << 10, 26 << 10, 26 << 10]);
    house.apply("small");
    let after = house.plan_for(&desired, &Request::default()).memory.expect("it is counted");
    assert_eq!((after.before_mib, after.foreign_mib), (Mebibytes(26 << 10), Mebibytes(2 << 10)));
}

#[test]
fn a_service_is_preempted_for_host_memory_and_blocked_with_its_arithmetic() {
    let house = house(HOST, 40 << 10, 38 << 10);
    house.apply("small");
    // The GPUs would hold all of them; the host holds `big` and `low`.
    assert_lines(
        &house.plan("large"),
        "stop:mid [preempted] 8192 on gpu-0 16384 of the host
         start:big [wanted_by_mode] 8192 on gpu-0 24576 of the host after stop:mid
         start:free [wanted_by_mode] 1024 on gpu-0
         blocked mid [no_capacity] it needs 16 384 MiB of host memory (priority 50); host memory has 40 960 − 2 048 reserve − 2 048 foreign − 24 576 big (priority 100) = 12 288",
    );
    house.apply("large");
    house.apply("large");
}

#[test]
fn services_without_ram_take_none_of_it() {
    let house = house(HOST, 32 << 10, 2 << 10);
    assert_lines(
        &house.plan("large"),
        "start:free [wanted_by_mode] 1024 on gpu-0
         blocked big [no_capacity] it needs 24 576 MiB of host memory; host memory has 32 768 − 2 048 reserve − 30 720 foreign = 0
         blocked low [no_capacity] it needs 8 192 MiB of host memory; host memory has 32 768 − 2 048 reserve − 30 720 foreign = 0
         blocked mid [no_capacity] it needs 16 384 MiB of host memory; host memory has 32 768 − 2 048 reserve − 30 720 foreign = 0",
    );
}

#[test]
fn a_measured_service_counts_with_the_larger_amount() {
    let house = house(HOST, 64 << 10, 60 << 10);
    house.sim.set_behaviour("mid", Behaviour { takes_ram: Some(Mebibytes(20 << 10)), ..Behaviour::default() });
    house.sim.set_behaviour("low", Behaviour { takes_ram: Some(Mebibytes(1 << 10)), ..Behaviour::default() });
    house.apply("small");
    let plan = house.plan_for(&house.desired(Some("small")), &Request::default());
    let line = plan.memory.expect("it is counted");
    // 4 GiB foreign, 20 GiB measured of `mid`, and 8 GiB declared of `low`.
    assert_eq!((line.foreign_mib.0, line.before_mib.0), (4 << 10, 32 << 10));
}

/// Machine on which `mid` and `low` run, and take a while to stop.
fn switching() -> House {
    let house = house(HOST, 48 << 10, 44 << 10);
    house.apply("small");
    for name in ["mid", "low"] {
        let slow = Behaviour { stop_takes: Duration::from_secs(5), ..Behaviour::default() };
        house.sim.set_behaviour(name, slow);
    }
    house
}

/// Another program takes host memory, or gives it back.
fn add_available(house: &House, change: i64) {
    house.sim.inject(move |facts| {
        let available = facts.memory.known_mut().and_then(|memory| memory.available.as_mut()).expect("measured");
        available.0 = available.0.checked_add_signed(change).expect("there is as much");
    });
}

#[test]
fn a_start_waits_until_the_memory_is_available() {
    let house = switching();
    let desired = house.desired(Some("one"));
    let beside = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        add_available(&house, -19 << 10);
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(!house.sim.log().iter().any(|effect| effect.deed == Deed::Start && effect.service.as_str() == "big"));
        add_available(&house, 1 << 10);
    };
    let outcome = house.apply_while(&desired, &Request::default(), beside);
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_lines(&house.plan("one"), "");
}

#[test]
fn a_wait_for_host_memory_ends_with_the_holders() {
    let house = switching();
    let desired = house.desired(Some("one"));
    let beside = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        add_available(&house, -19 << 10);
    };
    let outcome = house.apply_while(&desired, &Request::default(), beside);
    let errors: Vec<&str> = outcome.failures.iter().map(|failure| failure.error.as_str()).collect();
    let why = "it needs 24 576 MiB of host memory; host memory has 49 152 − 2 048 reserve − 23 552 foreign = 23 552; \
               waited 2m for it";
    assert_eq!(errors, [why]);
}

#[test]
fn host_memory_that_can_not_be_read_starts_nothing_that_needs_it() {
    let house = House::new(HOST);
    house.sim.inject(|facts| facts.memory = Reading::Unknown("permission denied".to_owned()));
    assert_lines(
        &house.plan("large"),
        "start:free [wanted_by_mode] 1024 on gpu-0
         blocked big [unknown] free host memory is unknown: permission denied
         blocked low [unknown] free host memory is unknown: permission denied
         blocked mid [unknown] free host memory is unknown: permission denied",
    );
}

#[test]
fn without_a_reading_the_declared_sizes_stand_in_and_the_plan_says_so() {
    let house = House::new(HOST);
    let desired = house.desired(Some("large"));
    let plan = house.plan_for(&desired, &Request::default());
    assert!(plan.memory.is_none() && plan.blocked.is_empty(), "{}", text(&plan));
    let told = "host memory was not read; the sizes in the manifest are shown, but not compared with the host's memory";
    assert!(plan.warnings.iter().any(|warning| warning == told), "{:?}", plan.warnings);
    house.apply("large");
}

const UNIFIED: &str = r"
version: 1
name: unified
gpus: { devices: [{ index: 0, vram: 60GiB, unified: true }] }
services:
  model: { process: { command: [model] }, vram: 20GiB, ram: 4GiB, priority: 50 }
  other: { process: { command: [other] }, vram: 20GiB, priority: 10 }
modes:
  one: { services: [model] }
  both: { services: [model, other] }
";

#[test]
fn memory_on_a_unified_gpu_is_taken_from_the_host() {
    let house = house(UNIFIED, 48 << 10, 46 << 10);
    assert_lines(&house.plan("one"), "start:model [wanted_by_mode] 20480 on gpu-0 24576 of the host");
    assert_lines(
        &house.plan("both"),
        "start:model [wanted_by_mode] 20480 on gpu-0 24576 of the host
         start:other [wanted_by_mode] 20480 on gpu-0 20480 of the host",
    );
    house.sim.inject(|facts| facts.memory.known_mut().expect("known").available = Some(Mebibytes(40 << 10)));
    assert_lines(
        &house.plan("both"),
        "start:model [wanted_by_mode] 20480 on gpu-0 24576 of the host
         blocked other [no_capacity] it needs 20 480 MiB of host memory (priority 10); host memory has 49 152 − 1 024 reserve − 8 192 foreign − 24 576 model (priority 50) = 15 360",
    );
}

const UNEVEN: &str = r"
version: 1
name: uneven
gpus: { devices: [{ index: 0, vram: 12GiB }, { index: 1, vram: 24GiB }, { index: 2, vram: 24GiB }] }
services:
  split: { process: { command: [split] }, vram: [18GiB, 8GiB], priority: 100 }
  fixed: { process: { command: [fixed] }, vram: [8GiB, 18GiB], gpu: [0, 2], priority: 90 }
  half: { process: { command: [half] }, vram: 50%, priority: 50 }
  small: { process: { command: [small] }, vram: 5GiB, priority: 10 }
modes:
  split: { services: [split] }
  fixed: { services: [fixed, small] }
  halves: { services: [half, small] }
  both: { services: [fixed, half] }
  all: { services: [split, fixed, half] }
";

#[test]
fn the_largest_amount_goes_to_the_largest_gpu() {
    let house = House::new(UNEVEN);
    // The program sees the GPU of the first amount first.
    assert_lines(&house.plan("split"), "start:split [wanted_by_mode] 18432+8192 on gpu-1+gpu-0");
    house.apply("split");
    assert_lines(
        &house.plan("fixed"),
        "stop:split [not_in_mode] 8192+18432 on gpu-0+gpu-1
         start:fixed [wanted_by_mode] 8192+18432 on gpu-0+gpu-2 after stop:split
         start:small [wanted_by_mode] 5120 on gpu-1",
    );
    house.apply("fixed");
}

#[test]
fn a_share_follows_the_gpu_that_the_service_gets() {
    let house = House::new(UNEVEN);
    assert_lines(
        &house.plan("halves"),
        "start:half [wanted_by_mode] 6144 on gpu-0
         start:small [wanted_by_mode] 5120 on gpu-0",
    );
    house.apply("halves");
    // On GPU 0 is too little left beside `fixed`; half of GPU 1 is more.
    assert_lines(
        &House::new(UNEVEN).plan("both"),
        "start:fixed [wanted_by_mode] 8192+18432 on gpu-0+gpu-2
         start:half [wanted_by_mode] 12288 on gpu-1",
    );
}

#[test]
fn a_refusal_states_the_amount_of_each_gpu() {
    let manifest = UNEVEN.replace(
        "half: { process: { command: [half] }, vram: 50%",
        "half: { process: { command: [half] }, gpu: 0, vram: 80%",
    );
    let house = House::new(&manifest);
    assert_lines(
        &house.plan("all"),
        "start:split [wanted_by_mode] 18432+8192 on gpu-1+gpu-2
         start:half [wanted_by_mode] 9831 on gpu-0
         blocked fixed [no_capacity] it needs 8 192 MiB and 18 432 MiB on 2 GPUs (priority 90); GPU 0 has 12 288 − 9 831 half (priority 50) = 2 457; GPU 2 has 24 576 − 8 192 split (priority 100) = 16 384",
    );
}

/// Audits a plan after a change, and returns the findings.
fn findings(house: &House, mode: &str, change: impl FnOnce(&mut Plan)) -> Vec<String> {
    let desired = house.desired(Some(mode));
    let mut plan = house.plan_for(&desired, &Request::default());
    change(&mut plan);
    audit(&plan, &desired, &observe(&house.inspect(&desired), &desired), &Request::default())
}

#[test]
fn the_audit_finds_an_overcommitted_host_and_wrong_amounts() {
    let house = house(HOST, 32 << 10, 30 << 10);
    house.apply("small");
    // Without the need, `big` may start beside what it replaces.
    let early = findings(&house, "one", |plan| plan.steps.iter_mut().for_each(|step| step.needs.clear()));
    assert!(early.iter().any(|found| found.starts_with("host memory may reach")), "{early:?}");
    let less = findings(&house, "one", |plan| {
        plan.steps.iter_mut().filter(|step| step.ram_mib.0 == 24 << 10).for_each(|step| step.ram_mib = Mebibytes(1));
    });
    assert!(less.iter().any(|found| found.contains("it declares 24 576 MiB of host memory, not 1 MiB")), "{less:?}");
    let swapped = findings(&House::new(UNEVEN), "split", |plan| plan.steps[0].gpus.reverse());
    assert!(swapped.iter().any(|found| found.contains("not the GPU memory that it declares")), "{swapped:?}");
}
