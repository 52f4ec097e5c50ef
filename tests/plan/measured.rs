//! Memory as a driver measures it: the amount that counts for a service, foreign memory, and warnings.

use lcm::model::facts::{GpuHolder, ListenerFact, ProbeFacts, ProbeReading, ProcessOwner, Reading};
use lcm::model::names::ServiceName;
use lcm::model::plan::{Plan, Request};
use lcm::model::size::Mebibytes;
use lcm::runtime::process::facts::ProcessReading as _;
use lcm::sim::Behaviour;

use crate::gpus::driven_house;
use crate::house::{House, assert_lines, text};

const MANIFEST: &str = r#"
version: 1
name: measured
services:
  big: { process: { command: [big] }, vram: 16GiB, priority: 100 }
  small: { process: { command: [small] }, vram: 8GiB, priority: 10, health: { http: "http://localhost:9000/" } }
modes: { small: { services: [small] }, big: { services: [big] }, both: { services: [big, small] } }
"#;

fn inspect(house: &House, mode: &str) -> Plan {
    house.plan_for(&house.desired(Some(mode)), &Request::default())
}

/// Sets the memory that the driver reports for the service's process; the used memory follows.
fn holds(house: &House, gpu: usize, memory: Option<u64>) {
    house.sim.inject(|facts| {
        let gpu = &mut facts.gpus.known_mut().expect("GPUs")[gpu];
        gpu.holders[0].memory = memory.map(Mebibytes);
        gpu.used = memory.map(Mebibytes).or(gpu.used);
    });
}

fn foreign(pid: i32, program: &str, memory: u64) -> GpuHolder {
    GpuHolder { pid, program: program.to_owned(), memory: Some(Mebibytes(memory)), owner: ProcessOwner::Foreign }
}

/// Adds foreign processes to the first GPU.
fn visit(house: &House, foreign: &[GpuHolder]) {
    house.sim.inject(|facts| {
        let gpu = &mut facts.gpus.known_mut().expect("GPUs")[0];
        let more: Mebibytes = foreign.iter().filter_map(|holder| holder.memory).sum();
        gpu.used = gpu.used.map(|used| used + more);
        gpu.holders.extend(foreign.iter().cloned());
    });
}

#[test]
fn a_service_counts_the_larger_of_declared_and_measured() {
    let house = driven_house(MANIFEST, &[0]);
    house.apply("small");
    for (measured, counts) in [(6 << 10, 8 << 10), (8 << 10, 8 << 10), (10 << 10, 10 << 10)] {
        holds(&house, 0, Some(measured));
        assert_eq!(inspect(&house, "small").gpus[0].before_mib, Mebibytes(counts));
    }
    assert_lines(
        &house.plan("big"),
        "stop:small [not_in_mode] 10240 on GPU-0
         start:big [wanted_by_mode] 16384 on GPU-0 after stop:small",
    );
}

#[test]
fn a_service_that_is_still_loading_gets_no_warning() {
    let house = driven_house(MANIFEST, &[0]);
    house.apply("small");
    holds(&house, 0, Some(9_012));
    assert_eq!(inspect(&house, "small").warnings.len(), 1, "it answers");
    let failing = ProbeReading::Failed { failures: 1, detail: "refused".to_owned() };
    house.sim.inject(|facts| {
        let now = facts.observed_at;
        facts.processes_mut().trees.known_mut().expect("trees").iter_mut().for_each(|tree| tree.started_at = Some(now));
        facts.probes.insert("small".into(), ProbeFacts { health: Some(failing), busy: None });
    });
    assert_eq!(inspect(&house, "small").warnings, Vec::<String>::new(), "it is starting");
}

#[test]
fn a_tenth_over_the_declared_size_is_reported_with_the_figure() {
    let house = driven_house(MANIFEST, &[0]);
    house.apply("small");
    holds(&house, 0, Some(9_011));
    assert!(inspect(&house, "small").warnings.is_empty(), "a tenth is no more than that");
    holds(&house, 0, Some(9_012));
    assert_eq!(
        inspect(&house, "small").warnings,
        ["small holds 9 012 MiB on GPU 0, but declares 8 192: write vram: 9012MiB"]
    );
}

#[test]
fn foreign_processes_take_memory_and_are_named_in_the_refusal() {
    let house = driven_house(MANIFEST, &[0]);
    visit(&house, &[foreign(1, "Xorg", 200), foreign(2, "chrome", 5_000), foreign(3, "chrome", 5_000)]);
    assert_lines(
        &house.plan("big"),
        "blocked big [no_capacity] it needs 16 384 MiB; GPU 0 has 24 576 − 10 200 foreign (chrome ×2, Xorg) = 14 376",
    );
    assert_lines(&house.plan("small"), "start:small [wanted_by_mode] 8192 on GPU-0");
    house.apply("small");
}

