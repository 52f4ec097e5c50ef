//! Peak memory of a plan on one GPU, or of the host, over every order that the needs of its steps allow.
//!
//! Each step has a begin and an end: a start takes its memory at its begin, a stop gives it back at its end, a rolling
//! update and the start of an awaited job do both. The events up to a moment are a set closed under "comes before", so the peak is the heaviest
//! closed set: a maximum closure, found by one minimum cut. Independent of the ledger that made the plan.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::names::StepId;
use crate::model::plan::Step;
use crate::model::size::Mebibytes;
use crate::model::step::MemoryPool;

/// Steps of one plan, indexed by their needs and their memory.
pub(super) struct Flow<'a> {
    steps: &'a [Step],
    /// Positions of the needs of each step.
    needs: Vec<Vec<usize>>,
    on: BTreeMap<MemoryPool<'a>, Vec<usize>>,
}

impl<'a> Flow<'a> {
    pub(super) fn new(steps: &'a [Step]) -> Self {
        let position: BTreeMap<&StepId, usize> = steps.iter().enumerate().map(|(at, step)| (&step.id, at)).collect();
        let needs = steps.iter().map(|step| step.needs.iter().filter_map(|need| position.get(need).copied()).collect());
        let mut on: BTreeMap<MemoryPool<'_>, Vec<usize>> = BTreeMap::new();
        for (at, step) in steps.iter().enumerate() {
            for gpu in &step.gpus {
                on.entry(MemoryPool::Gpu(gpu)).or_default().push(at);
            }
            if step.ram_mib > Mebibytes::ZERO {
                on.entry(MemoryPool::Host).or_default().push(at);
            }
        }
        Self { steps, needs: needs.collect(), on }
    }

    /// Memory that the steps add at the worst moment to what a pool holds before the plan. Never negative, since no step
    /// may have begun yet.
    pub(super) fn worst_addition(&self, pool: MemoryPool<'_>) -> Mebibytes {
        Mebibytes(self.heaviest(pool, None))
    }

    /// Addition in MiB at the worst moment after a start that takes memory there has begun; negative where more must
    /// have been freed by then. `None`: nothing starts there.
    pub(super) fn worst_with_a_start(&self, pool: MemoryPool<'_>) -> Option<i64> {
        let starts = self.on.get(&pool)?.iter().filter(|at| {
            let step = &self.steps[**at];
            step.takes_from(pool) > Mebibytes::ZERO
        });
        // The weight is large enough that every step that must come before is taken along.
        let weight = self.steps.iter().map(|step| step.takes_from(pool).0 + step.frees_in(pool).0).sum::<u64>() + 1;
        let with = |at: &usize| signed(self.heaviest(pool, Some((*at, weight)))) - signed(weight);
        starts.map(with).max()
    }

    /// Weight of the heaviest closed set in MiB. `more` is a step with extra weight.
    fn heaviest(&self, pool: MemoryPool<'_>, more: Option<(usize, u64)>) -> u64 {
        let matters = self.before_starts_in(pool);
        let node: BTreeMap<usize, usize> = matters.iter().enumerate().map(|(node, at)| (*at, node)).collect();
        let (source, sink) = (2 * matters.len(), 2 * matters.len() + 1);
        let mut network = Network::new(sink + 1);
        let mut gains = 0;
        for (at, node_at) in &node {
            let (step, begin, end) = (&self.steps[*at], 2 * node_at, 2 * node_at + 1);
            network.edge(end, begin, u64::MAX);
            for need in &self.needs[*at] {
                network.edge(begin, 2 * node[need] + 1, u64::MAX);
            }
            let (takes, frees) = (step.takes_from(pool).0, step.frees_in(pool).0);
            let weight = takes + more.filter(|(heavy, _)| heavy == at).map_or(0, |(_, weight)| weight);
            if weight > 0 {
                gains += weight;
                network.edge(source, begin, weight);
            }
            if frees > 0 {
                network.edge(end, sink, frees);
            }
        }
        gains - network.max_flow(source, sink)
    }

    /// Starts in a pool and all steps that must come before them. No other step can raise the peak: what takes nothing
    /// there is only waited for, and what gives memory back need not have happened.
    fn before_starts_in(&self, pool: MemoryPool<'_>) -> BTreeSet<usize> {
        let on = self.on.get(&pool).map_or(&[][..], Vec::as_slice);
        let mut open: Vec<usize> = on.iter().copied().filter(|at| self.steps[*at].takes_memory()).collect();
        let mut found = BTreeSet::new();
        while let Some(at) = open.pop() {
            if found.insert(at) {
                open.extend(&self.needs[at]);
            }
        }
        found
    }
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// Flow network; every edge has its reverse beside it, at its index with the lowest bit flipped.
struct Network {
    /// Indices of a node's edges.
    leaving: Vec<Vec<usize>>,
    to: Vec<usize>,
    capacity: Vec<u64>,
}

impl Network {
    fn new(nodes: usize) -> Self {
        Self { leaving: vec![Vec::new(); nodes], to: Vec::new(), capacity: Vec::new() }
    }

    fn edge(&mut self, from: usize, to: usize, capacity: u64) {
        self.leaving[from].push(self.to.len());
        self.to.push(to);
        self.capacity.push(capacity);
        self.leaving[to].push(self.to.len());
        self.to.push(from);
        self.capacity.push(0);
    }

    /// Dinic's algorithm; all paths end in finite edges, so the flow is finite.
    fn max_flow(&mut self, source: usize, sink: usize) -> u64 {
        let mut flow = 0;
        while let Some(levels) = self.levels(source, sink) {
            let mut next = vec![0; self.leaving.len()];
            loop {
                let pushed = self.push(source, sink, &levels, &mut next);
                if pushed == 0 {
                    break;
                }
                flow += pushed;
            }
        }
        flow
    }

