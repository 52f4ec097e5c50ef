//! Placement problem in numbers: services as items with seats and sets of GPUs, and the cost of a solution. No names.
//!
//! [`cost`] alone decides whether a solution is valid and how good: it has all rules, and the search only proposes.

use std::cmp::Reverse;
use std::rc::Rc;

use smallvec::SmallVec;

use super::need::ItemNeed;

pub(super) use super::need::GpuSlot;

/// Position of an item in [`PlacementProblem::items`].
pub(super) type ItemId = usize;

/// Short list, mostly of one element, stored inline: thousands of items need one allocation, not many.
pub(super) type Few<T> = SmallVec<[T; 1]>;

/// Sets of GPUs that satisfy a request, in order of preference; each with the host's memory where the item takes some.
#[derive(Debug)]
pub(super) struct Sets {
    pub(super) sets: Vec<Vec<GpuSlot>>,
    /// True if the manifest names these GPUs; else all GPUs of the list are equivalent.
    pub(super) named: bool,
}

#[derive(Debug)]
pub(super) struct PlacementProblem {
    /// MiB on each GPU without all memory that no placement changes; negative on an overcommitted GPU.
    pub(super) usable: Vec<i64>,
    /// Slot of the host's memory, after those of the GPUs; `None`: it is not counted.
    pub(super) host: Option<GpuSlot>,
    /// Sorted by level; within a level, dependencies first.
    pub(super) items: Vec<Item>,
    /// Number of distinct priorities; level 0 is the highest.
    pub(super) levels: usize,
    /// Number of distinct ports.
    pub(super) ports: usize,
    pub(super) repack: bool,
}

/// One service that may be placed, moved or stopped.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) level: usize,
    pub(super) kind: ItemKind,
    /// MiB that the item holds on each GPU; empty where it does not run.
    pub(super) seat: Few<(GpuSlot, i64)>,
    /// MiB in each slot after an eviction, for a kept item that can be evicted.
    pub(super) resident: Option<Resident>,
    /// MiB that the item takes once it is started.
    pub(super) need: ItemNeed,
    pub(super) sets: Rc<Sets>,
    /// Position in `sets` of the GPUs that the item runs on.
    pub(super) home: Option<usize>,
    /// Items that the item depends on.
    pub(super) bases: Few<ItemId>,
    pub(super) ports: Few<usize>,
    /// True if dependents may count on the item while it keeps running.
    pub(super) stands: bool,
    /// True if a dependent can't be stopped.
    pub(super) pinned: bool,
    /// Dependency without whose restart the item is not restarted either.
    pub(super) follows: Option<ItemId>,
    /// True if the item preempts no other.
    pub(super) never_preempts: bool,
}

/// MiB that an eviction leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resident {
    /// On each GPU.
    pub(super) on_gpu: i64,
    pub(super) on_host: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemKind {
    /// Wanted, and does not run.
    Fresh,
    /// Wanted, and runs as the manifest describes it.
    Settled,
    /// Wanted, runs, and needs a restart.
    Drifted,
    /// Wanted and runs, but has to take memory again: on its own GPUs it is woken, not restarted.
    Waking,
    /// Wanted and runs, but can't be restarted: it stays as it is, or is stopped.
    Stuck,
    /// May keep running, but is never started.
    Kept,
}

impl ItemKind {
    /// Returns true if an item that stays as it is counts as left out.
    pub(super) fn is_left_out_as_it_is(self) -> bool {
        matches!(self, Self::Drifted | Self::Waking)
    }
}

impl Item {
    pub(super) fn runs(&self) -> bool {
        self.kind != ItemKind::Fresh
    }

    /// Returns true if the memory of its start counts against others: it runs already, or may preempt others.
    pub(super) fn draws(&self) -> bool {
        self.runs() || !self.never_preempts
    }
}

impl PlacementProblem {
    /// MiB that an item takes in the slot at this position of a set.
    pub(super) fn need(&self, item: &Item, set: usize, position: usize) -> i64 {
        item.need.at(set, position, item.sets.sets[set][position], self.host)
    }

    /// Slots of a set with the MiB that an item takes in each.
    pub(super) fn needs<'i>(&'i self, item: &'i Item, set: usize) -> impl Iterator<Item = (GpuSlot, i64)> + 'i {
        item.sets.sets[set].iter().enumerate().map(move |(at, slot)| (*slot, item.need.at(set, at, *slot, self.host)))
    }

    /// MiB that an eviction of an item leaves in a slot; 0 for an item that can't be evicted.
    pub(super) fn rest(&self, item: &Item, slot: GpuSlot) -> i64 {
        let Some(resident) = item.resident else { return 0 };
        if Some(slot) == self.host { resident.on_host } else { resident.on_gpu }
    }

