//! The best answer to a placing: branch and bound, with a budget of nodes and none of time.
//!
//! Level by level a first answer is carried on, the most promising choice first; where that leaves an item out, the
//! levels so far are searched for a better one before those below are looked at. In the end the whole problem is searched
//! for items that can still be saved. Within the budget nothing is guessed: the answer is the best there is.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::Range;

use super::problem::{Cost, EndState, Fate, GpuSlot, Item, ItemKind, PlacementProblem, cost};
use super::state::{Before, Now, PlacementChoice, SearchState, Turn};
use crate::plan::place::symmetry::symmetry;

/// A node is a handful of comparisons for each GPU: so many take some tens of milliseconds at most.
const NODES_MAX: usize = 20_000;

/// With more items than this a search gets nowhere within any budget; the first answer stands.
const SEARCHED_MAX: usize = 400;

/// Putting one back may push out another, on each GPU once a turn; what has not settled by then is given up.
const MENDS_MAX: usize = 64;

/// Best answer found.
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
    /// Where each level's turns end.
    ends: Vec<usize>,
    nodes_left: usize,
    /// Nothing was cut off so far but what can't be better.
    is_proven: bool,
    /// No answer leaves out fewer, level by level.
    proven: Vec<u32>,
    best_cost: Cost,
    best_fates: Vec<Fate>,
    /// For each GPU the first one that is interchangeable with it.
    symmetry: Vec<GpuSlot>,
    /// Wanted items by level, the largest first.
    by_size: Vec<ItemSize>,
    /// Items on which the future may depend by more than the memory that they take.
    watched: Vec<usize>,
}

/// Choices for each item, in any order of turns.
struct ChoiceBuffers {
    remain: Vec<PlacementChoice>,
    place: Vec<PlacementChoice>,
}

impl ChoiceBuffers {
    fn new(items: usize) -> Self {
        Self { remain: vec![PlacementChoice::Pass; items], place: vec![PlacementChoice::Pass; items] }
    }

    fn of(items: usize, turns: &[Turn], frames: &[SearchFrame]) -> Self {
        let mut way = Self::new(items);
        for (turn, frame) in turns.iter().zip(frames) {
            if let Some((choice, _)) = frame.made {
                way.note(*turn, choice);
            }
        }
        way
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

/// One decision on the way down.
struct SearchFrame {
    choices: Vec<PlacementChoice>,
    next: usize,
    made: Option<(PlacementChoice, Before)>,
}

/// Part of the cost in which a descent has to improve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Objective {
    /// Fewer left out, down to this level.
    LeftOut(usize),
    All,
}

impl<'p> PlacementSearch<'p> {
    fn new(problem: &'p PlacementProblem) -> Self {
        let (turns, ends) = turns(problem);
        // Nothing is done: that is lawful in any case.
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

    /// A first answer, as good as its levels one after the other can be made.
    fn level_by_level(&mut self) {
        let hopeless = hopeless(self.problem);
        let mut state = SearchState::new(self.problem);
        let mut way = ChoiceBuffers::new(self.problem.items.len());
        let mut first = 0;
        for (level, end) in self.ends.clone().into_iter().enumerate() {
            for turn in &self.turns[first..end] {
                // A dead end says nothing of other ways: the search through all of it finds one, or does nothing.
                let Some(choice) = state.choices(*turn, false).first().copied() else { return };
                state.decide(*turn, choice);
                way.note(*turn, choice);
            }
            first = end;
            let mut left_out = state.cost.left_out.clone();
            // Most of what is left out fits nowhere, and no search finds that out faster.
            while left_out[level] > hopeless[level] && self.nodes_left > 0 {
                let Some(better) = self.descend(Objective::LeftOut(level), &left_out) else { break };
                way = better;
                state = self.followed(&way, end);
                left_out = state.cost.left_out.clone();
            }
            self.is_proven &= left_out[level] == hopeless[level] || self.nodes_left > 0;
            if self.is_proven {
                self.proven.push(left_out[level]);
            }
        }
        self.take(&state);
    }

    /// State at the end of a way.
    fn followed(&self, way: &ChoiceBuffers, end: usize) -> SearchState<'p> {
        let mut state = SearchState::new(self.problem);
        for turn in &self.turns[..end] {
            state.decide(*turn, way.choice(*turn));
        }
        state
    }

