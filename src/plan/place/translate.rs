//! Translation of services, GPUs and ports to the numbers of a [`PlacementProblem`]. A service that can't be started,
//! however others are placed, is blocked here already.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::amounts::Amounts;
use super::ports::{port_taken_message, positions_of};
use super::problem::{Few, GpuSlot, Item, ItemId, ItemKind, PlacementProblem, Sets};
use super::refusal::{is_tried_again, missing_dependency};
use crate::model::desired::GpuRequest;
use crate::model::endpoint::Endpoint;
use crate::model::lifecycle::{Action, State};
use crate::model::names::{GpuId, ServiceName};
use crate::model::observed::PortHolder;
use crate::model::plan::{Reason, ReasonCode};
use crate::model::size::Mebibytes;
use crate::plan::decision::{Decision, Decisions};
use crate::plan::input::PlanInput;
use crate::plan::judge::context::PlanContext;
use crate::plan::judge::{given_back, orphans, recover};
use crate::plan::numbers::Number;
use crate::plan::reason::reason;
use crate::plan::want::Want;

/// Problem with the meaning of its numbers.
pub(super) struct Translated {
    pub(super) problem: PlacementProblem,
    /// First decisions; services that can't be started in any case are blocked.
    pub(super) decisions: Decisions,
    /// Number of the service of each item.
    pub(super) numbers: Vec<Number>,
    /// GPUs by their position.
    pub(super) gpus: Vec<GpuId>,
    /// Sorted, by position.
    pub(super) ports: Vec<Endpoint>,
}

pub(super) fn translate(context: &PlanContext<'_>, decisions: Decisions) -> Translated {
    let order = placing_order(&context.input);
    let mut work = Work::new(context, decisions);
    for number in &order {
        work.sort_out(*number);
    }
    work.finish(&order)
}

/// Services by descending priority; of equals, dependencies first, then by name. A retry that does not run comes last:
/// it takes what the rest leaves, and nothing waits for it.
fn placing_order(input: &PlanInput<'_>) -> Vec<Number> {
    let mut depths = vec![None; input.all().len()];
    let mut order: Vec<Number> = input.all().collect();
    order.sort_by_cached_key(|number| (height(input, *number), depth(input, *number, &mut depths), *number));
    order
}

/// Sort key of priorities: the highest priority has the least key. A service that is merely left running comes last.
fn height(input: &PlanInput<'_>, number: Number) -> (bool, bool, Reverse<i64>) {
    let is_left_running = input.wants.left_running.contains_key(&number);
    (is_left_running, comes_last(input, number), Reverse(input.priority(number)))
}

fn comes_last(input: &PlanInput<'_>, number: Number) -> bool {
    input.is_retry(number) && input.wants.is_wanted(number) && !input.summary(number).holds_capacity
}

/// Length of the longest chain of dependencies below a service.
fn depth(input: &PlanInput<'_>, number: Number, known: &mut [Option<usize>]) -> usize {
    if let Some(depth) = known[number] {
        return depth;
    }
    // The loader refuses cycles; this entry makes the recursion terminate all the same.
    known[number] = Some(0);
    let below = input.bases(number).iter().map(|next| depth(input, *next, known) + 1).max().unwrap_or(0);
    known[number] = Some(below);
    below
}

/// Service that the search may decide about.
struct SearchItem {
    kind: ItemKind,
    sets: Rc<Sets>,
    follows: Option<Number>,
}

struct Work<'a> {
    context: &'a PlanContext<'a>,
    input: &'a PlanInput<'a>,
    decisions: Decisions,
    /// By number, like the following fields.
    search_items: Vec<Option<SearchItem>>,
    /// True for services that run at the end however others are placed.
    fixed: Vec<bool>,
    /// True for services with a dependent that can't be stopped.
    pinned: Vec<bool>,
    /// Ports of fixed services, by port number.
    claimed: BTreeMap<u16, Vec<(Endpoint, Number)>>,
    /// By GPU request.
    lists: Vec<Option<Rc<Sets>>>,
    gpus: BTreeMap<&'a GpuId, GpuSlot>,
    nothing: Rc<Sets>,
}

