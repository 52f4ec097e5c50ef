//! Services of a runtime that scales and rolls: their desired and observed copies, and the plan between
//! them. No current runtime has these capabilities, so the definitions are the test's own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lcm::model::copies::{Copies, CopiesChange};
use lcm::model::desired::{Desired, GpuRequest, Service};
use lcm::model::facts::Marks;
use lcm::model::instance::Instance;
use lcm::model::lifecycle::{Action, State};
use lcm::model::names::{GpuId, ProjectName, RuntimeName, ServiceName, StepId};
use lcm::model::observed::{Observed, ObservedGpu, ObservedService, Ownership};
use lcm::model::plan::{Plan, ReasonCode, Request};
use lcm::model::size::Mebibytes;
use lcm::model::spec::Spec;
use lcm::model::workload::{Capabilities, Capability, Origin, RuntimeSpec, Workload};
use lcm::plan::{audit, plan};
use proptest::prelude::*;
use serde_json::json;

/// Definition of a service whose runtime runs several copies on this host's GPUs.
#[derive(Clone, Debug)]
struct Fleet;

impl RuntimeSpec for Fleet {}

const BOTH: Capabilities = Capabilities(&[Capability::Scales, Capability::Rolls, Capability::LocalGpu]);
const NEITHER: Capabilities = Capabilities(&[Capability::LocalGpu]);

fn fleet(capabilities: Capabilities) -> Workload {
    Workload {
        runtime: RuntimeName::new("fleet"),
        target: None,
        object: None,
        origin: Origin::Created,
        capabilities,
        spec: Box::new(Fleet),
    }
}

/// Service with this number of copies, each with `vram` MiB of GPU memory.
fn service(name: &str, copies: u32, vram: u64) -> Service {
    Service {
        copies,
        vram: Mebibytes(vram),
        gpu: if vram > 0 { GpuRequest::Auto } else { GpuRequest::None },
        spec: Spec::plain(json!({ "image": name })),
        ..Service::plain(name.into(), fleet(BOTH))
    }
}

fn off() -> ObservedService {
    ObservedService::plain(State::Registered, "it is registered", Ownership::Absent)
}

/// Running service with this number of copies of its current spec.
fn running(service: &Service, copies: u32) -> ObservedService {
    let has_gpu = service.vram > Mebibytes::ZERO;
    let marks = Marks {
        project: "farm".to_owned(),
        service: service.name.to_string(),
        spec: service.spec.hash().to_owned(),
        gpus: if has_gpu { "gpu-0".to_owned() } else { String::new() },
        vram_mib: service.vram.0,
        ..Marks::default()
    };
    ObservedService {
        instance: Some(Instance::new(RuntimeName::new("fleet"), service.name.to_string(), None)),
        holds_capacity: true,
        copies: Some(Copies { wanted: copies, ready: copies, updated: copies }),
        marks: Some(Box::new(marks)),
        gpus: has_gpu.then(|| GpuId::from("gpu-0")).into_iter().collect(),
        ..ObservedService::plain(State::Online, "it is online", Ownership::Ours)
    }
}

/// Running service with copies of another spec than the manifest has.
fn outdated(service: &Service, copies: u32) -> ObservedService {
    let mut seen = running(service, copies);
    if let Some(marks) = &mut seen.marks {
        "v1:of-before".clone_into(&mut marks.spec);
    }
    seen
}

struct Farm {
    desired: Desired,
    observed: Observed,
}

impl Farm {
    /// Farm with one GPU of `capacity` MiB.
    fn new(capacity: u64, services: Vec<(Service, ObservedService)>) -> Self {
        let seen: BTreeMap<ServiceName, ObservedService> =
            services.iter().map(|(service, seen)| (service.name.clone(), seen.clone())).collect();
        let desired = Desired::plain(ProjectName::from("farm"), services.into_iter().map(|(service, _)| service));
        let gpu = ObservedGpu {
            index: 0,
            name: "some GPU".to_owned(),
            capacity: Mebibytes(capacity),
            foreign: Mebibytes::ZERO,
            foreign_holders: Vec::new(),
            used: None,
            told: false,
            lost: None,
            unreadable: None,
            is_unified: false,
        };
        let observed = Observed {
            host: "host".to_owned(),
            host_identity: None,
            engine: None,
            observed_at: Timestamp::UNIX_EPOCH,
            services: seen,
            orphans: Vec::new(),
            networks: Vec::new(),
            claimed: Vec::new(),
            gpus: BTreeMap::from([(GpuId::from("gpu-0"), gpu)]),
            gpus_unknown: None,
            memory: lcm::model::facts::Reading::NotAsked,
            ports: std::iter::empty().collect(),
            ports_unknown: None,
            holds_unknown: None,
            pending: Vec::new(),
            warnings: Vec::new(),
        };
        let desired = Desired { reserve: Mebibytes::ZERO, ..desired };
        Self { desired, observed }
    }

