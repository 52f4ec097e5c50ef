//! Room for everything that is to start: first fit, by effective priority, at the cost of whatever matters less.
//!
//! Not a search: what is placed early is not taken back, but for victims of strictly lower priority. GPU memory and
//! ports count; a victim takes along what depends on it, and is placed elsewhere where that is possible.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::lifecycle::State;
use crate::model::names::{GpuId, ServiceName};
use crate::model::observed::{Ownership, PortHolder};
use crate::model::plan::{Reason, ReasonCode};
use crate::model::size::Mebibytes;
use crate::plan::decide::{Decision, Decisions, Scene};
use crate::plan::explain;
use crate::plan::judge::reason;
use crate::plan::room::{Seats, candidates};
use crate::plan::want::Want;

/// The decisions with GPUs, victims, and what finds no room.
pub(super) fn place(scene: &Scene<'_>, mut judged: Decisions) -> Decisions {
    let mut hopes = BTreeMap::new();
    // Each turn takes one more for what it is now, so there are at most as many as services.
    loop {
        let placing = Placing::of(scene, judged.clone(), &hopes);
        let late = placing.refused_too_late(&hopes);
        if late.is_empty() {
            return placing.decisions;
        }
        for (name, (before, decision)) in late {
            judged.0.insert(name.clone(), decision);
            hopes.insert(name, before);
        }
    }
}

struct Placing<'a> {
    scene: &'a Scene<'a>,
    seats: Seats,
    decisions: Decisions,
    /// Highest priority first; of equals, dependencies first.
    queue: BTreeSet<(std::cmp::Reverse<i64>, usize, ServiceName)>,
    /// Ports by the service that has them at the plan's end.
    claims: BTreeMap<u16, ServiceName>,
    /// What was to become of those that found no room in this pass.
    refused: BTreeMap<ServiceName, Decision>,
    /// Somebody found room in this pass.
    progress: bool,
}

/// What one candidate set of GPUs would cost.
struct Offer {
    gpus: BTreeSet<GpuId>,
    victims: BTreeSet<ServiceName>,
}

impl<'a> Placing<'a> {
    /// `hopes`: what is counted as it is until all others have their places, and what would become of it.
    fn of(scene: &'a Scene<'a>, judged: Decisions, hopes: &BTreeMap<ServiceName, Decision>) -> Self {
        let seats = Seats::staying(scene, &judged);
        let (queue, claims, refused) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        let mut placing = Self { scene, seats, decisions: judged, queue, claims, refused, progress: false };
        placing.fill();
        placing.refused.extend(hopes.clone());
        // Each pass but the last places one more of those that the pass before refused.
        for _ in 0..=scene.desired.services.len() {
            // A service comes back into the queue only as a victim, and only of one that matters strictly more: that
            // ends.
            while let Some((_, _, name)) = placing.queue.pop_first() {
                placing.settle(&name);
            }
            if !placing.try_again() {
                break;
            }
        }
        placing
    }

    /// Services that were thought to be made anew, and smaller, when others were placed beside them, and that stay as
    /// they are after all: what was to become of them, and what does.
    fn refused_too_late(&self, hopes: &BTreeMap<ServiceName, Decision>) -> BTreeMap<ServiceName, (Decision, Decision)> {
        let newcomer =
            |gpu: &GpuId| self.seats.on(gpu).any(|(name, amount)| amount.0 > 0 && self.decisions.0[name].starts());
        let overfull = |gpu: &&GpuId| !self.seats.fits(self.scene, gpu, Mebibytes::ZERO) && newcomer(gpu);
        let new = self.refused.iter().filter(|(name, _)| !hopes.contains_key(*name));
        let late = new.filter(|(name, before)| {
            matches!(before, Decision::Recreate { .. }) && self.scene.seen(name).gpus.iter().any(|gpu| overfull(&gpu))
        });
        late.map(|(name, before)| (name.clone(), (before.clone(), self.decisions.0[name].clone()))).collect()
    }

