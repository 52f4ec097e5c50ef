//! GPU memory of the simulated machine over time: taken, shrunk, freed.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::world::{Alive, World};
use crate::model::desired::Service;
use crate::model::facts::{GpuFact, GpuHolder, ProcessOwner, Reading};
use crate::model::names::GpuId;
use crate::model::size::Mebibytes;
use crate::runtime::Start;
use crate::sim::memory::{Evicted, Ghost, MemoryClaim, Visit};
use crate::sim::{Intrusion, OVERCOMMITTED, OVERRESERVED};

impl World {
    /// Returns the GPUs as the driver reports them.
    pub(super) fn gpus_as_read(&self) -> Reading<Vec<GpuFact>> {
        let mut gpus = self.facts.gpus.clone();
        for gpu in gpus.known_mut().into_iter().flatten() {
            if self.memory.silent || gpu.holders.iter().any(|holder| holder.memory.is_none()) {
                gpu.holders.iter_mut().for_each(|holder| holder.memory = None);
            }
        }
        gpus
    }

    /// Schedules a foreign program.
    pub(super) fn expect_visit(&mut self, intrusion: Intrusion) {
        let from = Instant::now() + intrusion.after;
        let pid = self.memory.new_pid();
        self.memory.visits.push(Visit { from, until: from + intrusion.lasts, pid, intrusion });
        self.tick();
    }

    /// Begins to take an instance's memory. A start that exceeds the memory neither held nor reserved is a violation.
    pub(super) fn claim(&mut self, key: &str, start: &Start<'_>, owner: ProcessOwner, pid: i32) {
        let (service, now) = (start.service, Instant::now());
        self.judge_start(key, start);
        let behaviour = self.behaviour(&service.name);
        self.memory.evicted.remove(key);
        self.memory.woken.remove(key);
        let claim = MemoryClaim {
            owner,
            pid,
            program: self.program(service),
            gpus: start.gpus.to_vec(),
            takes: behaviour.takes.unwrap_or(service.vram),
            most: amounts(service),
            since: now,
            loading: behaviour.loading,
            late: behaviour.late,
            sleeps: self.sleeps_of(&service.name),
            settled: None,
        };
        self.memory.claims.insert(key.to_owned(), claim);
    }

    /// Records a violation unless the memory that the start takes beyond what the instance holds fits beside all memory
    /// that others hold or have reserved.
    pub(super) fn judge_start(&mut self, key: &str, start: &Start<'_>) {
        let by_gpu = amounts(start.service);
        let others = self.alive().into_iter().filter(|thing| thing.key != key).collect::<Vec<_>>();
        let mut found = Vec::new();
        for gpu in self.facts.gpus.known().into_iter().flatten().filter(|gpu| start.gpus.contains(&gpu.id)) {
            let position = start.gpus.iter().position(|id| *id == gpu.id).unwrap_or_default();
            let declared = by_gpu.get(position).copied().unwrap_or(start.service.vram);
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
                let what = if held + need > gpu.capacity { OVERCOMMITTED } else { OVERRESERVED };
                found.push(format!("{what}: {name} needs {need}; {held} are held, {promised} reserved of {capacity}"));
            }
        }
        self.violations.extend(found);
    }

    /// Returns true if a plan released the memory that the instance gave back on this GPU.
    fn is_released(&self, thing: &Alive, gpu: &GpuId) -> bool {
        thing.service.as_ref().is_some_and(|name| self.memory.released.contains(&(name.clone(), gpu.clone())))
    }

    /// Returns the memory that an instance holds on a GPU.
    fn held(&self, key: &str, gpu: &GpuFact) -> Mebibytes {
        let is_its = self.is_holder_of(key);
        gpu.holders.iter().filter(|holder| is_its(holder)).filter_map(|holder| holder.memory).sum()
    }

    /// Matches holders by owner, and by process if the owner has several instances.
    pub(super) fn is_holder_of(&self, key: &str) -> impl Fn(&GpuHolder) -> bool + use<> {
        let own = self.holder(key);
        move |holder| own.as_ref().is_some_and(|own| own.is(holder))
    }

    /// Frees the memory of an instance that ends: now, late or never. Must be called while its processes are known.
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
                holder.owner = ProcessOwner::Foreign;
                GpuHolder::ENDED.clone_into(&mut holder.program);
                if !behaviour.leaks {
                    self.memory.ghosts.push(Ghost { until, gpu: gpu.id.clone(), pid: holder.pid });
                }
            }
        }
    }

    /// Shrinks the memory of an instance to `to` after this time.
    pub(super) fn evict(&mut self, key: &str, after: Duration, to: Mebibytes) {
        self.memory.evicted.insert(key.to_owned(), Evicted { at: Instant::now() + after, to, done: false });
    }

    /// Applies all memory events of this moment.
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
            self.set(&gpu, pid, Mebibytes::ZERO, &ProcessOwner::Foreign, "");
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
                self.set(gpu, visit.pid, *memory, &ProcessOwner::Foreign, program);
            }
        }
        for (key, claim) in self.memory.claims.clone() {
            let wants = self.memory.wants(&key, &claim);
            if claim.settled == Some(wants) {
                continue;
            }
            let mut settled = Some(wants);
            for (position, gpu) in claim.gpus.iter().enumerate() {
                let wants = claim.on(position, wants);
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

    /// Sets the memory that a process holds, at most the free memory; returns it. `None`: the GPU is not measured.
    fn set(
        &mut self,
        gpu: &GpuId,
        pid: i32,
        memory: Mebibytes,
        owner: &ProcessOwner,
        program: &str,
    ) -> Option<Mebibytes> {
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
            let claims = self.memory.claims.iter();
            let claims = claims.filter_map(|(key, claim)| {
                let position = claim.gpus.iter().position(|id| *id == gpu.id)?;
                Some(claim.on(position, self.memory.wants(key, claim)) - self.held(key, gpu))
            });
            let unmet: Mebibytes = claims.sum();
            asked.insert(gpu.id.clone(), used + gpu.reserved + unmet);
        }
        for (gpu, asked) in asked {
            let worst = self.memory.worst.entry(gpu).or_default();
            *worst = asked.max(*worst);
        }
    }
}

/// Returns the memory of a placed service on each of its GPUs; empty where it is the same on all.
pub(super) fn amounts(service: &Service) -> Vec<Mebibytes> {
    service.vram_by_gpu.iter().flatten().map(|amount| amount.on(Mebibytes::ZERO)).collect()
}
