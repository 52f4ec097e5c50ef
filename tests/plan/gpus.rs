//! Services on GPUs that are lost, or that the manifest no longer names; and warnings about GPUs.

use lcm::model::facts::{GpuFact, ProbeFacts, ProbeReading, Reading};
use lcm::model::names::GpuId;
use lcm::model::plan::{Plan, Request};
use lcm::model::size::Mebibytes;
use lcm::runtime::process::facts::ProcessReading as _;
use lcm::sim::Behaviour;

use crate::house::{House, assert_lines, text};

/// GPU of 24 GiB that a driver reports; nothing is on it.
pub(crate) fn driven(index: u32) -> GpuFact {
    GpuFact {
        id: GpuId::new(format!("GPU-{index}")),
        index,
        name: "A card".to_owned(),
        capacity: Mebibytes(24 << 10),
        used: Some(Mebibytes::ZERO),
        reserved: Mebibytes::ZERO,
        holders: Vec::new(),
        lost: None,
        unreadable: None,
    }
}

/// House with these GPUs, which a driver reports.
pub(crate) fn driven_house(manifest: &str, indices: &[u32]) -> House {
    let house = House::new(manifest);
    let gpus = indices.iter().map(|index| driven(*index)).collect();
    house.sim.inject(|facts| facts.gpus = Reading::Known(gpus));
    house
}

fn gpus_of(house: &House, change: impl FnOnce(&mut Vec<GpuFact>)) {
    house.sim.inject(|facts| change(facts.gpus.known_mut().expect("GPUs")));
}

fn manifest(gpu: &str) -> String {
    format!(
        "version: 1\nname: cards\nservices:\n  a: {{ process: {{ command: [a] }}, vram: 8GiB{gpu} }}\nmodes: {{ on: {{ \
         services: [a] }}, idle: {{ services: [], others: keep }} }}\nmode: on\n"
    )
}

fn inspect(house: &House) -> Plan {
    house.plan_for(&house.desired(None), &Request::default())
}

#[track_caller]
fn assert_warns(plan: &Plan, warnings: &[&str]) {
    assert_eq!(plan.warnings, warnings);
}

fn kept(house: &House) -> String {
    let plan = house.plan_for(&house.desired(Some("idle")), &Request::default());
    assert_lines(&text(&plan), "");
    plan.kept[0].message.clone()
}

#[test]
fn a_failing_service_moves_off_a_gpu_that_the_driver_no_longer_lists() {
    let house = driven_house(&manifest(", health: { http: \"http://localhost:9000/\" }"), &[0, 1]);
    house.apply("on");
    gpus_of(&house, |gpus| drop(gpus.remove(0)));
    house.sim.set_behaviour("a", Behaviour { never_healthy: true, ..Behaviour::default() });
    house.sim.inject(|facts| {
        let detail = "it answers 503".to_owned();
        let health = Some(ProbeReading::Failed { failures: 9, detail });
        facts.probes.insert("a".into(), ProbeFacts { health, busy: None });
        let tree = &mut facts.processes_mut().trees.known_mut().expect("trees")[0];
        tree.started_at = Some("2026-01-01T00:00:00Z".parse().expect("a time"));
    });
    let plan = inspect(&house);
    assert_lines(&text(&plan), "stop:a [gpu_lost]\nstart:a [gpu_lost] 8192 on GPU-1 after stop:a");
    assert_eq!(plan.steps[0].reason.message, "GPU GPU-0, which it runs on, is gone");
}

#[test]
fn a_shorter_list_of_the_driver_does_not_move_a_service_that_answers() {
    let house = driven_house(&manifest(""), &[0, 1]);
    house.apply("on");
    gpus_of(&house, |gpus| drop(gpus.remove(0)));
    let plan = inspect(&house);
    assert_lines(&text(&plan), "");
    assert_warns(
        &plan,
        &["a answers, but the driver does not list GPU GPU-0, which a was placed on; it is left as it is; `lcm \
           restart a` places it again"],
    );
    assert_eq!(kept(&house), "it may keep running");
}

#[test]
fn a_gpu_that_fell_off_the_bus_is_lost_too() {
    let house = driven_house(&manifest(""), &[0, 1]);
    house.apply("on");
    gpus_of(&house, |gpus| {
        gpus[0].lost = Some("it fell off the bus".to_owned());
        (gpus[0].used, gpus[0].holders) = (None, Vec::new());
    });
    let plan = inspect(&house);
    assert!(text(&plan).starts_with("stop:a [gpu_lost] 8192 on GPU-0\nstart:a [gpu_lost]"), "{}", text(&plan));
    assert_eq!(plan.steps[0].reason.message, "GPU 0, which it runs on, is lost: it fell off the bus");
    assert_warns(&plan, &["GPU 0 can't be used: it fell off the bus"]);
    assert!(kept(&house).contains("is lost"), "{}", kept(&house));
}