    fn fill(&mut self) {
        let names: Vec<ServiceName> = self.decisions.0.keys().cloned().collect();
        for name in names {
            let decision = self.decisions.0[&name].clone();
            if matches!(decision, Decision::Start { .. } | Decision::Recreate { .. }) {
                self.enqueue(&name);
            }
            // What is recreated holds its ports until somebody who matters more takes them.
            let stays = !decision.stops() || matches!(decision, Decision::Recreate { .. });
            if stays && self.scene.seen(&name).holds_room {
                self.claim(&name);
            }
        }
    }

    fn enqueue(&mut self, name: &ServiceName) {
        let depth = depth(self.scene, name);
        self.queue.insert((std::cmp::Reverse(self.scene.priority(name)), depth, name.clone()));
    }

    fn claim(&mut self, name: &ServiceName) {
        for port in &self.scene.service(name).ports {
            self.claims.entry(*port).or_insert_with(|| name.clone());
        }
    }

    /// Whoever was placed after a refusal may have left the very room that was missing.
    fn try_again(&mut self) -> bool {
        if !std::mem::take(&mut self.progress) || self.refused.is_empty() {
            return false;
        }
        let refused = std::mem::take(&mut self.refused);
        for (name, decision) in refused {
            self.decisions.0.insert(name.clone(), decision);
            self.enqueue(&name);
        }
        true
    }

    /// Finds room for one service, or says why there is none.
    fn settle(&mut self, name: &ServiceName) {
        let before = self.decisions.0[name].clone();
        let decision = if let Some(base) = self.recreated_for_nothing(name) {
            self.runs_on(name, &before, &format!("{base}, which it would be recreated with, stays as it is"))
        } else {
            match self.try_settle(name) {
                Ok(()) => {
                    self.progress = true;
                    return;
                }
                // It is stopped already for another's sake.
                Err(blocked) if let Decision::Preempt { reason, .. } = &before => {
                    Decision::Preempt { reason: reason.clone(), blocked }
                }
                Err(blocked) if is_along(&before) && self.scene.seen(name).state == State::Starting => {
                    self.runs_on(name, &before, &blocked.message)
                }
                Err(blocked) => Decision::Blocked(blocked),
            }
        };
        if !decision.stops() && self.scene.seen(name).holds_room {
            // It runs on as it is, where it is.
            self.seats.leave(name);
            self.seats.seat(name, &self.scene.seen(name).gpus, self.scene.held(name));
            self.claim(name);
        }
        self.decisions.0.insert(name.clone(), decision);
        self.refused.insert(name.clone(), before);
    }

    /// What would have been recreated along with another, and is not: it is left, or waited for if it is starting.
    fn runs_on(&self, name: &ServiceName, before: &Decision, message: &str) -> Decision {
        match before.stopped() {
            Some(why) if self.scene.seen(name).state == State::Starting => {
                Decision::Await(Reason { message: message.to_owned(), ..why.clone() })
            }
            Some(_) | None => Decision::Leave(format!("it runs on: {message}")),
        }
    }

    /// What is recreated only together with what it depends on, when that is not recreated after all.
    fn recreated_for_nothing(&self, name: &ServiceName) -> Option<ServiceName> {
        let decision = &self.decisions.0[name];
        let base = ServiceName::new(decision.stopped().filter(|_| is_along(decision))?.by.clone()?);
        (!self.decisions.0.get(&base)?.stops()).then_some(base)
    }

