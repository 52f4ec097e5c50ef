//! Containers that lcm did not create use the GPUs that they were created with, regardless of placement.

use lcm::model::facts::{GpuHolder, ProcessOwner, Reading};
use lcm::model::plan::{Plan, Request};
use lcm::model::size::Mebibytes;
use lcm::runtime::docker::facts::DockerReading as _;
use lcm::runtime::docker::facts::{ContainerFact, ContainerState, VisibleGpus};

use crate::gpus::driven_house;
use crate::house::{House, assert_lines, text};

fn manifest(gpu: &str) -> String {
    format!(
        "version: 1\nname: cards\nservices:\n  x: {{ docker: {{ container: theirs }}, vram: 14GiB, priority: 9{gpu} }}\n  \
         b: {{ process: {{ command: [b] }}, vram: 14GiB }}\nmodes: {{ x: {{ services: [x] }}, on: {{ services: [x, b] }} }}\n"
    )
}

/// House with a container that does not run, on a host with these GPUs.
fn house(gpu: &str, visible: Option<VisibleGpus>, gpus: &[u32]) -> House {
    let house = driven_house(&manifest(gpu), gpus);
    let theirs = ContainerFact {
        image: "x:1".to_owned(),
        exit_code: Some(0),
        compose_project: Some("stack".to_owned()),
        gpus: visible,
        ..ContainerFact::plain("e".repeat(64), "theirs", ContainerState::Exited)
    };
    house.sim.inject(|facts| facts.docker_mut().containers = Reading::Known(vec![theirs]));
    house
}

fn these(names: &[&str]) -> VisibleGpus {
    VisibleGpus::These(names.iter().map(|name| (*name).to_owned()).collect())
}

fn inspect(house: &House) -> Plan {
    house.plan_for(&house.desired(Some("on")), &Request::default())
}

#[test]
fn it_counts_on_the_gpu_that_it_was_created_with() {
    for devices in [these(&["1"]), these(&["GPU-1"])] {
        let house = house("", Some(devices), &[0, 1]);
        let plan = inspect(&house);
        assert_lines(
            &text(&plan),
            "start:x [wanted_by_mode] 14336 on GPU-1
             start:b [wanted_by_mode] 14336 on GPU-0",
        );
        assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
        house.apply("on");
    }
}

#[test]
fn a_full_gpu_blocks_it_with_the_arithmetic_of_that_gpu() {
    let house = house("", Some(these(&["1"])), &[0, 1]);
    house.rewrite(&manifest("").replace("vram: 14GiB }", "vram: 14GiB, gpu: GPU-1, priority: 20 }"));
    assert_lines(
        &house.plan("on"),
        "start:b [wanted_by_mode] 14336 on GPU-1
         blocked x [no_capacity] it needs 14 336 MiB (priority 9); GPU 1 has 24 576 − 14 336 b (priority 20) = 10 240",
    );
}

#[test]
fn without_a_known_gpu_it_counts_on_each() {
    let cases = [
        (Some(VisibleGpus::All), "may use several GPUs", ""),
        (Some(these(&["0", "1"])), "may use several GPUs", ""),
        (None, "does not show which GPU it uses", ""),
        (Some(these(&["MIG-of-another-host"])), "may use several GPUs", ""),
        (Some(VisibleGpus::None), "was made without a GPU, as far as is known", "gpu: none, or "),
    ];
    for (devices, why, none) in cases {
        let house = house("", devices, &[0, 1]);
        let plan = inspect(&house);
        assert_lines(
            &text(&plan),
            "start:x [wanted_by_mode] 14336 on GPU-0+GPU-1
             blocked b [no_capacity] it needs 14 336 MiB (priority 0); GPU 0 has 24 576 − 14 336 x (priority 9) = 10 240; GPU 1 has 24 576 − 14 336 x (priority 9) = 10 240",
        );
        assert_eq!(
            plan.warnings,
            [format!(
                "x: container theirs {why}: its start counts on GPU 0 and GPU 1; write {none}which it uses, as gpu: GPU-0"
            )]
        );
        house.apply("x");
    }
}

