//! Services that gave GPU memory back: satisfied while it is free for them, woken where others of lower priority
//! have taken it, and else blocked with the arithmetic.

use lcm::model::facts::{ProbeFacts, ProbeReading};
use lcm::model::holds::Hold;
use lcm::model::observed::Observed;
use lcm::model::plan::{Plan, Purpose, Request, Step};
use lcm::model::size::Mebibytes;
use lcm::plan::audit;
use lcm::runtime::registry::observe;
use lcm::sim::{Behaviour, Sleep};

use crate::gpus::driven_house;
use crate::house::{House, assert_lines, text};

/// Manifest of a coder that can be evicted, and a painter of this priority that takes its memory.
fn manifest(painter: i64) -> String {
    format!(
        r"
version: 1
name: studio
services:
  coder:
    process: {{ command: [coder] }}
    vram: 20GiB
    priority: 10
    evict: {{ exec: [unload], resident: 2GiB }}
    wake: {{ exec: [load] }}
  painter: {{ process: {{ command: [painter] }}, vram: 18GiB, priority: {painter} }}
modes:
  chat: {{ services: [coder] }}
  paint: {{ services: [painter], others: keep }}
  talk: {{ services: [coder], others: keep }}
  both: {{ services: [coder, painter] }}
"
    )
}

/// House whose coder was evicted for the painter, and holds 1 GiB.
fn evicted_with(manifest: &str) -> House {
    let house = driven_house(manifest, &[0]);
    house.sim.set_behaviour("coder", Behaviour { evicts_to: Some(Mebibytes(1 << 10)), ..Behaviour::default() });
    house.apply("chat");
    // Evicted for a service of higher priority, whose priority may be lower later.
    house.rewrite(&manifest.replace("priority: 1 }", "priority: 20 }"));
    house.apply("paint");
    house.rewrite(manifest);
    house
}

fn evicted(painter: i64) -> House {
    evicted_with(&manifest(painter))
}

fn inspect(house: &House, mode: &str) -> Plan {
    house.plan_for(&house.desired(Some(mode)), &Request::default())
}

fn holds(house: &House, index: usize, memory: u64) {
    house.sim.inject(|facts| {
        let gpu = &mut facts.gpus.known_mut().expect("GPUs")[0];
        gpu.holders[index].memory = Some(Mebibytes(memory));
        gpu.used = Some(gpu.holders.iter().filter_map(|holder| holder.memory).sum());
    });
}

const GAVE_BACK: &str =
    "it is running, but gave back 19 456 of its 20 480 MiB on GPU 0, and others have taken that since";

#[test]
fn memory_taken_by_a_higher_priority_blocks_with_the_arithmetic() {
    let house = evicted(20);
    let plan = inspect(&house, "talk");
    assert_lines(
        &text(&plan),
        &format!(
            "blocked coder [no_capacity] {GAVE_BACK}; it needs 20 480 MiB (priority 10); GPU 0 has 24 576 − 18 432 painter \
             (priority 20) = 6 144"
        ),
    );
    let gpu = &plan.gpus[0];
    assert_eq!((gpu.before_mib, gpu.after_mib), (Mebibytes(19 << 10), Mebibytes(19 << 10)), "what is there counts");
    assert_eq!(plan.warnings, Vec::<String>::new(), "nothing is overcommitted");
    let given = &plan.given_back[0];
    assert_eq!((given.declared_mib, given.counts_mib), (Mebibytes(20 << 10), Mebibytes(1 << 10)));
    let effects = house.sim.effects();
    house.apply("talk");
    assert_eq!(house.sim.effects(), effects, "it runs on, and so does the painter");
}

#[test]
fn a_lower_priority_is_preempted_and_the_service_is_woken() {
    let house = evicted(1);
    let plan = inspect(&house, "talk");
    assert_lines(
        &text(&plan),
        "stop:painter [preempted] 18432 on GPU-0
         wake:coder [memory_given_back] 19456 on GPU-0 after stop:painter",
    );
    assert_eq!(plan.steps[1].reason.message, format!("{GAVE_BACK}; wanted by mode talk"));
    assert_eq!(plan.steps[1].reason.by.as_deref(), Some("talk"));
    assert!(plan.steps[0].reason.message.starts_with("preempted by coder (priority 10 > 1)"), "{:?}", plan.steps[0]);
    let gpu = &plan.gpus[0];
    assert_eq!((gpu.peak_mib, gpu.after_mib), (Mebibytes(20 << 10), Mebibytes(20 << 10)));
    house.apply("talk");
    let used = house.sim.world().gpus.known().expect("GPUs")[0].used;
    assert_eq!(used, Some(Mebibytes(20 << 10)), "the coder has its memory again");
}

#[test]
fn a_service_that_lcm_evicted_is_woken_though_its_memory_is_free_again() {
    let house = evicted(20);
    let stop = Request { purpose: Purpose::Stop, targets: ["painter".into()].into(), ..Request::default() };
    house.try_apply(&house.desired(Some("paint")), &stop);
    assert_lines(&house.plan("talk"), "wake:coder [memory_given_back] 19456 on GPU-0");
    house.apply("talk");
    // After it unloads by itself, there is no eviction to undo.
    holds(&house, 0, 1 << 10);
    assert_lines(&house.plan("talk"), "");
}

