//! From the numbers of an answer back to decisions, each with its reason: for whose sake something gives way, and why
//! something finds no room.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::problem::{End, Fate, ItemId, Kind};
use super::translate::{Translated, port_of};
use crate::model::lifecycle::State;
use crate::model::names::{GpuId, ServiceName};
use crate::model::plan::{Reason, ReasonCode};
use crate::model::room::{GpuRoom, Holder};
use crate::model::size::Mebibytes;
use crate::plan::decide::{Decision, Decisions, Scene};
use crate::plan::explain::{absence, arithmetic};
use crate::plan::free;
use crate::plan::judge::reason;
use crate::plan::room::candidates;

/// The decisions as the answer has them.
pub(super) fn decisions(scene: &Scene<'_>, translated: Translated, fates: &[Fate]) -> Decisions {
    let Translated { problem, mut decisions, names, gpus, ports } = translated;
    let Some(end) = End::of(&problem, fates) else { return decisions };
    let room = OnceCell::new();
    let going = decisions.0.iter().filter(|(_, decision)| decision.stops()).map(|(name, _)| name.clone()).collect();
    let telling = Telling { scene, names: &names, gpus: &gpus, ports: &ports, end: &end, going, room };
    // What a service depends on comes before it.
    for (id, name) in names.iter().enumerate() {
        let decision = telling.decision(id, &decisions);
        decisions.0.insert(name.clone(), decision);
    }
    decisions
}

struct Telling<'a> {
    scene: &'a Scene<'a>,
    names: &'a [ServiceName],
    gpus: &'a [GpuId],
    ports: &'a [u16],
    end: &'a End<'a>,
    /// Stopped, or stopped and started again, whatever the placing came to.
    going: BTreeSet<ServiceName>,
    /// Each GPU at the plan's end; made when the first refusal asks for it.
    room: OnceCell<BTreeMap<GpuId, GpuRoom>>,
}

