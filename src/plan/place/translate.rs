//! Services, GPUs and ports to the numbers of a [`Problem`]; what can't be started whatever is placed where, is told
//! here already.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::problem::{Gpu, Item, ItemId, Kind, Problem, Sets};
use crate::model::desired::{GpuRequest, Service};
use crate::model::lifecycle::State;
use crate::model::names::{GpuId, ServiceName};
use crate::model::observed::{ObservedGpu, Ownership, PortHolder};
use crate::model::plan::{Reason, ReasonCode};
use crate::plan::decide::{Decision, Decisions, Scene};
use crate::plan::explain::absence;
use crate::plan::judge::reason;
use crate::plan::room::{candidates, taken_by_others};
use crate::plan::want::Want;

/// The problem, and what its numbers stand for.
pub(super) struct Translated {
    pub(super) problem: Problem,
    /// As judged; what can't be started in any case is blocked by now.
    pub(super) decisions: Decisions,
    /// By item.
    pub(super) names: Vec<ServiceName>,
    /// By position.
    pub(super) gpus: Vec<GpuId>,
    /// By number.
    pub(super) ports: Vec<u16>,
}

pub(super) fn translate(scene: &Scene<'_>, decisions: Decisions) -> Translated {
    let order = placing_order(scene, &decisions);
    let mut work = Work::new(scene, decisions);
    for name in &order {
        work.sort_out(name);
    }
    work.finish(&order)
}

/// The most important first; of equals, what others depend on, then by name.
fn placing_order(scene: &Scene<'_>, decisions: &Decisions) -> Vec<ServiceName> {
    let mut depths = BTreeMap::new();
    let mut keyed: Vec<(std::cmp::Reverse<i64>, usize, &ServiceName)> = decisions
        .0
        .keys()
        .map(|name| (std::cmp::Reverse(scene.priority(name)), depth(scene, name, &mut depths), name))
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, _, name)| name.clone()).collect()
}

/// The longest chain of dependencies below a service.
fn depth<'a>(scene: &Scene<'a>, name: &'a ServiceName, known: &mut BTreeMap<&'a ServiceName, usize>) -> usize {
    let needs = &scene.service(name).depends_on;
    if needs.is_empty() {
        return 0;
    }
    if let Some(depth) = known.get(name) {
        return *depth;
    }
    // The loader refuses cycles; this entry keeps the walk finite all the same.
    known.insert(name, 0);
    let below = needs.keys().map(|next| depth(scene, next, known) + 1).max().unwrap_or(0);
    known.insert(name, below);
    below
}

/// A service that the search may decide about.
struct Draft {
    kind: Kind,
    sets: Rc<Sets>,
    follows: Option<ServiceName>,
}

struct Work<'a> {
    scene: &'a Scene<'a>,
    decisions: Decisions,
    drafts: BTreeMap<ServiceName, Draft>,
    /// What runs at the end whatever is decided.
    fixed: BTreeSet<ServiceName>,
    /// Something that can't be stopped depends on them.
    pinned: BTreeSet<ServiceName>,
    /// By those that are fixed.
    claimed: BTreeMap<u16, ServiceName>,
    lists: Vec<(&'a GpuRequest, Result<Rc<Sets>, String>)>,
    gpus: BTreeMap<&'a GpuId, Gpu>,
    nothing: Rc<Sets>,
}

impl<'a> Work<'a> {
    fn new(scene: &'a Scene<'a>, decisions: Decisions) -> Self {
        let gpus = scene.observed.gpus.keys().enumerate().map(|(at, id)| (id, at)).collect();
        let nothing = Rc::new(Sets { sets: Vec::new(), named: false });
        let (fixed, pinned, claimed) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        let (drafts, lists) = (BTreeMap::new(), Vec::new());
        let mut work = Self { scene, decisions, drafts, fixed, pinned, claimed, lists, gpus, nothing };
        work.fix();
        work
    }

