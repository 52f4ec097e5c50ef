//! GPU memory of the simulated world, where it measures any: taken while a service loads or later, shrunk when it is
//! evicted, given back at its end, late or never. What is there is there: nobody takes more than is free.
//!
//! The facts hold the truth. A driver that tells nothing of single processes is silent in its readings alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::things::{key_of_tree, program};
use super::world::{Alive, World};
use crate::model::facts::{GpuFact, GpuHolder, Marks, Owner, Reading};
use crate::model::names::{GpuId, ServiceName};
use crate::model::size::Mebibytes;
use crate::runtime::Start;

/// Models are read in pieces: enough to see one half loaded.
const LOADING_STEPS: u32 = 4;

/// Beyond those of trees, so that no two things share one.
const PIDS_FROM: i32 = 3_000_000;

/// A start whose memory is not there.
pub const OVERCOMMITTED: &str = "GPU overcommitted by a start";

/// A start whose memory is there, while others that run are still to take it.
pub const OVERPROMISED: &str = "GPU overcommitted by a start, once all have taken what they declare";

/// A foreign program that comes to take some memory, and goes again.
#[derive(Clone, Debug)]
pub struct Intrusion {
    pub gpu: GpuId,
    /// From now.
    pub after: Duration,
    pub program: String,
    /// It takes what is free, where that is less.
    pub memory: Mebibytes,
    pub lasts: Duration,
}

/// What will become of memory, beside what the facts say of it.
#[derive(Debug)]
pub(super) struct Memory {
    /// By the instance's key.
    claims: BTreeMap<String, Claim>,
    /// What each evicted thing is down to, or will be, by the instance's key.
    evicted: BTreeMap<String, Evicted>,
    ghosts: Vec<Ghost>,
    visits: Vec<Visit>,
    pids: i32,
    pub(super) silent: bool,
    /// What these gave back there is not reserved for them.
    pub(super) released: BTreeSet<(ServiceName, GpuId)>,
    /// When each was last woken, by the instance's key.
    woken: BTreeMap<String, Instant>,
    /// The most that was ever held and asked for on each GPU at one time.
    pub(super) worst: BTreeMap<GpuId, Mebibytes>,
    /// Up to when everything has happened.
    pub(super) moment: Instant,
}

/// What something that runs takes on each of its GPUs.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) owner: Owner,
    pub(super) pid: i32,
    pub(super) program: String,
    pub(super) gpus: Vec<GpuId>,
    pub(super) takes: Mebibytes,
    pub(super) since: Instant,
    pub(super) loading: Duration,
    pub(super) late: Option<Duration>,
    /// From when on it holds no more than this, or all again.
    pub(super) sleeps: Vec<(Instant, Option<Mebibytes>)>,
    /// What it wanted when it last had all of that: from then on a test may say otherwise.
    pub(super) settled: Option<Mebibytes>,
}

#[derive(Clone, Debug)]
struct Evicted {
    at: Instant,
    to: Mebibytes,
    /// It was so small once, and may have grown since.
    done: bool,
}

/// Memory of what has ended, on its way back.
#[derive(Clone, Debug)]
struct Ghost {
    until: Instant,
    gpu: GpuId,
    pid: i32,
}

#[derive(Clone, Debug)]
struct Visit {
    from: Instant,
    until: Instant,
    pid: i32,
    intrusion: Intrusion,
}

impl Memory {
    pub(super) fn new(moment: Instant) -> Self {
        Self {
            claims: BTreeMap::new(),
            evicted: BTreeMap::new(),
            ghosts: Vec::new(),
            visits: Vec::new(),
            pids: PIDS_FROM,
            silent: false,
            released: BTreeSet::new(),
            woken: BTreeMap::new(),
            worst: BTreeMap::new(),
            moment,
        }
    }

    /// Of something that nobody shows the processes of.
    pub(super) fn new_pid(&mut self) -> i32 {
        self.pids += 1;
        self.pids
    }

    /// When something happens next by itself.
    pub(super) fn moments(&self) -> impl Iterator<Item = Instant> {
        let claims = self.claims.values().flat_map(Claim::moments);
        let sleeps = self.claims.values().flat_map(|claim| claim.sleeps.iter().map(|(at, _)| *at));
        let visits = self.visits.iter().flat_map(|visit| [visit.from, visit.until]);
        let evicted = self.evicted.values().map(|evicted| evicted.at);
        claims.chain(sleeps).chain(visits).chain(evicted).chain(self.ghosts.iter().map(|ghost| ghost.until))
    }