    /// Number of GPUs, whose slots come first.
    pub(super) fn gpus(&self) -> usize {
        self.host.unwrap_or(self.usable.len())
    }
}

/// Fate of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Keeps running as it is, by which a drifted or waking item is left out.
    Stay,
    Evicted,
    /// Does not run at the end.
    Out,
    /// Started on the set of this position; a waking item is woken on its own GPUs.
    On(usize),
}

/// Cost of a solution; its parts are minimised in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost {
    /// Wanted items that are left out, by level.
    pub(super) left_out: Vec<u32>,
    /// Kept items that are stopped, by level.
    pub(super) kept_stopped: Vec<u32>,
    pub(super) stopped: u32,
    /// Items started elsewhere, restarted for another item, or evicted.
    pub(super) moved: u32,
    /// Memory freed and not taken again, in MiB.
    pub(super) waste: i64,
}

impl Cost {
    pub(super) fn nothing(levels: usize) -> Self {
        Self { left_out: vec![0; levels], kept_stopped: vec![0; levels], ..Self::default() }
    }
}

/// Final state of a solution.
pub(super) struct EndState<'p> {
    problem: &'p PlacementProblem,
    fates: &'p [Fate],
    /// Memory of items that keep running, by GPU.
    staying: Vec<i64>,
    /// Started items, by GPU.
    newcomers: Vec<Vec<Newcomer>>,
    /// True for GPUs on which an item is started, with memory or without.
    is_joined: Vec<bool>,
    /// Item that is started with each port, by port.
    port_takers: Vec<Option<ItemId>>,
    /// True for items that are stopped for others, so that their dependents can't keep running.
    going: Vec<bool>,
}

/// Item that is started on a GPU. There may be thousands, and each preempted item is compared with all of higher
/// priority: so they are sorted by level, and each has the running sums up to itself.
#[derive(Clone, Copy, Debug)]
struct Newcomer {
    id: ItemId,
    level: usize,
    need: i64,
    /// MiB of all that draw, up to this one.
    drawn: i64,
    /// Largest item up to this one that may preempt others.
    neediest: Option<(i64, Reverse<ItemId>)>,
}

impl Newcomer {
    fn after(before: &[Self], id: ItemId, item: &Item, need: i64) -> Self {
        let (drawn, neediest) = before.last().map_or((0, None), |last| (last.drawn, last.neediest));
        let own = (need > 0 && !item.never_preempts).then_some((need, Reverse(id)));
        Self {
            id,
            level: item.level,
            need,
            drawn: drawn + if item.draws() { need } else { 0 },
            neediest: neediest.max(own),
        }
    }
}

/// Cost of a solution; `None` where the solution breaks a rule.
pub(super) fn cost(problem: &PlacementProblem, fates: &[Fate]) -> Option<Cost> {
    let end = EndState::of(problem, fates)?;
    let ids = 0..problem.items.len();
    let is_valid =
        end.fits() && ids.clone().all(|id| end.stands_on_its_bases(id)) && ids.clone().all(|id| end.is_just(id));
    is_valid.then(|| end.cost())
}

impl<'p> EndState<'p> {
    /// Returns the final state; `None` where two items would share a port.
    pub(super) fn of(problem: &'p PlacementProblem, fates: &'p [Fate]) -> Option<Self> {
        let gpus = problem.usable.len();
        let mut end = Self {
            problem,
            fates,
            staying: vec![0; gpus],
            newcomers: vec![Vec::new(); gpus],
            is_joined: vec![false; gpus],
            port_takers: vec![None; problem.ports],
            going: Vec::with_capacity(problem.items.len()),
        };
        // Dependencies come before their dependents.
        for (id, fate) in fates.iter().enumerate() {
            let goes = end.gives_way(id) && *fate != Fate::Evicted;
            end.going.push(goes);
        }
        for (id, item) in problem.items.iter().enumerate() {
            match fates[id] {
                Fate::Stay => item.seat.iter().for_each(|(gpu, amount)| end.staying[*gpu] += amount),
                Fate::Evicted => item.seat.iter().for_each(|(gpu, _)| end.staying[*gpu] += problem.rest(item, *gpu)),
                Fate::Out => {}
                Fate::On(set) => {
                    for (gpu, need) in problem.needs(item, set) {
                        end.is_joined[gpu] = true;
                        let newcomer = Newcomer::after(&end.newcomers[gpu], id, item, need);
                        end.newcomers[gpu].push(newcomer);
                    }
                    if end.is_woken(id) {
                        continue;
                    }
                    for port in &item.ports {
                        if end.port_takers[*port].replace(id).is_some() {
                            return None;
                        }
                    }
                }
            }
        }
        let shares = |(id, item): (ItemId, &Item)| {
            (matches!(fates[id], Fate::Stay | Fate::Evicted) || end.is_woken(id))
                && item.ports.iter().any(|port| end.port_takers[*port].is_some())
        };
        let shared = problem.items.iter().enumerate().filter(|(_, item)| item.runs()).any(shares);
        (!shared).then_some(end)
    }