impl Telling<'_> {
    fn decision(&self, id: ItemId, decided: &Decisions) -> Decision {
        let (item, before) = (&self.end.problem().items[id], decided.0[&self.names[id]].clone());
        let gpus = |set: usize| item.sets.sets[set].iter().map(|gpu| self.gpus[*gpu].clone()).collect();
        match (item.kind, self.end.fates()[id]) {
            (Kind::Settled | Kind::Stuck | Kind::Kept, Fate::Stay) => before,
            (Kind::Fresh, Fate::Stay | Fate::Evicted | Fate::Out) => Decision::Blocked(self.lack(id, decided)),
            (Kind::Drifted, Fate::Stay) => self.left_as_it_is(id, &before, decided),
            (Kind::Fresh | Kind::Drifted, Fate::On(set)) => match before {
                Decision::Recreate { reason, .. } => Decision::Recreate { reason, gpus: gpus(set) },
                Decision::Start { reason, .. } => Decision::Start { reason, gpus: gpus(set) },
                other => other,
            },
            (Kind::Settled | Kind::Stuck | Kind::Kept, Fate::On(set)) => {
                Decision::Recreate { reason: self.moved(id), gpus: gpus(set) }
            }
            (_, Fate::Evicted) => Decision::Evict(self.preempted(id)),
            (Kind::Kept, Fate::Out) => Decision::Stop(self.preempted(id)),
            (Kind::Stuck, Fate::Out) => {
                let blocked = before.blocked().cloned().unwrap_or_else(|| self.preempted(id));
                Decision::Preempt { reason: self.preempted(id), blocked }
            }
            (Kind::Settled | Kind::Drifted, Fate::Out) => {
                Decision::Preempt { reason: self.preempted(id), blocked: self.lack(id, decided) }
            }
        }
    }

    /// A changed service that can't be started anew runs on as it was.
    fn left_as_it_is(&self, id: ItemId, before: &Decision, decided: &Decisions) -> Decision {
        let state = self.scene.seen(&self.names[id]).state;
        let follows = self.end.problem().items[id].follows;
        if let Some(base) = follows.filter(|base| !matches!(self.end.fates()[*base], Fate::On(_))) {
            let base = &self.names[base];
            return before.runs_on(state, &format!("{base}, which it would be recreated with, stays as it is"));
        }
        let blocked = self.lack(id, decided);
        let waits = before.along().is_some() && state == State::Starting;
        if waits { before.runs_on(state, &blocked.message) } else { Decision::Blocked(blocked) }
    }

    fn preempted(&self, id: ItemId) -> Reason {
        let name = &self.names[id];
        let Some(winner) = self.end.winner(id).map(|winner| &self.names[winner]) else {
            return reason(ReasonCode::Preempted, "it gives way".to_owned(), None);
        };
        let (higher, lower) = (self.scene.priority(winner), self.scene.priority(name));
        let message = if higher > lower {
            format!("{winner} (priority {higher}) needs its room, and matters more than {name} (priority {lower})")
        } else {
            format!("{winner} (priority {higher}) needs its room")
        };
        reason(ReasonCode::Preempted, message, Some(winner.to_string()))
    }

    fn moved(&self, id: ItemId) -> Reason {
        let preempted = self.preempted(id);
        let item = &self.end.problem().items[id];
        let message = match item.home.map(Fate::On) {
            Some(home) if home == self.end.fates()[id] => {
                format!("{}; what it depends on is moved, and it is started again after that", preempted.message)
            }
            Some(_) | None => format!("{}; there is room for it elsewhere", preempted.message),
        };
        reason(ReasonCode::Moved, message, preempted.by)
    }

    /// Why it can't be started: something that it depends on, a port, or memory.
    fn lack(&self, id: ItemId, decided: &Decisions) -> Reason {
        let name = &self.names[id];
        let service = self.scene.service(name);
        for dependency in service.depends_on.keys() {
            if !self.scene.stands(dependency, &decided.0[dependency]) {
                let message = format!("it depends on {dependency}, which {}", absence(&decided.0[dependency]));
                return reason(ReasonCode::Dependency, message, Some(dependency.to_string()));
            }
        }
        for port in &self.end.problem().items[id].ports {
            if let Some(claimant) = self.end.user_of(*port, id) {
                let message = port_of(self.scene, self.ports[*port], &self.names[claimant]);
                return reason(ReasonCode::PortTaken, message, None);
            }
        }
        let sets = candidates(self.scene, service).unwrap_or_default();
        let mut room = self.room.get_or_init(|| self.at_the_end()).clone();
        room.retain(|id, _| sets.iter().any(|set| set.contains(id)));
        for gpu in room.values_mut() {
            self.leave_out_lower(gpu, name, service.vram);
        }
        reason(ReasonCode::NoRoom, arithmetic(&room, name, service.vram, &sets), None)
    }

    /// Where it would not fit without all that matters less either, that is not what stands in its way.
    fn leave_out_lower(&self, gpu: &mut GpuRoom, name: &ServiceName, need: Mebibytes) {
        let matters_less = |held: &Holder| {
            self.names.contains(&held.service) && self.scene.priority(&held.service) < self.scene.priority(name)
        };
        let mut without = gpu.clone();
        without.holders.retain(|held| !matters_less(held));
        if u64::try_from(without.left(Some(name))).is_ok_and(|left| left >= need.0) {
            return;
        }
        *gpu = without;
    }

    /// Every GPU as the plan leaves it.
    fn at_the_end(&self) -> BTreeMap<GpuId, GpuRoom> {
        let placed: BTreeSet<&ServiceName> = self.names.iter().collect();
        let stays = |name: &ServiceName| !placed.contains(name) && !self.going.contains(name);
        let mut room = free::gpus(self.scene, &stays, &|orphan| !self.scene.stops_orphan(orphan));
        for (id, name) in self.names.iter().enumerate() {
            for (gpu, amount) in self.end.takes(id).into_iter().filter(|(_, amount)| *amount > 0) {
                if let Some(gpu) = room.get_mut(&self.gpus[gpu]) {
                    let counts = Mebibytes(amount.unsigned_abs());
                    gpu.holders.push(Holder { counts, ..free::holder(self.scene, name) });
                }
            }
        }
        room
    }
}
