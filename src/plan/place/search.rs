//! Search for the best solution of a placement problem: branch and bound, bounded by nodes and not by time.
//!
//! A first solution is built level by level, the most promising choice first; where that leaves an item out, the levels
//! so far are searched for a better one before the next level. Finally the whole problem is searched for items that can
//! still be placed. Within the bound the solution is optimal.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::Range;

use super::need::ItemNeed;
use super::problem::{Cost, EndState, Fate, GpuSlot, Item, ItemKind, PlacementProblem, cost};
use super::state::{Before, Now, PlacementChoice, SearchState, Turn};
use crate::plan::place::symmetry::symmetry;

/// Bound on search nodes. A node costs a few comparisons for each GPU, so that all take some tens of milliseconds at
/// most.
const NODES_MAX: usize = 20_000;

/// Bound on searched items: with more, a search finds nothing within any bound on nodes, and the first solution stands.
const SEARCHED_MAX: usize = 400;

/// Bound on repair rounds. Restoring one item may displace another, on each GPU once a round; after this many the
/// repair is given up.
const REPAIRS_MAX: usize = 64;

/// Best solution found.
#[derive(Debug)]
pub(super) struct Solution {
    pub(super) fates: Vec<Fate>,
    pub(super) is_optimal: bool,
}

pub(super) fn solve(problem: &PlacementProblem) -> Solution {
    let mut search = PlacementSearch::new(problem);
    search.level_by_level();
    search.whole();
    Solution { fates: search.best_fates, is_optimal: search.is_proven }
}

struct PlacementSearch<'p> {
    problem: &'p PlacementProblem,
    turns: Vec<Turn>,
    /// End of each level's turns.
    ends: Vec<usize>,
    nodes_left: usize,
    /// True while every dropped branch is known not to be better.
    is_proven: bool,
    /// Proven minimum of items left out, by level.
    proven: Vec<u32>,
    best_cost: Cost,
    best_fates: Vec<Fate>,
    /// For each GPU the first GPU that is interchangeable with it.
    symmetry: Vec<GpuSlot>,
    /// Wanted items by level, the largest first.
    by_size: Vec<ItemSize>,
    /// Items that later choices may depend on by more than their memory.
    watched: Vec<usize>,
}

/// Choices for each item, independent of the order of turns.
struct ChoiceBuffers {
    remain: Vec<PlacementChoice>,
    place: Vec<PlacementChoice>,
}

impl ChoiceBuffers {
    fn new(items: usize) -> Self {
        Self { remain: vec![PlacementChoice::Pass; items], place: vec![PlacementChoice::Pass; items] }
    }

    fn of(items: usize, turns: &[Turn], frames: &[SearchFrame]) -> Self {
        let mut path = Self::new(items);
        for (turn, frame) in turns.iter().zip(frames) {
            if let Some((choice, _)) = frame.made {
                path.note(*turn, choice);
            }
        }
        path
    }

    fn note(&mut self, turn: Turn, choice: PlacementChoice) {
        match turn {
            Turn::Remain(id) => self.remain[id] = choice,
            Turn::Place(id) => self.place[id] = choice,
        }
    }

    fn choice(&self, turn: Turn) -> PlacementChoice {
        match turn {
            Turn::Remain(id) => self.remain[id],
            Turn::Place(id) => self.place[id],
        }
    }
}

/// One decision of the current descent.
struct SearchFrame {
    choices: Vec<PlacementChoice>,
    next: usize,
    made: Option<(PlacementChoice, Before)>,
}

/// Part of the cost that a descent has to improve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Objective {
    /// Fewer items left out, down to this level.
    LeftOut(usize),
    All,
}

impl<'p> PlacementSearch<'p> {
    fn new(problem: &'p PlacementProblem) -> Self {
        let (turns, ends) = turns(problem);
        // Doing nothing is valid in any case.
        let fate = |kind| if kind == ItemKind::Fresh { Fate::Out } else { Fate::Stay };
        let best_fates: Vec<Fate> = problem.items.iter().map(|item| fate(item.kind)).collect();
        let best_cost = cost(problem, &best_fates).unwrap_or_else(|| worst(problem));
        let searches = problem.items.len() <= SEARCHED_MAX;
        Self {
            problem,
            turns,
            ends,
            nodes_left: if searches { NODES_MAX } else { 0 },
            is_proven: true,
            proven: Vec::new(),
            best_cost,
            best_fates,
            symmetry: if searches { symmetry(problem) } else { Vec::new() },
            by_size: by_size(problem),
            watched: if searches { watched(problem) } else { Vec::new() },
        }
    }