    fn try_settle(&mut self, name: &ServiceName) -> Result<(), Reason> {
        self.dependencies_stand(name)?;
        let mut victims = self.port_victims(name)?;
        let gpus = if self.keeps_its_seat(name) {
            self.scene.seen(name).gpus.clone()
        } else {
            self.seats.leave(name);
            let offer = self.best_offer(name, &victims)?;
            victims.extend(offer.victims);
            offer.gpus
        };
        for victim in victims {
            self.preempt(&victim, name);
        }
        self.seats.seat(name, &gpus, self.scene.service(name).vram);
        self.claim(name);
        let decision = match self.decisions.0[name].clone() {
            Decision::Start { reason, .. } => Decision::Start { reason, gpus },
            Decision::Recreate { reason, .. } => Decision::Recreate { reason, gpus },
            Decision::Preempt { reason: preempted, .. } => Decision::Recreate {
                reason: reason(
                    ReasonCode::Moved,
                    format!("{}; there is room for it elsewhere", preempted.message),
                    preempted.by,
                ),
                gpus,
            },
            other => other,
        };
        self.decisions.0.insert(name.clone(), decision);
        Ok(())
    }

    /// A dependency that is not up at the plan's end blocks its dependents.
    fn dependencies_stand(&self, name: &ServiceName) -> Result<(), Reason> {
        for dependency in self.scene.service(name).depends_on.keys() {
            let stands = match &self.decisions.0[dependency] {
                Decision::Start { .. } | Decision::Recreate { .. } | Decision::Await(_) => true,
                Decision::Leave(_) => self.scene.seen(dependency).state.is_operational(),
                Decision::Blocked(_) => {
                    let seen = self.scene.seen(dependency);
                    seen.unknown.is_none() && seen.state.is_operational()
                }
                Decision::Stop(_) | Decision::Preempt { .. } | Decision::Held(_) => false,
            };
            if !stands {
                let message =
                    format!("it depends on {dependency}, which {}", explain::absence(&self.decisions.0[dependency]));
                return Err(reason(ReasonCode::Dependency, message, Some(dependency.to_string())));
            }
        }
        Ok(())
    }

    /// Whether a recreated service still fits where it is.
    fn keeps_its_seat(&self, name: &ServiceName) -> bool {
        let (service, seen) = (self.scene.service(name), self.scene.seen(name));
        // Where nobody knows what is free, it may have again what it has, and no more.
        let grows = service.vram > self.scene.held(name);
        let guesses = grows && self.scene.observed.gpus_unknown.is_some();
        if guesses || !matches!(self.decisions.0[name], Decision::Recreate { .. }) {
            return false;
        }
        let valid = candidates(self.scene, service).is_ok_and(|sets| sets.contains(&seen.gpus));
        let mut others = self.seats.clone();
        others.leave(name);
        valid && seen.gpus.iter().all(|gpu| others.fits(self.scene, gpu, service.vram))
    }

    /// Who must give a port up, or who can't be made to.
    fn port_victims(&self, name: &ServiceName) -> Result<BTreeSet<ServiceName>, Reason> {
        let service = self.scene.service(name);
        if let (Some(why), false) = (&self.scene.observed.ports_unknown, service.ports.is_empty()) {
            let message = format!("whether its ports are free can't be told: {why}");
            return Err(reason(ReasonCode::Unknown, message, None));
        }
        let mut victims = BTreeSet::new();
        for port in &service.ports {
            let holder = self.scene.observed.ports.get(port);
            let taken = |message: String| Err(reason(ReasonCode::PortTaken, message, None));
            match holder {
                Some(PortHolder::Foreign(who)) => {
                    return taken(format!("port {port} is held by {who}, which lcm does not touch"));
                }
                Some(PortHolder::Orphan(orphan)) if !self.orphan_goes(orphan) => {
                    return taken(format!("port {port} is held by orphan {orphan}; `--prune` stops orphans"));
                }
                Some(PortHolder::Orphan(_) | PortHolder::Service(_)) | None => {}
            }
            let Some(claimant) = self.claims.get(port).filter(|claimant| *claimant != name) else { continue };
            let Some(group) = self.with_dependents(claimant, name) else {
                let height = self.scene.priority(claimant);
                return taken(format!("port {port} is {claimant}'s (priority {height})"));
            };
            victims.extend(group);
        }
        Ok(victims)
    }

