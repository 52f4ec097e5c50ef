//! The best answer to a placing: branch and bound, with a budget of nodes and none of time.
//!
//! Level by level a first answer is carried on, the most promising choice first; where that leaves somebody out, the
//! levels so far are searched for a better one before those below are looked at. In the end all of it is searched for
//! whatever is left to save. Within the budget nothing is guessed: the answer is the best there is.

use std::collections::BTreeSet;

use super::problem::{Cost, Fate, Gpu, Kind, Problem, cost};
use super::state::{Before, Choice, Now, State, Turn};
use super::twins::twins;

/// A node is a handful of comparisons for each GPU: so many take some tens of milliseconds at most.
const NODES_MAX: usize = 60_000;

/// With more items than this a search gets nowhere within any budget; the first answer stands.
const SEARCHED_MAX: usize = 400;

/// What was found.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) fates: Vec<Fate>,
    pub(super) is_optimal: bool,
}

pub(super) fn solve(problem: &Problem) -> Answer {
    let mut search = Search::new(problem);
    search.level_by_level();
    search.whole();
    Answer { fates: search.best_fates, is_optimal: search.is_proven }
}

struct Search<'p> {
    problem: &'p Problem,
    turns: Vec<Turn>,
    /// Where each level's turns end.
    ends: Vec<usize>,
    nodes_left: usize,
    /// Nothing was cut off so far but what can't be better.
    is_proven: bool,
    best_cost: Cost,
    best_fates: Vec<Fate>,
    /// The first GPU that is just like this one in all that the problem says.
    twins: Vec<Gpu>,
    /// Items on which the future may depend by more than the memory that they take.
    watched: Vec<usize>,
}

/// A way down to the end of some level, and whom it leaves out.
struct Found {
    left_out: Vec<u32>,
    way: Vec<Choice>,
}

/// One decision on the way down.
struct Frame {
    choices: Vec<Choice>,
    next: usize,
    made: Option<(Choice, Before)>,
}

/// What a descent is to be better in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// Fewer left out, down to this level.
    LeftOut(usize),
    All,
}

impl<'p> Search<'p> {
    fn new(problem: &'p Problem) -> Self {
        let (turns, ends) = turns(problem);
        // Nothing is done: that is lawful in any case.
        let fate = |kind| if kind == Kind::Fresh { Fate::Out } else { Fate::Stay };
        let best_fates: Vec<Fate> = problem.items.iter().map(|item| fate(item.kind)).collect();
        let best_cost = cost(problem, &best_fates).unwrap_or_else(|| worst(problem));
        let searches = problem.items.len() <= SEARCHED_MAX;
        Self {
            problem,
            turns,
            ends,
            nodes_left: if searches { NODES_MAX } else { 0 },
            is_proven: true,
            best_cost,
            best_fates,
            twins: if searches { twins(problem) } else { Vec::new() },
            watched: if searches { watched(problem) } else { Vec::new() },
        }
    }

    /// A first answer, as good as its levels one after the other can be made.
    fn level_by_level(&mut self) {
        let mut way: Vec<Choice> = Vec::new();
        for level in 0..self.problem.levels {
            // A dead end says nothing of other ways: the search through all of it finds one, or keeps to doing nothing.
            let Some(mut found) = self.carried_on(&way, level) else { return };
            // Most of what is left out fits nowhere, and no search finds that out faster.
            if found.left_out[level] > self.hopeless(level) {
                while let Some(better) = self.descend(Goal::LeftOut(level), &found) {
                    found = better;
                }
            }
            way = found.way;
        }
        self.take(&way);
    }

    /// The way so far, and from there on the first choice each time to the end of the level.
    fn carried_on(&self, way: &[Choice], level: usize) -> Option<Found> {
        let mut state = State::new(self.problem);
        let mut whole = Vec::with_capacity(self.ends[level]);
        for (position, turn) in self.turns[..self.ends[level]].iter().enumerate() {
            let choice = match way.get(position) {
                Some(choice) => *choice,
                None => *state.choices(*turn).first()?,
            };
            state.decide(*turn, choice);
            whole.push(choice);
        }
        Some(Found { left_out: state.cost.left_out, way: whole })
    }

    /// Of this level, those that have no place even on an empty machine.
    fn hopeless(&self, level: usize) -> u32 {
        let of_level = self.problem.items.iter().filter(|item| item.level == level && item.kind == Kind::Fresh);
        let fits = |set: &Vec<Gpu>, need: i64| set.iter().all(|gpu| need <= self.problem.usable[*gpu]);
        let lost = of_level.filter(|item| !item.sets.sets.iter().any(|set| fits(set, item.need)));
        u32::try_from(lost.count()).unwrap_or(u32::MAX)
    }