    /// What a thing would hold by now, if there were room for it: the last that was asked of it, or that it did by
    /// itself, counts.
    fn wants(&self, key: &str, claim: &Claim) -> Mebibytes {
        let wants = claim.wants(self.moment);
        let evicted = self.evicted.get(key).map(|evicted| (evicted.at, Some(evicted.to)));
        let woken = self.woken.get(key).map(|at| (*at, None));
        let changes = claim.sleeps.iter().copied().filter(|(at, _)| *at >= claim.since).chain(evicted).chain(woken);
        let last = changes.filter(|(at, _)| *at <= self.moment).max_by_key(|(at, _)| *at);
        last.and_then(|(_, most)| most).map_or(wants, |most| wants.min(most))
    }

    pub(super) fn has_claim(&self, key: &str) -> bool {
        self.claims.contains_key(key)
    }

    pub(super) fn take_up(&mut self, key: &str, claim: Claim) {
        // Its memory stays as it is until it gives some back.
        let claim = Claim { settled: Some(claim.wants(self.moment)), ..claim };
        self.claims.insert(key.to_owned(), claim);
    }

    /// It takes again what it gave back, from then on.
    pub(super) fn rouse(&mut self, key: &str, at: Instant, takes: Mebibytes) {
        self.evicted.remove(key);
        self.woken.insert(key.to_owned(), at);
        if let Some(claim) = self.claims.get_mut(key) {
            (claim.takes, claim.settled) = (takes, None);
        }
    }
}

impl Claim {
    fn wants(&self, at: Instant) -> Mebibytes {
        let reached = self.moments().filter(|moment| *moment <= at).count() as u128;
        let steps = self.moments().count() as u128;
        let taken = u128::from(self.takes.0) * reached / steps.max(1);
        Mebibytes(u64::try_from(taken).unwrap_or(u64::MAX))
    }

    fn moments(&self) -> impl Iterator<Item = Instant> {
        let steps = if self.late.is_some() { 1 } else { LOADING_STEPS };
        let (since, loading, late) = (self.since, self.loading, self.late.unwrap_or_default());
        (1..=steps).map(move |step| since + loading * step / steps + late)
    }
}

impl World {
    /// What a driver says of the GPUs.
    pub(super) fn gpus_as_read(&self) -> Reading<Vec<GpuFact>> {
        let mut gpus = self.facts.gpus.clone();
        for gpu in gpus.known_mut().into_iter().flatten() {
            if self.memory.silent || gpu.holders.iter().any(|holder| holder.memory.is_none()) {
                gpu.holders.iter_mut().for_each(|holder| holder.memory = None);
            }
        }
        gpus
    }

    /// A foreign program is on its way.
    pub(super) fn expect_visit(&mut self, intrusion: Intrusion) {
        let from = Instant::now() + intrusion.after;
        let pid = self.memory.new_pid();
        self.memory.visits.push(Visit { from, until: from + intrusion.lasts, pid, intrusion });
        self.tick();
    }

    /// It begins to take its memory. What does not fit beside all that is held and promised, must not be begun.
    pub(super) fn claim(&mut self, key: &str, start: &Start<'_>, owner: Owner, pid: i32) {
        let (service, now) = (start.service, Instant::now());
        self.judge_start(key, start);
        let behaviour = self.behaviour(&service.name);
        self.memory.evicted.remove(key);
        self.memory.woken.remove(key);
        let claim = Claim {
            owner,
            pid,
            program: program(service),
            gpus: start.gpus.to_vec(),
            takes: behaviour.takes.unwrap_or(service.vram),
            since: now,
            loading: behaviour.loading,
            late: behaviour.late,
            sleeps: self.sleeps_of(&service.name),
            settled: None,
        };
        self.memory.claims.insert(key.to_owned(), claim);
    }

