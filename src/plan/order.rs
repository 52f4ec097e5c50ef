//! Steps of the decisions: stops in reverse dependency order, lowest priority first; then removals; then starts in
//! dependency order, highest priority first. The needs of a step are the steps that it waits for; no stop needs a
//! start.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::copies::CopiesChange;
use crate::model::desired::Service;
use crate::model::endpoint::Endpoint;
use crate::model::holds::Hold;
use crate::model::lifecycle::{Action, State};
use crate::model::names::{GpuId, ServiceName};
use crate::model::observed::{ObservedService, Ownership, PortHolder};
use crate::model::plan::{Expect, Purpose, Reason, ReasonCode, Step};
use crate::model::size::Mebibytes;
use crate::plan::copies;
use crate::plan::decision::{Decision, Decisions};
use crate::plan::diff::{changed, settings_changed};
use crate::plan::exclusive::ExclusiveStarts;
use crate::plan::input::{PlanInput, SlotIndex};
use crate::plan::job_steps;
use crate::plan::judge::context::PlanContext;
use crate::plan::judge::drift::is_renamed;
use crate::plan::judge::given_back;
use crate::plan::ledger::Ledger;
use crate::plan::numbers::Number;
use crate::plan::orphan_steps::orphan_steps;
use crate::plan::reason::reason;
use crate::plan::steps::{Position, Steps, id, plain, split, stop_route};

/// Returns the steps in the order in which they read best; only their `needs` are binding.
pub(super) fn order(context: &PlanContext<'_>, decisions: &Decisions) -> Vec<Step> {
    let input = &context.input;
    if input.request.strict && decisions.any_blocked() {
        return Vec::new();
    }
    let mut steps = Steps::none(&input.wants.numbers);
    let early = pauses(input, decisions)
        .chain(changes(input, decisions))
        .chain(evictions(context, decisions))
        .chain(stops(context, decisions))
        .chain(copies::scale_downs(context, decisions));
    for (number, step) in early {
        steps.push(number, step);
    }
    for step in orphan_steps(input) {
        steps.push_orphans(step);
    }
    let removals = removals(input, decisions, &steps);
    for (number, step) in removals {
        steps.push(number, step);
    }
    let starting = starting_order(input, decisions);
    let mut starts = Starts {
        context,
        decisions,
        ledger: open_ledger(context, &steps),
        exclusive: ExclusiveStarts::of(input, &starting, &steps),
        claimants: claimants(input, &steps),
        steps,
    };
    for number in starting {
        let step = match &decisions.0[number] {
            Decision::Wake(reason) => starts.wake(number, reason),
            Decision::ScaleUp(reason) | Decision::Roll(reason) => starts.more_copies(number, reason),
            _ => starts.start(number),
        };
        starts.exclusive.begin(input, number, starts.steps.len(), &step);
        let position = starts.steps.push(number, step);
        starts.returns(position);
    }
    starts.steps.into_all()
}

/// Pauses that operators have requested. They free no memory, so no step waits for them.
fn pauses(input: &PlanInput<'_>, decisions: &Decisions) -> impl Iterator<Item = (Number, Step)> {
    let paused = decisions.0.iter().enumerate().filter_map(|(number, decision)| Some((number, decision.paused()?)));
    paused.map(|(number, why)| (number, plain(input, number, Action::Pause, why)))
}

/// Changes of running services. They neither free nor take memory.
fn changes(input: &PlanInput<'_>, decisions: &Decisions) -> impl Iterator<Item = (Number, Step)> {
    let all = decisions.0.iter().enumerate();
    let changed = all.filter_map(|(number, decision)| Some((number, decision.changed_as_it_runs()?)));
    changed.map(|(number, (action, why))| {
        let diff = input.seen(number).changed.as_ref().map(|changed| changed.diff.clone());
        let diff = diff.filter(|_| action == Action::Update);
        (number, Step { diff, ..plain(input, number, action, why) })
    })
}

/// States that a stop passes. A stop that an operator requested with `terminate` ends in another state.
fn way_down(input: &PlanInput<'_>, number: Number, why: ReasonCode) -> Vec<State> {
    let from = input.summary(number).state;
    if why == ReasonCode::Terminated {
        return stop_route(why, from).unwrap_or_default().to_vec();
    }
    input.way(number, Action::Stop, from).unwrap_or_default()
}

