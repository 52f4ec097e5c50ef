//! Placing problem in numbers: services as items with seats and sets of GPUs, and the cost of an answer. Knows no names.
//!
//! [`cost`] is the one judge of an answer: it knows all rules, and the search only ever proposes.

use std::cmp::Reverse;
use std::rc::Rc;

use smallvec::SmallVec;

/// Position of a GPU in [`PlacementProblem::usable`].
pub(super) type GpuSlot = usize;

/// Position of an item in [`PlacementProblem::items`].
pub(super) type ItemId = usize;

/// Most have one of a kind: kept in place, so that thousands of items are one piece of memory and not many.
pub(super) type Few<T> = SmallVec<[T; 1]>;

/// Sets of GPUs that would do, the first choice first.
#[derive(Debug)]
pub(super) struct Sets {
    pub(super) sets: Vec<Vec<GpuSlot>>,
    /// The manifest names these very GPUs; else any GPU is as good as any other of the list.
    pub(super) named: bool,
}

#[derive(Debug)]
pub(super) struct PlacementProblem {
    /// MiB on each GPU, less all that no placing changes; negative where that is too much already.
    pub(super) usable: Vec<i64>,
    /// By level; of one level, what others depend on first.
    pub(super) items: Vec<Item>,
    /// How many distinct priorities there are; level 0 matters most.
    pub(super) levels: usize,
    /// How many distinct ports there are.
    pub(super) ports: usize,
    pub(super) repack: bool,
}

/// One service that may be placed, moved or stopped.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) level: usize,
    pub(super) kind: ItemKind,
    /// MiB that it holds on each GPU; empty where it does not run.
    pub(super) seat: Few<(GpuSlot, i64)>,
    /// Kept ones that can be evicted: what they hold on each GPU after that.
    pub(super) resident: Option<i64>,
    /// MiB that it takes on each GPU once it is started anew.
    pub(super) need: i64,
    pub(super) sets: Rc<Sets>,
    /// Which of `sets` is its seat.
    pub(super) home: Option<usize>,
    /// Items that it depends on.
    pub(super) bases: Few<ItemId>,
    pub(super) ports: Few<usize>,
    /// While it runs on as it is, others may depend on it.
    pub(super) stands: bool,
    /// Something that can't be stopped depends on it.
    pub(super) pinned: bool,
    /// It is started again only if this one is.
    pub(super) follows: Option<ItemId>,
    /// No other item gives way to it.
    pub(super) never_preempts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemKind {
    /// Wanted, and does not run.
    Fresh,
    /// Wanted, and runs as it should.
    Settled,
    /// Wanted, runs, and is to be started again.
    Drifted,
    /// Wanted and runs, but has to take memory again where it sits: on its seat it is woken, and not started.
    Waking,
    /// Wanted and runs, but can't be started again: it stays as it is, or goes.
    Stuck,
    /// May go on running, and is never started.
    Kept,
}

impl ItemKind {
    /// Staying as it is does not satisfy what is wanted of it.
    pub(super) fn is_left_out_as_it_is(self) -> bool {
        matches!(self, Self::Drifted | Self::Waking)
    }
}

impl Item {
    pub(super) fn runs(&self) -> bool {
        self.kind != ItemKind::Fresh
    }

    /// Its memory counts against others once it is started: it runs already, or others may have to give way to it.
    pub(super) fn draws(&self) -> bool {
        self.runs() || !self.never_preempts
    }

    /// Others may have to give way to it for memory.
    pub(super) fn claims_memory(&self) -> bool {
        self.need > 0 && !self.never_preempts
    }
}

/// Fate of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It runs on as it is; a drifted or waking one is left out by that.
    Stay,
    Evicted,
    /// It does not run at the end.
    Out,
    /// It is started on this one of its sets; a waking one is woken on its seat.
    On(usize),
}

/// Cost of an answer; its parts are minimised in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost {
    /// Wanted ones that are not as they should be, by level.
    pub(super) left_out: Vec<u32>,
    /// Kept ones that are stopped, by level.
    pub(super) kept_stopped: Vec<u32>,
    pub(super) stopped: u32,
    /// Started elsewhere, started again for another's sake, or evicted.
    pub(super) moved: u32,
    /// Freed and not taken again, in MiB.
    pub(super) waste: i64,
}

