//! Search compared with an enumeration of all solutions, on random small problems.

use std::rc::Rc;

use proptest::prelude::*;

use super::need::ItemNeed;
use super::problem::{Cost, Fate, Few, Item, ItemKind, PlacementProblem, Resident, Sets, cost};
use super::search::solve;

/// Values that a proptest draws for one item; [`problem`] makes them valid.
#[derive(Clone, Debug)]
struct DrawnItem {
    level: usize,
    kind: u8,
    need: i64,
    held: i64,
    on: usize,
    sets: u8,
    base: Option<usize>,
    port: Option<usize>,
    stands: bool,
    pinned: bool,
    resident: Option<i64>,
    follows: bool,
    never_preempts: bool,
    /// MiB of the host's memory that it takes, and that it holds.
    ram: (i64, i64),
    /// MiB more on the second GPU of a set than on the first.
    more: i64,
}

fn draft() -> impl Strategy<Value = DrawnItem> {
    let sizes = (0..6_i64, 0..6_i64, proptest::option::weighted(0.3, 0..3_i64));
    let places =
        (0..3_usize, 0..6_u8, proptest::option::weighted(0.3, 0..4_usize), proptest::option::weighted(0.3, 0..2_usize));
    let flags = (
        proptest::bool::weighted(0.9),
        proptest::bool::weighted(0.1),
        proptest::bool::weighted(0.5),
        proptest::bool::weighted(0.3),
    );
    let ram = prop_oneof![1 => Just((0, 0)), 1 => (0..6_i64, 0..6_i64)];
    let beside = (ram, prop_oneof![2 => Just(0), 1 => 0..4_i64]);
    (0..3_usize, 0..12_u8, sizes, places, flags, beside).prop_map(
        |(level, kind, (need, held, resident), places, flags, (ram, more))| {
            let ((on, sets, base, port), (stands, pinned, follows, never_preempts)) = (places, flags);
            DrawnItem {
                level,
                kind,
                need,
                held,
                on,
                sets,
                base,
                port,
                stands,
                pinned,
                resident,
                follows,
                never_preempts,
                ram,
                more,
            }
        },
    )
}

/// Problem with these GPUs, and with the host's memory where `host` is some.
fn problem(usable: &[i64], host: Option<i64>, drafts: &[DrawnItem], repack: bool) -> PlacementProblem {
    let mut drafts = drafts.to_vec();
    // As with effective priorities: dependencies have at least the priority of their dependents, and come first.
    drafts.sort_by_key(|draft| draft.level);
    let lists: Vec<Rc<Sets>> = lists(usable.len()).into_iter().map(Rc::new).collect();
    let gpus = usable.len();
    let item = |(id, draft)| with_host(item(draft, id, gpus, &lists, &drafts), draft, host.map(|_| gpus));
    let items: Vec<Item> = drafts.iter().enumerate().map(item).collect();
    let usable = usable.iter().copied().chain(host).collect();
    PlacementProblem { usable, host: host.map(|_| gpus), items, levels: 3, ports: 2, repack }
}

/// Adds host memory to an item, and gives each GPU of its sets an amount of its own.
fn with_host(item: Item, draft: &DrawnItem, host: Option<usize>) -> Item {
    let on_gpu = item.need.largest();
    let (takes, holds) = draft.ram;
    let waking = item.kind == ItemKind::Waking;
    let on_host = if waking { holds } else { takes };
    let seat_on_host = host.filter(|_| item.runs() && holds > 0).map(|host| (host, holds));
    let resident = item.resident.map(|resident| Resident { on_host: holds, ..resident });
    let seat: Few<(usize, i64)> = item.seat.iter().copied().chain(seat_on_host).collect();
    let host = host.filter(|_| on_host > 0);
    if host.is_none() && (draft.more == 0 || waking) {
        return Item { seat, resident, ..item };
    }
    let with = |set: &Vec<usize>| set.iter().copied().chain(host).collect();
    let sets = Rc::new(Sets { sets: item.sets.sets.iter().map(with).collect(), named: item.sets.named });
    let need = if draft.more == 0 || waking {
        ItemNeed::Even { on_gpu, on_host }
    } else {
        let amounts = |set: &Vec<usize>| {
            let gpus = (0..set.len()).map(|position| on_gpu + if position == 0 { 0 } else { draft.more });
            gpus.chain(host.map(|_| on_host)).collect()
        };
        ItemNeed::BySet(item.sets.sets.iter().map(amounts).collect())
    };
    Item { seat, resident, need, sets, ..item }
}

