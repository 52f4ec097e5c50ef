//! Estimates of steps from earlier runs, which affect no decision.

use lcm::model::desired::Desired;
use lcm::model::facts::{Estimates, Facts, HistoryFact};
use lcm::model::plan::{Plan, Request};
use lcm::plan::{audit, plan};
use lcm::runtime::process::facts::ProcessReading as _;
use lcm::runtime::registry::observe;

use crate::house::House;

const MANIFEST: &str = "
version: 1
name: studio
gpus: { devices: [{ index: 0, uuid: gpu-0, vram: 24GiB }] }
services:
  painter: { process: { command: [paint] }, vram: 18GiB, health: { tcp: 'localhost:1', warm_time: 60s } }
  writer: { process: { command: [write] }, vram: 18GiB }
modes:
  paint: { services: [painter] }
  write: { services: [writer] }
";

fn past(ready_ms: u64, stopped_ms: u64) -> HistoryFact {
    let estimates = Estimates { ready_ms: Some(ready_ms), stopped_ms: Some(stopped_ms), memory: None };
    HistoryFact { estimates, ..HistoryFact::default() }
}

fn made(desired: &Desired, facts: &Facts) -> Plan {
    let (observed, request) = (observe(facts, desired), Request::default());
    let plan = plan(desired, &observed, &request);
    assert_eq!(audit(&plan, desired, &observed, &request), Vec::<String>::new());
    plan
}

fn estimates(plan: &Plan) -> Vec<(&str, Option<u64>)> {
    plan.steps.iter().map(|step| (step.id.as_str(), step.estimate_ms)).collect()
}

#[test]
fn estimates_are_earlier_durations_and_change_no_step() {
    let house = House::new(MANIFEST);
    house.apply("paint");
    let desired = house.desired(Some("write"));
    let mut facts = house.inspect(&desired);
    facts.history.insert("painter".into(), past(94_732, 4_100));
    facts.history.insert("writer".into(), past(30_000, 2_000));
    let mut plan = made(&desired, &facts);
    assert_eq!(estimates(&plan), [("stop:painter", Some(4_100)), ("start:writer", Some(30_000))]);

    facts.history.clear();
    for step in &mut plan.steps {
        step.estimate_ms = None;
    }
    assert_eq!(plan, made(&desired, &facts));
}

#[test]
fn the_estimate_of_a_start_under_way_is_the_rest_and_none_when_it_is_overdue() {
    let house = House::new(MANIFEST);
    house.apply("paint");
    let desired = house.desired(Some("paint"));
    let mut facts = house.inspect(&desired);
    facts.probes.clear();
    let probe = serde_json::from_str(r#"{ "health": { "failed": { "failures": 1, "detail": "refused" } } }"#);
    facts.probes.insert("painter".into(), probe.expect("a reading"));
    facts.processes_mut().trees.known_mut().expect("known")[0].started_at =
        Some(facts.observed_at - jiff::SignedDuration::from_secs(40));
    let mut estimate_of = |ready_ms| {
        facts.history.insert("painter".into(), past(ready_ms, 1));
        made(&desired, &facts).steps.iter().map(|step| (step.id.to_string(), step.estimate_ms)).collect::<Vec<_>>()
    };
    assert_eq!(estimate_of(95_000), [("start:painter".to_owned(), Some(55_000))]);
    assert_eq!(estimate_of(40_000), [("start:painter".to_owned(), None)]);
}