/// Evictions, which free memory without a stop.
fn evictions(context: &PlanContext<'_>, decisions: &Decisions) -> impl Iterator<Item = (Number, Step)> {
    let input = &context.input;
    let evicted = decisions.0.iter().enumerate().filter_map(|(number, decision)| Some((number, decision.evicted()?)));
    evicted.filter_map(|(number, why)| {
        let evict = input.service(number).evict.as_ref()?;
        let (vram_mib, uneven_mib) = on_its_seat(context, number, evict.resident);
        let gpus = input.seen(number).gpus.iter().cloned().collect();
        let step = Step { gpus, vram_mib, uneven_mib, ..plain(input, number, Action::Evict, why) };
        let freed: Vec<(GpuId, Mebibytes)> = step.gpus.iter().map(|gpu| (gpu.clone(), step.vram_on(gpu))).collect();
        let step = Step { ram_mib: context.on_unified(&freed), ..step };
        Some((number, step))
    })
}

/// Memory that a service holds beyond `rest`: the largest amount on one GPU, and the GPUs with another amount.
fn on_its_seat(context: &PlanContext<'_>, number: Number, rest: Mebibytes) -> (Mebibytes, BTreeMap<GpuId, Mebibytes>) {
    split(&context.input.seen(number).gpus, |gpu| context.memory_on(number, gpu) - rest)
}

fn stops(context: &PlanContext<'_>, decisions: &Decisions) -> impl Iterator<Item = (Number, Step)> {
    let input = &context.input;
    let above = move |number: Number| -> Vec<Number> {
        input.dependents(number).iter().copied().filter(|other| decisions.0[*other].stops()).collect()
    };
    let stopping: Vec<Number> = decisions.those(Decision::stops).collect();
    let ordered = topological(&stopping, above, |number| input.priority(number));
    ordered.into_iter().filter_map(move |number| {
        let why = decisions.0[number].stopped()?;
        let seen = input.seen(number);
        let (vram_mib, uneven_mib) = on_its_seat(context, number, Mebibytes::ZERO);
        let step = Step {
            route: way_down(input, number, why.code),
            needs: above(number).iter().map(|other| id(Action::Stop, input.name(*other))).collect(),
            gpus: seen.gpus.iter().cloned().collect(),
            vram_mib,
            uneven_mib,
            ram_mib: context.host_memory(number),
            estimate_ms: seen.estimates.stopped_ms,
            ..plain(input, number, Action::Stop, why)
        };
        Some((number, step))
    })
}

/// Sorts each number after those that `before` returns for it; ready ones by key, then by name.
fn topological<K: Ord>(
    numbers: &[Number],
    before: impl Fn(Number) -> Vec<Number>,
    key: impl Fn(Number) -> K,
) -> Vec<Number> {
    let mut waiting: BTreeMap<Number, usize> = BTreeMap::new();
    let mut after: BTreeMap<Number, Vec<Number>> = BTreeMap::new();
    for number in numbers.iter().copied() {
        let first = before(number);
        waiting.insert(number, first.len());
        for earlier in first {
            after.entry(earlier).or_default().push(number);
        }
    }
    let mut ready: BTreeSet<(K, Number)> =
        waiting.iter().filter(|(_, count)| **count == 0).map(|(number, _)| (key(*number), *number)).collect();
    let mut ordered = Vec::new();
    while let Some((_, number)) = ready.pop_first() {
        for later in after.remove(&number).unwrap_or_default() {
            if let Some(count) = waiting.get_mut(&later) {
                *count -= 1;
                if *count == 0 {
                    ready.insert((key(later), later));
                }
            }
        }
        ordered.push(number);
    }
    ordered
}