    fn orphan_goes(&self, name: &ServiceName) -> bool {
        let mut named = self.scene.observed.orphans.iter().filter(|orphan| orphan.service == *name);
        named.all(|orphan| self.scene.stops_orphan(orphan))
    }

    /// The cheapest set of GPUs; of equals, the first.
    fn best_offer(&self, name: &ServiceName, spent: &BTreeSet<ServiceName>) -> Result<Offer, Reason> {
        let service = self.scene.service(name);
        if let (Some(why), true) = (&self.scene.observed.gpus_unknown, service.wants_gpu()) {
            let message = format!("what is free on its GPUs can't be told: {why}");
            return Err(reason(ReasonCode::Unknown, message, None));
        }
        let no_room = |message: String| reason(ReasonCode::NoRoom, message, None);
        let sets = candidates(self.scene, service).map_err(no_room)?;
        let mut best: Option<(Cost, Offer)> = None;
        for gpus in &sets {
            let Some(victims) = self.victims(name, gpus, spent) else { continue };
            let cost = self.cost(&victims);
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                let free = victims.is_empty();
                best = Some((cost, Offer { gpus: gpus.clone(), victims }));
                if free {
                    break;
                }
            }
        }
        best.map(|(_, offer)| offer).ok_or_else(|| {
            let arithmetic = explain::arithmetic(self.scene, &self.seats, name, &sets);
            reason(ReasonCode::NoRoom, arithmetic, None)
        })
    }

    /// Who must go for `name` to fit on all of `gpus`: kept ones first, then the least important; none beyond need.
    fn victims(
        &self,
        name: &ServiceName,
        gpus: &BTreeSet<GpuId>,
        spent: &BTreeSet<ServiceName>,
    ) -> Option<BTreeSet<ServiceName>> {
        let need = self.scene.service(name).vram;
        let mut seats = self.seats.clone();
        for victim in spent {
            seats.leave(victim);
        }
        let fits = |seats: &Seats| gpus.iter().all(|gpu| seats.fits(self.scene, gpu, need));
        let mut seated: Vec<&ServiceName> =
            gpus.iter().flat_map(|gpu| self.seats.on(gpu).map(|(who, _)| who)).collect();
        seated.sort_by_key(|who| (self.scene.wants.is_wanted(who), self.scene.priority(who), (*who).clone()));
        seated.dedup();
        let mut groups: Vec<BTreeSet<ServiceName>> = Vec::new();
        for who in seated {
            if fits(&seats) {
                break;
            }
            if let Some(group) = self.with_dependents(who, name) {
                for gone in &group {
                    seats.leave(gone);
                }
                groups.push(group);
            }
        }
        if !fits(&seats) {
            return None;
        }
        Some(self.without_excess(groups, spent, &fits))
    }

    /// Leaves out each group, the most important first, that the others make unneeded.
    fn without_excess(
        &self,
        mut groups: Vec<BTreeSet<ServiceName>>,
        spent: &BTreeSet<ServiceName>,
        fits: &impl Fn(&Seats) -> bool,
    ) -> BTreeSet<ServiceName> {
        for position in (0..groups.len()).rev() {
            let mut seats = self.seats.clone();
            let others = groups.iter().enumerate().filter(|(other, _)| *other != position);
            for gone in others.flat_map(|(_, group)| group).chain(spent) {
                seats.leave(gone);
            }
            if fits(&seats) {
                groups.remove(position);
            }
        }
        groups.into_iter().flatten().collect()
    }

    /// A victim and what runs on top of it, if all of them may give way to `name`.
    fn with_dependents(&self, victim: &ServiceName, name: &ServiceName) -> Option<BTreeSet<ServiceName>> {
        let mut group = BTreeSet::new();
        let mut open = vec![victim.clone()];
        while let Some(who) = open.pop() {
            if group.contains(&who) {
                continue;
            }
            if !self.may_give_way(&who, name) {
                return None;
            }
            let dependents = self.scene.dependents(&who).map(|service| &service.name);
            open.extend(dependents.filter(|other| self.runs_at_the_end(other)).cloned());
            group.insert(who);
        }
        Some(group)
    }

    fn runs_at_the_end(&self, name: &ServiceName) -> bool {
        match &self.decisions.0[name] {
            Decision::Start { gpus, .. } => !gpus.is_empty(),
            Decision::Recreate { .. } | Decision::Await(_) => true,
            Decision::Leave(_) | Decision::Blocked(_) | Decision::Held(_) => self.scene.seen(name).holds_room,
            Decision::Stop(_) | Decision::Preempt { .. } => false,
        }
    }

    fn may_give_way(&self, victim: &ServiceName, name: &ServiceName) -> bool {
        let seen = self.scene.seen(victim);
        seen.holds_room
            && seen.unknown.is_none()
            && !matches!(seen.state, State::Suspended | State::Maintenance | State::Stopping)
            && matches!(seen.ownership, Ownership::Ours | Ownership::Adopted)
            && self.scene.wants.in_scope.contains(victim)
            && !self.scene.request.prevented.contains_key(victim)
            && self.scene.priority(victim) < self.scene.priority(name)
            && match &self.decisions.0[victim] {
                Decision::Leave(_) | Decision::Await(_) | Decision::Recreate { .. } | Decision::Blocked(_) => true,
                Decision::Start { .. } | Decision::Stop(_) | Decision::Preempt { .. } | Decision::Held(_) => false,
            }
    }

    fn preempt(&mut self, victim: &ServiceName, name: &ServiceName) {
        self.seats.leave(victim);
        self.claims.retain(|_, claimant| claimant != victim);
        // What was hoped for it before, it has lost.
        self.refused.remove(victim);
        let message = format!(
            "{name} (priority {}) needs its room, and matters more than {victim} (priority {})",
            self.scene.priority(name),
            self.scene.priority(victim)
        );
        let why = reason(ReasonCode::Preempted, message.clone(), Some(name.to_string()));
        let decision = match &self.scene.wants.of[victim] {
            Want::Wanted(_) => {
                let blocked = reason(ReasonCode::NoRoom, message, Some(name.to_string()));
                self.enqueue(victim);
                Decision::Preempt { reason: why, blocked }
            }
            Want::Kept | Want::Off(_) => Decision::Stop(why),
        };
        self.decisions.0.insert(victim.clone(), decision);
    }

    fn cost(&self, victims: &BTreeSet<ServiceName>) -> Cost {
        let heights = |wanted: bool| {
            let of_kind = victims.iter().filter(|victim| self.scene.wants.is_wanted(victim) == wanted);
            let mut heights: Vec<i64> = of_kind.map(|victim| self.scene.priority(victim)).collect();
            heights.sort_unstable_by(|a, b| b.cmp(a));
            heights
        };
        (heights(true), heights(false), victims.len())
    }
}

/// Recreated only because what it depends on is.
fn is_along(decision: &Decision) -> bool {
    matches!(decision, Decision::Recreate { reason, .. } if reason.code == ReasonCode::Dependency)
}

/// Wanted victims from the highest priority down, kept ones likewise, and how many there are.
type Cost = (Vec<i64>, Vec<i64>, usize);

/// The longest chain of dependencies below a service: dependencies come first among equals.
fn depth(scene: &Scene<'_>, name: &ServiceName) -> usize {
    walk(scene, name, &mut BTreeMap::new())
}

fn walk(scene: &Scene<'_>, name: &ServiceName, deepest: &mut BTreeMap<ServiceName, usize>) -> usize {
    if let Some(known) = deepest.get(name) {
        return *known;
    }
    // The loader refuses cycles; this entry keeps the walk finite all the same.
    deepest.insert(name.clone(), 0);
    let below = scene.service(name).depends_on.keys().map(|next| walk(scene, next, deepest) + 1).max().unwrap_or(0);
    deepest.insert(name.clone(), below);
    below
}