#[test]
fn memory_of_the_driver_and_unattributed_memory_is_foreign() {
    let house = driven_house(MANIFEST, &[0]);
    house.sim.inject(|facts| {
        let gpu = &mut facts.gpus.known_mut().expect("GPUs")[0];
        (gpu.used, gpu.reserved) = (Some(Mebibytes(9_000)), Mebibytes(400));
    });
    let plan = inspect(&house, "big");
    assert_lines(
        &text(&plan),
        "blocked big [no_capacity] it needs 16 384 MiB; GPU 0 has 24 576 − 9 400 foreign (unattributed, the driver) = 15 176",
    );
    assert_eq!(plan.gpus[0].measured_mib, Some(Mebibytes(9_400)));
}

#[test]
fn without_reported_shares_declared_sizes_count_with_a_warning() {
    let house = driven_house(MANIFEST, &[0]);
    house.apply("small");
    holds(&house, 0, None);
    visit(&house, &[foreign(1, "game", 3_000)]);
    let plan = inspect(&house, "small");
    assert_lines(&text(&plan), "");
    assert_eq!((plan.gpus[0].foreign_mib, plan.gpus[0].before_mib), (Mebibytes(3_000), Mebibytes(11_192)));
    assert_eq!(
        plan.warnings,
        ["the driver does not report the memory of each process; using the sizes in the manifest"]
    );
}

#[test]
fn a_service_on_another_gpu_than_its_own_counts_there_and_is_left() {
    let house = driven_house(MANIFEST, &[0, 1]);
    house.apply("small");
    house.sim.inject(|facts| {
        let gpus = facts.gpus.known_mut().expect("GPUs");
        let holders = std::mem::take(&mut gpus[0].holders);
        (gpus[0].used, gpus[1].used) = (Some(Mebibytes::ZERO), Some(Mebibytes(8 << 10)));
        gpus[1].holders = holders;
    });
    let plan = inspect(&house, "small");
    assert_lines(&text(&plan), "");
    assert_eq!(
        plan.warnings,
        ["small holds 8 192 MiB on GPU 1, but was given GPU 0: it picks its GPU itself, and counts where it is"]
    );
    // It may still take the memory that was reserved for it.
    assert_eq!((plan.gpus[0].before_mib, plan.gpus[1].before_mib), (Mebibytes(8 << 10), Mebibytes(8 << 10)));
}

#[test]
fn a_foreign_process_in_a_services_place_is_foreign_memory() {
    let house = driven_house(MANIFEST, &[0]);
    house.sim.inject(|facts| {
        let program = Some("python3".to_owned());
        let owner = ProcessOwner::Foreign;
        facts.listeners =
            Reading::Known(vec![ListenerFact { port: 9000, address: None, pid: Some(4711), program, owner }]);
        let gpu = &mut facts.gpus.known_mut().expect("GPUs")[0];
        (gpu.used, gpu.holders) = (Some(Mebibytes(6_000)), vec![foreign(4711, "python3", 6_000)]);
    });
    let gpu = inspect(&house, "small").gpus[0].clone();
    assert_eq!((gpu.foreign_mib, gpu.before_mib), (Mebibytes(6_000), Mebibytes(6_000)));
}

#[test]
fn memory_of_an_orphan_counts_for_the_orphan() {
    let house = driven_house(MANIFEST, &[0]);
    house.apply("small");
    house.rewrite("version: 1\nname: measured\nservices:\n  big: { process: { command: [big] }, vram: 16GiB }\n");
    holds(&house, 0, Some(9_000));
    let plan = house.plan_for(&house.desired(None), &Request::default());
    assert_lines(
        &text(&plan),
        "blocked big [no_capacity] it needs 16 384 MiB; GPU 0 has 24 576 − 9 000 orphan small = 15 576
         orphan small: pid 100003 (small) of uid 0; only reported; `lcm apply --prune` stops and removes it",
    );
    let prune = Request { prune: true, ..Request::default() };
    let plan = text(&house.plan_for(&house.desired(None), &prune));
    assert!(plan.starts_with("stop:small [orphaned] 9000 on GPU-0\nstart:big"), "{plan}");
}

#[test]
fn a_lower_priority_is_not_the_reason_for_a_block() {
    let house = driven_house(MANIFEST, &[0]);
    visit(&house, &[foreign(4711, "game", 9_000)]);
    // Without small the memory would not suffice either.
    assert_lines(
        &house.plan("both"),
        "start:small [wanted_by_mode] 8192 on GPU-0
         blocked big [no_capacity] it needs 16 384 MiB; GPU 0 has 24 576 − 9 000 foreign (game) = 15 576",
    );
}

