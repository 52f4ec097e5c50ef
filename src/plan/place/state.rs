//! Partial solution of the search: decisions so far, the memory that they take, and the choices that are open next.
//!
//! Each level has two rounds. First every running item stays or gives way, then every item to start is placed: so no
//! item is started on memory that an item of equal priority holds. The checks here accept every choice that may still
//! turn out valid; [`cost`](super::problem::cost) decides.

use super::gpu_sums::{Dispensable, Started};
use super::problem::{Cost, Fate, GpuSlot, Item, ItemId, ItemKind, PlacementProblem};

/// One decision to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// A running item stays or gives way.
    Remain(ItemId),
    /// An item is placed or left out.
    Place(ItemId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlacementChoice {
    Stay,
    Evict,
    Leave,
    On(usize),
    Out,
    /// Nothing to decide.
    Pass,
}

/// Progress of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Now {
    Open,
    /// Drifted or waking: may keep its seat, and still needs a restart or a wake.
    Holding,
    /// Has given way, and may be placed elsewhere.
    Vacated,
    Done(Fate),
}

/// Progress of an item before a choice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    now: Now,
    gone: bool,
}

#[derive(Debug)]
pub(super) struct SearchState<'p> {
    pub(super) problem: &'p PlacementProblem,
    /// Running items are decided before any item is started.
    pub(super) gives_way_early: bool,
    pub(super) now: Vec<Now>,
    /// Items that have given way, placed elsewhere or not.
    pub(super) gone: Vec<bool>,
    /// MiB taken by all decided items.
    pub(super) used: Vec<i64>,
    /// Part of `used` that drifted items of this level may still free.
    soft: Vec<i64>,
    /// MiB of running items that are not decided yet.
    rest: Vec<i64>,
    /// Part of `rest` that can't be preempted.
    pinned: Vec<i64>,
    /// Number of starts on each GPU.
    pub(super) joined: Vec<u32>,
    /// Starts, by level and GPU.
    started: Vec<Vec<Started>>,
    started_ports: Vec<u32>,
    staying_ports: Vec<u32>,
    /// Cost so far, which can only rise; `waste` is computed last.
    pub(super) cost: Cost,
    /// Items that may be preempted on each GPU: kept ones, and wanted ones.
    kept: Vec<Dispensable>,
    wanted: Vec<Dispensable>,
    /// First item of lower priority than each level.
    lower: Vec<ItemId>,
}

impl<'p> SearchState<'p> {
    pub(super) fn new(problem: &'p PlacementProblem) -> Self {
        let (gpus, items) = (problem.usable.len(), problem.items.len());
        let mut state = Self {
            problem,
            gives_way_early: false,
            now: vec![Now::Open; items],
            gone: vec![false; items],
            used: vec![0; gpus],
            soft: vec![0; gpus],
            rest: vec![0; gpus],
            pinned: vec![0; gpus],
            joined: vec![0; gpus],
            started: vec![vec![Started::default(); gpus]; problem.levels],
            started_ports: vec![0; problem.ports],
            staying_ports: vec![0; problem.ports],
            cost: Cost::nothing(problem.levels),
            kept: vec![Dispensable::default(); gpus],
            wanted: vec![Dispensable::default(); gpus],
            lower: (0..problem.levels).map(|level| problem.items.partition_point(|item| item.level <= level)).collect(),
        };
        // The last items have the lowest priority.
        for (id, item) in problem.items.iter().enumerate().rev() {
            for (gpu, amount) in &item.seat {
                state.rest[*gpu] += amount;
                state.pinned[*gpu] += if item.pinned { *amount } else { 0 };
                if !item.pinned && *amount > 0 {
                    let alike = if item.kind == ItemKind::Kept { &mut state.kept } else { &mut state.wanted };
                    alike[*gpu].push(id, *amount);
                }
            }
        }
        state
    }