    /// Takes an answer for the best one, if it is lawful and better.
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
            Now::Open | Now::Holding | Now::Left => None,
        };
        let fates: Vec<Fate> = state.now.iter().map(fate).collect::<Option<_>>()?;
        let fates = mended(self.problem, fates);
        Some((cost(self.problem, &fates)?, fates))
    }

    /// Searches for answers that are better than the best one in any part of the cost.
    fn whole(&mut self) {
        if !self.is_worth_searching() {
            return;
        }
        // Each turn finds a better answer, and there are only so many nodes.
        while self.descend(Objective::All, &[]).is_some() {}
    }

    /// Something is lost in the best answer that might be saved.
    fn is_worth_searching(&self) -> bool {
        let best = &self.best_cost;
        let saved = best.kept_stopped.iter().all(|count| *count == 0) && best.stopped == 0 && best.moved == 0;
        !(saved && best.left_out == self.proven)
    }

    /// One walk through all that may be better than what leaves out `known`, or than the best answer; `None`: there is
    /// nothing, or no nodes are left.
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

/// On to the next choice that has not been tried; `false`: there is none.
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
    /// Cost so far is less than the known cost, and the rest can still be had for less.
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
                // As far as no answer leaves out fewer than the best one, a better one leaves out no more either.
                let same = self.proven.iter().zip(&best.left_out).take_while(|(least, known)| least == known).count();
                less && self.may_fit(state, same.min(self.problem.levels - 1), &best.left_out, 0)
            }
        }
    }

    /// Enough of the open items could be placed, by their sizes alone: no more than `known` are left out on each level,
    /// and `fewer` on the last. Room that is too small for any of them is no room.
    fn may_fit(&self, state: &SearchState<'_>, last: usize, known: &[u32], fewer: u32) -> bool {
        let (mut needed, mut smallest) = (0, i64::MAX);
        let mut open = self.by_size.iter().peekable();
        for (level, allowed) in known.iter().enumerate().take(last + 1) {
            let allowed = if level == last { allowed - fewer } else { *allowed };
            let Some(mut spare) = allowed.checked_sub(state.cost.left_out[level]) else { return false };
            // The largest first: those are left out where any are.
            while let Some(size) = open.next_if(|size| size.level == level) {
                if !matches!(state.now[size.id], Now::Open | Now::Left) {
                    continue;
                }
                // Of several GPUs a large one may take little each: another may be left out in its stead.
                smallest = smallest.min(size.on_one);
                if spare > 0 {
                    spare -= 1;
                } else {
                    needed += size.total;
                }
            }
        }
        let left = (0..self.problem.usable.len()).map(|gpu| state.left_on(gpu)).filter(|left| *left >= smallest);
        needed == 0 || needed <= left.sum()
    }

    /// Drops choices of GPUs that are interchangeable with one tried before: the first stands for all.
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
            let [gpu] = self.problem.items[id].sets.sets[*set].as_slice() else { return true };
            let like = (self.symmetry[*gpu], state.left_on(*gpu));
            let known = tried.contains(&like);
            tried.push(like);
            !known
        };
        let mut is_first = is_first;
        choices.into_iter().filter(|choice| is_first(choice)).collect()
    }

    /// No state with the same prospects and the same cost was seen before.
    fn is_new(&self, state: &SearchState<'_>, position: usize, seen: &mut BTreeSet<Vec<i64>>) -> bool {
        // Among equals, later starts count for who may be moved: more than a key says.
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
            // Whether it rightly gives way, now or later, depends on those who matter more and are started there.
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

/// Least memory that a wanted item needs.
#[derive(Clone, Copy, Debug)]
struct ItemSize {
    level: usize,
    id: usize,
    /// On all its GPUs together.
    total: i64,
    /// On one of them.
    on_one: i64,
}

fn by_size(problem: &PlacementProblem) -> Vec<ItemSize> {
    let mut before = vec![0; problem.usable.len()];
    problem.items.iter().flat_map(|item| &item.seat).for_each(|(gpu, amount)| before[*gpu] += amount);
    // Where there is too much already, what stays needs no room.
    let is_crowded = |item: &Item| item.seat.iter().any(|(gpu, _)| before[*gpu] > problem.usable[*gpu]);
    let mut sizes: Vec<ItemSize> = Vec::new();
    for (id, item) in problem.items.iter().enumerate() {
        let stays: Option<i64> = match item.kind {
            ItemKind::Fresh => None,
            ItemKind::Settled if is_crowded(item) => Some(0),
            ItemKind::Settled => Some(item.seat.iter().map(|(_, amount)| amount).sum()),
            ItemKind::Drifted | ItemKind::Waking | ItemKind::Stuck | ItemKind::Kept => continue,
        };
        let sets = item.sets.sets.iter();
        let total = sets.map(|set| item.need * i64::try_from(set.len()).unwrap_or(1)).chain(stays).min().unwrap_or(0);
        let amounts = item.seat.iter().map(|(_, amount)| *amount);
        let on_one = amounts.chain([item.need]).min().unwrap_or(0).min(total);
        sizes.push(ItemSize { level: item.level, id, total, on_one });
    }
    sizes.sort_by_key(|size| (size.level, Reverse(size.total), size.id));
    sizes
}

/// Items that run, that others depend on, or that have ports.
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

/// The decisions down to a level, in the order in which what fits is found soonest.
fn packing_turns(problem: &PlacementProblem, last: usize) -> Vec<Turn> {
    let end = problem.items.iter().take_while(|item| item.level <= last).count();
    turns_of(problem, 0..end)
}

/// Running items first; then items find a place or none, the largest first, but none before its dependencies.
fn turns_of(problem: &PlacementProblem, ids: Range<usize>) -> Vec<Turn> {
    let items = || ids.clone().map(|id| (id, &problem.items[id]));
    let mut placed: Vec<(usize, Reverse<i64>, usize)> = items()
        .filter(|(_, item)| {
            matches!(item.kind, ItemKind::Fresh | ItemKind::Settled | ItemKind::Drifted | ItemKind::Waking)
        })
        .map(|(id, item)| (depth(problem, id, ids.start), Reverse(item.need), id))
        .collect();
    placed.sort_unstable();
    let remaining = items().filter(|(_, item)| item.runs()).map(|(id, _)| Turn::Remain(id));
    remaining.chain(placed.into_iter().map(|(_, _, id)| Turn::Place(id))).collect()
}

/// How many items from `first` on it stands on, one on the other.
fn depth(problem: &PlacementProblem, id: usize, first: usize) -> usize {
    let bases = problem.items[id].bases.iter().filter(|base| **base >= first);
    bases.map(|base| depth(problem, *base, first) + 1).max().unwrap_or(0)
}

/// By level, how many have no place even on an empty machine.
fn hopeless(problem: &PlacementProblem) -> Vec<u32> {
    let mut counts = vec![0; problem.levels];
    for item in problem.items.iter().filter(|item| item.kind == ItemKind::Fresh) {
        let fits = |set: &Vec<GpuSlot>| set.iter().all(|gpu| item.need <= problem.usable[*gpu]);
        counts[item.level] += u32::from(!item.sets.sets.iter().any(fits));
    }
    counts
}

/// Repairs an answer: an item that gave way without need stays after all, and the least important of the items started
/// in its place is left out.
fn mended(problem: &PlacementProblem, mut fates: Vec<Fate>) -> Vec<Fate> {
    for _ in 0..MENDS_MAX {
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

/// Beyond any answer.
fn worst(problem: &PlacementProblem) -> Cost {
    Cost { left_out: vec![u32::MAX; problem.levels], ..Cost::nothing(problem.levels) }
}
