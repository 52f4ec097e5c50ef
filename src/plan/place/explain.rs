//! Translation of the solution back to decisions, each with its reason: the service that preempts another one, or the
//! missing memory or port.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::ports::port_taken_message;
use super::problem::{EndState, Fate, ItemId, ItemKind};
use super::refusal::{Needed, RefusalArithmetic, missing_dependency};
use super::translate::Translated;
use crate::model::capacity::{GpuCapacity, MemoryHolder};
use crate::model::endpoint::Endpoint;
use crate::model::lifecycle::State;
use crate::model::names::{GpuId, ServiceName};
use crate::model::plan::{Reason, ReasonCode};
use crate::model::size::Mebibytes;
use crate::plan::decision::{Decision, Decisions};
use crate::plan::gpu_capacity;
use crate::plan::input::PlanInput;
use crate::plan::judge::context::PlanContext;
use crate::plan::judge::{copies, given_back, left_running, orphans, recover};
use crate::plan::numbers::Number;
use crate::plan::places::Places;
use crate::plan::reason::reason;

/// Returns the decisions of a solution.
pub(super) fn decisions(context: &PlanContext<'_>, translated: Translated, fates: &[Fate]) -> Decisions {
    let Translated { problem, mut decisions, numbers, gpus, ports } = translated;
    let Some(end) = EndState::of(&problem, fates) else { return decisions };
    let going = decisions.0.iter().map(Decision::stops).collect();
    let (users, arithmetic) = (OnceCell::new(), OnceCell::new());
    let explainer = Explainer {
        context,
        input: &context.input,
        numbers: &numbers,
        gpus: &gpus,
        ports: &ports,
        end: &end,
        going,
        users,
        arithmetic,
    };
    // Dependencies come before their dependents.
    for (id, number) in numbers.iter().enumerate() {
        if let Some(decision) = explainer.changed(id, &decisions) {
            decisions.0[*number] = decision;
        }
    }
    decisions
}

struct Explainer<'a> {
    context: &'a PlanContext<'a>,
    input: &'a PlanInput<'a>,
    numbers: &'a [Number],
    gpus: &'a [GpuId],
    ports: &'a [Endpoint],
    end: &'a EndState<'a>,
    /// True for services that are stopped or restarted for a reason other than the placement; by number.
    going: Vec<bool>,
    /// Users of each port at the plan's end; computed when the first refusal needs them.
    users: OnceCell<Vec<Vec<ItemId>>>,
    /// Memory of each GPU at the plan's end; computed when the first refusal needs it.
    arithmetic: OnceCell<RefusalArithmetic>,
}