    /// Returns the plan, audited and made twice.
    fn plan(&self) -> Plan {
        let request = Request::default();
        let made = plan(&self.desired, &self.observed, &request);
        assert_eq!(made, plan(&self.desired, &self.observed, &request), "planned twice");
        assert_eq!(audit(&made, &self.desired, &self.observed, &request), Vec::<String>::new(), "{made:#?}");
        made
    }

    fn text(&self) -> String {
        text(&self.plan())
    }
}

/// One line for each step: `scale:web [scaled] 2>3 8 after stop:old`.
fn text(plan: &Plan) -> String {
    let steps = plan.steps.iter().map(|step| {
        let copies = step.copies.map(|CopiesChange { from, to, surge, returns_mib, .. }| {
            let surge = if surge > 0 { format!("+{surge} returns {returns_mib}") } else { String::new() };
            format!(" {from}>{to}{surge}")
        });
        let needs: Vec<&str> = step.needs.iter().map(StepId::as_str).collect();
        let after = if needs.is_empty() { String::new() } else { format!(" after {}", needs.join(" ")) };
        format!("{} [{}]{} {}{after}", step.id, step.reason.code.as_str(), copies.unwrap_or_default(), step.vram_mib.0)
    });
    let blocked = plan.blocked.iter().map(|blocked| format!("blocked {}: {}", blocked.service, blocked.reason.message));
    steps.chain(blocked).collect::<Vec<_>>().join("\n")
}

fn one(service: Service, seen: ObservedService) -> Farm {
    Farm::new(100, vec![(service, seen)])
}

#[test]
fn another_number_of_copies_is_a_scale_up_or_down() {
    let (web, big) = (service("web", 3, 10), service("web", 1, 10));
    assert_eq!(one(web.clone(), running(&web, 2)).text(), "scale:web [scaled] 2>3 10");
    assert_eq!(one(big.clone(), running(&big, 3)).text(), "scale:web [scaled] 3>1 20");
    assert_eq!(one(web.clone(), running(&web, 3)).text(), "");
    let made = one(web.clone(), running(&web, 2)).plan();
    assert_eq!(made.steps[0].route, [State::Online, State::Scaling, State::Online]);
    assert_eq!(made.steps[0].reason.message, "it has 2 copies, and 3 are wanted");
    assert_eq!((made.gpus[0].before_mib.0, made.gpus[0].peak_mib.0, made.gpus[0].after_mib.0), (20, 30, 30));
    let busy = ObservedService { state: State::Busy, ..running(&web, 2) };
    assert_eq!(one(web.clone(), busy).plan().steps[0].route, [State::Busy, State::Scaling, State::Online]);
    let remote = service("web", 5, 0);
    assert_eq!(one(remote.clone(), running(&remote, 2)).text(), "scale:web [scaled] 2>5 0");
}

#[test]
fn a_start_takes_the_memory_of_all_copies() {
    let web = service("web", 3, 10);
    assert_eq!(one(web.clone(), off()).text(), "start:web [wanted_by_mode] 0>3 30");
    assert_eq!(Farm::new(25, vec![(web, off())]).text(), "blocked web: it needs 30 MiB; GPU 0 has 25 = 25");
}

#[test]
fn a_scale_up_that_does_not_fit_is_blocked_with_its_arithmetic() {
    let web = service("web", 3, 10);
    let farm = Farm::new(25, vec![(web.clone(), running(&web, 2))]);
    assert_eq!(farm.text(), "blocked web: it has 2 copies, and 3 are wanted; it needs 30 MiB; GPU 0 has 25 = 25");
    assert_eq!(farm.plan().blocked[0].reason.code, ReasonCode::NoCapacity);
}