    /// Distances from the source over edges with residual capacity, or `None` where the sink is out of reach.
    fn levels(&self, source: usize, sink: usize) -> Option<Vec<usize>> {
        let mut levels = vec![usize::MAX; self.leaving.len()];
        levels[source] = 0;
        let mut open = VecDeque::from([source]);
        while let Some(node) = open.pop_front() {
            for edge in &self.leaving[node] {
                let to = self.to[*edge];
                if self.capacity[*edge] > 0 && levels[to] == usize::MAX {
                    levels[to] = levels[node] + 1;
                    open.push_back(to);
                }
            }
        }
        (levels[sink] != usize::MAX).then_some(levels)
    }

    /// Pushes flow along one augmenting path and returns its amount; 0: no path is left. Keeps a stack of its own,
    /// since a plan may be longer than a thread's stack.
    fn push(&mut self, source: usize, sink: usize, levels: &[usize], next: &mut [usize]) -> u64 {
        let mut path: Vec<usize> = Vec::new();
        let mut node = source;
        loop {
            if node == sink {
                let headroom = path.iter().map(|edge| self.capacity[*edge]).min().unwrap_or(0);
                for edge in path {
                    self.capacity[edge] -= headroom;
                    self.capacity[edge ^ 1] = self.capacity[edge ^ 1].saturating_add(headroom);
                }
                return headroom;
            }
            let forward = self.leaving[node][next[node].min(self.leaving[node].len())..]
                .iter()
                .position(|edge| self.capacity[*edge] > 0 && levels[self.to[*edge]] == levels[node].saturating_add(1));
            if let Some(skipped) = forward {
                next[node] += skipped;
                let edge = self.leaving[node][next[node]];
                path.push(edge);
                node = self.to[edge];
            } else {
                next[node] = self.leaving[node].len();
                let Some(back) = path.pop() else { return 0 };
                node = self.to[back ^ 1];
                next[node] += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Flow, MemoryPool};
    use crate::model::job::JobStep;
    use crate::model::lifecycle::{Action, State, route};
    use crate::model::names::{GpuId, ServiceName, StepId};
    use crate::model::plan::{Expect, Reason, ReasonCode, Step};
    use crate::model::size::Mebibytes;

    /// Kind of a step: a stop, a start, the start of a job that ends, or the wait for one that runs.
    fn step(number: usize, kind: usize, vram_mib: u64, needs: &[usize]) -> Step {
        let action = if kind == 0 { Action::Stop } else { Action::Start };
        let state = if matches!(kind, 1 | 2) { State::Offline } else { State::Online };
        let job = (kind > 1).then_some(JobStep { until_end: true, frees_memory: true, left_ms: None });
        Step {
            id: StepId::new(number.to_string()),
            service: ServiceName::new(number.to_string()),
            action,
            route: route(action, state).unwrap_or_default().to_vec(),
            needs: needs.iter().map(|need| StepId::new(need.to_string())).collect(),
            gpus: vec![GpuId::from("gpu-0")],
            vram_mib: Mebibytes(vram_mib),
            uneven_mib: std::collections::BTreeMap::new(),
            ram_mib: Mebibytes::ZERO,
            copies: None,
            job,
            reason: Reason { code: ReasonCode::Requested, message: String::new(), by: None },
            expect: Expect { instance: None, state },
            spec: None,
            diff: None,
            estimate_ms: None,
        }
    }

    /// Peak by enumerating every set of events that is closed under "comes before".
    fn by_brute_force(steps: &[Step]) -> i64 {
        let position = |id: &StepId| id.as_str().parse::<usize>().expect("a number");
        let mut worst = 0;
        for set in 0_u32..1 << (2 * steps.len()) {
            let holds = |event: usize| set & (1 << event) != 0;
            let closed = steps.iter().enumerate().all(|(at, step)| {
                (!holds(2 * at + 1) || holds(2 * at))
                    && (!holds(2 * at) || step.needs.iter().all(|need| holds(2 * position(need) + 1)))
            });
            if closed {
                let total: i64 = steps
                    .iter()
                    .enumerate()
                    .map(|(at, step)| {
                        let amount = i64::try_from(step.vram_mib.0).expect("small");
                        let is_new = step.expect.state == State::Offline;
                        match step.action {
                            Action::Start if step.job.is_some() => {
                                let taken = if is_new && holds(2 * at) { amount } else { 0 };
                                if holds(2 * at + 1) { taken - amount } else { taken }
                            }
                            Action::Start if holds(2 * at) => amount,
                            Action::Stop if holds(2 * at + 1) => -amount,
                            Action::Start
                            | Action::Stop
                            | Action::Evict
                            | Action::Remove
                            | Action::Pause
                            | Action::Unpause
                            | Action::Update
                            | Action::Scale
                            | Action::Wake => 0,
                        }
                    })
                    .sum();
                worst = worst.max(total);
            }
        }
        worst
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn the_minimum_cut_equals_the_peak_over_all_orders(
            kinds in proptest::collection::vec((0..4_usize, 0_u64..9, any::<u8>()), 0..7)
        ) {
            let steps: Vec<Step> = kinds
                .iter()
                .enumerate()
                .map(|(at, (kind, vram, mask))| {
                    let needs: Vec<usize> = (0..at).filter(|need| mask & (1 << need) != 0).collect();
                    step(at, *kind, *vram, &needs)
                })
                .collect();
            let found = i64::try_from(Flow::new(&steps).worst_addition(MemoryPool::Gpu(&GpuId::from("gpu-0"))).0).expect("small");
            prop_assert_eq!(found, by_brute_force(&steps));
        }
    }
}