#[test]
fn a_kept_service_is_evicted_and_not_stopped() {
    let painter = "priority: 1, evict: { exec: [unload], resident: 2GiB } }";
    let house = evicted(1);
    house.rewrite(&manifest(1).replace("priority: 1 }", painter));
    assert_lines(
        &house.plan("talk"),
        "evict:painter [preempted] 16384 on GPU-0
         wake:coder [memory_given_back] 19456 on GPU-0 after evict:painter",
    );
    house.apply("talk");
}

#[test]
fn a_service_that_stops_anyway_frees_memory_for_a_wake() {
    let house = evicted(20);
    assert_lines(
        &house.plan("chat"),
        "stop:painter [not_in_mode] 18432 on GPU-0
         wake:coder [memory_given_back] 19456 on GPU-0 after stop:painter",
    );
    house.apply("chat");
}

#[test]
fn without_a_wake_call_its_memory_is_freed_and_reserved() {
    let manifest = manifest(1).replace("    wake: { exec: [load] }\n", "");
    let house = evicted_with(&manifest);
    house.apply("talk");
    let used = house.sim.world().gpus.known().expect("GPUs")[0].used;
    assert_eq!(used, Some(Mebibytes(1 << 10)), "it loads by itself");
    assert_eq!(inspect(&house, "talk").gpus[0].before_mib, Mebibytes(20 << 10), "what is free is reserved for it");
    assert!(house.plan("both").contains("blocked painter [no_capacity]"), "{}", house.plan("both"));
}

#[test]
fn a_service_that_has_not_taken_its_memory_yet_is_satisfied_while_that_is_free() {
    let house = driven_house(&manifest(20), &[0]);
    house.sim.set_behaviour("coder", Behaviour { takes: Some(Mebibytes(300)), ..Behaviour::default() });
    house.apply("chat");
    let plan = inspect(&house, "chat");
    assert_lines(&text(&plan), "");
    assert_eq!(plan.gpus[0].before_mib, Mebibytes(20 << 10));
    assert!(plan.given_back.is_empty());
}

#[test]
fn a_service_that_gave_memory_back_by_itself_is_treated_as_evicted() {
    let house = driven_house(&manifest(20), &[0]);
    house.apply("chat");
    holds(&house, 0, 1 << 10);
    house.sim.inject(|facts| {
        let gpu = &mut facts.gpus.known_mut().expect("GPUs")[0];
        gpu.used = Some(Mebibytes(19 << 10));
        let owner = lcm::model::facts::ProcessOwner::Foreign;
        let (pid, program, memory) = (9, "game".to_owned(), Some(Mebibytes(18 << 10)));
        gpu.holders.push(lcm::model::facts::GpuHolder { pid, program, memory, owner });
    });
    let refused = "it needs 20 480 MiB; GPU 0 has 24 576 − 18 432 foreign (game) = 6 144";
    assert_lines(&house.plan("chat"), &format!("blocked coder [no_capacity] {GAVE_BACK}; {refused}"));
}

#[test]
fn nine_tenths_of_the_declared_memory_are_enough() {
    let house = evicted(20);
    house.rewrite(&manifest(20).replace("20GiB", "6GiB"));
    holds(&house, 0, 5_530);
    holds(&house, 1, 18_500);
    let asleep = |memory| {
        holds(&house, 0, memory);
        inspect(&house, "both").blocked.len()
    };
    assert_eq!((asleep(5_530), asleep(5_500)), (0, 1));
}

#[test]
fn a_driver_that_reports_no_shares_changes_nothing() {
    let house = evicted(20);
    house.sim.silence();
    let plan = inspect(&house, "talk");
    assert_lines(&text(&plan), "");
    assert!(plan.warnings[0].contains("does not report the memory of each process"), "{:?}", plan.warnings);
}

#[test]
fn a_service_that_loads_or_is_not_known_to_answer_counts_in_full() {
    let manifest = manifest(1).replace(
        "    wake: { exec: [load] }",
        "    wake: { exec: [load] }\n    health: { http: \"http://localhost:9000/\", warm_time: 10h }",
    );
    let house = evicted_with(&manifest);
    house.sim.inject(|facts| {
        let health = Some(ProbeReading::Failed { failures: 1, detail: "connection refused".to_owned() });
        facts.probes.insert("coder".into(), ProbeFacts { health, busy: None });
    });
    house.sim.set_behaviour("coder", Behaviour { never_healthy: true, ..Behaviour::default() });
    let plan = inspect(&house, "talk");
    assert!(!text(&plan).contains("wake:coder"), "{}", text(&plan));
    assert_eq!(plan.gpus[0].before_mib, Mebibytes(38 << 10));
    assert!(plan.warnings.iter().any(|warning| warning.contains("is overcommitted")), "{:?}", plan.warnings);
}

