//! GPU memory as a driver measures it, in random snapshots: services load it at once or late, free it late or never,
//! and foreign programs come and go.

use std::time::Duration;

use lcm::model::desired::Desired;
use lcm::model::facts::{Facts, GpuFact, GpuHolder, Marks, ProcessOwner, Reading};
use lcm::model::names::GpuId;
use lcm::model::size::Mebibytes;
use lcm::runtime::docker::facts::ContainerState;
use lcm::runtime::docker::facts::DockerReading as _;
use lcm::runtime::process::facts::ProcessReading as _;
use lcm::sim::{Behaviour, Intrusion, Sleep};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};

use crate::draft::{Draft, GPUS_MAX, ServiceDraft, drafts};
use crate::manifest::{PROJECT, name};

/// Longer than any event of a draft lasts.
pub(crate) const LONG: Duration = Duration::from_hours(1);

const SERVICES_MAX: usize = 8;

/// GPU memory that a driver measures, and its changes.
#[derive(Clone, Debug)]
pub(crate) struct MemoryDraft {
    pub(crate) habits: Vec<Habit>,
    pub(crate) intrusions: Vec<IntrusionDraft>,
    /// True if the driver reports no memory of single processes.
    pub(crate) silent: bool,
    /// Memory of each GPU that the driver reserves.
    pub(crate) reserved: u64,
    pub(crate) sleeps: Vec<SleepDraft>,
    /// One bit per service that has a wake call.
    pub(crate) wakes: u8,
}

/// Time in which one service has given memory back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SleepDraft {
    pub(crate) service: usize,
    pub(crate) from_ms: u64,
    /// `None`: the service takes it again only when it is woken.
    pub(crate) lasts_ms: Option<u64>,
    /// Percentage of its declared memory that is left.
    pub(crate) to_percent: u64,
}

/// Memory behaviour of one service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habit {
    /// Percentage of its declared memory that the service takes.
    pub(crate) takes_percent: u64,
    pub(crate) late_ms: Option<u64>,
    pub(crate) lag_ms: u64,
    pub(crate) leaks: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct IntrusionDraft {
    pub(crate) gpu: usize,
    pub(crate) after_ms: u64,
    pub(crate) memory: u64,
    pub(crate) lasts_ms: u64,
}

/// Drafts with a driver that measures memory.
pub(crate) fn measured() -> impl Strategy<Value = Draft> {
    let habit = (0..=100_u64, proptest::option::weighted(0.2, 0..60_000_u64), lag(), proptest::bool::weighted(0.05));
    let habit =
        habit.prop_map(|(takes_percent, late_ms, lag_ms, leaks)| Habit { takes_percent, late_ms, lag_ms, leaks });
    let intrusion = (0..GPUS_MAX, 0..40_000_u64, 1..=16_u64, 0..200_000_u64);
    let intrusion =
        intrusion.prop_map(|(gpu, after_ms, memory, lasts_ms)| IntrusionDraft { gpu, after_ms, memory, lasts_ms });
    let memory = (vec(habit, SERVICES_MAX), vec(intrusion, 0..=2), any::<bool>(), 0..=1_u64);
    let memory = memory.prop_map(|(habits, intrusions, silent, reserved)| MemoryDraft {
        habits,
        intrusions,
        silent,
        reserved,
        sleeps: Vec::new(),
        wakes: 0,
    });
    (drafts(), memory).prop_map(|(mut draft, memory)| {
        // A running service that is measured may take its newly declared memory, so the earlier size is not larger.
        for service in &mut draft.services {
            service.found_vram = service.found_vram.min(service.vram);
        }
        Draft { memory: Some(memory), ..draft }
    })
}

/// Measured drafts in which services give memory back by themselves and take it again, at any time.
pub(crate) fn asleep() -> impl Strategy<Value = Draft> {
    let lasts = proptest::option::weighted(0.6, 0..90_000_u64);
    let sleep = (0..SERVICES_MAX, 0..60_000_u64, lasts, 0..=100_u64);
    let sleep = sleep.prop_map(|(service, from_ms, lasts_ms, to_percent)| SleepDraft {
        service,
        // Many services have given it back before the first run.
        from_ms: from_ms.saturating_sub(20_000),
        lasts_ms,
        to_percent,
    });
    (measured(), vec(sleep, 1..=6), any::<u8>(), proptest::bool::weighted(0.1)).prop_map(
        |(mut draft, sleeps, wakes, silent)| {
            draft.memory = draft.memory.map(|memory| {
                let takes_all = |habit: Habit| Habit { takes_percent: habit.takes_percent.max(90), ..habit };
                let habits = memory.habits.iter().copied().map(takes_all).collect();
                MemoryDraft { habits, silent, sleeps, wakes, ..memory }
            });
            draft
        },
    )
}

/// Usually short; sometimes longer than lcm waits.
fn lag() -> impl Strategy<Value = u64> {
    proptest::prop_oneof![3 => proptest::prelude::Just(0), 4 => 0..30_000_u64, 1 => 30_000..100_000_u64]
}