/// Removals of containers that lcm created and that are no longer needed: on `down` all, else those that were put aside
/// or renamed.
fn removals(input: &PlanInput<'_>, decisions: &Decisions, earlier: &Steps<'_>) -> Vec<(Number, Step)> {
    let mut steps = Vec::new();
    let is_down = input.request.purpose == Purpose::Down;
    for number in input.all().filter(|number| input.is_in_scope(*number)) {
        let (decision, summary) = (&decisions.0[number], input.summary(number));
        let (name, seen) = (input.name(number), input.seen(number));
        if !(is_down || decision.starts() || summary.has_previous || seen.taken_over_from.is_some()) {
            continue;
        }
        // A service in maintenance or suspension is left alone, with all its containers.
        let hold = seen.hold.as_ref().map(|hold| hold.kind);
        let hands_off = seen.state == State::Maintenance || hold == Some(Hold::Suspend);
        if seen.unknown.is_some() || input.prevented(number).is_some() || hands_off {
            continue;
        }
        let down = is_down && seen.ownership == Ownership::Ours;
        let renamed = decision.starts() && !decision.is_await() && is_renamed(input, number);
        let (instance, why) = match (&seen.instance, seen.previous.as_deref()) {
            (Some(current), _) if down && current.name.is_some() => (current, "requested by `lcm down`"),
            (Some(current), _) if renamed => (current, renamed_why(input, number)),
            // A label can't be changed: where nothing is started, a container that is taken over is removed.
            (Some(current), _) if seen.taken_over_from.is_some() && goes(decision, seen) => {
                (current, "created by lcm on another host; this host takes it over")
            }
            (_, Some(previous)) if !decision.starts() && !input.request.purpose.is_one_shot() => {
                (previous, "the previous container is no longer needed")
            }
            _ => continue,
        };
        let stop = earlier.stop(number).map(|stop| earlier.at(stop));
        let stop = stop.filter(|step| step.expect.instance.as_ref() == Some(instance));
        let aside = seen.previous.as_deref() == Some(instance);
        let state = if stop.is_some() || aside { State::Offline } else { seen.state };
        let Ok(route) = input.way(number, Action::Remove, state) else { continue };
        let code = if down { ReasonCode::Requested } else { ReasonCode::SpecChanged };
        let step = Step {
            id: id(Action::Remove, name),
            service: name.clone(),
            action: Action::Remove,
            route,
            needs: stop.map(|step| step.id.clone()).into_iter().collect(),
            gpus: Vec::new(),
            vram_mib: Mebibytes::ZERO,
            uneven_mib: BTreeMap::new(),
            ram_mib: Mebibytes::ZERO,
            copies: None,
            job: None,
            reason: reason(code, why.to_owned(), None),
            expect: Expect { instance: Some(instance.clone()), state },
            spec: None,
            diff: None,
            estimate_ms: None,
        };
        steps.push((number, step));
    }
    steps
}

/// Returns true if the service is off after this plan.
fn goes(decision: &Decision, seen: &ObservedService) -> bool {
    match decision {
        Decision::Stop(_) => true,
        Decision::Leave(_) => !seen.holds_capacity,
        Decision::Start { .. }
        | Decision::Await(_)
        | Decision::Wake(_)
        | Decision::Recreate { .. }
        | Decision::GiveUp(_)
        | Decision::Evict(_)
        | Decision::Pause(_)
        | Decision::Update(_)
        | Decision::Roll(_)
        | Decision::ScaleUp(_)
        | Decision::ScaleDown(_)
        | Decision::Unpause(_)
        | Decision::Preempt { .. }
        | Decision::Blocked(_)
        | Decision::Held(_) => false,
    }
}

fn renamed_why(input: &PlanInput<'_>, number: Number) -> &'static str {
    match input.service(number).object() {
        Some(_) => "the manifest now gives it another container name",
        None => "the manifest now declares it as a process",
    }
}

fn open_ledger(context: &PlanContext<'_>, steps: &Steps<'_>) -> Ledger {
    let input = &context.input;
    let mut stops: BTreeMap<SlotIndex, Vec<(Position, Mebibytes)>> = BTreeMap::new();
    // A rolling update gives back only memory that it has taken itself.
    let gives = |step: &Step| matches!(step.action, Action::Stop | Action::Evict) || step.is_scale_down();
    for (at, step) in steps.iter().enumerate().filter(|(_, step)| gives(step)) {
        for gpu in &step.gpus {
            // Memory of a GPU that is not observed can't be drawn on.
            let Some(slot) = input.gpu(gpu) else { continue };
            stops.entry(slot).or_default().push((at, step.vram_on(gpu)));
        }
        if step.ram_mib > Mebibytes::ZERO {
            stops.entry(input.host_slot()).or_default().push((at, step.ram_mib));
        }
    }
    let mut ledger = Ledger::default();
    for (slot, (gpu, taken)) in input.observed.gpus.values().zip(context.taken()).enumerate() {
        let usable = gpu.capacity - input.desired.reserve - gpu.foreign;
        ledger.open(slot, usable, taken, stops.remove(&slot).unwrap_or_default());
    }
    if let Some(memory) = input.memory() {
        let (slot, usable) = (input.host_slot(), memory.capacity - input.desired.host_reserve - memory.foreign);
        ledger.open(slot, usable, context.host_taken(), stops.remove(&slot).unwrap_or_default());
    }
    ledger
}

/// Stopped services by port number, each with its endpoint.
type Claimants<'a> = BTreeMap<u16, Vec<(Endpoint, &'a ServiceName)>>;

/// Returns the ports of the services that are stopped.
fn claimants<'a>(input: &PlanInput<'a>, steps: &Steps<'_>) -> Claimants<'a> {
    let mut claimants: Claimants<'a> = BTreeMap::new();
    for number in steps.stopped() {
        for port in input.ports(number) {
            claimants.entry(port.port).or_default().push((*port, input.name(number)));
        }
    }
    claimants
}