    /// What it takes on top of what it holds, is there beside all that others hold and are promised.
    pub(super) fn judge_start(&mut self, key: &str, start: &Start<'_>) {
        let declared = start.service.vram;
        let others = self.alive().into_iter().filter(|thing| thing.key != key).collect::<Vec<_>>();
        let mut found = Vec::new();
        for gpu in self.facts.gpus.known().into_iter().flatten().filter(|gpu| start.gpus.contains(&gpu.id)) {
            let Some(used) = gpu.used.filter(|_| declared > Mebibytes::ZERO) else { continue };
            let need = declared - self.held(key, gpu);
            let outstanding = |(key, declared): (&str, Mebibytes)| {
                let evicted = self.memory.evicted.get(key).map(|evicted| evicted.to);
                evicted.map_or(declared, |to| declared.min(to)) - self.held(key, gpu)
            };
            let reserved = others.iter().filter(|thing| !self.is_released(thing, &gpu.id));
            let declared = reserved.flat_map(|thing| thing.holds.iter().map(|held| (&*thing.key, held)));
            let here = declared.filter(|(_, (id, _))| *id == gpu.id).map(|(key, (_, declared))| (key, *declared));
            let promised: Mebibytes = here.map(outstanding).sum();
            let held = used + gpu.reserved;
            if held + promised + need > gpu.capacity {
                let (name, capacity) = (&start.service.name, gpu.capacity);
                let what = if held + need > gpu.capacity { OVERCOMMITTED } else { OVERPROMISED };
                found.push(format!("{what}: {name} needs {need}; {held} are held, {promised} promised of {capacity}"));
            }
        }
        self.violations.extend(found);
    }

    /// By a plan, what it gave back there is not reserved for it.
    fn is_released(&self, thing: &Alive, gpu: &GpuId) -> bool {
        thing.service.as_ref().is_some_and(|name| self.memory.released.contains(&(name.clone(), gpu.clone())))
    }

    /// What one thing really holds on a GPU.
    fn held(&self, key: &str, gpu: &GpuFact) -> Mebibytes {
        let is_its = self.is_holder_of(key);
        gpu.holders.iter().filter(|holder| is_its(holder)).filter_map(|holder| holder.memory).sum()
    }

    /// By its container, or by the processes of its tree where several trees are one service's.
    pub(super) fn is_holder_of(&self, key: &str) -> impl Fn(&GpuHolder) -> bool + use<> {
        let trees = self.facts.trees.known().into_iter().flatten();
        let living: Vec<_> = trees.filter(|tree| !tree.members.is_empty()).collect();
        let of =
            |marks: &Marks| Owner::Service { project: (&*marks.project).into(), service: (&*marks.service).into() };
        let own = living.iter().find(|tree| key_of_tree(tree) == key);
        let owner = own.map_or_else(|| Owner::Container(key.to_owned()), |tree| of(&tree.marks));
        let is_one_of_many = living.iter().filter(|tree| of(&tree.marks) == owner).count() > 1;
        let pids: Option<Vec<i32>> =
            own.filter(|_| is_one_of_many).map(|tree| tree.members.iter().map(|one| one.pid).collect());
        move |holder| holder.owner == owner && pids.as_ref().is_none_or(|pids| pids.contains(&holder.pid))
    }

    /// It is about to end: its memory comes back now, late or never. To be called while its processes are still known.
    pub(super) fn give_back(&mut self, key: &str) {
        let Some(thing) = self.alive().into_iter().find(|thing| thing.key == key) else { return };
        let behaviour = thing.service.map(|service| self.behaviour(&service)).unwrap_or_default();
        let declared = thing.holds.first().map(|(_, declared)| *declared).unwrap_or_default();
        let is_its = self.is_holder_of(key);
        self.memory.claims.remove(key);
        self.memory.evicted.remove(key);
        self.memory.woken.remove(key);
        let until = self.memory.moment + behaviour.release_lag;
        let at_once = behaviour.release_lag.is_zero() && !behaviour.leaks;
        for gpu in self.facts.gpus.known_mut().into_iter().flatten() {
            if at_once {
                let freed = gpu.holders.iter().filter(|holder| is_its(holder));
                let freed: Mebibytes = freed.map(|holder| holder.memory.unwrap_or(declared)).sum();
                gpu.used = gpu.used.map(|used| used - freed);
                gpu.holders.retain(|holder| !is_its(holder));
                continue;
            }
            for holder in gpu.holders.iter_mut().filter(|holder| is_its(holder)) {
                holder.owner = Owner::Stranger;
                GpuHolder::ENDED.clone_into(&mut holder.program);
                if !behaviour.leaks {
                    self.memory.ghosts.push(Ghost { until, gpu: gpu.id.clone(), pid: holder.pid });
                }
            }
        }
    }

    /// It is down to so much from then on.
    pub(super) fn evict(&mut self, key: &str, after: Duration, to: Mebibytes) {
        self.memory.evicted.insert(key.to_owned(), Evicted { at: Instant::now() + after, to, done: false });
    }