fn lists(gpus: usize) -> Vec<Sets> {
    let alone: Vec<Vec<usize>> = (0..gpus).map(|gpu| vec![gpu]).collect();
    let pairs = (0..gpus).flat_map(|one| (one + 1..gpus).map(move |other| vec![one, other])).collect();
    vec![
        Sets { sets: alone, named: false },
        Sets { sets: pairs, named: false },
        Sets { sets: vec![vec![0]], named: true },
        Sets { sets: vec![vec![gpus - 1], vec![0]].into_iter().take(gpus).collect(), named: true },
        Sets { sets: vec![Vec::new()], named: false },
        Sets { sets: vec![(0..gpus).collect()], named: true },
    ]
}

fn item(draft: &DrawnItem, id: usize, gpus: usize, lists: &[Rc<Sets>], drafts: &[DrawnItem]) -> Item {
    let kind = match draft.kind {
        0..=3 => ItemKind::Fresh,
        4..=5 => ItemKind::Settled,
        6..=7 => ItemKind::Drifted,
        8 => ItemKind::Kept,
        9..=10 if draft.held > 0 => ItemKind::Waking,
        _ => ItemKind::Stuck,
    };
    let runs = kind != ItemKind::Fresh;
    let seat: Few<(usize, i64)> =
        (runs && draft.held > 0).then_some((draft.on % gpus, draft.held)).into_iter().collect();
    let sets = lists[usize::from(draft.sets)].clone();
    // A waking item has its seat among its sets, and needs more than it holds.
    let own = |(gpu, _): &(usize, i64)| Rc::new(Sets { sets: vec![vec![*gpu]], named: true });
    let seated = sets.sets.iter().any(|set| set.iter().eq(seat.iter().map(|(gpu, _)| gpu)));
    let sets = if kind == ItemKind::Waking && !seated { seat.first().map_or(sets, own) } else { sets };
    let home = sets.sets.iter().position(|set| runs && set.iter().eq(seat.iter().map(|(gpu, _)| gpu)));
    let bases: Few<usize> = draft.base.filter(|base| *base < id).into_iter().collect();
    let drifts = |base: &usize| matches!(drafts[*base].kind, 6..=7);
    let follows = bases.first().copied().filter(|base| kind == ItemKind::Drifted && draft.follows && drifts(base));
    // A failing item that is retried has no place but its own.
    let never_preempts =
        draft.never_preempts && (kind == ItemKind::Fresh || (kind == ItemKind::Drifted && home.is_some()));
    let (sets, home) = match home.filter(|_| never_preempts) {
        Some(home) => (Rc::new(Sets { sets: vec![sets.sets[home].clone()], named: true }), Some(0)),
        None => (sets, home),
    };
    let resident = draft.resident.filter(|rest| kind == ItemKind::Kept && *rest < draft.held);
    let resident = resident.map(|on_gpu| Resident { on_gpu, on_host: 0 });
    // A dependency of a pinned item is pinned too, and then no item, unless it drifts.
    let pinned = matches!(kind, ItemKind::Drifted | ItemKind::Waking) && draft.pinned && bases.is_empty();
    Item {
        level: draft.level,
        kind,
        seat,
        resident,
        need: ItemNeed::even(if kind == ItemKind::Waking { draft.held.max(draft.need) } else { draft.need }),
        sets,
        home,
        bases,
        ports: draft.port.into_iter().collect(),
        stands: runs && (draft.stands || matches!(kind, ItemKind::Settled | ItemKind::Waking)),
        pinned,
        follows,
        never_preempts,
    }
}

