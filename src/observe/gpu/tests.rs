//! Arithmetic of one GPU: the amount of each holder, and that all memory in use has a holder.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::desired::{Desired, Evict, GpuRequest, Service};
use crate::model::facts::{Facts, GpuHolder, ProcessOwner, Reading};
use crate::model::names::{GpuId, ServiceName};
use crate::model::observed::{Observed, ObservedService};
use crate::model::size::Mebibytes;
use crate::runtime::docker::facts::DockerReading as _;
use crate::runtime::process::intent::{CommandSpec, LogPolicy, ProcessLimits, ProcessSpec};
use crate::runtime::registry::observe;

const GPU: &str = "GPU-aaaa";

/// A project with one service, `llm`, of 8 000 MiB.
fn desired() -> Desired {
    let process = ProcessSpec {
        command: CommandSpec::Exec(vec!["llm".to_owned()]),
        cwd: "/".into(),
        environment: BTreeMap::new(),
        inherit: BTreeSet::new(),
        log: LogPolicy { max_size_bytes: 1, files: 1 },
        pid_file: None,
        writes_pid: None,
        limits: ProcessLimits::default(),
    };
    let llm = Service { vram: Mebibytes(8_000), gpu: GpuRequest::Auto, ..Service::plain("llm".into(), process) };
    Desired::plain("studio".into(), [llm])
}

fn tree(project: &str, service: &str, pid: i32, gpus: &str, vram_mib: u64) -> Value {
    json!({
        "marks": { "project": project, "service": service, "salt": format!("{service}-{pid}"), "gpus": gpus, "vram_mib": vram_mib },
        "members": [{ "pid": pid, "start_ticks": 1, "program": service }],
        "started_at": "2026-01-02T00:00:00Z",
    })
}

fn holder(pid: i32, program: &str, memory: Option<u64>, owner: &ProcessOwner) -> Value {
    json!({ "pid": pid, "program": program, "memory": memory, "owner": owner })
}

fn service(project: &str, service: &str) -> ProcessOwner {
    ProcessOwner::Service { project: project.into(), service: service.into() }
}

/// One GPU of 24 000 MiB.
fn gpu(used: Option<u64>, reserved: u64, holders: &[Value]) -> Value {
    json!({ "id": GPU, "index": 0, "capacity": 24_000, "used": used, "reserved": reserved, "holders": holders })
}

fn facts(trees: &[Value], gpus: &[Value]) -> Facts {
    let world = json!({
        "format": "lcm.world/1", "host": "box", "observed_at": "2026-01-02T03:04:05Z",
        "containers": { "known": [] }, "trees": { "known": trees }, "gpus": { "known": gpus },
    });
    crate::runtime::world::read(&world.to_string()).expect("facts")
}

/// `llm` runs on the GPU.
fn with_llm(holders: &[Value], used: Option<u64>) -> Observed {
    observe(&facts(&[tree("studio", "llm", 10, GPU, 8_000)], &[gpu(used, 300, holders)]), &desired())
}

fn foreign(observed: &Observed) -> (u64, Vec<&str>) {
    let gpu = &observed.gpus[&GpuId::from(GPU)];
    (gpu.foreign.0, gpu.foreign_holders.iter().map(String::as_str).collect())
}

fn llm(observed: &Observed) -> &ObservedService {
    &observed.services[&ServiceName::from("llm")]
}

fn measured(observed: &Observed) -> Option<u64> {
    llm(observed).measured_most().map(|most| most.0)
}

#[test]
fn all_memory_in_use_has_a_holder() {
    let holders = [
        holder(10, "llm", Some(6_000), &service("studio", "llm")),
        holder(11, "llm", Some(500), &service("studio", "llm")),
        holder(20, "chrome", Some(400), &ProcessOwner::Foreign),
        holder(21, "chrome", Some(100), &ProcessOwner::Foreign),
        holder(22, "Xorg", Some(200), &ProcessOwner::Foreign),
        holder(4711, GpuHolder::ENDED, Some(1_000), &ProcessOwner::Foreign),
    ];
    let observed = with_llm(&holders, Some(10_000));
    assert_eq!(measured(&observed), Some(6_500));
    let names = ["unattributed", "a process that has ended (pid 4711)", "chrome ×2", "the driver", "Xorg"];
    // 10 000 in use and 300 kept, of which 6 500 are ours.
    assert_eq!(foreign(&observed), (3_800, names.to_vec()));
}

#[test]
fn a_rounding_difference_counts_and_has_no_name() {
    let holders = [holder(10, "llm", Some(6_000), &service("studio", "llm"))];
    assert_eq!(foreign(&with_llm(&holders, Some(6_010))), (310, vec!["the driver"]));
}

#[test]
fn many_holders_are_counted_and_not_named() {
    let holders: Vec<Value> =
        (0..9).map(|pid| holder(pid, &format!("p{pid}"), Some(100), &ProcessOwner::Foreign)).collect();
    let observed = observe(&facts(&[], &[gpu(Some(900), 0, &holders)]), &desired());
    assert_eq!(foreign(&observed), (900, vec!["p0", "p1", "p2", "p3", "p4", "p5", "and 3 more"]));
}

