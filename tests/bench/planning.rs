//! Benchmark of planning alone, without a machine: large manifests on many GPUs, half of the services running, a tenth
//! that preempts others. And of auditing such a plan.
//!
//! Promised: 1 000 services on 8 GPUs in 5 ms, 10 000 on 64 in 60 ms; ten times the services on as many GPUs in at most
//! 13 times the time.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use jiff::{Timestamp, Zoned};
use lcm::model::desired::{Condition, Dependency, Desired, GpuRef, GpuRequest, Mode, Others, Service};
use lcm::model::facts::Marks;
use lcm::model::lifecycle::{Action, State};
use lcm::model::names::{GpuId, ModeName, ProjectName, ServiceName};
use lcm::model::observed::{Observed, ObservedGpu, ObservedService, Ownership, PortHolder};
use lcm::model::plan::{Placement, Plan, Request};
use lcm::model::size::Mebibytes;
use lcm::model::spec::Spec;
use lcm::plan::{audit, plan};
use lcm::runtime::docker::intent::ContainerSpec;
use serde_json::json;
use smallvec::SmallVec;

#[expect(dead_code, reason = "each program uses a part of it")]
#[path = "../support/figures.rs"]
mod figures;

use figures::machine;

const PROJECT: &str = "fleet";
const SCALE_MAX: f64 = 13.0;
const GIB: u64 = 1024;

/// One row of the table.
struct Size {
    services: usize,
    gpus: usize,
    turns: usize,
    /// Promised milliseconds for the plan.
    promised: Option<f64>,
}

const SIZES: [Size; 3] = [
    Size { services: 1_000, gpus: 8, turns: 101, promised: Some(5.0) },
    Size { services: 10_000, gpus: 8, turns: 51, promised: None },
    Size { services: 10_000, gpus: 64, turns: 51, promised: Some(60.0) },
];

fn main() -> ExitCode {
    println!("{}, {}\n", machine(), Zoned::now().strftime("%Y-%m-%d"));
    println!("services  GPUs  running  stops  starts  placement  plan ms  (least)  audit ms  promised");
    let measured: Vec<Measured> = SIZES.iter().map(row).collect();
    let scale = |of: fn(&Measured) -> f64| of(&measured[1]) / of(&measured[0]);
    // The larger fleet does not fit the caches, which the machine's other work uses too: the fastest turns measure the
    // planning.
    let (median, least) = (scale(|row| row.plan_ms), scale(|row| row.least_ms));
    println!(
        "\nten times the services on 8 GPUs: {least:.1} times the least time, {SCALE_MAX} promised ({median:.1} times the median)"
    );
    println!("medians of {} turns", SIZES.map(|size| size.turns.to_string()).join(", "));
    ExitCode::from(u8::from(!(least <= SCALE_MAX && measured.iter().all(|row| row.kept))))
}

/// Measurements of one row.
struct Measured {
    plan_ms: f64,
    least_ms: f64,
    /// True if within the promise.
    kept: bool,
}

/// Measures one row and prints it.
fn row(size: &Size) -> Measured {
    let fleet = Fleet::new(size.services, size.gpus);
    let request = Request::default();
    let made = plan(&fleet.desired, &fleet.observed, &request);
    let findings = audit(&made, &fleet.desired, &fleet.observed, &request);
    assert!(findings.is_empty(), "{findings:#?}");
    assert!(made.steps.len() > size.services / 10, "newcomers must find memory, or nothing is measured");
    let (plan_ms, least_ms) =
        median_and_least(size.turns, || black_box(plan(&fleet.desired, &fleet.observed, &request)));
    let (audit_ms, _) =
        median_and_least(size.turns, || black_box(audit(&made, &fleet.desired, &fleet.observed, &request)));
    let kept = size.promised.is_none_or(|promised| plan_ms <= promised);
    println!(
        "{:>8}  {:>4}  {:>7}  {:>5}  {:>6}  {:>9}  {plan_ms:>7.2}  {least_ms:>7.2}  {audit_ms:>8.2}  {:>8}{}",
        size.services,
        size.gpus,
        fleet.observed.services.values().filter(|seen| seen.holds_capacity).count(),
        count(&made, Action::Stop),
        count(&made, Action::Start),
        if made.placement == Placement::Optimal { "optimal" } else { "bounded" },
        size.promised.map_or_else(|| "–".to_owned(), |promised| format!("{promised:.0}")),
        if kept { "" } else { "  missed" },
    );
    Measured { plan_ms, least_ms, kept }
}

fn count(plan: &Plan, action: Action) -> usize {
    plan.steps.iter().filter(|step| step.action == action).count()
}

/// Returns the milliseconds of the median turn, and of the fastest, which shows how much of it was the machine's other
/// work. Results are dropped after the clock has been read.
fn median_and_least<T>(turns: usize, mut work: impl FnMut() -> T) -> (f64, f64) {
    let mut values: Vec<f64> = (0..turns)
        .map(|_| {
            let begin = Instant::now();
            let made = work();
            let elapsed_ms = begin.elapsed().as_secs_f64() * 1000.0;
            drop(made);
            elapsed_ms
        })
        .collect();
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0])
}

/// Part of a service in the fleet, by its number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Three tenths: the mode names the service, and it runs.
    Wanted,
    /// Two tenths: the service runs, and the mode does not name it.
    Kept,
    /// A tenth: the mode names the service, it is off, and has a higher priority than those that run. GPUs are full.
    Newcomer,
    /// Four tenths: off and not wanted.
    Off,
}

impl Part {
    fn of(number: usize) -> Self {
        match number % 10 {
            0..3 => Self::Wanted,
            3..5 => Self::Kept,
            5 => Self::Newcomer,
            _ => Self::Off,
        }
    }