    /// Builds a first solution, improved level by level.
    fn level_by_level(&mut self) {
        let unplaceable = unplaceable(self.problem);
        let mut state = SearchState::new(self.problem);
        let mut path = ChoiceBuffers::new(self.problem.items.len());
        let mut first = 0;
        for (level, end) in self.ends.clone().into_iter().enumerate() {
            for turn in &self.turns[first..end] {
                // A dead end proves nothing about other paths: the search of the whole problem finds one, or none.
                let Some(choice) = state.choices(*turn, false).first().copied() else { return };
                state.decide(*turn, choice);
                path.note(*turn, choice);
            }
            first = end;
            let mut left_out = state.cost.left_out.clone();
            // Most items left out fit nowhere, which no search would prove faster.
            while left_out[level] > unplaceable[level] && self.nodes_left > 0 {
                let Some(better) = self.descend(Objective::LeftOut(level), &left_out) else { break };
                path = better;
                state = self.followed(&path, end);
                left_out = state.cost.left_out.clone();
            }
            self.is_proven &= left_out[level] == unplaceable[level] || self.nodes_left > 0;
            if self.is_proven {
                self.proven.push(left_out[level]);
            }
        }
        self.take(&state);
    }

    /// Returns the state at the end of a path.
    fn followed(&self, path: &ChoiceBuffers, end: usize) -> SearchState<'p> {
        let mut state = SearchState::new(self.problem);
        for turn in &self.turns[..end] {
            state.decide(*turn, path.choice(*turn));
        }
        state
    }

    /// Stores a solution as the best one, if it is valid and better.
    fn take(&mut self, state: &SearchState<'_>) -> bool {
        let found = self.judged(state).filter(|(cost, _)| *cost < self.best_cost);
        let is_better = found.is_some();
        if let Some((cost, fates)) = found {
            (self.best_cost, self.best_fates) = (cost, fates);
        }
        is_better
    }

    fn judged(&self, state: &SearchState<'_>) -> Option<(Cost, Vec<Fate>)> {
        let fate = |now: &Now| match now {
            Now::Done(fate) => Some(*fate),
            Now::Open | Now::Holding | Now::Vacated => None,
        };
        let fates: Vec<Fate> = state.now.iter().map(fate).collect::<Option<_>>()?;
        let fates = repaired(self.problem, fates);
        Some((cost(self.problem, &fates)?, fates))
    }

    /// Searches for solutions that are better than the best one in any part of the cost.
    fn whole(&mut self) {
        if !self.is_worth_searching() {
            return;
        }
        // Terminates: each round finds a better solution, and nodes are bounded.
        while self.descend(Objective::All, &[]).is_some() {}
    }

    /// Returns true if the best solution might still be improved.
    fn is_worth_searching(&self) -> bool {
        let best = &self.best_cost;
        let is_undisturbed = best.kept_stopped.iter().all(|count| *count == 0) && best.stopped == 0 && best.moved == 0;
        !(is_undisturbed && best.left_out == self.proven)
    }

    /// Searches the tree for a solution better than one that leaves out `known`, or than the best one; `None`: there is
    /// none, or no nodes are left.
    fn descend(&mut self, goal: Objective, known: &[u32]) -> Option<ChoiceBuffers> {
        let turns = match goal {
            Objective::LeftOut(level) => packing_turns(self.problem, level),
            Objective::All => self.turns.clone(),
        };
        let mut state = SearchState::new(self.problem);
        state.gives_way_early = goal != Objective::All;
        let mut frames: Vec<SearchFrame> = Vec::new();
        let mut seen = BTreeSet::new();
        loop {
            let position = frames.len();
            let is_open = self.may_be_better(&state, goal, known) && self.is_new(&state, position, &mut seen);
            if is_open && position == turns.len() {
                let is_found = if goal == Objective::All { self.take(&state) } else { state.may_be_just() };
                if is_found {
                    return Some(ChoiceBuffers::of(self.problem.items.len(), &turns, &frames));
                }
            } else if is_open {
                if self.nodes_left == 0 {
                    self.is_proven = false;
                    return None;
                }
                self.nodes_left -= 1;
                let choices = state.choices(turns[position], goal != Objective::All);
                let choices = self.without_symmetric(&state, turns[position], choices);
                frames.push(SearchFrame { choices, next: 0, made: None });
            }
            if !step(&turns, &mut state, &mut frames) {
                return None;
            }
        }
    }
}