impl<'a> Work<'a> {
    fn new(context: &'a PlanContext<'a>, decisions: Decisions) -> Self {
        let input = &context.input;
        let gpus = input.observed.gpus.keys().enumerate().map(|(at, id)| (id, at)).collect();
        let nothing = Rc::new(Sets { sets: Vec::new(), named: false });
        let services = input.all().len();
        let (fixed, pinned, claimed) = (vec![false; services], vec![false; services], BTreeMap::new());
        let (search_items, lists) = (input.all().map(|_| None).collect(), vec![None; input.gpu_requests().len()]);
        let mut work = Self { context, input, decisions, search_items, fixed, pinned, claimed, lists, gpus, nothing };
        work.fix();
        work
    }

    /// Fixes the services that can't be stopped, and pins their dependencies.
    fn fix(&mut self) {
        let input = self.input;
        let runs_on = |number: &Number| input.summary(*number).holds_capacity && !self.decisions.0[*number].stops();
        let mut open: Vec<Number> = input.all().filter(runs_on).filter(|number| !self.may_give_way(*number)).collect();
        while let Some(number) = open.pop() {
            for base in input.bases(number).iter().copied() {
                if input.summary(base).holds_capacity && !self.fixed[base] && !self.pinned[base] {
                    self.pinned[base] = true;
                    open.push(base);
                }
            }
            // A service that is recreated for a reason of its own may still be placed elsewhere.
            if !self.decisions.0[number].stops() {
                for port in input.ports(number) {
                    self.claimed.entry(port.port).or_default().push((*port, number));
                }
                // A service that is woken or scaled can't be stopped, and yet takes another amount of memory.
                let changes = self.decisions.0[number].changes_memory();
                self.fixed[number] = !changes;
                self.pinned[number] |= changes;
            }
        }
    }

    /// Returns true if the service may be a victim at all; priorities decide which others may preempt it.
    fn may_give_way(&self, number: Number) -> bool {
        let seen = self.input.summary(number);
        seen.is_known
            && !seen.has_hold
            && !matches!(seen.state, State::Suspended | State::Maintenance | State::Stopping)
            && seen.is_ours()
            && self.input.is_in_scope(number)
            && self.input.prevented(number).is_none()
            && !matches!(self.input.want(number), Want::Off(_))
            && self.context.protected.own(number).is_none()
    }

    /// Decides about one service as far as memory and ports of others are irrelevant. Its dependencies come first.
    fn sort_out(&mut self, number: Number) {
        let seen = self.input.summary(number);
        let decision = &self.decisions.0[number];
        let is_kept = *self.input.want(number) == Want::Kept;
        match decision {
            Decision::Start { .. } | Decision::Recreate { .. } => self.sort_out_start(number),
            Decision::Wake(_) | Decision::ScaleUp(_) | Decision::Roll(_) => self.sort_out_wake(number),
            Decision::Held(_) if self.input.is_soon_tried_again(number) && !seen.holds_capacity => {
                // A service that took its memory now would be preempted shortly.
                if let Ok(sets) = self.startable(number) {
                    self.add_search_item(number, ItemKind::Fresh, Some(sets), None);
                }
            }
            Decision::Leave(_)
            | Decision::Await(_)
            | Decision::Update(_)
            | Decision::ScaleDown(_)
            | Decision::Unpause(_)
            | Decision::Blocked(_)
            | Decision::Held(_) => {
                if seen.holds_capacity && !self.fixed[number] {
                    let blocked = matches!(decision, Decision::Blocked(_) | Decision::Held(_));
                    let kind = if is_kept {
                        ItemKind::Kept
                    } else if blocked {
                        ItemKind::Stuck
                    } else {
                        ItemKind::Settled
                    };
                    let sets = self.movable_to(number).filter(|_| kind == ItemKind::Settled);
                    self.add_search_item(number, kind, sets, None);
                }
            }
            Decision::Stop(_)
            | Decision::GiveUp(_)
            | Decision::Preempt { .. }
            | Decision::Evict(_)
            | Decision::Pause(_) => {}
        }
    }

    fn add_search_item(&mut self, number: Number, kind: ItemKind, sets: Option<Rc<Sets>>, follows: Option<Number>) {
        let sets = sets.unwrap_or_else(|| self.nothing.clone());
        self.search_items[number] = Some(SearchItem { kind, sets, follows });
    }

    /// Adds a service that is woken or gets copies: on its own GPUs, and on others only where it is preempted.
    fn sort_out_wake(&mut self, number: Number) {
        let home: Vec<GpuSlot> = self.context.seat(number).iter().map(|(gpu, _)| *gpu).collect();
        let is_bound = self.pinned[number] || self.decisions.0[number].rolls();
        let elsewhere = if is_bound { None } else { self.movable_to(number) };
        let sets = elsewhere.filter(|sets| sets.sets.contains(&home));
        let sets = sets.unwrap_or_else(|| Rc::new(Sets { sets: vec![home], named: true }));
        self.add_search_item(number, ItemKind::Waking, Some(sets), None);
    }