fn starting_order(input: &PlanInput<'_>, decisions: &Decisions) -> Vec<Number> {
    let starting: Vec<Number> = decisions.those(Decision::draws).collect();
    let below = |number: Number| -> Vec<Number> {
        let bases = input.bases(number).iter().copied();
        bases.filter(|other| decisions.0[*other].draws()).collect()
    };
    // A service that loads alone is awaited before anything else starts on its GPUs.
    let loads_alone = |number: Number| decisions.0[number].is_await() && input.service(number).exclusive_start;
    topological(&starting, below, |number| (!loads_alone(number), Reverse(input.priority(number))))
}

/// Milliseconds left of a start that is under way; `None` where the start is overdue or has no estimate.
fn left_of_start(input: &PlanInput<'_>, seen: &ObservedService) -> Option<u64> {
    let elapsed = input.observed.observed_at.duration_since(seen.since?).as_millis();
    let elapsed_ms = u64::try_from(elapsed.max(0)).unwrap_or(u64::MAX);
    seen.estimates.ready_ms?.checked_sub(elapsed_ms).filter(|left| *left > 0)
}

fn of(amounts: &[(GpuId, Mebibytes)], gpu: &GpuId) -> Mebibytes {
    amounts.iter().find(|(id, _)| id == gpu).map_or(Mebibytes::ZERO, |(_, amount)| *amount)
}

/// State of the starts while they are ordered.
struct Starts<'a> {
    context: &'a PlanContext<'a>,
    decisions: &'a Decisions,
    ledger: Ledger,
    exclusive: ExclusiveStarts,
    claimants: Claimants<'a>,
    steps: Steps<'a>,
}