    /// Finds what nobody may be asked to stop; and what such a one depends on can't be stopped either.
    fn fix(&mut self) {
        let runs_on =
            |(name, decision): &(&ServiceName, &Decision)| self.scene.seen(name).holds_room && !decision.stops();
        let fixed = self.decisions.0.iter().filter(runs_on).filter(|(name, _)| !self.may_give_way(name));
        let mut open: Vec<ServiceName> = fixed.map(|(name, _)| name.clone()).collect();
        while let Some(name) = open.pop() {
            for base in self.scene.service(&name).depends_on.keys() {
                if self.scene.seen(base).holds_room && !self.fixed.contains(base) && self.pinned.insert(base.clone()) {
                    open.push(base.clone());
                }
            }
            // One that is started again by itself keeps its question: where.
            if !self.decisions.0[&name].stops() {
                for port in &self.scene.service(&name).ports {
                    self.claimed.entry(*port).or_insert_with(|| name.clone());
                }
                self.fixed.insert(name);
            }
        }
    }

    /// Whether it may be a victim at all; of whom, priorities say.
    fn may_give_way(&self, name: &ServiceName) -> bool {
        let seen = self.scene.seen(name);
        seen.unknown.is_none()
            && !matches!(seen.state, State::Suspended | State::Maintenance | State::Stopping)
            && matches!(seen.ownership, Ownership::Ours | Ownership::Adopted)
            && self.scene.wants.in_scope.contains(name)
            && !self.scene.request.prevented.contains_key(name)
            && !matches!(self.scene.wants.of[name], Want::Off(_))
    }

    /// What is to become of one service as far as it does not hang on room. Those that it depends on come first.
    fn sort_out(&mut self, name: &ServiceName) {
        let seen = self.scene.seen(name);
        let decision = &self.decisions.0[name];
        let is_kept = self.scene.wants.of[name] == Want::Kept;
        match decision {
            Decision::Start { .. } | Decision::Recreate { .. } => self.sort_out_start(name),
            Decision::Leave(_) | Decision::Await(_) | Decision::Blocked(_) | Decision::Held(_) => {
                if seen.holds_room && !self.fixed.contains(name) {
                    let blocked = matches!(decision, Decision::Blocked(_));
                    let kind = if is_kept {
                        Kind::Kept
                    } else if blocked {
                        Kind::Stuck
                    } else {
                        Kind::Settled
                    };
                    let sets = self.movable_to(name).filter(|_| kind == Kind::Settled);
                    self.draft(name, kind, sets, None);
                }
            }
            Decision::Stop(_) | Decision::Preempt { .. } | Decision::Evict(_) => {}
        }
    }

    fn draft(&mut self, name: &ServiceName, kind: Kind, sets: Option<Rc<Sets>>, follows: Option<ServiceName>) {
        let sets = sets.unwrap_or_else(|| self.nothing.clone());
        self.drafts.insert(name.clone(), Draft { kind, sets, follows });
    }

    fn sort_out_start(&mut self, name: &ServiceName) {
        let before = self.decisions.0[name].clone();
        let recreates = before.stops();
        let base = before.along().map(ServiceName::from);
        let again = |base: &&ServiceName| self.decisions.0.get(base).is_some_and(Decision::stops);
        if let Some(base) = base.as_ref().filter(|base| !again(base)) {
            self.run_on(name, &before, &format!("{base}, which it would be recreated with, stays as it is"));
            return;
        }
        match self.startable(name) {
            Ok(sets) => {
                let kind = if recreates { Kind::Drifted } else { Kind::Fresh };
                let follows = base.filter(|base| self.drafts.contains_key(base));
                self.draft(name, kind, Some(sets), follows);
            }
            Err(blocked) if before.along().is_some() && self.scene.seen(name).state == State::Starting => {
                self.run_on(name, &before, &blocked.message);
            }
            Err(blocked) => {
                self.decisions.0.insert(name.clone(), Decision::Blocked(blocked));
                if recreates {
                    self.stick(name);
                }
            }
        }
    }

    /// Where what runs well could be started again; nowhere, if it could not be started again at all.
    fn movable_to(&mut self, name: &ServiceName) -> Option<Rc<Sets>> {
        let service = self.scene.service(name);
        let may_stand = |base: &ServiceName| self.drafts.contains_key(base) || self.stands(base);
        let startable = service.missing_secrets.is_empty() && service.depends_on.keys().all(may_stand);
        if startable { self.sets(name).ok() } else { None }
    }

    /// It runs on as it is, unless somebody needs its room.
    fn stick(&mut self, name: &ServiceName) {
        if self.pinned.contains(name) {
            self.fixed.insert(name.clone());
        } else {
            self.draft(name, Kind::Stuck, None, None);
        }
    }