impl MemoryDraft {
    pub(crate) fn habit(&self, index: usize, behaviour: Behaviour, service: &ServiceDraft) -> Behaviour {
        let habit = &self.habits[index];
        Behaviour {
            takes: Some(Mebibytes(service.vram * habit.takes_percent / 100)),
            late: habit.late_ms.map(Duration::from_millis),
            release_lag: Duration::from_millis(habit.lag_ms),
            leaks: habit.leaks,
            sleeps: self.sleeps.iter().filter(|sleep| sleep.service == index).map(|sleep| sleep.of(service)).collect(),
            ..behaviour
        }
    }

    pub(crate) fn intrusions(&self, gpus: usize) -> impl Iterator<Item = Intrusion> {
        let intrusions = self.intrusions.iter().filter(move |_| gpus > 0);
        intrusions.map(move |intrusion| Intrusion {
            gpu: gpu(intrusion.gpu % gpus),
            after: Duration::from_millis(intrusion.after_ms),
            program: "blender".to_owned(),
            memory: Mebibytes(intrusion.memory),
            lasts: Duration::from_millis(intrusion.lasts_ms),
        })
    }
}

impl SleepDraft {
    fn of(&self, service: &ServiceDraft) -> Sleep {
        let from = Duration::from_millis(self.from_ms);
        let until = self.lasts_ms.map(|lasts| from + Duration::from_millis(lasts));
        Sleep { from, until, to: Mebibytes(service.vram * self.to_percent / 100) }
    }
}

fn gpu(index: usize) -> GpuId {
    GpuId::new(format!("gpu-{index}"))
}

/// Measures the initial memory: each running instance holds its percentage of the marked size.
pub(crate) fn measure(draft: &Draft, desired: &Desired, facts: &mut Facts) {
    let Some(memory) = &draft.memory else { return };
    let mut gpus: Vec<GpuFact> = (0_u32..).zip(&draft.gpus).map(|(index, capacity)| bare(index, *capacity)).collect();
    for fact in &mut gpus {
        fact.reserved = Mebibytes(memory.reserved);
    }
    let part = |service: &str, marked: u64| {
        let index = service.strip_prefix('s').and_then(|index| index.parse::<usize>().ok());
        let habit = index.and_then(|index| memory.habits.get(index));
        Mebibytes(habit.map_or(marked, |habit| marked * habit.takes_percent / 100))
    };
    let of_tree = |marks: &Marks| ProcessOwner::Service {
        project: marks.project.as_str().into(),
        service: marks.service.as_str().into(),
    };
    let mut placed = Vec::new();
    for tree in facts.processes().trees.known().into_iter().flatten().filter(|tree| !tree.members.is_empty()) {
        let share = part(&tree.marks.service, tree.marks.vram_mib);
        placed.push((of_tree(&tree.marks), tree.members[0].pid, tree.marks.gpus.clone(), share));
    }
    let up = |state| matches!(state, ContainerState::Running | ContainerState::Paused);
    let containers = facts.docker().containers.known().into_iter().flatten().filter(|found| up(found.state));
    for (pid, container) in (50_000..).zip(containers) {
        let existing = (0..draft.services.len())
            .find(|index| desired.services[&name(*index)].object().is_some_and(|own| own.as_str() == container.name));
        let (service, marked, gpus) = match (&container.marks, existing) {
            (Some(marks), _) => (marks.service.clone(), marks.vram_mib, marks.gpus.clone()),
            (None, Some(index)) => {
                let service = &desired.services[&name(index)];
                (service.name.to_string(), service.vram.0, placement(draft, index))
            }
            (None, None) => continue,
        };
        placed.push((ProcessOwner::Container(container.id.clone()), pid, gpus, part(&service, marked)));
    }
    for (owner, pid, on, share) in placed {
        for fact in gpus.iter_mut().filter(|fact| on.split(',').any(|id| id == fact.id.as_str())) {
            let used = fact.used.unwrap_or_default();
            let share = share.min(fact.capacity - fact.reserved - used);
            if share > Mebibytes::ZERO {
                fact.used = Some(used + share);
                fact.holders.push(GpuHolder {
                    pid,
                    program: PROJECT.to_owned(),
                    memory: Some(share),
                    owner: owner.clone(),
                });
            }
        }
    }
    if !gpus.is_empty() {
        facts.gpus = Reading::Known(gpus);
    }
}

fn bare(index: u32, capacity: u64) -> GpuFact {
    GpuFact {
        id: gpu(index as usize),
        index,
        name: String::new(),
        capacity: Mebibytes(capacity),
        used: Some(Mebibytes::ZERO),
        reserved: Mebibytes::ZERO,
        holders: Vec::new(),
        lost: None,
        unreadable: None,
    }
}

/// Returns the GPUs of an existing container, as the manifest declares them.
fn placement(draft: &Draft, index: usize) -> String {
    use crate::draft::GpuDraft;
    let all = || (0..draft.gpus.len()).map(|index| format!("gpu-{index}"));
    match draft.services[index].gpu {
        GpuDraft::None => String::new(),
        GpuDraft::Auto => all().take(1).collect(),
        GpuDraft::Index(index) => format!("gpu-{index}"),
        GpuDraft::Count(count) => all().take(count).collect::<Vec<_>>().join(","),
        GpuDraft::All => all().collect::<Vec<_>>().join(","),
    }
}