impl Starts<'_> {
    fn start(&mut self, number: Number) -> Step {
        let (input, decisions) = (&self.context.input, &self.decisions.0);
        let (name, service, seen) = (input.name(number), input.service(number), input.seen(number));
        let none = BTreeSet::new();
        let (why, gpus, stopped_first, waits) = match &decisions[number] {
            Decision::Start { reason, gpus } => (reason.clone(), gpus, false, false),
            Decision::Recreate { reason, gpus } => (reason.clone(), gpus, true, false),
            Decision::Await(reason) => (reason.clone(), &none, false, true),
            Decision::Leave(why) => (reason(ReasonCode::Requested, why.clone(), None), &none, false, false),
            Decision::Wake(why)
            | Decision::Roll(why)
            | Decision::ScaleUp(why)
            | Decision::ScaleDown(why)
            | Decision::Stop(why)
            | Decision::GiveUp(why)
            | Decision::Evict(why)
            | Decision::Pause(why)
            | Decision::Update(why)
            | Decision::Unpause(why)
            | Decision::Blocked(why)
            | Decision::Held(why)
            | Decision::Preempt { reason: why, .. } => (why.clone(), &none, false, false),
        };
        let own_stop = self.steps.stop(number).filter(|_| stopped_first);
        let mut needs: Vec<Position> = own_stop.into_iter().chain(self.steps.removal(number)).collect();
        needs.extend(input.bases(number).iter().filter_map(|base| self.steps.start(*base)));
        let job = job_steps::part(self.context, self.decisions, number, waits);
        let amounts = if waits { Vec::new() } else { self.context.amounts(number, gpus) };
        let ram_mib = match job {
            _ if !waits => self.context.host_need(number, &amounts),
            // A job that runs gives back what it holds.
            Some(job) if job.frees_memory => self.context.host_memory(number),
            Some(_) | None => Mebibytes::ZERO,
        };
        if !waits {
            let ended = job_steps::ended_before(input, &self.steps, number);
            needs.extend(self.draw(&ended, (&amounts, ram_mib), own_stop));
            needs.extend(self.port_needs(service));
        }
        let gpus: Vec<GpuId> = amounts.iter().map(|(gpu, _)| gpu.clone()).collect();
        needs.extend(self.exclusive.needs(self.context, number, &gpus));
        let (gpus, (vram_mib, uneven_mib)) = if waits && job.is_some_and(|job| job.frees_memory) {
            (seen.gpus.iter().cloned().collect(), on_its_seat(self.context, number, Mebibytes::ZERO))
        } else {
            let split = split(&gpus, |gpu| of(&amounts, gpu));
            (gpus, split)
        };
        let state = if stopped_first { State::Offline } else { seen.state };
        let diff = if waits { settings_changed(seen, &why) } else { changed(service, seen, &why) };
        Step {
            id: id(Action::Start, name),
            service: name.clone(),
            action: Action::Start,
            route: input.way(number, Action::Start, state).unwrap_or_default(),
            needs: self.steps.ids(needs),
            gpus,
            vram_mib,
            uneven_mib,
            ram_mib,
            job,
            copies: (!waits && service.copies != 1).then(|| CopiesChange::scale(0, service.copies)),
            reason: why,
            expect: Expect { instance: seen.instance.clone(), state },
            spec: (!service.spec.config().is_null()).then(|| service.spec.hash().to_owned()),
            diff,
            estimate_ms: if waits { left_of_start(&self.context.input, seen) } else { seen.estimates.ready_ms },
        }
    }

    /// Step that gives a running service its memory again, drawn like that of a start.
    fn wake(&mut self, number: Number, why: &Reason) -> Step {
        let input = &self.context.input;
        let mut needs: Vec<Position> = input.bases(number).iter().filter_map(|base| self.steps.start(*base)).collect();
        let lacks = given_back::lacks(self.context, number).into_iter();
        let lacks: Vec<(GpuId, Mebibytes)> = lacks.map(|(gpu, amount)| (input.gpu_id(gpu).clone(), amount)).collect();
        let ram_mib = self.context.on_unified(&lacks);
        needs.extend(self.draw(&BTreeSet::new(), (&lacks, ram_mib), None));
        let gpus: Vec<GpuId> = lacks.iter().map(|(gpu, _)| gpu.clone()).collect();
        needs.extend(self.exclusive.needs(self.context, number, &gpus));
        let vram_mib = lacks.iter().map(|(_, amount)| *amount).max().unwrap_or_default();
        let uneven = lacks.into_iter().filter(|(_, amount)| *amount != vram_mib);
        Step {
            needs: self.steps.ids(needs),
            gpus,
            vram_mib,
            uneven_mib: uneven.collect(),
            ram_mib,
            ..plain(&self.context.input, number, Action::Wake, why)
        }
    }

    /// Step that adds copies of a running service, their memory drawn like that of a start.
    fn more_copies(&mut self, number: Number, why: &Reason) -> Step {
        let step = copies::more(self.context, number, &self.decisions.0[number], why);
        let amounts: Vec<(GpuId, Mebibytes)> = step.gpus.iter().map(|gpu| (gpu.clone(), step.vram_on(gpu))).collect();
        let mut needs = self.draw(&BTreeSet::new(), (&amounts, step.ram_mib), None);
        needs.extend(self.exclusive.needs(self.context, number, &step.gpus));
        Step { needs: self.steps.ids(needs), ..step }
    }

    /// Reserves memory on GPUs and of the host after the jobs in `ended`, and returns the stops and jobs drawn on.
    fn draw(
        &mut self,
        ended: &BTreeSet<Position>,
        (amounts, ram): (&[(GpuId, Mebibytes)], Mebibytes),
        own: Option<Position>,
    ) -> Vec<Position> {
        let input = &self.context.input;
        let mut needs = self.ledger.draw_after(ended, input.host_slot(), ram, own);
        for (slot, amount) in amounts.iter().filter_map(|(gpu, amount)| Some((input.gpu(gpu)?, *amount))) {
            needs.extend(self.ledger.draw_after(ended, slot, amount, own));
        }
        needs
    }

    /// Records the memory that a job gives back at the end of its step.
    fn returns(&mut self, position: Position) {
        let input = &self.context.input;
        let step = self.steps.at(position);
        if step.job.is_some_and(|job| job.frees_memory) {
            self.ledger.returns(input.host_slot(), position, step.ram_mib);
            for (slot, gpu) in step.gpus.iter().filter_map(|gpu| Some((input.gpu(gpu)?, gpu))) {
                self.ledger.returns(slot, position, step.vram_on(gpu));
            }
        }
    }

    /// Stops of the services and orphans that hold its ports now.
    fn port_needs(&self, service: &Service) -> Vec<Position> {
        let mut needs = Vec::new();
        for port in &service.ports {
            let holders = self.context.input.observed.ports.of(port).filter_map(|holder| match holder {
                PortHolder::Service(other) | PortHolder::Orphan(other) => Some(other),
                PortHolder::Foreign(_) => None,
            });
            // A service that is still loading claims its port before it listens.
            let claimants = self.claimants.get(&port.port).into_iter().flatten();
            let claimants = claimants.filter(|(other, _)| other.clashes(port)).map(|(_, name)| *name);
            let givers = holders.chain(claimants).filter(|giver| **giver != service.name);
            needs.extend(givers.flat_map(|giver| self.steps.stops_of(giver)));
        }
        needs
    }
}