/// Advances to the next untried choice; `false`: there is none.
fn step(turns: &[Turn], state: &mut SearchState<'_>, frames: &mut Vec<SearchFrame>) -> bool {
    while let Some(position) = frames.len().checked_sub(1) {
        let (turn, frame) = (turns[position], &mut frames[position]);
        if let Some((choice, before)) = frame.made.take() {
            state.take_back(turn, choice, before);
        }
        if let Some(choice) = frame.choices.get(frame.next).copied() {
            frame.next += 1;
            frame.made = Some((choice, state.decide(turn, choice)));
            return true;
        }
        frames.pop();
    }
    false
}

impl PlacementSearch<'_> {
    /// Returns true if the cost so far is less than the known cost, and the rest may keep it so.
    fn may_be_better(&self, state: &SearchState<'_>, goal: Objective, known: &[u32]) -> bool {
        match goal {
            Objective::LeftOut(last) => {
                let paid = &state.cost.left_out[..=last];
                *paid < known[..=last] && self.may_fit(state, last, known, 1)
            }
            Objective::All => {
                let (paid, best) = (&state.cost, &self.best_cost);
                let less = (&paid.left_out, &paid.kept_stopped, (paid.stopped, paid.moved, 0))
                    < (&best.left_out, &best.kept_stopped, (best.stopped, best.moved, best.waste));
                // On the levels where the best solution is proven minimal, a better one leaves out no more either.
                let same = self.proven.iter().zip(&best.left_out).take_while(|(least, known)| least == known).count();
                less && self.may_fit(state, same.min(self.problem.levels - 1), &best.left_out, 0)
            }
        }
    }

    /// Returns true if enough open items could be placed, by their sizes alone: no more than `known` are left out on
    /// each level, and at least `fewer` less on the last. Free memory that is too small for any of them does not count.
    fn may_fit(&self, state: &SearchState<'_>, last: usize, known: &[u32], fewer: u32) -> bool {
        let (mut needed, mut smallest) = (0, i64::MAX);
        let mut open = self.by_size.iter().peekable();
        for (level, allowed) in known.iter().enumerate().take(last + 1) {
            let allowed = if level == last { allowed - fewer } else { *allowed };
            let Some(mut spare) = allowed.checked_sub(state.cost.left_out[level]) else { return false };
            // The largest first: those are the ones to leave out.
            while let Some(size) = open.next_if(|size| size.level == level) {
                if !matches!(state.now[size.id], Now::Open | Now::Vacated) {
                    continue;
                }
                // A large item on several GPUs may take little on each: another may be left out instead.
                smallest = smallest.min(size.on_one);
                if spare > 0 {
                    spare -= 1;
                } else {
                    needed += size.total;
                }
            }
        }
        let free = (0..self.problem.gpus()).map(|gpu| state.free_on(gpu)).filter(|free| *free >= smallest);
        needed == 0 || needed <= free.sum()
    }

    /// Drops choices of GPUs that are interchangeable with an earlier choice: the first represents all.
    fn without_symmetric(
        &self,
        state: &SearchState<'_>,
        turn: Turn,
        choices: Vec<PlacementChoice>,
    ) -> Vec<PlacementChoice> {
        let Turn::Place(id) = turn else { return choices };
        let mut tried: Vec<(GpuSlot, i64)> = Vec::new();
        let is_first = |choice: &PlacementChoice| {
            let PlacementChoice::On(set) = choice else { return true };
            let set = self.problem.items[id].sets.sets[*set].as_slice();
            // The host's memory is one for all of them.
            let [gpu] = set.strip_suffix(self.problem.host.as_slice()).unwrap_or(set) else { return true };
            let like = (self.symmetry[*gpu], state.free_on(*gpu));
            let known = tried.contains(&like);
            tried.push(like);
            !known
        };
        let mut is_first = is_first;
        choices.into_iter().filter(|choice| is_first(choice)).collect()
    }

    /// Returns true if no equivalent state with the same cost was seen before.
    fn is_new(&self, state: &SearchState<'_>, position: usize, seen: &mut BTreeSet<Vec<i64>>) -> bool {
        // With repacking, later starts decide which equal items may be moved, which the key does not contain.
        if self.problem.repack || position == 0 {
            return true;
        }
        let mut on_gpus: Vec<(GpuSlot, i64, bool)> = (0..self.problem.usable.len())
            .map(|gpu| (self.symmetry[gpu], state.used[gpu], state.joined[gpu] > 0))
            .collect();
        on_gpus.sort_unstable();
        let mut key: Vec<i64> = Vec::with_capacity(32);
        key.push(i64::try_from(position).unwrap_or(i64::MAX));
        for (_, used, joined) in on_gpus {
            key.extend([used, i64::from(joined)]);
        }
        key.extend(state.cost.left_out.iter().chain(&state.cost.kept_stopped).map(|count| i64::from(*count)));
        key.extend([i64::from(state.cost.stopped), i64::from(state.cost.moved)]);
        for id in &self.watched {
            key.push(state.progress_of(*id));
            // A preemption, now or later, is valid by the starts of higher priority on its GPUs.
            if state.is_yielding(*id) || state.may_yield(*id) {
                let item = &self.problem.items[*id];
                for (gpu, _) in &item.seat {
                    let above = state.started_above(item.level, *gpu);
                    key.extend([above.drawn, i64::from(above.claims > 0)]);
                }
            }
        }
        seen.insert(key)
    }
}