impl Explainer<'_> {
    /// Decision of an item, where the solution changes it.
    fn changed(&self, id: ItemId, decided: &Decisions) -> Option<Decision> {
        let (item, before) = (&self.end.problem().items[id], &decided.0[self.numbers[id]]);
        // The host's memory, which may be among them, is no GPU.
        let gpus = |set: usize| item.sets.sets[set].iter().filter_map(|slot| self.gpus.get(*slot).cloned()).collect();
        let decision = match (item.kind, self.end.fates()[id]) {
            (ItemKind::Settled | ItemKind::Stuck | ItemKind::Kept, Fate::Stay) => return None,
            // Its memory stays reserved for it, or there is none.
            (ItemKind::Fresh, _) if before.held().is_some() => return None,
            (ItemKind::Fresh, Fate::Stay | Fate::Evicted | Fate::Out) => {
                recover::blocked_or_held(self.context, self.numbers[id], self.why_not_startable(id, decided))
            }
            (ItemKind::Drifted, Fate::Stay) => self.left_as_it_is(id, before, decided),
            (ItemKind::Waking, Fate::Stay) => Decision::Blocked(self.lack_of_memory(id, before)),
            (ItemKind::Waking, Fate::On(_)) if self.end.is_woken(id) => return None,
            (ItemKind::Waking, Fate::Out) => {
                Decision::Preempt { reason: self.preempted(id), blocked: Box::new(self.lack_of_memory(id, before)) }
            }
            (ItemKind::Fresh | ItemKind::Drifted, Fate::On(set)) => match before.clone() {
                Decision::Recreate { reason, .. } => Decision::Recreate { reason, gpus: gpus(set) },
                Decision::Start { reason, .. } => Decision::Start { reason, gpus: gpus(set) },
                other => other,
            },
            (ItemKind::Settled | ItemKind::Waking | ItemKind::Stuck | ItemKind::Kept, Fate::On(set)) => {
                Decision::Recreate { reason: self.moved(id), gpus: gpus(set) }
            }
            (_, Fate::Evicted) => Decision::Evict(self.preempted(id)),
            (ItemKind::Kept, Fate::Out) => Decision::Stop(self.preempted(id)),
            (ItemKind::Stuck, Fate::Out) => {
                let blocked = before.blocked().or(before.held()).cloned().unwrap_or_else(|| self.preempted(id));
                Decision::Preempt { reason: self.preempted(id), blocked: Box::new(blocked) }
            }
            (ItemKind::Settled | ItemKind::Drifted, Fate::Out) => {
                Decision::Preempt { reason: self.preempted(id), blocked: Box::new(self.why_not_startable(id, decided)) }
            }
        };
        Some(decision)
    }

    /// Decision for a changed service that can't be restarted: it keeps running unchanged.
    fn left_as_it_is(&self, id: ItemId, before: &Decision, decided: &Decisions) -> Decision {
        let state = self.input.summary(self.numbers[id]).state;
        let follows = self.end.problem().items[id].follows;
        if let Some(base) = follows.filter(|base| !matches!(self.end.fates()[*base], Fate::On(_))) {
            if state.is_operational() && !given_back::lacks(self.context, self.numbers[id]).is_empty() {
                return Decision::Blocked(self.lack_of_memory(id, before));
            }
            let base = self.input.name(self.numbers[base]);
            return before.runs_on(state, &format!("{base}, which it would be recreated with, is not recreated"));
        }
        let blocked = self.why_not_startable(id, decided);
        let waits = before.along().is_some() && state == State::Starting;
        if waits {
            before.runs_on(state, &blocked.message)
        } else {
            recover::blocked_or_held(self.context, self.numbers[id], blocked)
        }
    }

    fn preempted(&self, id: ItemId) -> Reason {
        let Some(winner) = self.end.winner(id).map(|winner| self.numbers[winner]) else {
            return reason(ReasonCode::Preempted, "preempted".to_owned(), None);
        };
        if let Some(off) = self.input.wants.left_running.get(&self.numbers[id]) {
            let winner = self.input.name(winner);
            return left_running::stopped(off, &format!("preempted by {winner}"), winner.to_string());
        }
        let (higher, lower) = (self.input.priority(winner), self.input.priority(self.numbers[id]));
        let winner = self.input.name(winner);
        let message = if higher > lower {
            format!("preempted by {winner} (priority {higher} > {lower})")
        } else {
            format!("preempted by {winner} (priority {higher})")
        };
        reason(ReasonCode::Preempted, message, Some(winner.to_string()))
    }

    fn moved(&self, id: ItemId) -> Reason {
        let preempted = self.preempted(id);
        let item = &self.end.problem().items[id];
        let message = match item.home.map(Fate::On) {
            Some(home) if home == self.end.fates()[id] => {
                format!("{}; restarted after the move of a dependency", preempted.message)
            }
            Some(_) | None => match self.end.winner(id).map(|winner| self.numbers[winner]) {
                Some(winner) => {
                    let (name, priority) = (self.input.name(winner), self.input.priority(winner));
                    format!("moved so that {name} (priority {priority}) fits")
                }
                None => format!("{}; moved to where it fits", preempted.message),
            },
        };
        reason(ReasonCode::Moved, message, preempted.by)
    }

    /// Reason for which a service can't be started: a dependency, a port, or memory.
    fn why_not_startable(&self, id: ItemId, decided: &Decisions) -> Reason {
        let (input, number) = (self.input, self.numbers[id]);
        let mut bases = input.bases(number).iter().copied();
        if let Some(base) = bases.find(|base| !decided.0[*base].stands(input.summary(*base))) {
            return missing_dependency(self.input, base, &decided.0[base]);
        }
        for port in &self.end.problem().items[id].ports {
            let users = &self.users.get_or_init(|| self.end.users())[*port];
            if let Some(claimant) = users.iter().find(|user| **user != id) {
                let message = port_taken_message(self.input, &self.ports[*port], self.numbers[*claimant]);
                return reason(ReasonCode::PortTaken, message, None);
            }
        }
        let service = input.service(number);
        let places = self.context.places(number).ok();
        let gpus = places.map_or(&[][..], |places| &places.all);
        let needed = Needed {
            service,
            on_gpu: service.vram_total(),
            by_gpu: self.least_by_gpu(number, places),
            on_host: self.host_need(id, None),
        };
        let message = self.arithmetic().sentence(&needed, input.priority(number), places);
        reason(ReasonCode::NoCapacity, message + &self.protected_on(number, gpus), None)
    }

    fn arithmetic(&self) -> &RefusalArithmetic {
        self.arithmetic.get_or_init(|| RefusalArithmetic::of(self.at_the_end(), self.priorities()))
    }

    /// Least memory that a service takes on each GPU in any of its sets; empty where it is the same on all.
    fn least_by_gpu(&self, number: Number, places: Option<&Places>) -> BTreeMap<GpuId, Mebibytes> {
        let mut least: BTreeMap<GpuId, Mebibytes> = BTreeMap::new();
        let sets = places.map_or(&[][..], |places| &places.sets);
        let is_uneven = self.input.service(number).vram_by_gpu.is_some();
        for (gpu, amount) in sets.iter().filter(|_| is_uneven).flat_map(|set| self.context.amounts(number, set)) {
            least.entry(gpu).and_modify(|least| *least = amount.min(*least)).or_insert(amount);
        }
        least
    }

    /// Host memory that an item takes on a set of GPUs, or the least on any.
    fn host_need(&self, id: ItemId, set: Option<usize>) -> Mebibytes {
        let problem = self.end.problem();
        let item = &problem.items[id];
        let on_host = |set: usize| {
            let host = problem.needs(item, set).find(|(slot, _)| Some(*slot) == problem.host);
            host.map_or(0, |(_, amount)| amount)
        };
        let least = set.map_or_else(|| (0..item.sets.sets.len()).map(on_host).min(), |set| Some(on_host(set)));
        Mebibytes(least.unwrap_or(0).unsigned_abs())
    }

    /// Reason for which a running service can't get back its memory, or have more copies: the arithmetic of its own
    /// GPUs.
    fn lack_of_memory(&self, id: ItemId, before: &Decision) -> Reason {
        let (input, number) = (self.input, self.numbers[id]);
        let home: Vec<GpuId> = self.context.seat(number).iter().map(|(gpu, _)| input.gpu_id(*gpu).clone()).collect();
        let places = Places { sets: vec![home.iter().cloned().collect()], all: home };
        let service = input.service(number);
        let home = self.end.problem().items[id].home;
        let mut needed = Needed {
            service,
            on_gpu: input.seen(number).declared(service),
            by_gpu: BTreeMap::new(),
            on_host: self.host_need(id, home),
        };
        let on_home = home.into_iter().flat_map(|home| self.end.problem().needs(&self.end.problem().items[id], home));
        let on_home = on_home.filter_map(|(slot, need)| Some((self.gpus.get(slot)?, Mebibytes(need.unsigned_abs()))));
        let why = if before.adds_copies() {
            needed.by_gpu = on_home.map(|(gpu, need)| (gpu.clone(), need)).collect();
            needed.on_gpu = needed.by_gpu.values().copied().max().unwrap_or(needed.on_gpu);
            copies::refused(input, number, before)
        } else {
            let declared = |gpu: &GpuId| (gpu.clone(), input.seen(number).declared_on(service, gpu));
            needed.by_gpu = places.all.iter().map(declared).collect();
            given_back::sentence(self.context, number)
        };
        let sentence = self.arithmetic().sentence(&needed, input.priority(number), Some(&places));
        let message = format!("{why}; {sentence}");
        reason(ReasonCode::NoCapacity, message + &self.protected_on(number, &places.all), None)
    }

    /// Clauses about services that could be preempted on some of these GPUs, if no rule protected them.
    fn protected_on(&self, number: Number, gpus: &[GpuId]) -> String {
        let input = self.input;
        let lower = input.all().filter(|other| input.priority(*other) < input.priority(number));
        let holds = |other: &Number| gpus.iter().any(|gpu| self.context.memory_on(*other, gpu) > Mebibytes::ZERO);
        let clauses = lower.filter(holds).filter_map(|other| {
            Some(format!("; {} can't be stopped: {}", input.name(other), self.context.protected.any(other)?))
        });
        clauses.collect()
    }

    /// Priorities of all placed services. Every one of them preempts a service that is merely left running.
    fn priorities(&self) -> BTreeMap<ServiceName, i64> {
        let (input, placed) = (self.input, self.numbers.iter());
        let height = |number: Number| {
            if input.wants.left_running.contains_key(&number) { i64::MIN } else { input.priority(number) }
        };
        placed.map(|number| (input.service(*number).name.clone(), height(*number))).collect()
    }

    /// Returns every GPU and the host's memory as the plan leaves them.
    fn at_the_end(&self) -> (BTreeMap<GpuId, GpuCapacity>, Option<GpuCapacity>) {
        let mut stays: Vec<bool> = self.going.iter().map(|goes| !goes).collect();
        self.numbers.iter().for_each(|placed| stays[*placed] = false);
        let mut gpus =
            gpu_capacity::gpus(self.context, &|number| stays[number], &|orphan| !orphans::stops(self.input, orphan));
        let mut host = gpu_capacity::host(self.context, &|number| stays[number]);
        for (id, number) in self.numbers.iter().enumerate() {
            for (slot, amount) in self.end.takes(id).into_iter().filter(|(_, amount)| *amount > 0) {
                let taken = match self.gpus.get(slot) {
                    Some(gpu) => gpus.get_mut(gpu),
                    None => host.as_mut(),
                };
                if let Some(gpu) = taken {
                    let counts = Mebibytes(amount.unsigned_abs());
                    gpu.holders.push(MemoryHolder { counts, ..gpu_capacity::holder(self.input, *number) });
                }
            }
        }
        (gpus, host)
    }
}
