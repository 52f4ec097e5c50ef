//! Random small cases of placement: few sizes, few priorities, few ports, so that ties and tight fits are common.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

pub(crate) const SERVICES_MAX: usize = 6;
pub(crate) const GPUS_MAX: usize = 3;
/// Index of a GPU that no case has; other missing indices are mapped to existing ones.
pub(crate) const ABSENT: u8 = 3;
/// Highest priority of services and goals; the lowest is 0.
pub(crate) const PRIORITY_MAX: i64 = 3;

#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) services: Vec<ServiceDraft>,
    pub(crate) gpus: Vec<GpuDraft>,
    /// Memory of the host, where services draw on it too.
    pub(crate) host: Option<GpuDraft>,
    pub(crate) reserve: u64,
    /// Services that a goal needs, by their bits, and the goal's priority.
    pub(crate) goal: Option<(u8, i64)>,
    pub(crate) repack: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct GpuDraft {
    pub(crate) capacity: u64,
    pub(crate) foreign: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct ServiceDraft {
    /// The mode names it; it is wanted too if a goal needs it, or what is wanted depends on it.
    pub(crate) named: bool,
    pub(crate) found: Found,
    pub(crate) vram: u64,
    pub(crate) amounts: Amounts,
    /// MiB of the host's memory.
    pub(crate) ram: u64,
    /// MiB declared when it was started.
    pub(crate) marked: u64,
    pub(crate) wish: Wish,
    /// Position among the GPU sets that its request allows; for a drifted service, any GPUs, by their bits.
    pub(crate) seat: u8,
    pub(crate) priority: i64,
    /// Earlier services that it depends on, by their distance.
    pub(crate) needs: Vec<usize>,
    pub(crate) port: Option<u16>,
}

/// Amounts of GPU memory in place of `vram`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amounts {
    /// `vram` on each GPU.
    Even,
    /// `vram` on the first of two GPUs, and this on the second.
    Pair(u64),
    /// Percent of each GPU.
    Share(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Off,
    Running,
    /// Running, made from another spec.
    Drifted,
    Suspended,
}

/// The manifest's `gpu:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Auto,
    None,
    Index(u8),
    /// One of these, by their bits.
    Any(u8),
    Count(u8),
    /// All of these together, by their bits.
    All(u8),
}

pub(crate) fn drafts() -> impl Strategy<Value = Draft> {
    let goal = proptest::option::weighted(0.2, (any::<u8>(), 0..=PRIORITY_MAX));
    // Several GPUs are more likely than one: on one nothing can move.
    let gpus = prop_oneof![1 => Just(1), 4 => 2..=GPUS_MAX];
    let services = prop_oneof![1 => 1..=3_usize, 2 => 4..=SERVICES_MAX];
    (services, gpus).prop_flat_map(move |(services, gpus)| {
        let host = proptest::option::weighted(0.6, host());
        (vec(service(), services), vec(gpu(), gpus), host, 0..=1_u64, goal.clone(), proptest::bool::weighted(0.25))
            .prop_map(|(services, gpus, host, reserve, goal, repack)| Draft {
                services,
                gpus,
                host,
                reserve,
                goal,
                repack,
            })
    })
}

fn gpu() -> impl Strategy<Value = GpuDraft> {
    (6..=12_u64, prop_oneof![6 => Just(0), 1 => 1..=4_u64])
        .prop_map(|(capacity, foreign)| GpuDraft { capacity, foreign })
}

fn host() -> impl Strategy<Value = GpuDraft> {
    (4..=14_u64, prop_oneof![3 => Just(0), 1 => 1..=4_u64])
        .prop_map(|(capacity, foreign)| GpuDraft { capacity, foreign })
}

fn service() -> impl Strategy<Value = ServiceDraft> {
    let found = prop_oneof![
        10 => Just(Found::Off),
        13 => Just(Found::Running),
        4 => Just(Found::Drifted),
        1 => Just(Found::Suspended),
    ];
    let size = || prop_oneof![1 => Just(0), 12 => 1..=4_u64, 12 => 4..=8_u64];
    // Most were started with the current spec.
    let marked = proptest::option::weighted(0.35, size());
    let port = proptest::option::weighted(0.3, 0..3_u16);
    let needs = prop_oneof![3 => vec(1..=4_usize, 0), 1 => vec(1..=4_usize, 1..=2)];
    let ram = prop_oneof![1 => Just(0), 1 => 1..=6_u64];
    let amounts = prop_oneof![
        3 => Just(Amounts::Even),
        1 => (1..=8_u64).prop_map(Amounts::Pair),
        1 => (1..=100_u16).prop_map(Amounts::Share),
    ];
    (
        proptest::bool::weighted(0.8),
        found,
        (size(), marked, ram, amounts),
        wish(),
        any::<u8>(),
        0..=PRIORITY_MAX,
        needs,
        port,
    )
        .prop_map(|(named, found, (vram, marked, ram, amounts), wish, seat, priority, needs, port)| ServiceDraft {
            named,
            found,
            vram,
            amounts,
            ram,
            marked: marked.unwrap_or(vram),
            wish,
            seat,
            priority,
            needs,
            port,
        })
}

/// Requests for GPUs. Those for particular ones make others move; a few are for missing ones.
fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        12 => Just(Wish::Auto),
        1 => Just(Wish::None),
        8 => prop_oneof![30 => 0..ABSENT, 1 => Just(ABSENT)].prop_map(Wish::Index),
        2 => (1..16_u8).prop_map(Wish::Any),
        2 => Just(Wish::Count(2)),
        2 => (1..4_u8).prop_map(Wish::All),
    ]
}