#[test]
fn a_scale_up_preempts_lower_priorities_and_waits_for_them() {
    let web = Service { priority: 9, ..service("web", 3, 10) };
    let old = service("old", 1, 5);
    let farm = Farm::new(30, vec![(web.clone(), running(&web, 2)), (old.clone(), running(&old, 1))]);
    let text = farm.text();
    assert!(
        text.starts_with("stop:old [preempted] 5\nscale:web [scaled] 2>3 10 after stop:old\nblocked old: "),
        "{text}"
    );
    let equal = Farm::new(30, vec![(service("web", 3, 10), running(&web, 2)), (old.clone(), running(&old, 1))]);
    assert!(equal.text().starts_with("blocked web: "), "{}", equal.text());
}

#[test]
fn a_start_waits_for_the_scale_down_that_it_draws_on() {
    let (web, new) = (service("web", 1, 10), service("new", 1, 15));
    let farm = Farm::new(30, vec![(web.clone(), running(&web, 3)), (new, off())]);
    assert_eq!(farm.text(), "scale:web [scaled] 3>1 20\nstart:new [wanted_by_mode] 15 after scale:web");
    assert_eq!(farm.plan().gpus[0].peak_mib, Mebibytes(30));
}

#[test]
fn another_spec_rolls_with_one_more_copy_at_a_time() {
    let web = service("web", 3, 10);
    let farm = one(web.clone(), outdated(&web, 3));
    assert_eq!(farm.text(), "update:web [spec_changed] 3>3+1 returns 10 MiB 10");
    let made = farm.plan();
    assert_eq!(made.steps[0].route, [State::Online, State::Updating, State::Online]);
    assert_eq!(made.steps[0].spec.as_deref(), Some(web.spec.hash()));
    assert_eq!((made.gpus[0].before_mib.0, made.gpus[0].peak_mib.0, made.gpus[0].after_mib.0), (30, 40, 30));
    let busy = one(web.clone(), ObservedService { state: State::Busy, ..outdated(&web, 3) }).plan();
    assert!(busy.steps.is_empty() && busy.kept[0].message.starts_with("busy, and updated once it is idle"), "{busy:?}");
}

#[test]
fn a_rolling_update_changes_the_number_of_copies_along() {
    let (more, fewer) = (service("web", 4, 10), service("web", 1, 10));
    let up = one(more.clone(), outdated(&more, 2));
    assert_eq!(up.text(), "update:web [spec_changed] 2>4+1 returns 10 MiB 30");
    assert_eq!(up.plan().gpus[0].after_mib, Mebibytes(40));
    let down = one(fewer.clone(), outdated(&fewer, 3));
    assert_eq!(down.text(), "update:web [spec_changed] 3>1+1 returns 30 MiB 10");
    assert_eq!(down.plan().gpus[0].after_mib, Mebibytes(10));
}

#[test]
fn an_update_without_memory_for_one_more_copy_is_refused_and_preempts_nothing() {
    let web = Service { priority: 9, ..service("web", 2, 10) };
    let old = service("old", 1, 5);
    let farm = Farm::new(30, vec![(web.clone(), outdated(&web, 2)), (old.clone(), running(&old, 1))]);
    assert_eq!(
        farm.text(),
        "blocked web: it is not updated, because that takes 1 copy more at a time: its spec has changed in the \
         manifest; it needs 30 MiB (priority 9); GPU 0 has 30 − 5 old (priority 0) = 25"
    );
}

#[test]
fn copies_are_not_added_where_their_memory_is_unknown() {
    let web = service("web", 3, 10);
    let faults: [fn(&mut Farm); 3] = [
        |farm| farm.observed.gpus_unknown = Some("the driver does not answer".to_owned()),
        |farm| farm.observed.gpus.values_mut().for_each(|gpu| gpu.unreadable = Some("it is resetting".to_owned())),
        |farm| farm.observed.services.values_mut().for_each(|seen| seen.gpus.clear()),
    ];
    for fault in faults {
        for seen in [running(&web, 2), outdated(&web, 3)] {
            let mut farm = one(web.clone(), seen);
            fault(&mut farm);
            let made = farm.plan();
            assert!(made.steps.is_empty(), "{made:?}");
            assert_eq!(made.blocked[0].reason.code, ReasonCode::Unknown, "{made:?}");
        }
    }
    let mut fewer = one(web.clone(), running(&web, 4));
    fewer.observed.gpus_unknown = Some("the driver does not answer".to_owned());
    assert_eq!(fewer.text(), "scale:web [scaled] 4>3 10");
}