    fn runs(self) -> bool {
        matches!(self, Self::Wanted | Self::Kept)
    }
}

struct Fleet {
    desired: Desired,
    observed: Observed,
}

impl Fleet {
    fn new(services: usize, gpus: usize) -> Self {
        let mut dice = Dice(0x5EED);
        let services: Vec<(Part, usize, Service)> = (0..services)
            .map(|number| {
                let (part, seat) = (Part::of(number), dice.below(gpus));
                (part, seat, service(&mut dice, number, part, seat))
            })
            .collect();
        let observed = observed(&services, gpus);
        let mode = ModeName::from("now");
        let named = services.iter().filter(|(part, ..)| matches!(part, Part::Wanted | Part::Newcomer));
        let wanted = Mode {
            description: None,
            services: named.map(|(_, _, service)| service.name.clone()).collect(),
            goals: BTreeSet::new(),
            stop: BTreeSet::new(),
            others: Others::Keep,
        };
        let all = services.iter().map(|(_, _, service)| service.clone());
        let desired = Desired {
            mode: Some(mode.clone().into()),
            modes: BTreeMap::from([(mode, wanted)]),
            reserve: Mebibytes(512),
            ..Desired::plain(ProjectName::from(PROJECT), all)
        };
        Self { desired, observed }
    }
}

fn name(number: usize) -> ServiceName {
    ServiceName::new(format!("service-{number:05}"))
}

fn gpu(index: usize) -> GpuId {
    GpuId::new(format!("GPU-{index:08x}-0000-0000-0000-000000000000"))
}

fn service(dice: &mut Dice, number: usize, part: Part, seat: usize) -> Service {
    let container = ContainerSpec::plain(format!("{PROJECT}-{number:05}"), "image:1");
    // A fifth depends on a service of the same part, ten before it: running ones depend on running ones.
    let needs = (number >= 10 && dice.below(5) == 0).then(|| name(number - 10));
    let pinned = GpuRequest::Any(vec![GpuRef::Index(u32::try_from(seat).expect("few"))]);
    Service {
        vram: Mebibytes(GIB * (1 + dice.below(8) as u64)),
        gpu: if dice.below(10) == 0 { pinned } else { GpuRequest::Auto },
        priority: if part == Part::Newcomer { 100 } else { i64::try_from(dice.below(10)).expect("few") },
        depends_on: needs
            .map(|need| (need, Dependency { condition: Condition::Healthy, restart: false }))
            .into_iter()
            .collect(),
        ports: u16::try_from(number)
            .ok()
            .filter(|_| dice.below(3) == 0)
            .map(|port| (10_000 + port).into())
            .into_iter()
            .collect(),
        spec: Spec::plain(json!({ "image": "image:1", "command": ["serve", number] })),
        ..Service::plain(name(number), container)
    }
}

fn observed(services: &[(Part, usize, Service)], gpus: usize) -> Observed {
    let mut held = vec![Mebibytes::ZERO; gpus];
    let mut ports = Vec::new();
    for (_, seat, service) in services.iter().filter(|(part, ..)| part.runs()) {
        held[*seat] += service.vram;
        ports.extend(service.ports.iter().map(|port| (*port, PortHolder::Service(service.name.clone()))));
    }
    // One id for each GPU, which services share, as observers do it.
    let ids: Vec<GpuId> = (0..gpus).map(gpu).collect();
    let seen =
        |(part, seat, service): &(Part, usize, Service)| (service.name.clone(), seen(*part, &ids[*seat], service));
    let seen: BTreeMap<_, _> = services.iter().map(seen).collect();
    let gpus = held.iter().enumerate().map(|(index, held)| {
        let seen = ObservedGpu {
            index: u32::try_from(index).expect("few"),
            name: "some GPU".to_owned(),
            // Full, except for the reserve.
            capacity: *held + Mebibytes(512),
            foreign: Mebibytes::ZERO,
            foreign_holders: Vec::new(),
            used: Some(*held),
            told: false,
            lost: None,
            unreadable: None,
            is_unified: false,
        };
        (ids[index].clone(), seen)
    });
    Observed {
        host: "host".to_owned(),
        host_identity: None,
        engine: None,
        observed_at: Timestamp::UNIX_EPOCH,
        services: seen,
        orphans: Vec::new(),
        networks: Vec::new(),
        claimed: Vec::new(),
        gpus: gpus.collect(),
        gpus_unknown: None,
        memory: lcm::model::facts::Reading::NotAsked,
        ports: ports.into_iter().collect(),
        ports_unknown: None,
        holds_unknown: None,
        pending: Vec::new(),
        warnings: Vec::new(),
    }
}

fn seen(part: Part, seat: &GpuId, service: &Service) -> ObservedService {
    let marks = Marks {
        project: PROJECT.to_owned(),
        service: service.name.to_string(),
        spec: service.spec.hash().to_owned(),
        config: json!({ "spec": service.spec.config() }).to_string(),
        gpus: seat.to_string(),
        vram_mib: service.vram.0,
        ..Marks::default()
    };
    let container = service.object().expect("a container").clone();
    let runs = part.runs();
    ObservedService {
        instance: runs.then(|| lcm::runtime::docker::instance(format!("id-{container}"), container)),
        holds_capacity: runs,
        marks: runs.then(|| Box::new(marks)),
        gpus: if runs { SmallVec::from([seat.clone()]) } else { SmallVec::new() },
        ..ObservedService::plain(
            if runs { State::Online } else { State::Registered },
            "it runs or not, by its part",
            if runs { Ownership::Ours } else { Ownership::Absent },
        )
    }
}

/// Generator of the same numbers each time (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % count
    }
}