impl Cost {
    pub(super) fn nothing(levels: usize) -> Self {
        Self { left_out: vec![0; levels], kept_stopped: vec![0; levels], ..Self::default() }
    }
}

/// The end that an answer leads to.
pub(super) struct EndState<'p> {
    problem: &'p PlacementProblem,
    fates: &'p [Fate],
    /// Memory of what runs on as it is.
    staying: Vec<i64>,
    /// Started ones, by GPU.
    newcomers: Vec<Vec<Newcomer>>,
    /// An item is started here, with memory or without.
    is_joined: Vec<bool>,
    /// Item that is started with each port.
    port_takers: Vec<Option<ItemId>>,
    /// Made to give way, so that what depends on it can't go on.
    going: Vec<bool>,
}

/// An item that is started on a GPU. There may be thousands, and each that gives way asks after all of them that matter
/// more: they stand by level, and each knows what it comes to with those before it.
#[derive(Clone, Copy, Debug)]
struct Newcomer {
    id: ItemId,
    level: usize,
    need: i64,
    /// MiB of those that draw, up to this one.
    drawn: i64,
    /// Neediest item up to this one, of those that others may have to give way to.
    neediest: Option<(i64, Reverse<ItemId>)>,
}

impl Newcomer {
    fn after(before: &[Self], id: ItemId, item: &Item) -> Self {
        let (drawn, neediest) = before.last().map_or((0, None), |last| (last.drawn, last.neediest));
        let own = item.claims_memory().then_some((item.need, Reverse(id)));
        Self {
            id,
            level: item.level,
            need: item.need,
            drawn: drawn + if item.draws() { item.need } else { 0 },
            neediest: neediest.max(own),
        }
    }
}

/// Cost of an answer; `None` where it breaks a rule.
pub(super) fn cost(problem: &PlacementProblem, fates: &[Fate]) -> Option<Cost> {
    let end = EndState::of(problem, fates)?;
    let ids = 0..problem.items.len();
    let lawful =
        end.fits() && ids.clone().all(|id| end.stands_on_its_bases(id)) && ids.clone().all(|id| end.is_just(id));
    lawful.then(|| end.cost())
}

