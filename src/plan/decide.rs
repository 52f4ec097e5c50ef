//! The planner's own words: what it looks at, and what it decides for each service.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use smallvec::SmallVec;

use crate::model::budget::Budget;
use crate::model::desired::{Desired, GpuRequest, OrphanPolicy, Service};
use crate::model::endpoint::Endpoint;
use crate::model::lifecycle::{Action, State};
use crate::model::names::{GpuId, ServiceName};
use crate::model::observed::{Observed, ObservedService, Orphan};
use crate::model::plan::{Purpose, Reason, ReasonCode, Request};
use crate::model::size::Mebibytes;
use crate::plan::drift::drift;
use crate::plan::given_back::{self, Lowered};
use crate::plan::glance::Glance;
use crate::plan::legal::Firm;
use crate::plan::numbers::{Number, Rows};
use crate::plan::room::{self, Places};
use crate::plan::want::{Want, Wants};

/// All that the planner may look at. Services go by their numbers.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    pub(super) request: &'a Request,
    pub(super) wants: &'a Wants<'a>,
    seen: Vec<&'a ObservedService>,
    glances: Vec<Glance>,
    /// Looked for while all that it takes is at hand, and seldom found.
    drifts: Vec<Option<Box<Reason>>>,
    /// Which of `places` is a service's own.
    asks: Vec<Ask>,
    /// Services that ask alike share one list.
    places: Vec<Result<Places, String>>,
    ports: Rows<Endpoint>,
    /// What each holds where: all parts of a plan ask for it, and a GPU goes by its place among those observed.
    seats: Rows<(Gpu, Mebibytes)>,
    /// Seats that count as what is measured; by service.
    lowered: Vec<Lowered>,
    /// By place.
    gpu_ids: Vec<&'a GpuId>,
    /// What a rule keeps from being stopped.
    pub(super) firm: Firm,
}

/// Position of a GPU in [`Observed::gpus`].
pub(super) type Gpu = usize;

/// What services want of GPUs, by number: the same for all that want the same.
pub(super) type Ask = usize;

impl<'a> Scene<'a> {
    pub(super) fn new(
        desired: &'a Desired,
        observed: &'a Observed,
        request: &'a Request,
        wants: &'a Wants<'a>,
    ) -> Self {
        // Both are in the order of their names, and nothing of the manifest goes unobserved.
        let mut observations = observed.services.iter();
        let mut seen = |name: &ServiceName| observations.find(|(other, _)| *other == name).map(|(_, seen)| seen);
        let gpus: BTreeMap<&GpuId, Gpu> = observed.gpus.keys().enumerate().map(|(at, id)| (id, at)).collect();
        let mut known: BTreeMap<&GpuRequest, Ask> = BTreeMap::new();
        let mut scene = Self::empty(desired, observed, request, wants);
        // All that is asked after often is read in one go: what a service is, is large, and read once.
        for (number, (name, service)) in desired.services.iter().enumerate() {
            let seen = seen(name).expect("every service is observed");
            scene.seen.push(seen);
            scene.glances.push(Glance::at(service, seen, observed.observed_at));
            scene.ports.push(service.ports.iter().copied());
            let gpu = seen.gpu_request(service);
            scene.asks.push(*known.entry(gpu).or_insert_with(|| {
                scene.places.push(room::places(&observed.gpus, gpu));
                scene.places.len() - 1
            }));
            let seats = seen.gpus.iter().filter_map(|id| Some((*gpus.get(id)?, scene.full_on(number, id))));
            let seats: SmallVec<[_; 1]> = seats.collect();
            scene.seats.push(seats.into_iter());
            scene.drifts.push(drift(&scene, number).map(Box::new));
        }
        let lowered = given_back::lowered(&scene);
        for &Lowered { number, gpu, measured, .. } in &lowered {
            if let Some((_, counts)) = scene.seats.of_mut(number).iter_mut().find(|(other, _)| *other == gpu) {
                *counts = measured;
            }
        }
        scene.lowered = lowered;
        Self { firm: Firm::of(&scene), ..scene }
    }

    fn empty(desired: &'a Desired, observed: &'a Observed, request: &'a Request, wants: &'a Wants<'a>) -> Self {
        let services = wants.of.len();
        Self {
            desired,
            observed,
            request,
            wants,
            seen: Vec::with_capacity(services),
            glances: Vec::with_capacity(services),
            drifts: Vec::with_capacity(services),
            asks: Vec::with_capacity(services),
            places: Vec::new(),
            ports: Rows::default(),
            seats: Rows::default(),
            lowered: Vec::new(),
            gpu_ids: observed.gpus.keys().collect(),
            firm: Firm::default(),
        }
    }

