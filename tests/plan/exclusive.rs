//! Services that load alone on their GPUs (`exclusive_start`): no other start and no stop runs beside their loading.

use lcm::model::plan::Request;
use lcm::plan::audit;
use lcm::runtime::registry::observe;

use crate::house::{House, assert_lines};

const VLLM: &str = r"
version: 1
name: vllm
gpus: { devices: [{ index: 0, vram: 24GiB }, { index: 1, vram: 24GiB }] }
services:
  first: { process: { command: [first] }, vram: 10GiB, gpu: 0, exclusive_start: true, priority: 50 }
  second: { process: { command: [second] }, vram: 10GiB, gpu: 0, exclusive_start: true, priority: 40 }
  beside: { process: { command: [beside] }, vram: 1GiB, gpu: 0, priority: 90 }
  later: { process: { command: [later] }, vram: 1GiB, gpu: 0, priority: 10 }
  elsewhere: { process: { command: [elsewhere] }, vram: 1GiB, gpu: 1 }
  tiny: { process: { command: [tiny] }, vram: 1GiB, gpu: 0 }
modes:
  before: { services: [tiny] }
  two: { services: [first, second] }
  all: { services: [first, second, beside, later, elsewhere] }
";

#[test]
fn two_exclusive_services_never_load_at_once() {
    let house = House::new(VLLM);
    assert_lines(
        &house.plan("two"),
        "start:first [wanted_by_mode] 10240 on gpu-0
         start:second [wanted_by_mode] 10240 on gpu-0 after start:first",
    );
    house.apply("two");
}

#[test]
fn stops_come_first_and_starts_one_after_the_other() {
    let house = House::new(VLLM);
    house.apply("before");
    // There is memory for all of them; the order is for the measurements of those that load.
    assert_lines(
        &house.plan("all"),
        "stop:tiny [not_in_mode] 1024 on gpu-0
         start:beside [wanted_by_mode] 1024 on gpu-0
         start:first [wanted_by_mode] 10240 on gpu-0 after stop:tiny, start:beside
         start:second [wanted_by_mode] 10240 on gpu-0 after stop:tiny, start:first
         start:later [wanted_by_mode] 1024 on gpu-0 after start:second
         start:elsewhere [wanted_by_mode] 1024 on gpu-1",
    );
    house.apply("all");
}

#[test]
fn the_audit_finds_every_missing_need() {
    let house = House::new(VLLM);
    house.apply("before");
    let desired = house.desired(Some("all"));
    let whole = house.plan_for(&desired, &Request::default());
    let observed = observe(&house.inspect(&desired), &desired);
    let mut dropped = 0;
    for (at, step) in whole.steps.iter().enumerate() {
        for need in &step.needs {
            let mut plan = whole.clone();
            plan.steps[at].needs.retain(|other| other != need);
            let findings = audit(&plan, &desired, &observed, &Request::default());
            let alone = findings.iter().any(|found| found.contains("loads alone on its GPU"));
            // A stop that `second` waits for is also waited for by `first`, before it.
            let is_implied = need.as_str() == "stop:tiny" && step.service.as_str() == "second";
            assert_eq!(alone, !is_implied, "without {need} for {}: {findings:?}", step.id);
            dropped += 1;
        }
    }
    assert_eq!(dropped, 5);
}