#[test]
fn a_service_that_holds_nothing_is_measured_and_an_unreported_one_is_not() {
    assert_eq!(measured(&with_llm(&[], Some(0))), Some(0));
    assert_eq!(measured(&with_llm(&[], None)), None, "no driver measures");
    let unreported = [holder(10, "llm", None, &service("studio", "llm"))];
    assert_eq!(measured(&with_llm(&unreported, Some(7_000))), None);
    let half = [holder(10, "llm", Some(7_000), &service("studio", "llm")), unreported[0].clone()];
    assert_eq!(measured(&with_llm(&half, Some(7_000))), None, "one of its processes is not reported");
    let foreign = holder(20, "game", None, &ProcessOwner::Foreign);
    assert_eq!(measured(&with_llm(std::slice::from_ref(&foreign), Some(7_000))), None, "it may be there too");
    let beside = [holder(10, "llm", Some(7_000), &service("studio", "llm")), foreign];
    assert_eq!(measured(&with_llm(&beside, Some(9_000))), Some(7_000));
}

#[test]
fn a_part_beside_unattributed_processes_is_no_measurement() {
    let unnamed = holder(0, "processes that the driver does not name", None, &ProcessOwner::Foreign);
    let part = [holder(10, "llm", Some(500), &service("studio", "llm")), unnamed.clone()];
    let mut desired = desired();
    let evict = Evict { calls: Vec::new(), resident: Mebibytes(1_024), timeout: Duration::from_secs(1) };
    desired.services.values_mut().for_each(|llm| llm.evict = Some(Box::new(evict.clone())));
    let observed = observe(&facts(&[tree("studio", "llm", 10, GPU, 8_000)], &[gpu(Some(9_000), 300, &part)]), &desired);
    assert_eq!(measured(&observed), None);
    assert!(!llm(&observed).is_evicted(&desired.services[&ServiceName::from("llm")]));
    assert_eq!(foreign(&observed).0, 1_300, "what is in use counts once");
    // A service that was placed on no GPU is not proved to hold nothing either.
    let nowhere = facts(&[tree("studio", "llm", 10, "", 0)], &[gpu(Some(9_000), 0, &[unnamed])]);
    assert_eq!(measured(&observe(&nowhere, &desired)), None);
}

#[test]
fn without_reported_shares_declared_sizes_are_ours() {
    let unreported =
        [holder(10, "llm", None, &service("studio", "llm")), holder(20, "game", None, &ProcessOwner::Foreign)];
    assert_eq!(foreign(&with_llm(&unreported, Some(11_000))), (3_300, vec!["the driver", "game"]));
    assert_eq!(
        foreign(&with_llm(&unreported, Some(5_000))),
        (300, vec!["the driver", "game"]),
        "never less than is known"
    );
    let told = [unreported[0].clone(), holder(20, "game", Some(2_000), &ProcessOwner::Foreign)];
    assert_eq!(foreign(&with_llm(&told, Some(5_000))).0, 2_300);
    // A measured service counts as measured in the memory in use, however much it declares.
    let measured = [holder(10, "llm", Some(500), &service("studio", "llm")), unreported[1].clone()];
    assert_eq!(foreign(&with_llm(&measured, Some(3_500))).0, 3_300);
}

#[test]
fn a_loading_service_is_not_subtracted() {
    let unreported = [holder(10, "llm", None, &service("studio", "llm"))];
    let mut young = facts(&[tree("studio", "llm", 10, GPU, 8_000)], &[gpu(Some(5_000), 0, &unreported)]);
    let mut desired = desired();
    let probe = crate::model::desired::Probe::Tcp { host: "localhost".to_owned(), port: 1 };
    let health = &mut desired.services.get_mut(&ServiceName::from("llm")).expect("a service").health;
    (health.probe, health.timeout) = (Some(probe), Duration::from_hours(10));
    let failed = crate::model::facts::ProbeReading::Failed { failures: 9, detail: "refused".to_owned() };
    young.probes.entry("llm".into()).or_default().health = Some(failed);
    let observed = observe(&young, &desired);
    assert_eq!(llm(&observed).state, crate::model::lifecycle::State::Starting);
    assert_eq!(foreign(&observed), (5_000, vec!["processes without a reported share"]));
}

#[test]
fn other_projects_count_the_larger_of_declared_and_measured() {
    let trees = [tree("elsewhere", "asr", 30, GPU, 4_000), tree("elsewhere", "tts", 31, GPU, 1_000)];
    let holders = [
        holder(30, "asr", Some(1_500), &service("elsewhere", "asr")),
        holder(31, "tts", Some(2_500), &service("elsewhere", "tts")),
    ];
    let observed = observe(&facts(&trees, &[gpu(Some(4_000), 0, &holders)]), &desired());
    assert_eq!(foreign(&observed), (6_500, vec!["asr of project elsewhere", "tts of project elsewhere"]));
    let declared = observe(&facts(&trees, &[gpu(None, 0, &[])]), &desired());
    assert_eq!(foreign(&declared), (5_000, vec!["asr of project elsewhere", "tts of project elsewhere"]));
}