#[test]
fn a_runtime_without_the_capabilities_neither_scales_nor_rolls() {
    let plain = |copies| Service { workload: fleet(NEITHER), ..service("web", copies, 10) };
    let web = plain(1);
    assert_eq!(one(plain(3), running(&web, 1)).text(), "");
    let recreated = one(web.clone(), ObservedService { copies: None, ..outdated(&web, 1) });
    assert_eq!(recreated.text(), "stop:web [spec_changed] 10\nstart:web [spec_changed] 10 after stop:web");
}

#[test]
fn without_a_wanted_copy_a_service_is_stopped_and_stays_off() {
    let none = service("web", 0, 10);
    assert_eq!(one(none.clone(), running(&none, 2)).text(), "stop:web [scaled] 20");
    let still = one(none, ObservedService { ownership: Ownership::Ours, ..off() }).plan();
    assert!(still.steps.is_empty() && still.blocked.is_empty(), "{still:?}");
    assert_eq!(still.kept[0].message, "it is off: 0 copies of it are wanted");
}

#[test]
fn a_failed_rollout_is_not_repeated_before_its_budget_allows_it() {
    let web = service("web", 2, 10);
    let attempts =
        lcm::model::facts::Attempts { count: 3, last_at: Timestamp::UNIX_EPOCH, spec: web.spec.hash().to_owned() };
    let seen = ObservedService { attempts: Some(Box::new(attempts)), ..outdated(&web, 2) };
    let made = one(web, seen).plan();
    assert!(made.steps.is_empty());
    assert_eq!(made.blocked[0].reason.code, ReasonCode::Backoff);
}

type Fault = fn(&mut Plan);

#[test]
fn the_audit_finds_what_is_wrong_with_a_change_of_copies() {
    let web = service("web", 3, 10);
    let cases: [(Fault, &str); 5] = [
        (|plan| plan.steps[0].copies = None, "it has no number of copies"),
        (|plan| plan.steps[0].copies = Some(CopiesChange::scale(1, 3)), "it has 2 copies, not 1"),
        (|plan| plan.steps[0].copies = Some(CopiesChange::scale(2, 4)), "3 copies are wanted, not 4"),
        (|plan| plan.steps[0].vram_mib = Mebibytes(9), "that is not the memory of its copies"),
        (
            |plan| plan.steps[0].copies = Some(CopiesChange::roll(2, 3)),
            "it takes 0 copies beside the wanted ones, not 1",
        ),
    ];
    for (change, fault) in cases {
        let farm = one(web.clone(), running(&web, 2));
        let mut made = farm.plan();
        change(&mut made);
        let found = audit(&made, &farm.desired, &farm.observed, &Request::default());
        assert!(found.iter().any(|finding| finding.contains(fault)), "{fault}: {found:?}");
    }
    let mut farm = one(web.clone(), running(&web, 2));
    let made = farm.plan();
    farm.desired.services.get_mut(&"web".into()).expect("it").workload = fleet(NEITHER);
    let found = audit(&made, &farm.desired, &farm.observed, &Request::default());
    assert!(found[0].contains("the runtime `fleet` can't scale copies"), "{found:?}");
    let mut crowded = one(web.clone(), running(&web, 2));
    crowded.observed.gpus.values_mut().for_each(|gpu| gpu.capacity = Mebibytes(25));
    let found = audit(&made, &crowded.desired, &crowded.observed, &Request::default());
    assert!(found.iter().any(|finding| finding.contains("may reach")), "{found:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// No order of a plan with scales, updates, starts and stops overcommits the GPU.
    #[test]
    fn no_change_of_copies_ever_overcommits(
        capacity in 5_u64..60,
        services in proptest::collection::vec((0_u32..4, 0_u32..4, 0_u64..9, any::<bool>(), 0_i64..3), 1..5),
    ) {
        let services = services.into_iter().enumerate().map(|(index, (wanted, now, vram, is_old, priority))| {
            let service = Service { priority, ..service(&format!("s{index}"), wanted, vram) };
            let seen = match (now, is_old) {
                (0, _) => off(),
                (now, true) => outdated(&service, now),
                (now, false) => running(&service, now),
            };
            (service, seen)
        });
        let made = Farm::new(capacity, services.collect()).plan();
        let gpu = &made.gpus[0];
        prop_assert!(gpu.peak_mib <= gpu.capacity_mib.max(gpu.before_mib), "{}", text(&made));
        for step in made.steps.iter().filter(|step| step.action == Action::Update) {
            prop_assert!(step.copies.is_some_and(|copies| copies.surge == 1), "{}", text(&made));
        }
    }
}