/// Least GPU memory that a wanted item needs, in MiB.
#[derive(Clone, Copy, Debug)]
struct ItemSize {
    level: usize,
    id: usize,
    /// On all its GPUs together.
    total: i64,
    /// On the GPU with the least.
    on_one: i64,
}

fn by_size(problem: &PlacementProblem) -> Vec<ItemSize> {
    let mut before = vec![0; problem.usable.len()];
    problem.items.iter().flat_map(|item| &item.seat).for_each(|(gpu, amount)| before[*gpu] += amount);
    // On an overcommitted GPU, an item that stays needs no free memory.
    let is_overcommitted = |item: &Item| item.seat.iter().any(|(gpu, _)| before[*gpu] > problem.usable[*gpu]);
    let mut sizes: Vec<ItemSize> = Vec::new();
    for (id, item) in problem.items.iter().enumerate() {
        let stays: Option<i64> = match item.kind {
            ItemKind::Fresh => None,
            ItemKind::Settled if is_overcommitted(item) => Some(0),
            ItemKind::Settled => Some(on_gpus(problem, &item.seat).sum()),
            ItemKind::Drifted | ItemKind::Waking | ItemKind::Stuck | ItemKind::Kept => continue,
        };
        let (total, least) = least_need(problem, item);
        let total = total.into_iter().chain(stays).min().unwrap_or(0);
        let on_one = on_gpus(problem, &item.seat).chain(least).min().unwrap_or(0).min(total);
        sizes.push(ItemSize { level: item.level, id, total, on_one });
    }
    sizes.sort_by_key(|size| (size.level, Reverse(size.total), size.id));
    sizes
}

/// Least GPU memory that an item takes on any of its sets in all, and the least on one GPU.
fn least_need(problem: &PlacementProblem, item: &Item) -> (Option<i64>, Option<i64>) {
    let gpus = problem.gpus();
    let sets = item.sets.sets.iter();
    if let ItemNeed::Even { on_gpu, .. } = item.need {
        let counts = sets.map(|set| set.len() - usize::from(set.last().is_some_and(|last| *last >= gpus)));
        let total = counts.map(|count| on_gpu * i64::try_from(count).unwrap_or(1)).min();
        return (total, Some(on_gpu));
    }
    let needs = |set: usize| problem.needs(item, set).filter(|(slot, _)| *slot < gpus).map(|(_, need)| need);
    let total = (0..item.sets.sets.len()).map(|set| needs(set).sum()).min();
    (total, (0..item.sets.sets.len()).flat_map(needs).min())
}