#[test]
fn an_orphan_counts_the_larger_and_sits_where_it_is_measured() {
    let trees = [tree("studio", "old", 40, GPU, 4_000)];
    let second = json!({
        "id": "GPU-bbbb", "index": 1, "capacity": 24_000, "used": 6_000,
        "holders": [holder(40, "old", Some(6_000), &service("studio", "old"))],
    });
    let observed = observe(&facts(&trees, &[gpu(Some(0), 0, &[]), second]), &desired());
    let orphan = &observed.orphans[0];
    assert_eq!((orphan.vram, orphan.gpus.len()), (Mebibytes(6_000), 2));
    assert_eq!(observed.gpus[&GpuId::from("GPU-bbbb")].foreign, Mebibytes::ZERO);
}

#[test]
fn memory_of_a_service_that_no_longer_runs_is_foreign() {
    let holders = [holder(10, "llm", Some(6_000), &service("studio", "llm"))];
    let observed = observe(&facts(&[], &[gpu(Some(6_000), 0, &holders)]), &desired());
    assert!(!llm(&observed).holds_capacity);
    assert_eq!(foreign(&observed), (6_000, vec!["llm"]));
}

#[test]
fn containers_are_known_by_their_ids() {
    let container = |id: &str, marks: Value| {
        let name = marks["name"].as_str().unwrap_or(id).to_owned();
        json!({ "id": id, "name": name, "image": "i", "state": "running", "marks": marks })
    };
    let marks = |project: &str, service: &str| json!({ "project": project, "service": service, "vram_mib": 0, "name": format!("{project}-{service}") });
    let holders = ["c-llm", "c-old", "c-other", "c-none", "c-gone"]
        .map(|id| holder(1, "python3", Some(1_000), &ProcessOwner::Container(id.to_owned())));
    let mut facts = facts(&[], &[gpu(Some(5_000), 0, &holders)]);
    facts.docker_mut().containers = serde_json::from_value(json!({ "known": [
        container("c-llm", marks("studio", "llm")),
        container("c-old", marks("studio", "old")),
        container("c-other", marks("elsewhere", "asr")),
        container("c-none", Value::Null),
    ] }))
    .expect("containers");
    let observed = observe(&facts, &desired());
    assert_eq!(measured(&observed), Some(1_000));
    assert_eq!(observed.orphans[0].vram, Mebibytes(1_000));
    assert_eq!(foreign(&observed), (3_000, vec!["python3 ×2", "asr of project elsewhere"]));
}

#[test]
fn a_mark_from_before_there_was_a_driver_names_an_index() {
    let trees = [tree("studio", "llm", 10, "gpu-0", 8_000)];
    let observed = observe(&facts(&trees, &[gpu(Some(0), 0, &[])]), &desired());
    assert!(llm(&observed).gpus.contains(&GpuId::from(GPU)));
    // Conversely, with the driver gone, it may be on any GPU that the manifest declares.
    let mut facts = facts(&[tree("studio", "llm", 10, GPU, 8_000)], &[gpu(None, 0, &[])]);
    facts.gpus.known_mut().expect("GPUs")[0].id = "gpu-0".into();
    assert!(llm(&observe(&facts, &desired())).gpus.contains(&GpuId::from("gpu-0")));
}

#[test]
fn memory_that_grew_back_within_ten_minutes_is_reported() {
    let mut desired = desired();
    let evict = Evict { calls: Vec::new(), resident: Mebibytes(1_000), timeout: Duration::from_secs(1) };
    desired.services.get_mut(&ServiceName::from("llm")).expect("a service").evict = Some(Box::new(evict));
    let grew = |evicted_at: &str, memory: u64| {
        let holders = [holder(10, "llm", Some(memory), &service("studio", "llm"))];
        let trees = [tree("studio", "llm", 10, GPU, 8_000)];
        let mut facts = facts(&trees, &[gpu(Some(memory), 0, &holders)]);
        let history =
            json!({ "state": "idle", "made": true, "evicted_at": evicted_at, "estimates": { "ready_ms": 7 } });
        facts.history.insert("llm".into(), serde_json::from_value(history).expect("a memory"));
        let observed = observe(&facts, &desired);
        assert_eq!(llm(&observed).estimates.ready_ms, Some(7));
        llm(&observed).grew_back
    };
    assert!(grew("2026-01-02T02:54:05Z", 1_001));
    assert!(!grew("2026-01-02T02:54:04Z", 1_001), "that was long ago");
    assert!(!grew("2026-01-02T02:54:05Z", 1_000), "it keeps no more than it may");
    assert!(!grew("2026-01-02T04:00:00Z", 9_000), "the clock was set back");
}

#[test]
fn with_unread_gpus_nothing_is_measured() {
    let mut facts = facts(&[tree("studio", "llm", 10, GPU, 8_000)], &[]);
    facts.gpus = Reading::Unknown("the driver hangs".to_owned());
    assert_eq!(measured(&observe(&facts, &desired())), None);
}