    fn sort_out_start(&mut self, number: Number) {
        let before = self.decisions.0[number].clone();
        let recreates = before.stops();
        let base = before.along().and_then(|base| self.input.wants.numbers.find(&ServiceName::from(base)));
        if let Some(base) = base.filter(|base| !self.decisions.0[*base].stops()) {
            let base = self.input.name(base);
            self.run_on(number, &before, &format!("{base}, which it would be recreated with, is not recreated"));
            return;
        }
        match self.startable(number).and_then(|sets| self.at_home(number, sets)) {
            Ok(sets) => {
                let kind = if recreates { ItemKind::Drifted } else { ItemKind::Fresh };
                let follows = base.filter(|base| self.search_items[*base].is_some());
                self.add_search_item(number, kind, Some(sets), follows);
            }
            Err(blocked) if before.along().is_some() && self.input.summary(number).state == State::Starting => {
                self.run_on(number, &before, &blocked.message);
            }
            Err(blocked) => {
                self.decisions.0[number] = recover::blocked_or_held(self.context, number, blocked);
                if recreates && !self.decisions.0[number].stops() {
                    self.stick(number);
                }
            }
        }
    }

    /// Restricts a failing service that is only retried to its own GPUs.
    fn at_home(&self, number: Number, sets: Rc<Sets>) -> Result<Rc<Sets>, Reason> {
        if !self.input.is_retry(number) || !self.decisions.0[number].stops() {
            return Ok(sets);
        }
        let seen = self.input.seen(number);
        let home: Vec<GpuSlot> = seen.gpus.iter().filter_map(|gpu| self.gpus.get(gpu).copied()).collect();
        if sets.sets.contains(&home) && self.context.fits_where_it_is(number) {
            return Ok(Rc::new(Sets { sets: vec![home], named: true }));
        }
        Err(reason(ReasonCode::NoCapacity, "it can't be restarted on its current GPUs".to_owned(), None))
    }

    /// Sets of GPUs on which a running service could be restarted; `None` if it could not be restarted at all.
    fn movable_to(&mut self, number: Number) -> Option<Rc<Sets>> {
        let may_stand =
            |base: &Number| (self.search_items[*base].is_some() || self.stands(*base)) && !self.is_on_trial(*base);
        // A move would lose the work of a job.
        let startable = self.input.service(number).job.is_none()
            && !self.input.summary(number).lacks_secret
            && self.input.bases(number).iter().all(may_stand)
            && self.input.way(number, Action::Start, State::Offline).is_ok();
        if startable { self.sets(number).ok() } else { None }
    }

    /// Adds a service that keeps running as it is, unless another needs its memory or port.
    fn stick(&mut self, number: Number) {
        if self.pinned[number] {
            self.fixed[number] = true;
        } else {
            self.add_search_item(number, ItemKind::Stuck, None, None);
        }
    }

    fn run_on(&mut self, number: Number, before: &Decision, message: &str) {
        self.decisions.0[number] = before.runs_on(self.input.summary(number).state, message);
        if let (Decision::Leave(_), Want::Wanted(why)) = (&self.decisions.0[number], self.input.want(number))
            && let Some(wake) = given_back::wake(self.context, number, why)
        {
            let wakes = wake.wakes();
            self.decisions.0[number] = wake;
            if wakes {
                self.sort_out_wake(number);
            } else {
                self.stick(number);
            }
            return;
        }
        if self.pinned[number] {
            self.fixed[number] = true;
        } else {
            let sets = self.movable_to(number);
            self.add_search_item(number, ItemKind::Settled, sets, None);
        }
    }