    /// Everything of this moment that concerns memory.
    pub(super) fn pass_memory(&mut self) {
        if self.has_sleepers() {
            self.claim_found();
        }
        let moment = self.memory.moment;
        let over: Vec<(GpuId, i32)> = {
            let ghosts = self.memory.ghosts.extract_if(.., |ghost| ghost.until <= moment);
            let ghosts: Vec<_> = ghosts.map(|ghost| (ghost.gpu, ghost.pid)).collect();
            let visits = self.memory.visits.iter().filter(|visit| visit.until <= moment);
            ghosts.into_iter().chain(visits.map(|visit| (visit.intrusion.gpu.clone(), visit.pid))).collect()
        };
        for (gpu, pid) in over {
            self.set(&gpu, pid, Mebibytes::ZERO, &Owner::Stranger, "");
        }
        let due = self.memory.evicted.iter_mut().filter(|(_, evicted)| evicted.at <= moment && !evicted.done);
        let due: Vec<_> = due
            .map(|(key, evicted)| {
                evicted.done = true;
                (key.clone(), evicted.to)
            })
            .collect();
        for (key, to) in due {
            self.shrink(&key, to);
        }
        for visit in self.memory.visits.clone() {
            if visit.from == moment {
                let Intrusion { gpu, program, memory, .. } = &visit.intrusion;
                self.set(gpu, visit.pid, *memory, &Owner::Stranger, program);
            }
        }
        for (key, claim) in self.memory.claims.clone() {
            let wants = self.memory.wants(&key, &claim);
            if claim.settled == Some(wants) {
                continue;
            }
            let mut settled = Some(wants);
            for gpu in &claim.gpus {
                let has = self.set(gpu, claim.pid, wants, &claim.owner, &claim.program);
                settled = settled.filter(|_| has.is_none_or(|has| has >= wants));
            }
            if let Some(claim) = self.memory.claims.get_mut(&key) {
                claim.settled = settled;
            }
        }
        self.note_worst();
    }

    fn shrink(&mut self, key: &str, to: Mebibytes) {
        let is_its = self.is_holder_of(key);
        for gpu in self.facts.gpus.known_mut().into_iter().flatten() {
            for holder in gpu.holders.iter_mut().filter(|holder| is_its(holder)) {
                let Some(held) = holder.memory else { continue };
                holder.memory = Some(held.min(to));
                gpu.used = gpu.used.map(|used| used - (held - to));
            }
        }
    }

    /// A process holds so much from now on, or as much of it as there is: returns that. `None`: nobody measures.
    fn set(&mut self, gpu: &GpuId, pid: i32, memory: Mebibytes, owner: &Owner, program: &str) -> Option<Mebibytes> {
        let gpu = self.facts.gpus.known_mut()?.iter_mut().find(|fact| fact.id == *gpu)?;
        let used = gpu.used?;
        let position = gpu.holders.iter().position(|holder| holder.pid == pid && holder.owner == *owner);
        let held = position.and_then(|position| gpu.holders[position].memory).unwrap_or_default();
        let others = used - held;
        let memory = memory.min(held.max(gpu.capacity - gpu.reserved - others));
        gpu.used = Some(others + memory);
        match position {
            Some(position) if memory == Mebibytes::ZERO => drop(gpu.holders.remove(position)),
            Some(position) => gpu.holders[position].memory = Some(memory),
            None if memory == Mebibytes::ZERO => {}
            None => {
                let (program, owner) = (program.to_owned(), owner.clone());
                gpu.holders.push(GpuHolder { pid, program, memory: Some(memory), owner });
            }
        }
        Some(memory)
    }

    fn note_worst(&mut self) {
        let mut asked = BTreeMap::new();
        for gpu in self.facts.gpus.known().into_iter().flatten() {
            let Some(used) = gpu.used else { continue };
            let claims = self.memory.claims.iter().filter(|(_, claim)| claim.gpus.contains(&gpu.id));
            let unmet: Mebibytes = claims.map(|(key, claim)| self.memory.wants(key, claim) - self.held(key, gpu)).sum();
            asked.insert(gpu.id.clone(), used + gpu.reserved + unmet);
        }
        for (gpu, asked) in asked {
            let worst = self.memory.worst.entry(gpu).or_default();
            *worst = asked.max(*worst);
        }
    }
}