    pub(super) fn problem(&self) -> &'p PlacementProblem {
        self.problem
    }

    pub(super) fn fates(&self) -> &'p [Fate] {
        self.fates
    }

    /// MiB of an item on each GPU at the end.
    pub(super) fn takes(&self, id: ItemId) -> Vec<(GpuSlot, i64)> {
        let item = &self.problem.items[id];
        match self.fates[id] {
            Fate::Stay => item.seat.to_vec(),
            Fate::Evicted => item.seat.iter().map(|(gpu, _)| (*gpu, self.problem.rest(item, *gpu))).collect(),
            Fate::Out => Vec::new(),
            Fate::On(set) => self.problem.needs(item, set).collect(),
        }
    }

    /// Users of each port at the end, by port.
    pub(super) fn users(&self) -> Vec<Vec<ItemId>> {
        let mut users = vec![Vec::new(); self.problem.ports];
        for (id, item) in self.problem.items.iter().enumerate() {
            let up = item.runs() || matches!(self.fates[id], Fate::On(_));
            if up && self.fates[id] != Fate::Out {
                item.ports.iter().for_each(|port| users[*port].push(id));
            }
        }
        users
    }

    fn on(&self, gpu: GpuSlot) -> i64 {
        let started: i64 = self.newcomers[gpu].iter().map(|newcomer| newcomer.need).sum();
        self.staying[gpu] + started
    }

    /// Returns true if no item is started where its memory does not fit.
    fn fits(&self) -> bool {
        (0..self.problem.usable.len()).all(|gpu| !self.is_joined[gpu] || self.on(gpu) <= self.problem.usable[gpu])
    }

    /// Lowest item that is started on each GPU that the solution overcommits.
    pub(super) fn excess(&self) -> Vec<ItemId> {
        let full = (0..self.problem.usable.len()).filter(|gpu| self.on(*gpu) > self.problem.usable[*gpu]);
        let mut ids: Vec<ItemId> =
            full.filter_map(|gpu| self.newcomers[gpu].iter().map(|newcomer| newcomer.id).max()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Returns true if the item keeps running, and takes memory again.
    pub(super) fn is_woken(&self, id: ItemId) -> bool {
        let item = &self.problem.items[id];
        let on_its_seat = item.kind == ItemKind::Waking && item.home.map(Fate::On) == Some(self.fates[id]);
        on_its_seat && item.bases.iter().all(|base| !self.goes(*base))
    }

    /// Returns true if the item is preempted: stopped, evicted, or restarted without a need of its own.
    pub(super) fn gives_way(&self, id: ItemId) -> bool {
        let item = &self.problem.items[id];
        match (item.kind, self.fates[id]) {
            (ItemKind::Fresh, _) | (_, Fate::Stay) | (ItemKind::Drifted, Fate::On(_)) => false,
            (ItemKind::Waking, Fate::On(_)) => !self.is_woken(id),
            (_, Fate::Evicted | Fate::Out | Fate::On(_)) => true,
        }
    }

    /// Returns true if the item is stopped, perhaps only for a restart, so that its dependents can't keep running.
    fn goes(&self, id: ItemId) -> bool {
        self.going.get(id).copied().unwrap_or_default()
    }

    fn is_up(&self, id: ItemId) -> bool {
        match self.fates[id] {
            Fate::Stay | Fate::Evicted => self.problem.items[id].runs() && self.problem.items[id].stands,
            Fate::On(_) => true,
            Fate::Out => false,
        }
    }

    fn stands_on_its_bases(&self, id: ItemId) -> bool {
        let item = &self.problem.items[id];
        match self.fates[id] {
            Fate::On(_) if self.is_woken(id) => true,
            Fate::On(_) => {
                let follows = item.follows.is_none_or(|base| matches!(self.fates[base], Fate::On(_)));
                follows && item.bases.iter().all(|base| self.is_up(*base))
            }
            Fate::Stay | Fate::Evicted => !item.runs() || item.bases.iter().all(|base| !self.goes(*base)),
            Fate::Out => true,
        }
    }

    /// Returns true unless the item is preempted without a winner, or although it is pinned.
    pub(super) fn is_just(&self, id: ItemId) -> bool {
        let item = &self.problem.items[id];
        if !self.gives_way(id) {
            return true;
        }
        !item.pinned && self.winner(id).is_some()
    }

    /// Item that preempts this one: of higher priority, or of equal priority where this one is only moved to repack.
    pub(super) fn winner(&self, id: ItemId) -> Option<ItemId> {
        let level = self.problem.items[id].level;
        let among_equals = self.problem.repack && matches!(self.fates[id], Fate::On(_));
        self.winner_above(id, if among_equals { level + 1 } else { level })
    }

    /// First item with a level less than `level` that needs its port or memory, or those of a dependency of it.
    fn winner_above(&self, id: ItemId, level: usize) -> Option<ItemId> {
        let item = &self.problem.items[id];
        let takes_port = item.ports.iter().filter_map(|port| self.port_takers[*port]);
        let claims = |other: &ItemId| {
            let other = &self.problem.items[*other];
            other.level < item.level && !other.never_preempts
        };
        let by_port = || takes_port.into_iter().find(claims);
        let by_capacity = || {
            let mut contested = item.seat.iter().filter(|(_, amount)| *amount > 0);
            contested.find_map(|(gpu, amount)| self.winner_on(id, level, *gpu, *amount))
        };
        // Terminates: dependencies have no cycle.
        let along = || {
            let mut going = item.bases.iter().filter(|base| self.goes(**base));
            going.find_map(|base| self.winner_above(*base, level))
        };
        by_port().or_else(by_capacity).or_else(along)
    }

    /// Largest item of higher priority on a GPU, where that priority and the staying items leave no memory for this
    /// one.
    fn winner_on(&self, id: ItemId, level: usize, gpu: GpuSlot, amount: i64) -> Option<ItemId> {
        let above = &self.newcomers[gpu][..self.newcomers[gpu].partition_point(|other| other.level < level)];
        let Newcomer { mut drawn, mut neediest, .. } = *above.last()?;
        let item = &self.problem.items[id];
        if let Some(own) = above.iter().find(|other| other.id == id).filter(|_| item.level < level) {
            // A moved item is not preempted by its own need.
            drawn -= if item.draws() { own.need } else { 0 };
            let claims =
                |other: &&Newcomer| other.id != id && other.need > 0 && !self.problem.items[other.id].never_preempts;
            neediest = above.iter().filter(claims).map(|other| (other.need, Reverse(other.id))).max();
        }
        // The resident memory of an evicted item is part of `staying` already.
        let rest = if self.fates[id] == Fate::Evicted { self.problem.rest(item, gpu) } else { 0 };
        if self.staying[gpu] - rest + drawn + amount <= self.problem.usable[gpu] {
            return None;
        }
        neediest.map(|(_, Reverse(id))| id)
    }

    fn cost(&self) -> Cost {
        let mut cost = Cost::nothing(self.problem.levels);
        let mut freed = vec![0; self.problem.usable.len()];
        for (id, item) in self.problem.items.iter().enumerate() {
            let elsewhere = match (item.kind, self.fates[id]) {
                (_, Fate::Stay) | (ItemKind::Fresh, _) => false,
                (ItemKind::Drifted, Fate::On(set)) => item.home != Some(set),
                (ItemKind::Waking, Fate::On(_)) => !self.is_woken(id),
                (_, Fate::Evicted | Fate::Out | Fate::On(_)) => true,
            };
            if elsewhere {
                let is_evicted = self.fates[id] == Fate::Evicted;
                for (gpu, amount) in &item.seat {
                    let rest = if is_evicted { self.problem.rest(item, *gpu) } else { 0 };
                    freed[*gpu] += (amount - rest).max(0);
                }
            }
            match self.fates[id] {
                Fate::Out if item.kind == ItemKind::Kept => cost.kept_stopped[item.level] += 1,
                Fate::Out if item.kind != ItemKind::Stuck => cost.left_out[item.level] += 1,
                Fate::Stay if item.kind.is_left_out_as_it_is() && !self.is_spared(item) => {
                    cost.left_out[item.level] += 1;
                }
                Fate::Stay | Fate::Evicted | Fate::Out | Fate::On(_) => {}
            }
            match self.fates[id] {
                Fate::Out => cost.stopped += u32::from(item.runs()),
                Fate::On(_) | Fate::Evicted => cost.moved += u32::from(elsewhere),
                Fate::Stay => {}
            }
        }
        cost.waste = freed.iter().enumerate().map(|(gpu, freed)| self.unused(gpu).min(*freed)).sum();
        cost
    }

    /// Returns true if the item needs no restart after all, since the dependency that it follows is not restarted.
    fn is_spared(&self, item: &Item) -> bool {
        item.follows.is_some_and(|base| !matches!(self.fates[base], Fate::On(_)))
    }

    fn unused(&self, gpu: GpuSlot) -> i64 {
        (self.problem.usable[gpu] - self.on(gpu)).max(0)
    }
}
