//! Random manifests and random snapshots: small numbers and plain choices, so that failures shrink well.

use std::collections::BTreeSet;
use std::time::Duration;

use lcm::sim::Behaviour;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use crate::memory::MemoryDraft;

pub(crate) const GPUS_MAX: usize = 3;
pub(crate) const PORT_BASE: u16 = 8000;

/// Manifest, with the state of the machine before the first run.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) services: Vec<ServiceDraft>,
    /// Capacity of each declared GPU.
    pub(crate) gpus: Vec<u64>,
    pub(crate) reserve: u64,
    /// Memory of the host; `None`: it was not read.
    pub(crate) host: Option<u64>,
    /// `None`: no modes, so that all services are wanted.
    pub(crate) mode: Option<ModeDraft>,
    pub(crate) foreign: Vec<ForeignDraft>,
    pub(crate) orphans_go: bool,
    /// GPU memory that a driver measures; `None`: no driver, the manifest declares the GPUs.
    pub(crate) memory: Option<MemoryDraft>,
    /// One bit for each service that is a job.
    pub(crate) jobs: u8,
}

impl Draft {
    /// Returns true if the service runs to its end. A container that lcm did not create is no job.
    pub(crate) fn is_job(&self, index: usize) -> bool {
        self.jobs & (1 << index) != 0 && self.services[index].kind != Kind::Existing
    }