    fn item(&self, id: ItemId) -> &'p Item {
        &self.problem.items[id]
    }

    /// Open choices, the most promising first; empty where none is allowed.
    /// `tightly`: of otherwise equal places, the one that leaves the least memory; else the first.
    pub(super) fn choices(&self, turn: Turn, tightly: bool) -> Vec<PlacementChoice> {
        match turn {
            Turn::Remain(id) => self.to_remain(id),
            Turn::Place(id) => match self.now[id] {
                Now::Open | Now::Vacated | Now::Holding => self.to_place(id, tightly),
                Now::Done(_) => vec![PlacementChoice::Pass],
            },
        }
    }

    fn to_remain(&self, id: ItemId) -> Vec<PlacementChoice> {
        let item = self.item(id);
        let dragged = self.is_dragged(item);
        // An item that is restarted anyway may leave its seat without preemption.
        let stays = item.kind == ItemKind::Drifted || (!dragged && self.may_stay(item, 0));
        let may_lose_its_base = item.bases.iter().any(|base| self.now[*base] == Now::Holding);
        let leaves = !item.pinned && (dragged || may_lose_its_base || self.is_wanted_by_others(item));
        let evicts =
            leaves && stays_evicted(item) && !dragged && item.ports.iter().all(|port| self.started_ports[*port] == 0);
        let mut choices = Vec::with_capacity(3);
        let gives_way = item.kind == ItemKind::Kept && leaves && self.is_needed_as_victim(id);
        if stays && !gives_way {
            choices.push(PlacementChoice::Stay);
        }
        if evicts {
            choices.push(PlacementChoice::Evict);
        }
        if leaves {
            choices.push(PlacementChoice::Leave);
        }
        if stays && gives_way {
            choices.push(PlacementChoice::Stay);
        }
        choices
    }

    /// Returns true if a dependency is stopped, perhaps only for a restart.
    fn is_dragged(&self, item: &Item) -> bool {
        item.bases.iter().any(|base| self.gone[*base])
    }

    /// Returns true if no started item conflicts with the seat; `counted`: its MiB that are counted already.
    fn may_stay(&self, item: &Item, counted: i64) -> bool {
        // Memory of an item that may move is in `soft`, and so not among that of others.
        let adds = i64::from(counted == 0 || item.kind == ItemKind::Drifted);
        let headroom = |(gpu, amount): &(GpuSlot, i64)| {
            let others = self.used[*gpu] - self.soft[*gpu];
            self.joined[*gpu] == 0 || others + adds * amount <= self.problem.usable[*gpu]
        };
        item.seat.iter().all(headroom) && item.ports.iter().all(|port| self.started_ports[*port] == 0)
    }

    /// Returns true if an item is started on one of its GPUs or ports, or may be.
    fn is_wanted_by_others(&self, item: &Item) -> bool {
        self.gives_way_early
            || self.problem.repack
            || item.seat.iter().any(|(gpu, _)| self.joined[*gpu] > 0)
            || item.ports.iter().any(|port| self.started_ports[*port] > 0)
    }

    /// Returns true if one of its GPUs is overcommitted, and stopping all lower kept items would not suffice.
    fn is_needed_as_victim(&self, id: ItemId) -> bool {
        self.item(id).seat.iter().any(|(gpu, _)| {
            let over = self.used[*gpu] + self.rest[*gpu] - self.problem.usable[*gpu];
            if self.joined[*gpu] == 0 || over <= 0 {
                return false;
            }
            let amounts = self.kept[*gpu].sum(self.kept[*gpu].below(id));
            over > amounts
        })
    }

    fn to_place(&self, id: ItemId, tightly: bool) -> Vec<PlacementChoice> {
        let item = self.item(id);
        let is_holding = self.now[id] == Now::Holding;
        let mut ranked: Vec<(Rank, i64, usize)> = Vec::new();
        if self.may_start(id, is_holding) {
            let wakes = is_holding && item.kind == ItemKind::Waking;
            for (position, set) in item.sets.sets.iter().enumerate() {
                let is_open = !wakes || item.home == Some(position);
                if is_open && self.has_capacity(item, position, wakes) {
                    let gpus = set.iter().filter(|gpu| tightly && Some(**gpu) != self.problem.host);
                    let free: i64 = gpus.map(|gpu| self.free_on(*gpu)).sum();
                    ranked.push((self.rank(id, is_holding, position), free, position));
                }
            }
        }
        ranked.sort_unstable();
        let mut choices: Vec<PlacementChoice> =
            ranked.into_iter().map(|(_, _, position)| PlacementChoice::On(position)).collect();
        let dragged = self.is_dragged(item);
        if is_holding && !dragged && self.may_stay(item, 1) {
            choices.push(PlacementChoice::Stay);
        }
        if !is_holding || (!item.pinned && (dragged || self.is_wanted_by_others(item))) {
            choices.push(PlacementChoice::Out);
        }
        choices
    }

    /// Returns true if the dependencies are up and the ports are free.
    fn may_start(&self, id: ItemId, is_holding: bool) -> bool {
        let item = self.item(id);
        let is_up = |base: &ItemId| match self.now[*base] {
            Now::Done(Fate::On(_)) => true,
            Now::Done(Fate::Stay | Fate::Evicted) | Now::Holding => self.item(*base).stands,
            Now::Done(Fate::Out) | Now::Open | Now::Vacated => false,
        };
        let own = u32::from(is_holding);
        let wakes = is_holding && item.kind == ItemKind::Waking;
        // A woken item has its ports already, and its dependencies as they are.
        let free = |port: &usize| self.started_ports[*port] == 0 && (wakes || self.staying_ports[*port] == own);
        if wakes {
            return item.ports.iter().all(free);
        }
        let follows = item.follows.is_none_or(|base| matches!(self.now[base], Now::Done(Fate::On(_))));
        follows && item.bases.iter().all(is_up) && item.ports.iter().all(free)
    }

    /// Returns true if the item fits once the drifted items of this level have moved and all lower ones are stopped.
    /// `wakes`: the item is woken on its own seat.
    fn has_capacity(&self, item: &Item, set: usize, wakes: bool) -> bool {
        let own = |gpu: GpuSlot| if wakes { amount_on(item, gpu) } else { 0 };
        let taken = |gpu: GpuSlot| self.used[gpu] - self.soft[gpu] - own(gpu);
        self.problem.needs(item, set).all(|(gpu, need)| taken(gpu) + need <= self.problem.usable[gpu])
    }

    fn rank(&self, id: ItemId, is_holding: bool, position: usize) -> Rank {
        let item = self.item(id);
        let mut rank = Rank { moves: item.home != Some(position), ..Rank::default() };
        for (gpu, need) in self.problem.needs(item, position) {
            let own = if is_holding { amount_on(item, gpu) } else { 0 };
            let taken = self.used[gpu] - own + need - self.problem.usable[gpu];
            rank.unsafe_ |= taken + self.pinned[gpu] > 0;
            self.add_harm(&mut rank, id, gpu, taken + self.rest[gpu]);
        }
        rank
    }

    /// Adds the items that would roughly be preempted: those of lower priority in ascending order until enough memory
    /// is free, kept ones before all others.
    fn add_harm(&self, rank: &mut Rank, id: ItemId, gpu: GpuSlot, missing: i64) {
        let (kept, wanted) = (&self.kept[gpu], &self.wanted[gpu]);
        // Items are sorted by level, so that the id alone gives the order of priorities.
        let lower = self.lower[self.item(id).level];
        let most = kept.from(lower);
        rank.kept += kept.enough(missing, most);
        let count = wanted.enough(missing - kept.sum(most), wanted.from(lower));
        rank.wanted += count;
        if let Some(last) = count.checked_sub(1) {
            rank.height = rank.height.max(self.problem.levels - self.item(wanted.at(last)).level);
        }
    }

    pub(super) fn decide(&mut self, turn: Turn, choice: PlacementChoice) -> Before {
        let (Turn::Remain(id) | Turn::Place(id)) = turn;
        let before = Before { now: self.now[id], gone: self.gone[id] };
        self.count(turn, choice, 1);
        self.move_on(turn, choice);
        before
    }

    fn move_on(&mut self, turn: Turn, choice: PlacementChoice) {
        let (id, now) = match (turn, choice) {
            (_, PlacementChoice::Pass) => return,
            (Turn::Remain(id), PlacementChoice::Stay) if self.item(id).kind.is_left_out_as_it_is() => {
                (id, Now::Holding)
            }
            (Turn::Remain(id) | Turn::Place(id), PlacementChoice::Stay) => (id, Now::Done(Fate::Stay)),
            (Turn::Remain(id) | Turn::Place(id), PlacementChoice::Evict) => (id, Now::Done(Fate::Evicted)),
            (Turn::Remain(id) | Turn::Place(id), PlacementChoice::Leave) => {
                self.gone[id] = true;
                let ends = matches!(self.item(id).kind, ItemKind::Kept | ItemKind::Stuck);
                (id, if ends { Now::Done(Fate::Out) } else { Now::Vacated })
            }
            (Turn::Remain(id) | Turn::Place(id), PlacementChoice::On(set)) => (id, Now::Done(Fate::On(set))),
            (Turn::Remain(id) | Turn::Place(id), PlacementChoice::Out) => {
                self.gone[id] = self.item(id).runs();
                (id, Now::Done(Fate::Out))
            }
        };
        self.now[id] = now;
    }

    /// Reverts a choice; choices are reverted in the opposite order.
    pub(super) fn take_back(&mut self, turn: Turn, choice: PlacementChoice, before: Before) {
        let (Turn::Remain(id) | Turn::Place(id)) = turn;
        self.now[id] = before.now;
        self.gone[id] = before.gone;
        self.count(turn, choice, -1);
    }

    /// Adds a choice to the sums, or subtracts it; called while `now` is as it was before the choice.
    fn count(&mut self, turn: Turn, choice: PlacementChoice, sign: i64) {
        let (Turn::Remain(id) | Turn::Place(id)) = turn;
        let item = self.item(id);
        match (turn, choice) {
            (_, PlacementChoice::Pass) => {}
            (Turn::Remain(_), _) => {
                self.book_remaining(item, choice, sign);
            }
            (Turn::Place(_), _) => {
                let is_holding = self.now[id] == Now::Holding;
                if is_holding && item.kind == ItemKind::Drifted {
                    item.seat.iter().for_each(|(gpu, amount)| self.soft[*gpu] -= sign * amount);
                }
                if let PlacementChoice::On(set) = choice {
                    self.book_start(item, set, is_holding, sign);
                }
                let spared = item.follows.is_some_and(|base| !matches!(self.now[base], Now::Done(Fate::On(_))));
                let moves = matches!(choice, PlacementChoice::On(set) if match item.kind {
                    ItemKind::Drifted => item.home != Some(set),
                    ItemKind::Waking => !is_holding,
                    ItemKind::Settled | ItemKind::Stuck | ItemKind::Kept => true,
                    ItemKind::Fresh => false,
                });
                let left_out = choice == PlacementChoice::Out || (choice == PlacementChoice::Stay && !spared);
                add(&mut self.cost.left_out[item.level], u32::from(left_out), sign);
                add(&mut self.cost.stopped, u32::from(choice == PlacementChoice::Out && item.runs()), sign);
                add(&mut self.cost.moved, u32::from(moves), sign);
            }
        }
    }

    fn book_remaining(&mut self, item: &Item, choice: PlacementChoice, sign: i64) {
        for (gpu, amount) in &item.seat {
            self.rest[*gpu] -= sign * amount;
            if item.pinned {
                self.pinned[*gpu] -= sign * amount;
            }
            self.used[*gpu] += sign
                * match choice {
                    PlacementChoice::Stay => *amount,
                    PlacementChoice::Evict => self.problem.rest(item, *gpu),
                    PlacementChoice::Leave | PlacementChoice::On(_) | PlacementChoice::Out | PlacementChoice::Pass => 0,
                };
            if choice == PlacementChoice::Stay && item.kind == ItemKind::Drifted {
                self.soft[*gpu] += sign * amount;
            }
        }
        if choice != PlacementChoice::Leave {
            item.ports.iter().for_each(|port| add(&mut self.staying_ports[*port], 1, sign));
        }
        let ends = choice == PlacementChoice::Leave && matches!(item.kind, ItemKind::Kept | ItemKind::Stuck);
        add(&mut self.cost.stopped, u32::from(ends), sign);
        add(&mut self.cost.kept_stopped[item.level], u32::from(ends && item.kind == ItemKind::Kept), sign);
        add(&mut self.cost.moved, u32::from(choice == PlacementChoice::Evict), sign);
    }

    fn book_start(&mut self, item: &Item, set: usize, is_holding: bool, sign: i64) {
        for (position, gpu) in item.sets.sets[set].iter().enumerate() {
            let need = self.problem.need(item, set, position);
            self.used[*gpu] += sign * need;
            self.started[item.level][*gpu].book(item, need, sign);
            add(&mut self.joined[*gpu], 1, sign);
        }
        if is_holding {
            item.seat.iter().for_each(|(gpu, amount)| self.used[*gpu] -= sign * amount);
        }
        if is_holding && item.kind == ItemKind::Waking {
            return;
        }
        if is_holding {
            item.ports.iter().for_each(|port| add(&mut self.staying_ports[*port], 1, -sign));
        }
        item.ports.iter().for_each(|port| add(&mut self.started_ports[*port], 1, sign));
    }

    /// Progress of an item as a number, as far as later choices depend on it.
    pub(super) fn progress_of(&self, id: ItemId) -> i64 {
        let now = match self.now[id] {
            Now::Open => 0,
            Now::Holding => 1,
            Now::Vacated => 2,
            Now::Done(Fate::Stay) => 3,
            Now::Done(Fate::Evicted) => 4,
            Now::Done(Fate::Out) => 5,
            // Memory that it freed elsewhere is part of the final cost.
            Now::Done(Fate::On(set)) => {
                if self.item(id).home == Some(set) {
                    6
                } else {
                    7
                }
            }
        };
        now + if self.gone[id] { 8 } else { 0 }
    }

    pub(super) fn is_yielding(&self, id: ItemId) -> bool {
        self.gone[id] || self.now[id] == Now::Done(Fate::Evicted)
    }

    /// Returns true if the item runs and may still give way.
    pub(super) fn may_yield(&self, id: ItemId) -> bool {
        self.item(id).runs() && matches!(self.now[id], Now::Open | Now::Holding)
    }

    /// Sums of the starts of higher priority than this level.
    pub(super) fn started_above(&self, level: usize, gpu: GpuSlot) -> Started {
        self.started[..level].iter().fold(Started::default(), |sum, on_gpus| sum.and(on_gpus[gpu]))
    }

    /// Returns true if every preemption so far may turn out to be for an item of higher priority, if all open items
    /// stay.
    pub(super) fn may_be_just(&self) -> bool {
        let all = self.started.len();
        let yielding = (0..self.now.len()).filter(|id| self.is_yielding(*id));
        yielding.into_iter().all(|id| {
            let item = self.item(id);
            let level = item.level + usize::from(self.problem.repack && matches!(self.now[id], Now::Done(Fate::On(_))));
            let contested = |(gpu, amount): &(GpuSlot, i64)| {
                let above = self.started_above(level.min(all), *gpu);
                let staying = self.used[*gpu] - self.started_above(all, *gpu).taken + self.rest[*gpu];
                above.claims > 0 && *amount > 0 && staying + above.drawn + amount > self.problem.usable[*gpu]
            };
            self.is_dragged(item)
                || item.seat.iter().any(contested)
                || item.ports.iter().any(|port| self.started_ports[*port] > 0)
        })
    }

    /// MiB that starts of this level may still take on a GPU, at most.
    pub(super) fn free_on(&self, gpu: GpuSlot) -> i64 {
        (self.problem.usable[gpu] - self.used[gpu] + self.soft[gpu]).max(0)
    }
}

fn stays_evicted(item: &Item) -> bool {
    item.kind == ItemKind::Kept && item.resident.is_some()
}

fn add(count: &mut u32, more: u32, sign: i64) {
    if sign > 0 { *count += more } else { *count -= more }
}

fn amount_on(item: &Item, gpu: GpuSlot) -> i64 {
    item.seat.iter().find(|(other, _)| *other == gpu).map_or(0, |(_, amount)| *amount)
}

/// Rank of a set of GPUs by its drawbacks, the worst first; less is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// True if it fits only after items move that can't be preempted.
    unsafe_: bool,
    /// Height of the highest item that would be preempted.
    height: usize,
    wanted: usize,
    kept: usize,
    /// True if the item does not run on this set.
    moves: bool,
}