#[test]
fn a_held_service_is_not_woken() {
    let house = evicted(1);
    house.set_hold("coder", Some(Hold::Maintain));
    assert_lines(&house.plan("talk"), "held coder [maintenance]");
}

#[test]
fn a_one_shot_wakes_a_service_as_it_would_start_it() {
    for (priority, steps) in [(1, 2), (20, 0)] {
        let house = evicted(priority);
        let request = Request { purpose: Purpose::Start, targets: ["coder".into()].into(), ..Request::default() };
        let plan = house.plan_for(&house.desired(Some("paint")), &request);
        assert_eq!((plan.steps.len(), plan.blocked.len()), (steps, usize::from(steps == 0)), "{}", text(&plan));
    }
}

#[test]
fn wakes_obey_strict_and_targets() {
    let strict = Request { strict: true, ..Request::default() };
    let house = evicted(20);
    assert!(house.plan_with("talk", &strict).starts_with("blocked coder"));
    let only = |name: &str| Request { targets: [name.into()].into(), ..Request::default() };
    let house = evicted(1);
    assert!(house.plan_with("talk", &only("coder")).starts_with("blocked coder"), "the painter is not in scope");
    assert_lines(&house.plan_with("talk", &only("painter")), "");
}

#[test]
fn dependents_of_a_woken_service_keep_running() {
    let more = "  web: { process: { command: [web] }, depends_on: [coder] }\nmodes:";
    let manifest = manifest(1).replace("modes:", more).replace("talk: { services: [coder]", "talk: { services: [web]");
    let house = driven_house(&manifest, &[0]);
    house.sim.set_behaviour("coder", Behaviour { evicts_to: Some(Mebibytes(1 << 10)), ..Behaviour::default() });
    house.rewrite(&manifest.replace("priority: 1 }", "priority: 20 }"));
    house.apply("talk");
    house.apply("paint");
    house.rewrite(&manifest);
    assert_lines(
        &house.plan("talk"),
        "stop:painter [preempted] 18432 on GPU-0
         wake:coder [memory_given_back] 19456 on GPU-0 after stop:painter",
    );
    house.apply("talk");
}

#[test]
fn a_start_of_higher_priority_takes_the_memory_that_a_sleeping_one_lacks() {
    let more = "  giant: { process: { command: [giant] }, vram: 23GiB, priority: 30 }\nmodes:\n  big: { services: [coder, giant] }";
    let house = evicted_with(&manifest(20).replace("modes:", more));
    let plan = inspect(&house, "big");
    assert!(text(&plan).starts_with(
        "stop:painter [not_in_mode] 18432 on GPU-0\nstart:giant [wanted_by_mode] 23552 on GPU-0 after stop:painter\n\
         blocked coder [no_capacity]"
    ), "{}", text(&plan));
    // With the painter stopped, the memory that the coder gave back would be free for it; the plan gives it to the
    // giant.
    house.sim.release(plan.given_back.iter().map(|given| (given.service.clone(), given.gpu.clone())).collect());
    house.apply("big");
}

/// Findings of the audit for a plan with a changed wake, or a changed observation.
fn audited(change: impl FnOnce(&mut Step, &mut Observed)) -> Vec<String> {
    let house = evicted(1);
    let desired = house.desired(Some("talk"));
    let mut observed = observe(&house.inspect(&desired), &desired);
    let mut plan = lcm::plan::plan(&desired, &observed, &Request::default());
    let wake = plan.steps.iter_mut().find(|step| step.id.as_str() == "wake:coder").expect("a wake");
    change(wake, &mut observed);
    audit(&plan, &desired, &observed, &Request::default())
}

#[test]
fn the_audit_checks_wakes() {
    assert_eq!(audited(|_, _| ()), Vec::<String>::new());
    let findings = audited(|step, _| step.needs.clear());
    assert!(findings.iter().any(|finding| finding.contains("may reach")), "{findings:?}");
    let findings = audited(|step, _| step.vram_mib = Mebibytes(1));
    assert!(findings.contains(&"wake:coder: that is not what it gave back on GPU GPU-0".to_owned()), "{findings:?}");
    let findings = audited(|step, _| step.service = "painter".into());
    assert!(findings.contains(&"wake:coder: it is not wanted".to_owned()), "{findings:?}");
    let findings = audited(|_, observed| {
        observed.services.get_mut(&"coder".into()).expect("there").unknown = Some("no answer".to_owned());
    });
    assert!(findings.contains(&"wake:coder: it is not known to run".to_owned()), "{findings:?}");
}

#[test]
fn a_woken_service_that_sleeps_again_is_woken_again() {
    let house = evicted(1);
    house.apply("talk");
    let sleep = Sleep { from: std::time::Duration::ZERO, until: None, to: Mebibytes(1 << 10) };
    house.sim.set_behaviour("coder", Behaviour { sleeps: vec![sleep], ..Behaviour::default() });
    assert_eq!(inspect(&house, "talk").steps.len(), 0, "what it gives back is free for it");
    assert_eq!(inspect(&house, "talk").kept[0].service.as_str(), "coder");
}