    /// Takes a whole way for the best answer, if it is a lawful and better one.
    fn take(&mut self, way: &[Choice]) {
        let mut state = State::new(self.problem);
        for (turn, choice) in self.turns.iter().zip(way) {
            state.decide(*turn, *choice);
        }
        if let Some((cost, fates)) = self.judged(&state).filter(|(cost, _)| *cost < self.best_cost) {
            (self.best_cost, self.best_fates) = (cost, fates);
        }
    }

    fn judged(&self, state: &State<'_>) -> Option<(Cost, Vec<Fate>)> {
        let fate = |now: &Now| match now {
            Now::Done(fate) => Some(*fate),
            Now::Open | Now::Holding | Now::Left => None,
        };
        let fates: Vec<Fate> = state.now.iter().map(fate).collect::<Option<_>>()?;
        Some((cost(self.problem, &fates)?, fates))
    }

    /// Looks for whatever is better than the best answer in anything at all.
    fn whole(&mut self) {
        if !self.is_worth_searching() {
            return;
        }
        let none = Found { left_out: self.best_cost.left_out.clone(), way: Vec::new() };
        // Each turn finds a better answer, and there are only so many nodes.
        while self.descend(Goal::All, &none).is_some() {}
    }

    /// Something is lost in the best answer that might be saved.
    fn is_worth_searching(&self) -> bool {
        let best = &self.best_cost;
        let saved = best.kept_stopped.iter().all(|count| *count == 0) && best.stopped == 0 && best.moved == 0;
        let hopeless = |(level, count): (usize, &u32)| *count == 0 || *count <= self.hopeless(level);
        !(saved && best.left_out.iter().enumerate().all(hopeless))
    }

    /// One walk through all that may be better; `None`: there is nothing, or no nodes are left.
    fn descend(&mut self, goal: Goal, known: &Found) -> Option<Found> {
        let end = match goal {
            Goal::LeftOut(level) => self.ends[level],
            Goal::All => self.turns.len(),
        };
        let mut state = State::new(self.problem);
        let mut frames: Vec<Frame> = Vec::new();
        let mut seen = BTreeSet::new();
        loop {
            let position = frames.len();
            let is_open = self.may_be_better(&state, goal, known, position) && self.is_new(&state, position, &mut seen);
            if is_open && position == end {
                let way = frames.iter().filter_map(|frame| Some(frame.made?.0)).collect();
                match goal {
                    Goal::LeftOut(_) => return Some(Found { left_out: state.cost.left_out.clone(), way }),
                    Goal::All => {
                        if let Some((cost, fates)) = self.judged(&state).filter(|(cost, _)| *cost < self.best_cost) {
                            (self.best_cost, self.best_fates) = (cost, fates);
                            return Some(Found { left_out: self.best_cost.left_out.clone(), way });
                        }
                    }
                }
            } else if is_open {
                if self.nodes_left == 0 {
                    self.is_proven = false;
                    return None;
                }
                self.nodes_left -= 1;
                let choices = self.without_twins(&state, self.turns[position], state.choices(self.turns[position]));
                frames.push(Frame { choices, next: 0, made: None });
            }
            if !self.step(&mut state, &mut frames) {
                return None;
            }
        }
    }