#[test]
fn a_shorter_list_in_the_manifest_loses_no_gpu() {
    let devices = |list: &str| format!("gpus: {{ devices: [{list}] }}\n{}", manifest(", gpu: { any: [0, 1] }"));
    let house = House::new(&devices("{ index: 1, vram: 24GiB }"));
    house.apply("on");
    house.rewrite(&devices("{ index: 0, vram: 24GiB }"));
    assert_lines(&house.plan("on"), "");
    // Its GPU is unknown, so it counts on every GPU that it may use.
    assert_eq!(inspect(&house).gpus[0].before_mib, Mebibytes(8 << 10));
}

#[test]
fn an_unread_gpu_is_not_lost() {
    let house = driven_house(&manifest(""), &[0, 1]);
    house.apply("on");
    house.sim.inject(|facts| facts.gpus = Reading::Unknown("the driver hangs".to_owned()));
    assert_lines(&house.plan("on"), "");
}

/// The GPU is known by its position alone, or was read before.
#[test]
fn a_gpu_that_cannot_be_read_is_not_lost_and_nothing_is_started_there() {
    for id in ["gpu-0", "GPU-0"] {
        let house = driven_house(&manifest(""), &[0, 1]);
        house.apply("on");
        gpus_of(&house, |gpus| {
            let unread = GpuFact { id: GpuId::new(id), used: None, capacity: Mebibytes::ZERO, ..driven(0) };
            gpus[0] = GpuFact { unreadable: Some("it does not answer".to_owned()), ..unread };
        });
        let plan = inspect(&house);
        assert_lines(&text(&plan), "");
        assert_eq!(plan.gpus[0].before_mib, Mebibytes(8 << 10), "it counts where it may be");
        assert_warns(&plan, &["GPU 0 can't be used: it does not answer"]);
        assert_eq!(kept(&house), "it may keep running");
        for (gpu, why) in [
            (", gpu: 0", "GPU 0 can't be used: it does not answer"),
            (", gpu: GPU-9", "GPU GPU-9 is not found, and GPU 0 can't be used: it does not answer"),
            (", gpu: { count: 2 }", "it needs 2 GPUs, but only 1 are usable; GPU 0 can't be used: it does not answer"),
        ] {
            let fresh = driven_house(&manifest(gpu), &[0, 1]);
            gpus_of(&fresh, |gpus| gpus[0].unreadable = Some("it does not answer".to_owned()));
            let plan = inspect(&fresh);
            assert_eq!(plan.blocked[0].reason.message, why);
            assert_eq!(plan.blocked[0].reason.code, lcm::model::plan::ReasonCode::Unknown);
        }
    }
}

#[test]
fn a_manifest_that_names_another_gpu_moves_it() {
    let house = driven_house(&manifest(", gpu: 0"), &[0, 1]);
    house.apply("on");
    house.rewrite(&manifest(", gpu: { any: [0, 1] }"));
    assert_lines(&house.plan("on"), "");
    house.rewrite(&manifest(", gpu: 1"));
    let plan = inspect(&house);
    assert_lines(
        &text(&plan),
        "stop:a [wrong_gpu] 8192 on GPU-0
         start:a [wrong_gpu] 8192 on GPU-1 after stop:a",
    );
    assert_eq!(plan.steps[0].reason.message, "it was placed on GPU 0, and the manifest now places it elsewhere");
    assert!(kept(&house).ends_with("the manifest now places it elsewhere"), "{}", kept(&house));
    house.apply("on");
    house.rewrite(&manifest(", gpu: { count: 2 }"));
    assert_lines(
        &house.plan("on"),
        "stop:a [wrong_gpu] 8192 on GPU-1
         start:a [wrong_gpu] 8192 on GPU-0+GPU-1 after stop:a",
    );
    house.apply("on");
}

#[test]
fn a_driver_that_appears_later_moves_nothing() {
    let devices = "gpus: { devices: [{ index: 0, vram: 24GiB }, { index: 1, vram: 24GiB }] }\n";
    let house = House::new(&format!("{devices}{}", manifest(", gpu: 1")));
    house.apply("on");
    house.sim.inject(|facts| facts.gpus = Reading::Known(vec![driven(0), driven(1)]));
    let plan = inspect(&house);
    assert_lines(&text(&plan), "");
    assert_eq!((plan.gpus[0].before_mib, plan.gpus[1].before_mib), (Mebibytes::ZERO, Mebibytes(8 << 10)));
}

#[test]
fn an_index_gets_a_warning_with_several_gpus() {
    let warned = |gpu: &str, indices: &[u32]| inspect(&driven_house(&manifest(gpu), indices)).warnings;
    assert_eq!(warned(", gpu: 1", &[0, 1]), ["a: GPU indexes may change at a reboot; write GPU-1 instead of 1"]);
    assert_eq!(
        warned(", gpu: [0, 1]", &[0, 1]),
        ["a: GPU indexes may change at a reboot; write GPU-0 instead of 0 and GPU-1 instead of 1"]
    );
    for (gpu, indices) in [(", gpu: 0", &[0][..]), (", gpu: GPU-1", &[0, 1]), ("", &[0, 1])] {
        assert!(warned(gpu, indices).is_empty(), "{gpu}: {:?}", warned(gpu, indices));
    }
}