    /// Returns the draft without impossible states: two services that run on one port.
    pub(crate) fn possible(&self) -> Self {
        let mut draft = self.clone();
        let mut taken = BTreeSet::new();
        for service in &mut draft.services {
            let runs = !matches!(
                service.found,
                Found::Nothing | Found::Ended(_) | Found::Created | Found::Aside | Found::HalfMade
            );
            if runs && service.port.is_some_and(|port| !taken.insert(port)) {
                service.found = Found::Nothing;
            }
        }
        draft
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ServiceDraft {
    pub(crate) kind: Kind,
    /// Earlier services that this one depends on: their distance; true if started is enough; true if it restarts too.
    pub(crate) needs: Vec<(usize, bool, bool)>,
    pub(crate) vram: u64,
    /// Percent of its GPU in place of `vram`, where no driver measures.
    pub(crate) share: Option<u16>,
    /// Host memory.
    pub(crate) ram: u64,
    pub(crate) loads_alone: bool,
    pub(crate) gpu: GpuDraft,
    pub(crate) priority: i64,
    pub(crate) phase: u32,
    pub(crate) port: Option<u16>,
    pub(crate) probed: bool,
    pub(crate) secret: bool,
    pub(crate) found: Found,
    /// GPU of the running instance, and the memory that was declared at its start.
    pub(crate) found_on: usize,
    pub(crate) found_vram: u64,
    pub(crate) loading_ms: u64,
    /// Time from the beginning in which the service is busy; `None`: no busy probe.
    pub(crate) busy_ms: Option<u64>,
    pub(crate) stop_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Process,
    Container,
    Existing,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum GpuDraft {
    None,
    Auto,
    Index(usize),
    Count(usize),
    All,
}

/// State of a service before the first run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Running,
    /// Runs with another spec.
    Stale,
    /// Runs with another secret.
    OtherSecret,
    /// Runs for long, and fails its probe.
    Unhealthy,
    /// Started recently, and fails its probe.
    Starting,
    Ended(i32),
    Suspended,
    /// Its first process failed and others are left; a container is dead.
    Degraded,
    /// A container that never ran.
    Created,
    /// A crash left only the previous revision.
    Aside,
    /// A crash left the new revision not running beside the previous one.
    HalfMade,
    /// A crash left both revisions, and the new one is healthy.
    Unsettled,
    /// Runs under an earlier container name.
    Renamed,
    /// Runs on the other runtime: a process tree instead of a container, or the reverse.
    OtherRuntime,
}

#[derive(Clone, Debug)]
pub(crate) struct ModeDraft {
    /// One bit for each service.
    pub(crate) wanted: u8,
    pub(crate) stopped: u8,
    pub(crate) keep: bool,
    pub(crate) goal: Option<(u32, i64)>,
}

/// Foreign object: not a service of the manifest.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ForeignDraft {
    /// Marked with this project, under a service name that the manifest lacks.
    Orphan {
        container: bool,
        runs: bool,
        gpu: usize,
        vram: u64,
        port: Option<u16>,
    },
    /// Marked with another project.
    Other {
        container: bool,
        gpu: usize,
        vram: u64,
        port: Option<u16>,
    },
    /// Unmarked container under a name that a service wants.
    NameTaken {
        service: usize,
    },
    Listener {
        port: u16,
    },
}

pub(crate) fn drafts() -> impl Strategy<Value = Draft> {
    let mode = (any::<u8>(), any::<u8>(), any::<u8>(), any::<bool>(), proptest::option::of((0..3_u32, 0..6_i64)));
    // Two draws combined, so that few services must be off.
    let mode = mode.prop_map(|(wanted, first, second, keep, goal)| {
        let stopped = first & second & !wanted;
        ModeDraft { wanted, stopped, keep, goal }
    });
    (
        vec(service(), 1..=8),
        vec(8..=24_u64, 0..=GPUS_MAX),
        (0..=1_u64, proptest::option::weighted(0.5, 6..=40_u64)),
        proptest::option::weighted(0.8, mode),
        vec(foreign(), 0..=3),
        any::<bool>(),
    )
        .prop_map(|(services, gpus, (reserve, host), mode, foreign, orphans_go)| Draft {
            services,
            gpus,
            reserve,
            host,
            mode,
            foreign,
            orphans_go,
            memory: None,
            jobs: 0,
        })
}

/// Drafts in which some services run to their end.
pub(crate) fn with_jobs() -> impl Strategy<Value = Draft> {
    (drafts(), any::<u8>()).prop_map(|(draft, jobs)| Draft { jobs, ..draft })
}

fn service() -> impl Strategy<Value = ServiceDraft> {
    let kind = prop_oneof![3 => Just(Kind::Process), 3 => Just(Kind::Container), 1 => Just(Kind::Existing)];
    let gpu = prop_oneof![
        2 => Just(GpuDraft::None),
        4 => Just(GpuDraft::Auto),
        2 => (0..GPUS_MAX).prop_map(GpuDraft::Index),
        1 => (1..=2_usize).prop_map(GpuDraft::Count),
        1 => Just(GpuDraft::All),
    ];
    let needs = vec((1..=4_usize, any::<bool>(), any::<bool>()), 0..=2);
    let ram = prop_oneof![1 => Just(0), 1 => 1..=12_u64];
    let memory = (0..=12_u64, proptest::option::weighted(0.2, 1..=100_u16), ram, proptest::bool::weighted(0.25));
    let wanted = (kind, needs, memory, gpu, 0..6_i64, 0..3_u32);
    let port = proptest::option::weighted(0.4, 0..4_u16);
    let manner = (port, any::<bool>(), proptest::bool::weighted(0.2), proptest::option::weighted(0.3, 0..20_000_u64));
    let there = (found(), 0..GPUS_MAX, 0..=12_u64, 0..20_000_u64, 0..15_000_u64);
    (wanted, manner, there).prop_map(
        |(
            (kind, needs, (vram, share, ram, loads_alone), gpu, priority, phase),
            (port, probed, secret, busy_ms),
            there,
        )| ServiceDraft {
            kind,
            needs,
            vram,
            share,
            ram,
            loads_alone,
            gpu,
            priority,
            phase,
            port,
            probed,
            secret,
            found: there.0,
            found_on: there.1,
            found_vram: there.2,
            loading_ms: there.3,
            busy_ms,
            stop_ms: there.4,
        },
    )
}

fn found() -> impl Strategy<Value = Found> {
    prop_oneof![
        4 => Just(Found::Nothing),
        6 => Just(Found::Running),
        2 => Just(Found::Stale),
        1 => Just(Found::OtherSecret),
        1 => Just(Found::Unhealthy),
        1 => Just(Found::Starting),
        1 => prop_oneof![Just(0), Just(1), Just(143)].prop_map(Found::Ended),
        1 => Just(Found::Suspended),
        1 => Just(Found::Degraded),
        1 => Just(Found::Created),
        1 => Just(Found::Aside),
        1 => Just(Found::HalfMade),
        1 => Just(Found::Unsettled),
        1 => Just(Found::Renamed),
        1 => Just(Found::OtherRuntime),
    ]
}

fn foreign() -> impl Strategy<Value = ForeignDraft> {
    let port = || proptest::option::weighted(0.3, 0..4_u16);
    prop_oneof![
        3 => (any::<bool>(), any::<bool>(), 0..GPUS_MAX, 0..=8_u64, port()).prop_map(
            |(container, runs, gpu, vram, port)| ForeignDraft::Orphan { container, runs, gpu, vram, port }
        ),
        2 => (any::<bool>(), 0..GPUS_MAX, 0..=8_u64, port()).prop_map(
            |(container, gpu, vram, port)| ForeignDraft::Other { container, gpu, vram, port }
        ),
        1 => (0..8_usize).prop_map(|service| ForeignDraft::NameTaken { service }),
        1 => (0..4_u16).prop_map(|port| ForeignDraft::Listener { port }),
    ]
}

impl ServiceDraft {
    /// Returns the behaviour without faults.
    pub(crate) fn behaviour(&self) -> Behaviour {
        Behaviour {
            loading: Duration::from_millis(self.loading_ms),
            busy_for: self.busy_ms.map(Duration::from_millis),
            stop_takes: Duration::from_millis(self.stop_ms),
            runs_for: Duration::from_millis(self.loading_ms),
            ..Behaviour::default()
        }
    }
}

/// Fault that can be injected and lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Prepare,
    Start,
    Dies,
    Degrades,
    NeverHealthy,
    Stop,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] =
        [Self::Prepare, Self::Start, Self::Dies, Self::Degrades, Self::NeverHealthy, Self::Stop];

    pub(crate) fn strike(self, behaviour: Behaviour) -> Behaviour {
        let error = || Some("a fault that a test has set".to_owned());
        match self {
            Self::Prepare => Behaviour { prepare_error: error(), ..behaviour },
            Self::Start => Behaviour { start_error: error(), ..behaviour },
            Self::Dies => Behaviour { dies_while_loading: true, never_healthy: true, ..behaviour },
            Self::Degrades => {
                Behaviour { dies_while_loading: true, leaves_children: true, never_healthy: true, ..behaviour }
            }
            Self::NeverHealthy => Behaviour { never_healthy: true, ..behaviour },
            Self::Stop => Behaviour { stop_error: error(), ..behaviour },
        }
    }
}