/// Least cost of all solutions, by enumeration.
fn by_enumeration(problem: &PlacementProblem) -> Option<Cost> {
    let mut fates = vec![Fate::Out; problem.items.len()];
    let mut best = None;
    try_from(problem, 0, &mut fates, &mut best);
    best
}

fn try_from(problem: &PlacementProblem, id: usize, fates: &mut Vec<Fate>, best: &mut Option<Cost>) {
    let Some(item) = problem.items.get(id) else {
        let found = cost(problem, fates);
        if let Some(found) = found.filter(|found| best.as_ref().is_none_or(|best| found < best)) {
            *best = Some(found);
        }
        return;
    };
    let starts = matches!(item.kind, ItemKind::Fresh | ItemKind::Settled | ItemKind::Drifted | ItemKind::Waking);
    let mut open = vec![Fate::Out];
    open.extend(item.runs().then_some(Fate::Stay));
    open.extend(item.resident.map(|_| Fate::Evicted));
    open.extend((0..item.sets.sets.len()).filter(|_| starts).map(Fate::On));
    for fate in open {
        fates[id] = fate;
        try_from(problem, id + 1, fates, best);
    }
}

/// Wanted item that does not run, and needs 5 MiB on GPU 0.
const FRESH: DrawnItem = DrawnItem {
    level: 0,
    kind: 0,
    need: 5,
    held: 0,
    on: 0,
    sets: 2,
    base: None,
    port: None,
    stands: false,
    pinned: false,
    resident: None,
    follows: false,
    never_preempts: false,
    ram: (0, 0),
    more: 0,
};

#[test]
fn of_two_equal_items_the_one_that_may_preempt_is_placed() {
    let retried = DrawnItem { never_preempts: true, ..FRESH };
    let runs = DrawnItem { level: 1, kind: 4, held: 1, sets: 0, need: 0, ..FRESH };
    let problem = problem(&[5], None, &[retried, FRESH, runs], false);
    assert_eq!(solve(&problem).fates, [Fate::Out, Fate::On(0), Fate::On(0)]);
}

#[test]
fn an_item_with_little_on_each_of_many_gpus_is_tried_where_larger_ones_are_left_out() {
    let drifted = DrawnItem { kind: 6, need: 3, held: 1, sets: 1, ..FRESH };
    let on_all = DrawnItem { level: 1, need: 2, sets: 5, ..FRESH };
    let problem = problem(&[5, 3, 5], None, &[drifted, DrawnItem { level: 1, need: 4, ..FRESH }, on_all], false);
    // The second pair is GPUs 0 and 2.
    assert_eq!(solve(&problem).fates, [Fate::On(1), Fate::Out, Fate::On(0)]);
}

fn cases() -> u32 {
    std::env::var("LCM_SOAK_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_search_finds_the_least_cost(
        usable in proptest::collection::vec(-2..9_i64, 1..4),
        host in proptest::option::weighted(0.7, -1..12_i64),
        drafts in proptest::collection::vec(draft(), 1..6),
        repack: bool,
    ) {
        let problem = problem(&usable, host, &drafts, repack);
        let answer = solve(&problem);
        prop_assert!(answer.is_optimal);
        prop_assert_eq!(cost(&problem, &answer.fates), by_enumeration(&problem), "{:#?} of {:#?}", answer, problem);
    }
}

#[test]
fn a_service_gives_way_for_host_memory_alone() {
    let runs = DrawnItem { level: 1, kind: 4, need: 1, held: 1, ram: (6, 6), ..FRESH };
    let problem = problem(&[9], Some(8), &[DrawnItem { ram: (5, 0), ..FRESH }, runs], false);
    assert_eq!(solve(&problem).fates, [Fate::On(0), Fate::Out]);
}

#[test]
fn each_gpu_of_a_set_gets_its_own_amount() {
    // Of the pairs (0, 1), (0, 2) and (1, 2), with 3 on the first and 5 on the second.
    let fresh = DrawnItem { need: 3, more: 2, sets: 1, ..FRESH };
    let problem = problem(&[3, 4, 5], None, &[fresh], false);
    assert_eq!(solve(&problem).fates, [Fate::On(1)]);
}