    fn run_on(&mut self, name: &ServiceName, before: &Decision, message: &str) {
        self.decisions.0.insert(name.clone(), before.runs_on(self.scene.seen(name).state, message));
        if self.pinned.contains(name) {
            self.fixed.insert(name.clone());
        } else {
            let sets = self.movable_to(name);
            self.draft(name, Kind::Settled, sets, None);
        }
    }

    /// Where it may be started, if nothing but other services' room stands in its way.
    fn startable(&mut self, name: &ServiceName) -> Result<Rc<Sets>, Reason> {
        for dependency in self.scene.service(name).depends_on.keys() {
            let may_stand = match self.drafts.get(dependency) {
                Some(draft) => matches!(draft.kind, Kind::Fresh | Kind::Drifted) || self.stands(dependency),
                None => self.stands(dependency),
            };
            if !may_stand {
                let message = format!("it depends on {dependency}, which {}", absence(&self.decisions.0[dependency]));
                return Err(reason(ReasonCode::Dependency, message, Some(dependency.to_string())));
            }
        }
        self.ports_are_free(name)?;
        let (service, seen) = (self.scene.service(name), self.scene.seen(name));
        if let (Some(why), true) = (&self.scene.observed.gpus_unknown, service.wants_gpu()) {
            // Where nobody knows what is free, it may have again what it has, and no more.
            let home: Vec<Gpu> = seen.gpus.iter().filter_map(|gpu| self.gpus.get(gpu).copied()).collect();
            let allowed = self.sets(name).is_ok_and(|sets| sets.sets.contains(&home));
            if self.decisions.0[name].stops() && allowed && service.vram <= self.scene.held(name) {
                return Ok(Rc::new(Sets { sets: vec![home], named: true }));
            }
            let message = format!("what is free on its GPUs can't be told: {why}");
            return Err(reason(ReasonCode::Unknown, message, None));
        }
        self.sets(name).map_err(|message| reason(ReasonCode::NoRoom, message, None))
    }

    /// As it is now, others may depend on it.
    fn stands(&self, name: &ServiceName) -> bool {
        self.scene.stands(name, &self.decisions.0[name])
    }

    /// Without being started again.
    fn stands_as_it_is(&self, name: &ServiceName, kind: Kind) -> bool {
        let (decision, state) = (&self.decisions.0[name], self.scene.seen(name).state);
        match kind {
            Kind::Drifted => state.is_operational() || (decision.along().is_some() && state == State::Starting),
            Kind::Fresh | Kind::Settled | Kind::Stuck | Kind::Kept => self.stands(name),
        }
    }

    fn ports_are_free(&self, name: &ServiceName) -> Result<(), Reason> {
        let service = self.scene.service(name);
        if let (Some(why), false) = (&self.scene.observed.ports_unknown, service.ports.is_empty()) {
            let message = format!("whether its ports are free can't be told: {why}");
            return Err(reason(ReasonCode::Unknown, message, None));
        }
        for port in &service.ports {
            let taken = |message: String| Err(reason(ReasonCode::PortTaken, message, None));
            match self.scene.observed.ports.get(port) {
                Some(PortHolder::Foreign(who)) => {
                    return taken(format!("port {port} is held by {who}, which lcm does not touch"));
                }
                Some(PortHolder::Orphan(orphan)) if !self.orphan_goes(orphan) => {
                    return taken(format!("port {port} is held by orphan {orphan}; `--prune` stops orphans"));
                }
                Some(PortHolder::Orphan(_) | PortHolder::Service(_)) | None => {}
            }
            if let Some(claimant) = self.claimed.get(port).filter(|claimant| *claimant != name) {
                return taken(port_of(self.scene, *port, claimant));
            }
        }
        Ok(())
    }

    fn orphan_goes(&self, name: &ServiceName) -> bool {
        let mut named = self.scene.observed.orphans.iter().filter(|orphan| orphan.service == *name);
        named.all(|orphan| self.scene.stops_orphan(orphan))
    }