    /// Sets of GPUs for a start; `Err`: an obstacle that no placement removes, such as no suitable GPU.
    fn startable(&mut self, number: Number) -> Result<Rc<Sets>, Reason> {
        for dependency in self.input.bases(number).iter().copied() {
            if self.is_tried_again(dependency) {
                return Err(is_tried_again(self.input, dependency));
            }
            if self.is_on_trial(dependency) {
                return Err(missing_dependency(self.input, dependency, &self.decisions.0[dependency]));
            }
            let may_stand = match &self.search_items[dependency] {
                _ if self.input.service(number).awaits_end_of(self.input.name(dependency)) => {
                    self.completes(dependency)
                }
                Some(item) => matches!(item.kind, ItemKind::Fresh | ItemKind::Drifted) || self.stands(dependency),
                None => self.stands(dependency),
            };
            if !may_stand {
                return Err(missing_dependency(self.input, dependency, &self.decisions.0[dependency]));
            }
        }
        self.ports_are_free(number)?;
        let unknown = self.input.observed.gpus_unknown.as_ref();
        if let Some(why) = unknown.filter(|_| self.input.service(number).wants_gpu()) {
            let seen = self.input.seen(number);
            // Where free memory is unknown, a service may keep what it has, and no more.
            let home: Vec<GpuSlot> = seen.gpus.iter().filter_map(|gpu| self.gpus.get(gpu).copied()).collect();
            let allowed = self.sets(number).is_ok_and(|sets| sets.sets.contains(&home));
            if self.decisions.0[number].stops() && allowed && self.context.fits_where_it_is(number) {
                return Ok(Rc::new(Sets { sets: vec![home], named: true }));
            }
            let message = format!("free memory on its GPUs is unknown: {why}");
            return Err(reason(ReasonCode::Unknown, message, None));
        }
        if let Some(why) = self.input.observed.memory.unknown()
            && self.input.service(number).ram > Mebibytes::ZERO
            && !self.decisions.0[number].stops()
        {
            return Err(reason(ReasonCode::Unknown, format!("free host memory is unknown: {why}"), None));
        }
        // A GPU that can't be read may be one that would satisfy the request.
        let unreadable = self.input.observed.gpus.values().any(|gpu| gpu.unreadable.is_some());
        let code = if unreadable { ReasonCode::Unknown } else { ReasonCode::NoCapacity };
        self.sets(number).map_err(|message| reason(code, message, None))
    }

    /// Returns true if the plan retries the service. It may well fail again, so its dependents wait until it is up.
    fn is_tried_again(&self, number: Number) -> bool {
        self.decisions.0[number].starts() && self.input.is_retry(number)
    }

    /// Returns true if the service may fail to start: its dependents can't count on it.
    fn is_on_trial(&self, number: Number) -> bool {
        self.is_tried_again(number) || self.decisions.0[number].held().is_some()
    }

    /// Returns true if dependents may count on the service as it is now.
    fn stands(&self, number: Number) -> bool {
        self.decisions.0[number].stands(self.input.summary(number))
    }

    /// Returns true if a job is done, or started or awaited in this plan.
    fn completes(&self, job: Number) -> bool {
        let decision = &self.decisions.0[job];
        decision.starts() || (matches!(decision, Decision::Leave(_)) && self.input.summary(job).is_done)
    }

    /// Returns true if dependents may count on the service while it is not restarted.
    fn stands_as_it_is(&self, number: Number, kind: ItemKind) -> bool {
        let (decision, state) = (&self.decisions.0[number], self.input.summary(number).state);
        if kind != ItemKind::Drifted {
            return self.stands(number);
        }
        let is_job = self.input.service(number).job.is_some();
        !is_job && (state.is_operational() || (decision.along().is_some() && state == State::Starting))
    }

    fn ports_are_free(&self, number: Number) -> Result<(), Reason> {
        let ports = self.input.ports(number);
        if let (Some(why), false) = (&self.input.observed.ports_unknown, ports.is_empty()) {
            let message = format!("can't check whether its ports are free: {why}");
            return Err(reason(ReasonCode::Unknown, message, None));
        }
        for port in ports {
            let taken = |message: String| Err(reason(ReasonCode::PortTaken, message, None));
            for holder in self.input.observed.ports.of(port) {
                match holder {
                    PortHolder::Foreign(who) => {
                        return taken(format!("port {port} is held by {who}, which this project does not manage"));
                    }
                    PortHolder::Orphan(orphan) if !self.orphan_goes(orphan) => {
                        return taken(format!("port {port} is held by orphan {orphan}; `--prune` stops orphans"));
                    }
                    PortHolder::Orphan(_) | PortHolder::Service(_) => {}
                }
            }
            let mut claimed = self.claimed.get(&port.port).into_iter().flatten();
            if let Some((_, claimant)) = claimed.find(|(other, who)| *who != number && other.clashes(port)) {
                return taken(port_taken_message(self.input, port, *claimant));
            }
        }
        Ok(())
    }

    fn orphan_goes(&self, name: &ServiceName) -> bool {
        let mut named = self.input.observed.orphans.iter().filter(|orphan| orphan.service == *name);
        named.all(|orphan| orphans::stops(self.input, orphan))
    }