    /// Every service of the manifest, by name.
    pub(super) fn all(&self) -> Range<Number> {
        self.wants.numbers.all()
    }

    pub(super) fn name(&self, number: Number) -> &'a ServiceName {
        self.wants.numbers.name(number)
    }

    pub(super) fn service(&self, number: Number) -> &'a Service {
        self.wants.numbers.service(number)
    }

    pub(super) fn seen(&self, number: Number) -> &'a ObservedService {
        self.seen[number]
    }

    /// What most questions about it come down to.
    pub(super) fn glance(&self, number: Number) -> Glance {
        self.glances[number]
    }

    /// What makes what runs of it another than the manifest asks for.
    pub(super) fn drift(&self, number: Number) -> Option<&Reason> {
        self.drifts[number].as_deref()
    }

    /// Why nothing can be said of it.
    pub(super) fn unknown(&self, number: Number) -> Option<&'a str> {
        if self.glance(number).is_known { None } else { self.seen(number).unknown.as_deref() }
    }

    pub(super) fn want(&self, number: Number) -> &'a Want {
        &self.wants.of[number]
    }

    pub(super) fn priority(&self, number: Number) -> i64 {
        self.wants.priority[number]
    }

    pub(super) fn is_in_scope(&self, number: Number) -> bool {
        self.wants.in_scope[number]
    }

    /// Why this run has found that it can't be started now.
    pub(super) fn prevented(&self, number: Number) -> Option<&'a Reason> {
        self.request.prevented.get(self.name(number))
    }

    /// How often, and from when on, it may be brought up.
    pub(super) fn budget(&self, number: Number) -> Budget {
        self.glance(number).budget
    }

    /// Its budget is spent, and it is tried again all the same: nobody gives way for that.
    pub(super) fn is_retry(&self, number: Number) -> bool {
        matches!(self.budget(number), Budget::Retry { .. })
    }

    /// It has to wait for its next attempt, and that is not its last chance: its room is kept for it where it is free.
    pub(super) fn is_soon_tried_again(&self, number: Number) -> bool {
        matches!(self.budget(number), Budget::Waits { .. })
    }

    /// Where it may be placed; `Err` says why that is nowhere.
    pub(super) fn places(&self, number: Number) -> Result<&Places, &String> {
        self.places[self.ask(number)].as_ref()
    }

    pub(super) fn ask(&self, number: Number) -> Ask {
        self.asks[number]
    }

    /// How many asks there are.
    pub(super) fn asks(&self) -> usize {
        self.places.len()
    }

    /// Host ports that it takes while it runs.
    pub(super) fn ports(&self, number: Number) -> &[Endpoint] {
        self.ports.of(number)
    }

    /// What it holds on each of its GPUs that are known, in their order; see [`Scene::held_on`].
    pub(super) fn seat(&self, number: Number) -> &[(Gpu, Mebibytes)] {
        self.seats.of(number)
    }

    /// What services and orphans of this project hold on each GPU now.
    pub(super) fn taken(&self) -> Vec<Mebibytes> {
        let mut taken = vec![Mebibytes::ZERO; self.observed.gpus.len()];
        for (gpu, amount) in self.seats.all() {
            taken[*gpu] += *amount;
        }
        for orphan in self.observed.orphans.iter().filter(|orphan| orphan.holds_room()) {
            for (id, taken) in self.observed.gpus.keys().zip(&mut taken) {
                *taken += if orphan.gpus.contains(id) { orphan.vram } else { Mebibytes::ZERO };
            }
        }
        taken
    }

    pub(super) fn gpu_id(&self, gpu: Gpu) -> &'a GpuId {
        self.gpu_ids[gpu]
    }

    /// Its seats that count as what is measured, because others have taken what it gave back.
    pub(super) fn lowered(&self, number: Number) -> &[Lowered] {
        let first = self.lowered.partition_point(|lowered| lowered.number < number);
        let own = self.lowered[first..].partition_point(|lowered| lowered.number == number);
        &self.lowered[first..first + own]
    }

    pub(super) fn all_lowered(&self) -> &[Lowered] {
        &self.lowered
    }

    /// GPU memory that it counts for on `gpu` while it runs.
    pub(super) fn held_on(&self, number: Number, gpu: &GpuId) -> Mebibytes {
        let mut lowered = self.lowered(number).iter();
        let lowered = lowered.find(|lowered| self.gpu_id(lowered.gpu) == gpu);
        lowered.map_or_else(|| self.full_on(number, gpu), |lowered| lowered.measured)
    }

    /// GPU memory that it takes on `gpu` while it runs, what it gave back included; what may go on running and is
    /// evicted, no more than that.
    fn full_on(&self, number: Number, gpu: &GpuId) -> Mebibytes {
        let (service, seen) = (self.service(number), self.seen(number));
        match &service.evict {
            Some(evict) if self.is_kept_evicted(number) => {
                if seen.gpus.contains(gpu) {
                    evict.resident
                } else {
                    Mebibytes::ZERO
                }
            }
            Some(_) | None => seen.held(service, gpu),
        }
    }

    /// It may go on running, and holds no more than an eviction leaves it. What an operator holds counts in full; so does
    /// what is not known to answer: it may hold so little only because it still loads.
    pub(super) fn is_kept_evicted(&self, number: Number) -> bool {
        let seen = self.seen(number);
        seen.holds_room
            && seen.word.is_none()
            && seen.unknown.is_none()
            && seen.state.is_operational()
            && *self.want(number) == Want::Kept
            && seen.is_evicted(self.service(number))
    }

    /// The most that it takes on any of its GPUs.
    pub(super) fn held(&self, number: Number) -> Mebibytes {
        let gpus = self.seen(number).gpus.iter();
        gpus.map(|gpu| self.held_on(number, gpu)).max().unwrap_or_default()
    }

    /// Whether others may depend on it once this is done.
    pub(super) fn stands(&self, number: Number, decision: &Decision) -> bool {
        let seen = self.glance(number);
        match decision {
            Decision::Await(_)
            | Decision::Start { .. }
            | Decision::Recreate { .. }
            | Decision::Wake(_)
            | Decision::Evict(_)
            | Decision::Update(_)
            | Decision::Unpause(_) => true,
            Decision::Leave(_) => seen.state.is_operational(),
            Decision::Blocked(_) => seen.is_known && seen.state.is_operational(),
            Decision::Stop(_)
            | Decision::GiveUp(_)
            | Decision::Preempt { .. }
            | Decision::Pause(_)
            | Decision::Held(_) => false,
        }
    }

    /// Whether an orphan goes in this run.
    pub(super) fn stops_orphan(&self, orphan: &Orphan) -> bool {
        self.asks_orphan_to_go(orphan) && self.firm_orphan(orphan).is_none()
    }

    /// Whether it should go, if the rules let it.
    pub(super) fn asks_orphan_to_go(&self, orphan: &Orphan) -> bool {
        let asked = match self.request.purpose {
            Purpose::Down => true,
            Purpose::Apply if self.request.keeps_running().is_some() => false,
            Purpose::Apply => self.request.prune || self.desired.orphans == OrphanPolicy::Stop,
            Purpose::Start | Purpose::Stop | Purpose::Restart => false,
        };
        asked && !self.request.prevented.contains_key(&orphan.service) && self.lets_go(orphan)
    }

    /// What it depends on directly, by name.
    pub(super) fn bases(&self, number: Number) -> &'a [Number] {
        self.wants.numbers.bases(number)
    }

    /// Services that depend on this one directly, by name.
    pub(super) fn dependents(&self, number: Number) -> &'a [Number] {
        self.wants.numbers.dependents(number)
    }
}