#[test]
fn instances_that_share_an_index_are_called_by_their_ids() {
    let house = driven_house(
        "version: 1\nname: instances\nservices:\n  a: { process: { command: [a] }, vram: 99GiB }\n",
        &[0, 1],
    );
    house.sim.inject(|facts| facts.gpus.known_mut().expect("GPUs").iter_mut().for_each(|gpu| gpu.index = 0));
    let plan = text(&house.plan_for(&house.desired(None), &Request::default()));
    assert!(plan.contains("GPU GPU-0 has ") && plan.contains("; GPU GPU-1 has "), "{plan}");
}

#[test]
fn a_kept_evicted_service_counts_in_the_status_as_in_the_plan() {
    let house = driven_house(
        r"
version: 1
name: evicted
services:
  big: { process: { command: [big] }, vram: 16GiB, priority: 100 }
  small: { process: { command: [small] }, vram: 8GiB, evict: { exec: [unload], resident: 1GiB } }
modes: { small: { services: [small] }, big: { services: [big], others: keep } }
",
        &[0],
    );
    house.apply("small");
    holds(&house, 0, Some(512));
    let used = |mode| {
        let desired = house.desired(Some(mode));
        let observed = lcm::runtime::registry::observe(&house.sim.world(), &desired);
        let capacity = lcm::plan::capacity(&desired, &observed, &Request::default());
        lcm::report::status::Status::of(&desired, &observed, &capacity, None).gpus[0].used_mib
    };
    assert_eq!((used("small"), used("big")), (Mebibytes(8 << 10), Mebibytes(1 << 10)));
    assert_eq!(inspect(&house, "big").gpus[0].before_mib, used("big"));
}

#[test]
fn a_loading_service_is_not_taken_for_evicted() {
    let house = driven_house(
        r#"
version: 1
name: loads
services:
  big: { process: { command: [big] }, vram: 16GiB, priority: 100 }
  small:
    process: { command: [small] }
    vram: 18GiB
    priority: 100
    health: { http: "http://localhost:9000/", warm_time: 1h }
    evict: { exec: [unload], resident: 2GiB }
modes: { small: { services: [small] }, big: { services: [big], others: keep } }
"#,
        &[0],
    );
    house.apply("small");
    holds(&house, 0, Some(600));
    let planned = |reading: ProbeReading| {
        house.sim.inject(|facts| {
            let probes = ProbeFacts { health: Some(reading.clone()), busy: None };
            facts.probes.insert(ServiceName::new("small"), probes);
        });
        inspect(&house, "big")
    };
    let silent = |failures| ProbeReading::Failed { failures, detail: "connection refused".to_owned() };
    for reading in [silent(1), silent(9), ProbeReading::Unknown("no route".to_owned())] {
        let plan = planned(reading);
        let (steps, before) = (plan.steps.len(), plan.gpus[0].before_mib);
        assert_eq!((steps, before), (0, Mebibytes(18 << 10)), "{}", text(&plan));
    }
    let plan = planned(ProbeReading::Passed);
    assert_eq!((plan.steps.len(), plan.gpus[0].before_mib), (1, Mebibytes(2 << 10)), "{}", text(&plan));
}

#[test]
fn a_service_that_is_evicted_in_vain_is_stopped_by_the_same_run() {
    let too_little = Behaviour { evicts_to: Some(Mebibytes(12 << 10)), ..Behaviour::default() };
    let refuses = Behaviour { evict_error: Some("it would not".to_owned()), ..Behaviour::default() };
    for behaviour in [too_little, refuses] {
        let house = driven_house(
            r"
version: 1
name: vain
services:
  big: { process: { command: [big] }, vram: 16GiB, priority: 100 }
  small: { process: { command: [small] }, vram: 18GiB, evict: { exec: [unload], resident: 1GiB } }
modes: { small: { services: [small] }, big: { services: [big], others: keep } }
",
            &[0],
        );
        house.apply("small");
        house.sim.set_behaviour("small", behaviour);
        assert_lines(
            &house.plan("big"),
            "evict:small [preempted] 17408 on GPU-0
             start:big [wanted_by_mode] 16384 on GPU-0 after evict:small",
        );
        let desired = house.desired(Some("big"));
        let outcome = house.try_apply(&desired, &Request::default());
        let failed: Vec<&str> = outcome.failures.iter().map(|failure| failure.step.as_str()).collect();
        assert_eq!((failed, outcome.done), (vec!["evict:small"], 2), "{:?}", outcome.failures);
        house.apply("big");
        let effects = house.sim.effects();
        house.apply("big");
        assert_eq!(house.sim.effects(), effects, "nothing moves back");
    }
}