/// Pseudo-random numbers, the same in every run.
struct RandomNumbers(u64);

impl RandomNumbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Eight GPUs of `size` MiB and forty services with the sizes of models, `running` per cent of which already run.
fn typical_machine(seed: u64, running: u64, levels: usize, size: i64) -> PlacementProblem {
    let mut numbers = RandomNumbers(seed);
    let mut left = [size; 8];
    let any = Rc::new(Sets { sets: (0..8).map(|gpu| vec![gpu]).collect(), named: false });
    let mut items: Vec<Item> = Vec::new();
    for _ in 0..40 {
        let need = [1500, 2000, 3000, 4000, 5500, 6000, 8000, 10_000, 12_000, 14_000, 18_000, 20_000]
            [usize::try_from(numbers.below(12)).expect("small")];
        let level = usize::try_from(numbers.below(levels as u64)).expect("small");
        let gpu = usize::try_from(numbers.below(8)).expect("small");
        let runs = numbers.below(100) < running && left[gpu] >= need;
        let kept = numbers.below(4) == 0;
        if runs {
            left[gpu] -= need;
        }
        let kind = match (runs, kept) {
            (false, _) => ItemKind::Fresh,
            (true, true) => ItemKind::Kept,
            (true, false) => ItemKind::Settled,
        };
        items.push(Item {
            level,
            kind,
            seat: runs.then_some((gpu, need)).into_iter().collect(),
            resident: None,
            need: ItemNeed::even(need),
            sets: any.clone(),
            home: runs.then_some(gpu),
            bases: Few::new(),
            ports: Few::new(),
            stands: runs,
            pinned: false,
            follows: None,
            never_preempts: false,
        });
    }
    items.sort_by_key(|item| item.level);
    PlacementProblem { usable: vec![size; 8], host: None, items, levels, ports: 0, repack: false }
}

#[test]
fn forty_services_find_the_best_places_on_eight_gpus() {
    for (size, running) in [(24_000, 0), (32_000, 0), (40_000, 0), (48_000, 0), (80_000, 50)] {
        for levels in [1, 5, 20] {
            for seed in 0..10 {
                let answer = solve(&typical_machine(seed, running, levels, size));
                assert!(answer.is_optimal, "{size} MiB each, {levels} priorities, seed {seed}");
            }
        }
    }
}

#[test]
fn a_fleet_too_large_to_search_still_gets_a_solution_that_starts_services() {
    for seed in 0..20 {
        // Twelve typical machines, side by side.
        let mut parts = (0..12).map(|part| typical_machine(seed * 12 + part, 60, 5, 24_000)).collect::<Vec<_>>();
        let any = Rc::new(Sets { sets: (0..96).map(|gpu| vec![gpu]).collect(), named: false });
        let mut items: Vec<Item> = Vec::new();
        for (part, problem) in parts.iter_mut().enumerate() {
            for mut item in problem.items.drain(..) {
                item.seat.iter_mut().for_each(|(gpu, _)| *gpu += 8 * part);
                item.home = item.seat.first().map(|(gpu, _)| *gpu);
                items.push(Item { sets: any.clone(), ..item });
            }
        }
        items.sort_by_key(|item| item.level);
        let problem =
            PlacementProblem { usable: vec![24_000; 96], host: None, items, levels: 5, ports: 0, repack: false };
        let answer = solve(&problem);
        let starts = |level| {
            let fresh = problem
                .items
                .iter()
                .zip(&answer.fates)
                .filter(|(item, _)| item.level == level && item.kind == ItemKind::Fresh);
            fresh.filter(|(_, fate)| matches!(fate, Fate::On(_))).count()
        };
        assert!(!answer.is_optimal && cost(&problem, &answer.fates).is_some());
        assert!(starts(0) > 20, "seed {seed}: {} start", starts(0));
    }
}

#[test]
fn beyond_the_bound_a_solution_is_valid_and_marked_as_bounded() {
    let problem = typical_machine(0, 90, 20, 24_000);
    let answer = solve(&problem);
    assert!(!answer.is_optimal && cost(&problem, &answer.fates).is_some());
}