/// What becomes of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing is done; the sentence says why.
    Leave(String),
    Start {
        reason: Reason,
        gpus: BTreeSet<GpuId>,
    },
    /// It is starting already, and only waited for.
    Await(Reason),
    /// It runs, and others have taken GPU memory that it gave back: it gets that again.
    Wake(Reason),
    /// Stopped, then started again.
    Recreate {
        reason: Reason,
        gpus: BTreeSet<GpuId>,
    },
    Stop(Reason),
    /// Wanted, but its budget is spent: what runs of it, badly, makes room, and then it is held.
    GiveUp(Reason),
    /// Not wanted: it may go on running, and gives its GPU memory back.
    Evict(Reason),
    /// An operator wants it paused, and it is not yet.
    Pause(Reason),
    /// Wanted, and its settings are changed while it runs.
    Update(Reason),
    /// Wanted, and paused though no operator holds it: it goes on.
    Unpause(Reason),
    /// Wanted, but stopped for the sake of something that matters more, and without room elsewhere.
    Preempt {
        reason: Reason,
        blocked: Box<Reason>,
    },
    /// Wanted, but can't be; whatever runs of it is left.
    Blocked(Reason),
    Held(Reason),
}

impl Decision {
    /// It is stopped in this plan, whatever comes after.
    pub(super) fn stops(&self) -> bool {
        self.stopped().is_some()
    }