    /// Sets of GPUs for a service; services with the same GPU request share one list.
    fn sets(&mut self, number: Number) -> Result<Rc<Sets>, String> {
        let request = self.input.gpu_request_index(number);
        if let Some(known) = &self.lists[request] {
            return Ok(known.clone());
        }
        let gpu = self.input.seen(number).gpu_request(self.input.service(number));
        let named = matches!(gpu, GpuRequest::All(_) | GpuRequest::Any(_));
        let position = |set: &BTreeSet<GpuId>| set.iter().filter_map(|id| self.gpus.get(id).copied()).collect();
        let places = self.context.places(number).map_err(Clone::clone)?;
        let made = Rc::new(Sets { sets: places.sets.iter().map(position).collect(), named });
        self.lists[request] = Some(made.clone());
        Ok(made)
    }

    fn finish(self, order: &[Number]) -> Translated {
        let searched = |number: &Number| self.search_items[*number].is_some();
        let numbers: Vec<Number> = order.iter().copied().filter(searched).collect();
        let mut ids: Vec<Option<ItemId>> = vec![None; self.search_items.len()];
        numbers.iter().enumerate().for_each(|(id, number)| ids[*number] = Some(id));
        let mut ports: Vec<Endpoint> =
            numbers.iter().flat_map(|number| self.input.ports(*number).iter().copied()).collect();
        ports.sort_unstable();
        ports.dedup();
        let mut heights: Vec<_> = numbers.iter().map(|number| height(self.input, *number)).collect();
        heights.dedup();
        let mut amounts = Amounts::new(self.context);
        let mut level = 0;
        let mut items = Vec::with_capacity(numbers.len());
        for number in numbers.iter().copied() {
            let Some(search_item) = &self.search_items[number] else { continue };
            while heights[level] != height(self.input, number) {
                level += 1;
            }
            items.push(Item { level, ..self.item(number, search_item, (&ids, &ports), &mut amounts) });
        }
        let problem = PlacementProblem {
            usable: amounts.usable(self.input.all().filter(|number| self.fixed[*number])),
            host: amounts.host,
            items,
            levels: heights.len(),
            ports: ports.len(),
            repack: self.input.request.repack,
        };
        let gpus = self.input.observed.gpus.keys().cloned().collect();
        Translated { problem, numbers, gpus, ports, decisions: self.decisions }
    }

    /// Returns the item of a service; the caller sets its level.
    fn item(
        &self,
        number: Number,
        search_item: &SearchItem,
        (ids, ports): (&[Option<ItemId>], &[Endpoint]),
        amounts: &mut Amounts<'_>,
    ) -> Item {
        let seen = self.input.seen(number);
        let sits = search_item.kind != ItemKind::Fresh;
        let decision = &self.decisions.0[number];
        let seat = if sits { amounts.seat(number, decision) } else { Few::new() };
        let home = amounts.home(&search_item.sets, &seat).filter(|_| sits);
        let is_left_running = self.input.wants.left_running.contains_key(&number);
        let evicts = search_item.kind == ItemKind::Kept && self.input.summary(number).has_evict && !is_left_running;
        let evict = evicts.then(|| self.input.service(number).evict.as_ref()).flatten();
        let resident = evict.map(|evict| amounts.resident(&seat, evict.resident)).filter(|resident| {
            let frees = |(slot, held): &(GpuSlot, i64)| Some(*slot) != amounts.host && *held > resident.on_gpu;
            seen.state.is_operational()
                && seen.measured.is_some()
                && !seen.grew_back
                && !self.input.request.not_evicted.contains(self.input.name(number))
                && seat.iter().any(frees)
        });
        let (sets, need) = amounts.need((number, search_item.kind), decision, &seat, &search_item.sets);
        // No placed item depends on a service that comes last.
        let bases = self.input.bases(number).iter().filter(|base| !comes_last(self.input, **base));
        Item {
            level: 0,
            kind: search_item.kind,
            seat,
            resident,
            need,
            sets,
            home,
            bases: bases.filter_map(|base| ids[*base]).collect(),
            ports: positions_of(self.input.ports(number), ports),
            stands: sits && self.stands_as_it_is(number, search_item.kind),
            pinned: self.pinned[number],
            follows: search_item.follows.and_then(|base| ids[base]),
            // An update gives its memory back, so it preempts nothing.
            never_preempts: decision.rolls() || self.input.is_retry(number) || self.input.is_soon_tried_again(number),
        }
    }
}