    /// Services that ask alike share one list.
    fn sets(&mut self, name: &ServiceName) -> Result<Rc<Sets>, String> {
        let service: &'a Service = self.scene.service(name);
        if let Some((_, known)) = self.lists.iter().find(|(request, _)| **request == service.gpu) {
            return known.clone();
        }
        let named = matches!(service.gpu, GpuRequest::All(_) | GpuRequest::Any(_));
        let position = |set: &BTreeSet<GpuId>| set.iter().filter_map(|id| self.gpus.get(id).copied()).collect();
        let made = candidates(self.scene, service)
            .map(|sets| Rc::new(Sets { sets: sets.iter().map(position).collect(), named }));
        self.lists.push((&service.gpu, made.clone()));
        made
    }

    fn finish(self, order: &[ServiceName]) -> Translated {
        let names: Vec<ServiceName> = order.iter().filter(|name| self.drafts.contains_key(*name)).cloned().collect();
        let ids: BTreeMap<&ServiceName, ItemId> = names.iter().enumerate().map(|(id, name)| (name, id)).collect();
        let mut ports: Vec<u16> =
            names.iter().flat_map(|name| self.scene.service(name).ports.iter().copied()).collect();
        ports.sort_unstable();
        ports.dedup();
        let mut heights: Vec<i64> = names.iter().map(|name| self.scene.priority(name)).collect();
        heights.dedup();
        let mut level = 0;
        let mut items = Vec::with_capacity(names.len());
        for name in &names {
            while heights[level] != self.scene.priority(name) {
                level += 1;
            }
            items.push(self.item(name, level, &ids, &ports));
        }
        let problem = Problem {
            usable: self.usable(),
            items,
            levels: heights.len(),
            ports: ports.len(),
            repack: self.scene.request.repack,
        };
        let gpus = self.scene.observed.gpus.keys().cloned().collect();
        Translated { problem, names, gpus, ports, decisions: self.decisions }
    }

    fn usable(&self) -> Vec<i64> {
        let signed = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX / 4);
        let free =
            |(id, gpu): (&GpuId, &ObservedGpu)| signed(gpu.capacity.0) - signed(taken_by_others(self.scene, id).0);
        let mut usable: Vec<i64> = self.scene.observed.gpus.iter().map(free).collect();
        for name in &self.fixed {
            for (id, gpu) in self.scene.seen(name).gpus.iter().filter_map(|id| Some((id, *self.gpus.get(id)?))) {
                usable[gpu] -= signed(self.scene.held_on(name, id).0);
            }
        }
        usable
    }

    fn item(&self, name: &ServiceName, level: usize, ids: &BTreeMap<&ServiceName, ItemId>, ports: &[u16]) -> Item {
        let (service, seen, draft) = (self.scene.service(name), self.scene.seen(name), &self.drafts[name]);
        let signed = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX / 4);
        let sits = draft.kind != Kind::Fresh;
        let held = |id: &GpuId| Some((*self.gpus.get(id)?, signed(self.scene.held_on(name, id).0)));
        let seat: Vec<(Gpu, i64)> = seen.gpus.iter().filter(|_| sits).filter_map(held).collect();
        let home = draft.sets.sets.iter().position(|set| sits && set.iter().eq(seat.iter().map(|(gpu, _)| gpu)));
        let resident = service.evict.as_ref().map(|evict| signed(evict.resident.0));
        let evictable = draft.kind == Kind::Kept
            && seen.state.is_operational()
            && seen.measured.is_some()
            && !seen.grew_back
            && resident.is_some_and(|resident| seat.iter().any(|(_, amount)| *amount > resident));
        Item {
            level,
            kind: draft.kind,
            seat,
            resident: resident.filter(|_| evictable),
            need: signed(service.vram.0),
            sets: draft.sets.clone(),
            home,
            bases: service.depends_on.keys().filter_map(|base| ids.get(base).copied()).collect(),
            ports: service.ports.iter().filter_map(|port| ports.binary_search(port).ok()).collect(),
            stands: sits && self.stands_as_it_is(name, draft.kind),
            pinned: self.pinned.contains(name),
            follows: draft.follows.as_ref().and_then(|base| ids.get(base).copied()),
        }
    }
}

/// `port 8188 is comfyui's (priority 100)`.
pub(super) fn port_of(scene: &Scene<'_>, port: u16, claimant: &ServiceName) -> String {
    format!("port {port} is {claimant}'s (priority {})", scene.priority(claimant))
}
