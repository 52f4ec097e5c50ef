//! Tests of what counted services hold of the host's memory, and of the foreign rest.

use serde_json::{Value, json};

use super::settle;
use crate::model::desired::{DeclaredGpu, Desired, Service};
use crate::model::facts::{Facts, Reading};
use crate::model::lifecycle::State;
use crate::model::names::{ProjectName, ServiceName};
use crate::model::observed::{ObservedGpu, ObservedMemory, ObservedService, Ownership};
use crate::model::size::Mebibytes;
use crate::runtime::process;

fn facts(memory: &Value) -> Facts {
    let mut facts = Facts::empty("host", jiff::Timestamp::UNIX_EPOCH);
    facts.memory = serde_json::from_value(memory.clone()).expect("a reading");
    facts
}

fn service(name: &str, ram: u64) -> Service {
    let workload =
        crate::runtime::docker::intent::ExistingContainer { container: name.into(), accepts_auto_remove: false };
    Service { ram: Mebibytes(ram), ..Service::plain(ServiceName::new(name), workload) }
}

fn running(state: State) -> ObservedService {
    ObservedService {
        holds_capacity: true,
        instance: Some(process::instance("1".to_owned())),
        ..ObservedService::plain(state, "", Ownership::Ours)
    }
}

/// Observes service `a` with 6 000 MiB, in this state and with this reading.
fn observed(state: State, memory: &Value) -> (Reading<ObservedMemory>, Option<Mebibytes>) {
    let desired = Desired::plain(ProjectName::new("p"), [service("a", 6_000), service("uncounted", 0)]);
    let mut services = [("a".into(), running(state)), ("uncounted".into(), running(State::Online))].into();
    let read = settle(&facts(memory), &desired, &mut services, &[].into());
    (read, services[&ServiceName::new("a")].ram_measured)
}

fn holder(service: &str, memory: u64) -> Value {
    json!({ "owner": { "service": { "project": "p", "service": service } }, "memory": memory })
}

fn known(capacity: u64, used: Option<u64>, foreign: u64) -> Reading<ObservedMemory> {
    let used = used.map(Mebibytes);
    Reading::Known(ObservedMemory { capacity: Mebibytes(capacity), used, foreign: Mebibytes(foreign) })
}

#[test]
fn foreign_is_what_no_counted_service_holds() {
    let holders = [holder("a", 2_000), holder("a", 500), holder("uncounted", 3_000)];
    let memory = json!({ "known": { "total": 64_000, "available": 50_000, "holders": holders } });
    assert_eq!(observed(State::Online, &memory), (known(64_000, Some(14_000), 11_500), Some(Mebibytes(2_500))));
}

#[test]
fn a_declaration_stands_in_for_a_missing_measurement() {
    let memory = json!({ "known": { "total": 64_000, "available": 50_000 } });
    assert_eq!(observed(State::Online, &memory), (known(64_000, Some(14_000), 8_000), None));
    // A service that is loading may not have taken its memory yet: what is in use counts for others.
    assert_eq!(observed(State::Starting, &memory), (known(64_000, Some(14_000), 14_000), None));
    let little = json!({ "known": { "total": 64_000, "available": 63_000 } });
    assert_eq!(observed(State::Online, &little).0, known(64_000, Some(1_000), 0), "never negative");
    let unmeasured = json!({ "known": { "total": 64_000 } });
    assert_eq!(observed(State::Online, &unmeasured).0, known(64_000, None, 0));
}

#[test]
fn what_was_not_read_is_not_zero() {
    assert_eq!(observed(State::Online, &json!("not_asked")).0, Reading::NotAsked);
    let failed = Reading::Unknown("no such file".to_owned());
    assert_eq!(observed(State::Online, &json!({ "unknown": "no such file" })).0, failed);
    let memory = json!({ "known": { "total": 64_000, "available": 50_000 } });
    let uncounted = Desired::plain(ProjectName::new("p"), [service("uncounted", 0)]);
    assert_eq!(settle(&facts(&memory), &uncounted, &mut [].into(), &[].into()), Reading::NotAsked);
}

#[test]
fn memory_on_a_unified_gpu_is_the_hosts() {
    let mut desired = Desired::plain(ProjectName::new("p"), [Service { vram: Mebibytes(8_000), ..service("a", 0) }]);
    desired.declared_gpus = vec![DeclaredGpu { index: 0, uuid: None, capacity: Mebibytes(60_000), unified: true }];
    let gpu = ObservedGpu { is_unified: true, ..ObservedGpu::plain(0, Mebibytes(60_000)) };
    let seen = ObservedService { gpus: ["gpu-0".into()].into_iter().collect(), ..running(State::Online) };
    let memory = json!({ "known": { "total": 64_000, "available": 50_000 } });
    let read = settle(&facts(&memory), &desired, &mut [("a".into(), seen)].into(), &[("gpu-0".into(), gpu)].into());
    assert_eq!(read, known(64_000, Some(14_000), 6_000));
}