    /// On to the next choice that has not been tried; `false`: there is none.
    fn step(&self, state: &mut State<'_>, frames: &mut Vec<Frame>) -> bool {
        while let Some(position) = frames.len().checked_sub(1) {
            let (turn, frame) = (self.turns[position], &mut frames[position]);
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
}

impl Search<'_> {
    /// What has been paid so far, and what must be paid in this level yet, is less than what is known.
    fn may_be_better(&self, state: &State<'_>, goal: Goal, known: &Found, position: usize) -> bool {
        let more = self.unavoidable(state, position);
        let level = self.turns.get(position).map_or(0, |turn| self.level(*turn));
        let so_far = |at: usize| state.cost.left_out[at] + if at == level { more } else { 0 };
        match goal {
            Goal::LeftOut(last) => (0..=last).map(so_far).lt(known.left_out[..=last].iter().copied()),
            Goal::All => {
                let best = &self.best_cost;
                let left_out = (0..self.problem.levels).map(so_far).cmp(best.left_out.iter().copied());
                let (kept, stopped, moved) = (&state.cost.kept_stopped, state.cost.stopped, state.cost.moved);
                left_out
                    .then_with(|| kept.cmp(&best.kept_stopped))
                    .then_with(|| (stopped, moved, 0).cmp(&(best.stopped, best.moved, best.waste)))
                    .is_lt()
            }
        }
    }

    fn level(&self, turn: Turn) -> usize {
        let (Turn::Remain(id) | Turn::Place(id)) = turn;
        self.problem.items[id].level
    }

    /// Of those of this level that are still to be placed, so many can't all be: by the memory that is left.
    fn unavoidable(&self, state: &State<'_>, position: usize) -> u32 {
        let Some(Turn::Place(first)) = self.turns.get(position) else { return 0 };
        let end = self.ends[self.problem.items[*first].level];
        let mut needs: Vec<i64> =
            self.turns[position..end].iter().filter_map(|turn| self.wanted_by(state, *turn)).collect();
        needs.sort_unstable();
        let on_each: Vec<i64> = (0..self.problem.usable.len()).map(|gpu| state.left_on(gpu)).collect();
        let (mut left, most) = (on_each.iter().sum::<i64>(), on_each.iter().copied().max().unwrap_or_default());
        let mut fitting = 0;
        for need in &needs {
            if *need > most || *need > left {
                break;
            }
            left -= need;
            fitting += 1;
        }
        u32::try_from(needs.len() - fitting).unwrap_or(u32::MAX)
    }

    /// MiB that an open start needs on one GPU at least; `None`: it does not start, or runs on where it fails to.
    fn wanted_by(&self, state: &State<'_>, turn: Turn) -> Option<i64> {
        let Turn::Place(id) = turn else { return None };
        let item = &self.problem.items[id];
        let is_open = matches!(state.now[id], Now::Open | Now::Left);
        let on_a_gpu = item.sets.sets.iter().any(|set| !set.is_empty());
        is_open.then_some(if on_a_gpu { item.need } else { 0 })
    }

    /// Of GPUs that are alike and in the same state, the first stands for all.
    fn without_twins(&self, state: &State<'_>, turn: Turn, choices: Vec<Choice>) -> Vec<Choice> {
        let Turn::Place(id) = turn else { return choices };
        let mut tried: Vec<(Gpu, i64)> = Vec::new();
        let is_first = |choice: &Choice| {
            let Choice::On(set) = choice else { return true };
            let [gpu] = self.problem.items[id].sets.sets[*set].as_slice() else { return true };
            let like = (self.twins[*gpu], state.left_on(*gpu));
            let known = tried.contains(&like);
            tried.push(like);
            !known
        };
        let mut is_first = is_first;
        choices.into_iter().filter(|choice| is_first(choice)).collect()
    }

    /// Whether nothing was seen before that has the same to hope for and has cost as much.
    fn is_new(&self, state: &State<'_>, position: usize, seen: &mut BTreeSet<Vec<i64>>) -> bool {
        // Among equals, later starts count for who may be moved: more than a key says.
        if self.problem.repack || position == 0 {
            return true;
        }
        let mut on_gpus: Vec<(Gpu, i64, bool)> = (0..self.problem.usable.len())
            .map(|gpu| (self.twins[gpu], state.used[gpu], state.joined[gpu] > 0))
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
            // Whether it rightly gives way depends on those who matter more and sit there.
            if state.is_yielding(*id) {
                let item = &self.problem.items[*id];
                key.extend(item.seat.iter().map(|(gpu, _)| state.started_above(item.level, *gpu)));
            }
        }
        seen.insert(key)
    }
}

/// What runs, what others depend on, and what has ports.
fn watched(problem: &Problem) -> Vec<usize> {
    let mut is_base = vec![false; problem.items.len()];
    for item in &problem.items {
        item.bases.iter().chain(&item.follows).for_each(|base| is_base[*base] = true);
    }
    let items = problem.items.iter().enumerate();
    items.filter(|(id, item)| item.runs() || is_base[*id] || !item.ports.is_empty()).map(|(id, _)| id).collect()
}

/// All decisions in their order, and where those of each level end.
fn turns(problem: &Problem) -> (Vec<Turn>, Vec<usize>) {
    let (mut turns, mut ends) = (Vec::with_capacity(2 * problem.items.len()), Vec::new());
    let mut first = 0;
    for level in 0..problem.levels {
        let end = first + problem.items[first..].iter().take_while(|item| item.level == level).count();
        let of_level = || problem.items[first..end].iter().enumerate().map(|(at, item)| (first + at, item));
        turns.extend(of_level().filter(|(_, item)| item.runs()).map(|(id, _)| Turn::Remain(id)));
        let starts = |kind| matches!(kind, Kind::Fresh | Kind::Settled | Kind::Drifted);
        turns.extend(of_level().filter(|(_, item)| starts(item.kind)).map(|(id, _)| Turn::Place(id)));
        ends.push(turns.len());
        first = end;
    }
    (turns, ends)
}

/// Beyond any answer.
fn worst(problem: &Problem) -> Cost {
    Cost { left_out: vec![u32::MAX; problem.levels], ..Cost::nothing(problem.levels) }
}