#[test]
fn a_running_one_counts_where_it_is_measured() {
    let house = house("", Some(VisibleGpus::All), &[0, 1]);
    house.sim.inject(|facts| {
        let theirs = &mut facts.docker_mut().containers.known_mut().expect("containers")[0];
        (theirs.state, theirs.exit_code) = (ContainerState::Running, None);
    });
    let lines = house.plan("on");
    assert!(lines.starts_with("blocked b [no_capacity]"), "it may load on either yet: {lines}");
    house.sim.inject(|facts| {
        let gpu = &mut facts.gpus.known_mut().expect("GPUs")[1];
        let (memory, owner) = (Some(Mebibytes(14 << 10)), ProcessOwner::Container("e".repeat(64)));
        gpu.used = memory;
        gpu.holders.push(GpuHolder { pid: 4711, program: "x".to_owned(), memory, owner });
    });
    let plan = inspect(&house);
    assert_lines(&text(&plan), "start:b [wanted_by_mode] 14336 on GPU-0");
    assert!(plan.warnings[0].ends_with("write which it uses, as gpu: GPU-1"), "{:?}", plan.warnings);
    house.apply("on");
}

#[test]
fn the_manifest_selects_among_the_gpus_that_it_may_use() {
    for (gpu, devices) in
        [(", gpu: GPU-1", None), (", gpu: GPU-1", Some(VisibleGpus::All)), (", gpu: { any: [GPU-1] }", None)]
    {
        let house = house(gpu, devices, &[0, 1]);
        let plan = inspect(&house);
        assert!(text(&plan).starts_with("start:x [wanted_by_mode] 14336 on GPU-1\nstart:b"), "{gpu}: {}", text(&plan));
        assert!(plan.warnings.is_empty(), "{gpu}: {:?}", plan.warnings);
        house.apply("on");
    }
    let both = inspect(&house(", gpu: { any: [GPU-0, GPU-1] }", Some(these(&["1"])), &[0, 1]));
    assert!(text(&both).starts_with("start:x [wanted_by_mode] 14336 on GPU-1\n"), "{}", text(&both));
    let pair = inspect(&house(", gpu: { count: 2 }", Some(VisibleGpus::All), &[0, 1]));
    assert!(text(&pair).starts_with("start:x [wanted_by_mode] 14336 on GPU-0+GPU-1\n"), "{}", text(&pair));
    assert!(pair.warnings.is_empty(), "{:?}", pair.warnings);
}

#[test]
fn a_manifest_that_contradicts_its_container_is_reported_and_overridden() {
    let cases = [
        (", gpu: GPU-0", "puts it on GPU 0"),
        (", gpu: [GPU-0, GPU-1]", "puts it on GPU 0 and GPU 1"),
        (", gpu: { count: 2 }", "gives it more"),
    ];
    for (gpu, claim) in cases {
        let house = house(gpu, Some(these(&["1"])), &[0, 1]);
        let plan = inspect(&house);
        assert_lines(
            &text(&plan),
            "start:x [wanted_by_mode] 14336 on GPU-1
             start:b [wanted_by_mode] 14336 on GPU-0",
        );
        assert_eq!(
            plan.warnings,
            [format!(
                "x: container theirs was made with GPU 1, and the manifest {claim}: it counts on GPU 1; write gpu: GPU-1, or recreate the container"
            )]
        );
        house.apply("on");
    }
}

#[test]
fn with_one_gpu_there_is_nothing_to_tell_apart() {
    for devices in [None, Some(these(&["1"])), Some(VisibleGpus::None)] {
        let plan = inspect(&house("", devices, &[0]));
        assert!(text(&plan).starts_with("start:x [wanted_by_mode] 14336 on GPU-0\n"), "{}", text(&plan));
        assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    }
}

#[test]
fn a_gpu_that_is_lost_or_not_there_blocks_it_by_name() {
    let lost = house("", Some(these(&["1"])), &[0, 1]);
    lost.sim.inject(|facts| {
        let gpu = &mut facts.gpus.known_mut().expect("GPUs")[1];
        (gpu.used, gpu.lost) = (None, Some("it fell off the bus".to_owned()));
    });
    let lines = lost.plan("x");
    assert_lines(&lines, "blocked x [no_capacity] GPU 1 can't be used: it fell off the bus");
    let absent = house(", gpu: GPU-7", Some(these(&["1"])), &[0, 1]);
    assert_lines(&absent.plan("x"), "blocked x [no_capacity] GPU GPU-7 is not found");
}