/// Amounts of a seat, without that of the host's memory.
fn on_gpus<'s>(problem: &PlacementProblem, seat: &'s [(GpuSlot, i64)]) -> impl Iterator<Item = i64> + 's {
    let gpus = problem.gpus();
    seat.iter().filter(move |(slot, _)| *slot < gpus).map(|(_, amount)| *amount)
}

/// Items that run, have dependents, or have ports.
fn watched(problem: &PlacementProblem) -> Vec<usize> {
    let mut is_base = vec![false; problem.items.len()];
    for item in &problem.items {
        item.bases.iter().chain(&item.follows).for_each(|base| is_base[*base] = true);
    }
    let items = problem.items.iter().enumerate();
    items.filter(|(id, item)| item.runs() || is_base[*id] || !item.ports.is_empty()).map(|(id, _)| id).collect()
}

/// Turns in their order, and the end of each level.
fn turns(problem: &PlacementProblem) -> (Vec<Turn>, Vec<usize>) {
    let (mut turns, mut ends) = (Vec::with_capacity(2 * problem.items.len()), Vec::new());
    let mut first = 0;
    for level in 0..problem.levels {
        let end = first + problem.items[first..].iter().take_while(|item| item.level == level).count();
        turns.extend(turns_of(problem, first..end));
        ends.push(turns.len());
        first = end;
    }
    (turns, ends)
}

/// Turns down to a level, in the order that finds a fit soonest.
fn packing_turns(problem: &PlacementProblem, last: usize) -> Vec<Turn> {
    let end = problem.items.iter().take_while(|item| item.level <= last).count();
    turns_of(problem, 0..end)
}

/// Turns of these items: first running ones stay or give way, then items are placed, dependencies first, then by size.
fn turns_of(problem: &PlacementProblem, ids: Range<usize>) -> Vec<Turn> {
    let items = || ids.clone().map(|id| (id, &problem.items[id]));
    let mut placed: Vec<(usize, Reverse<i64>, usize)> = items()
        .filter(|(_, item)| {
            matches!(item.kind, ItemKind::Fresh | ItemKind::Settled | ItemKind::Drifted | ItemKind::Waking)
        })
        .map(|(id, item)| (depth(problem, id, ids.start), Reverse(item.need.largest()), id))
        .collect();
    placed.sort_unstable();
    let remaining = items().filter(|(_, item)| item.runs()).map(|(id, _)| Turn::Remain(id));
    remaining.chain(placed.into_iter().map(|(_, _, id)| Turn::Place(id))).collect()
}

/// Length of the longest chain of dependencies below an item, among the items from `first` on.
fn depth(problem: &PlacementProblem, id: usize, first: usize) -> usize {
    let bases = problem.items[id].bases.iter().filter(|base| **base >= first);
    bases.map(|base| depth(problem, *base, first) + 1).max().unwrap_or(0)
}

/// Number of items by level that fit nowhere, even on an empty machine.
fn unplaceable(problem: &PlacementProblem) -> Vec<u32> {
    let mut counts = vec![0; problem.levels];
    for item in problem.items.iter().filter(|item| item.kind == ItemKind::Fresh) {
        let fits = |set: usize| problem.needs(item, set).all(|(gpu, need)| need <= problem.usable[gpu]);
        counts[item.level] += u32::from(!(0..item.sets.sets.len()).any(fits));
    }
    counts
}

/// Repairs a solution: an item preempted without need stays after all, and the lowest of the items started in its place
/// is left out.
fn repaired(problem: &PlacementProblem, mut fates: Vec<Fate>) -> Vec<Fate> {
    for _ in 0..REPAIRS_MAX {
        let Some(end) = EndState::of(problem, &fates) else { return fates };
        let unjust: Vec<usize> = (0..fates.len()).filter(|id| !end.is_just(*id)).collect();
        let excess = end.excess();
        if unjust.is_empty() && excess.is_empty() {
            break;
        }
        for id in excess {
            fates[id] = if problem.items[id].kind.is_left_out_as_it_is() { Fate::Stay } else { Fate::Out };
        }
        for id in unjust {
            fates[id] = Fate::Stay;
        }
    }
    fates
}

/// Cost that is worse than that of any solution.
fn worst(problem: &PlacementProblem) -> Cost {
    Cost { left_out: vec![u32::MAX; problem.levels], ..Cost::nothing(problem.levels) }
}