impl<'p> EndState<'p> {
    /// `None` where two would share a port.
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
        // What an item depends on comes before it.
        for (id, fate) in fates.iter().enumerate() {
            let goes = end.gives_way(id) && *fate != Fate::Evicted;
            end.going.push(goes);
        }
        for (id, item) in problem.items.iter().enumerate() {
            match fates[id] {
                Fate::Stay => item.seat.iter().for_each(|(gpu, amount)| end.staying[*gpu] += amount),
                Fate::Evicted => item.seat.iter().for_each(|(gpu, _)| end.staying[*gpu] += item.resident.unwrap_or(0)),
                Fate::Out => {}
                Fate::On(set) => {
                    for gpu in &item.sets.sets[set] {
                        end.is_joined[*gpu] = true;
                        let newcomer = Newcomer::after(&end.newcomers[*gpu], id, item);
                        end.newcomers[*gpu].push(newcomer);
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

    /// MiB that an item has on each GPU at the end.
    pub(super) fn takes(&self, id: ItemId) -> Vec<(GpuSlot, i64)> {
        let item = &self.problem.items[id];
        match self.fates[id] {
            Fate::Stay => item.seat.to_vec(),
            Fate::Evicted => item.seat.iter().map(|(gpu, _)| (*gpu, item.resident.unwrap_or(0))).collect(),
            Fate::Out => Vec::new(),
            Fate::On(set) => item.sets.sets[set].iter().map(|gpu| (*gpu, item.need)).collect(),
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

    /// No item is started where its memory does not fit.
    fn fits(&self) -> bool {
        (0..self.problem.usable.len()).all(|gpu| !self.is_joined[gpu] || self.on(gpu) <= self.problem.usable[gpu])
    }

    /// On each GPU that has too much by what is started there: the least important one of that.
    pub(super) fn excess(&self) -> Vec<ItemId> {
        let full = (0..self.problem.usable.len()).filter(|gpu| self.on(*gpu) > self.problem.usable[*gpu]);
        let mut ids: Vec<ItemId> =
            full.filter_map(|gpu| self.newcomers[gpu].iter().map(|newcomer| newcomer.id).max()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// It runs on, and takes memory again.
    pub(super) fn is_woken(&self, id: ItemId) -> bool {
        let item = &self.problem.items[id];
        let on_its_seat = item.kind == ItemKind::Waking && item.home.map(Fate::On) == Some(self.fates[id]);
        on_its_seat && item.bases.iter().all(|base| !self.goes(*base))
    }

    /// It is made to give way: stopped, evicted, or started again though it is as it should be.
    pub(super) fn gives_way(&self, id: ItemId) -> bool {
        let item = &self.problem.items[id];
        match (item.kind, self.fates[id]) {
            (ItemKind::Fresh, _) | (_, Fate::Stay) | (ItemKind::Drifted, Fate::On(_)) => false,
            (ItemKind::Waking, Fate::On(_)) => !self.is_woken(id),
            (_, Fate::Evicted | Fate::Out | Fate::On(_)) => true,
        }
    }

    /// It is gone for a while or for good, so that what depends on it can't go on.
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

    /// An item that gives way does so for one that matters more, and that needs that very memory or port.
    pub(super) fn is_just(&self, id: ItemId) -> bool {
        let item = &self.problem.items[id];
        if !self.gives_way(id) {
            return true;
        }
        !item.pinned && self.winner(id).is_some()
    }

    /// Item that this one gives way to: one that matters more, or where it is only moved to repack, as much.
    pub(super) fn winner(&self, id: ItemId) -> Option<ItemId> {
        let level = self.problem.items[id].level;
        let among_equals = self.problem.repack && matches!(self.fates[id], Fate::On(_));
        self.winner_above(id, if among_equals { level + 1 } else { level })
    }

    /// First item of the levels below `level` that needs its memory or port, or that of a dependency of it.
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
        // Dependencies make no circle.
        let along = || {
            let mut going = item.bases.iter().filter(|base| self.goes(**base));
            going.find_map(|base| self.winner_above(*base, level))
        };
        by_port().or_else(by_capacity).or_else(along)
    }

    /// Neediest item above it on a GPU, where those that matter more and those that stay leave no place for it.
    fn winner_on(&self, id: ItemId, level: usize, gpu: GpuSlot, amount: i64) -> Option<ItemId> {
        let above = &self.newcomers[gpu][..self.newcomers[gpu].partition_point(|other| other.level < level)];
        let Newcomer { mut drawn, mut neediest, .. } = *above.last()?;
        let item = &self.problem.items[id];
        if item.level < level && above.iter().any(|other| other.id == id) {
            // It is moved, and gives way for no need of its own.
            drawn -= if item.draws() { item.need } else { 0 };
            let others =
                above.iter().filter(|other| other.id != id).map(|other| (other.id, &self.problem.items[other.id]));
            neediest = others.filter(|(_, item)| item.claims_memory()).map(|(id, item)| (item.need, Reverse(id))).max();
        }
        // What stays of an evicted one is counted among those that stay already.
        let rest = if self.fates[id] == Fate::Evicted { self.problem.items[id].resident.unwrap_or(0) } else { 0 };
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
                let rest = if self.fates[id] == Fate::Evicted { item.resident.unwrap_or(0) } else { 0 };
                item.seat.iter().for_each(|(gpu, amount)| freed[*gpu] += (amount - rest).max(0));
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

    /// Nothing is to be started again after all, since what it follows is not.
    fn is_spared(&self, item: &Item) -> bool {
        item.follows.is_some_and(|base| !matches!(self.fates[base], Fate::On(_)))
    }

    fn unused(&self, gpu: GpuSlot) -> i64 {
        (self.problem.usable[gpu] - self.on(gpu)).max(0)
    }
}