#[test]
fn a_declared_gpu_that_the_driver_does_not_list_is_reported() {
    let devices = "gpus: { devices: [{ index: 0, vram: 24GiB }, { index: 3, vram: 24GiB }] }\n";
    let house = driven_house(&format!("{devices}{}", manifest("")), &[0]);
    assert_warns(&inspect(&house), &["gpus.devices declares GPU 3, but the driver does not list it: it is ignored"]);
}

#[test]
fn an_only_declared_gpu_gets_a_warning_that_it_is_not_measured() {
    let not_measured = "GPU memory is not measured: no GPU driver found; using the sizes in the manifest";
    let devices = "gpus: { devices: [{ index: 0, vram: 24GiB }] }\n";
    assert_warns(&inspect(&House::new(&format!("{devices}{}", manifest("")))), &[not_measured]);
    assert_warns(&inspect(&driven_house(&manifest(""), &[0])), &[]);
}

fn instance(parent: u32, place: u32) -> GpuFact {
    GpuFact { id: GpuId::new(format!("MIG-{parent}-{place}")), ..driven(parent) }
}

#[test]
fn a_count_is_of_whole_gpus_and_one_instance_is_enough_for_auto() {
    let house = driven_house(&manifest(", gpu: { count: 2 }"), &[0]);
    gpus_of(&house, |gpus| gpus.extend([instance(1, 0), instance(1, 1)]));
    assert_lines(
        &text(&inspect(&house)),
        "blocked a [no_capacity] it needs 2 GPUs, but only 1 are usable; 2 MIG instances do not count: a process can use only one",
    );
    gpus_of(&house, |gpus| gpus.push(driven(2)));
    assert_lines(&text(&inspect(&house)), "start:a [wanted_by_mode] 8192 on GPU-0+GPU-2");
    gpus_of(&house, |gpus| gpus.retain(|gpu| gpu.id.is_instance()));
    house.rewrite(&manifest(""));
    assert_lines(&text(&inspect(&house)), "start:a [wanted_by_mode] 8192 on MIG-1-0");
    house.rewrite(&manifest(", gpu: { any: [MIG-1-0, MIG-1-1] }"));
    assert_lines(&text(&inspect(&house)), "start:a [wanted_by_mode] 8192 on MIG-1-0");
}

#[test]
fn instances_are_not_used_together() {
    let house = driven_house(&manifest(", gpu: [0, 1]"), &[0]);
    gpus_of(&house, |gpus| gpus.push(instance(1, 0)));
    let found = text(&inspect(&house));
    assert!(found.starts_with("blocked a [no_capacity] it requests MIG-1-0 together with other GPUs"), "{found}");
}

fn declaring(devices: &str) -> String {
    manifest("").replacen("services:", &format!("gpus: {{ devices: [{devices}] }}\nservices:"), 1)
}

#[test]
fn the_declared_size_overrides_the_drivers_and_both_are_named() {
    let house = driven_house(&declaring("{ index: 0, vram: 110GiB }"), &[0]);
    gpus_of(&house, |gpus| gpus[0].capacity = Mebibytes(512));
    let plan = inspect(&house);
    assert_lines(&text(&plan), "start:a [wanted_by_mode] 8192 on GPU-0");
    assert_eq!(plan.gpus[0].capacity_mib, Mebibytes(110 << 10));
    assert_warns(
        &plan,
        &["gpus.devices declares 112 640 MiB for GPU 0, but the driver reports 512 MiB; using the declared size: \
           remove it to use the driver's, or add `unified: true` where GPU 0 uses the host's memory"],
    );
    gpus_of(&house, |gpus| gpus[0].capacity = Mebibytes(110 << 10));
    assert_warns(&inspect(&house), &[]);
}

#[test]
fn a_gpu_that_uses_the_hosts_memory_never_has_more_than_the_host() {
    // The reading of a unified GPU: the host has 64 GiB.
    let house = driven_house(&declaring("{ index: 0, vram: 110GiB, unified: true }"), &[0]);
    gpus_of(&house, |gpus| gpus[0].capacity = Mebibytes(64 << 10));
    let plan = inspect(&house);
    assert_eq!(plan.gpus[0].capacity_mib, Mebibytes(64 << 10));
    assert_warns(
        &plan,
        &[
            "gpus.devices declares 112 640 MiB for GPU 0, but the host has 65 536 MiB; using the host's",
            "host memory was not read; the sizes in the manifest are shown, but not compared with the host's memory",
        ],
    );
}

#[test]
fn a_declared_index_does_not_name_the_instances_of_that_gpu() {
    let house = driven_house(&declaring("{ index: 1, vram: 80GiB }"), &[]);
    gpus_of(&house, |gpus| gpus.extend([instance(1, 0), instance(1, 1)]));
    let capacities: Vec<Mebibytes> = inspect(&house).gpus.iter().map(|gpu| gpu.capacity_mib).collect();
    assert_eq!(capacities, [Mebibytes(24 << 10); 2]);
}