    /// Why it is stopped.
    pub(super) fn stopped(&self) -> Option<&Reason> {
        match self {
            Self::Recreate { reason, .. }
            | Self::Stop(reason)
            | Self::GiveUp(reason)
            | Self::Preempt { reason, .. } => Some(reason),
            Self::Leave(_)
            | Self::Start { .. }
            | Self::Await(_)
            | Self::Wake(_)
            | Self::Evict(_)
            | Self::Pause(_)
            | Self::Update(_)
            | Self::Unpause(_)
            | Self::Blocked(_)
            | Self::Held(_) => None,
        }
    }

    /// Why it is evicted.
    pub(super) fn evicted(&self) -> Option<&Reason> {
        if let Self::Evict(reason) = self { Some(reason) } else { None }
    }

    /// Action and reason where it is changed as it runs, and nothing waits for that.
    pub(super) fn changed_as_it_runs(&self) -> Option<(Action, &Reason)> {
        match self {
            Self::Update(reason) => Some((Action::Update, reason)),
            Self::Unpause(reason) => Some((Action::Unpause, reason)),
            _ => None,
        }
    }

    /// Why it is paused.
    pub(super) fn paused(&self) -> Option<&Reason> {
        if let Self::Pause(reason) = self { Some(reason) } else { None }
    }

    /// The service with which it is recreated, and without which it is not.
    pub(super) fn along(&self) -> Option<&str> {
        let Self::Recreate { reason, .. } = self else { return None };
        reason.by.as_deref().filter(|_| reason.code == ReasonCode::Dependency)
    }

    /// What would have been recreated along with another, and is not: it is left, or waited for if it is starting.
    pub(super) fn runs_on(&self, state: State, message: &str) -> Self {
        match self.stopped() {
            Some(why) if state == State::Starting => Self::Await(Reason { message: message.to_owned(), ..why.clone() }),
            Some(_) | None => Self::Leave(format!("it runs on: {message}")),
        }
    }

    /// Why it can't be, though it is wanted.
    pub(super) fn blocked(&self) -> Option<&Reason> {
        match self {
            Self::Blocked(reason) => Some(reason),
            Self::Preempt { blocked, .. } => Some(blocked),
            Self::Leave(_)
            | Self::Start { .. }
            | Self::Await(_)
            | Self::Wake(_)
            | Self::Recreate { .. }
            | Self::Stop(_)
            | Self::GiveUp(_)
            | Self::Evict(_)
            | Self::Pause(_)
            | Self::Update(_)
            | Self::Unpause(_)
            | Self::Held(_) => None,
        }
    }

    /// Why it is kept from running.
    pub(super) fn held(&self) -> Option<&Reason> {
        if let Self::Held(reason) | Self::GiveUp(reason) = self { Some(reason) } else { None }
    }

    /// It takes memory again that it gave back.
    pub(super) fn wakes(&self) -> bool {
        matches!(self, Self::Wake(_))
    }

    pub(super) fn is_await(&self) -> bool {
        matches!(self, Self::Await(_))
    }

    /// It is brought up, or waited for, in this plan.
    pub(super) fn starts(&self) -> bool {
        matches!(self, Self::Start { .. } | Self::Recreate { .. } | Self::Await(_))
    }
}

/// The decision for every service of the manifest, by number.
#[derive(Clone, Debug)]
pub(super) struct Decisions(pub(super) Vec<Decision>);

impl Decisions {
    pub(super) fn any_blocked(&self) -> bool {
        self.0.iter().any(|decision| decision.blocked().is_some())
    }

    /// Those of which something holds; the least number first.
    pub(super) fn those(&self, holds: impl Fn(&Decision) -> bool) -> impl DoubleEndedIterator<Item = Number> {
        self.0.iter().enumerate().filter(move |(_, decision)| holds(decision)).map(|(number, _)| number)
    }

    /// `--strict`: all or nothing.
    pub(super) fn without_changes(mut self) -> Self {
        let message = "left as it is: --strict, and something wanted is blocked";
        for decision in &mut self.0 {
            match decision {
                Decision::Start { .. }
                | Decision::Await(_)
                | Decision::Wake(_)
                | Decision::Recreate { .. }
                | Decision::Evict(_)
                | Decision::Pause(_)
                | Decision::Update(_)
                | Decision::Unpause(_)
                | Decision::Stop(_) => {
                    *decision = Decision::Leave(message.to_owned());
                }
                Decision::Preempt { blocked, .. } => *decision = Decision::Blocked((**blocked).clone()),
                Decision::GiveUp(held) => *decision = Decision::Held(held.clone()),
                Decision::Leave(_) | Decision::Blocked(_) | Decision::Held(_) => {}
            }
        }
        self
    }
}
