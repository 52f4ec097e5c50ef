//! GPU memory of the simulated machine, if it is measured: taken while a service loads or later, shrunk by an eviction,
//! freed at its end, late or never. No process takes more than is free.
//!
//! The facts always hold the memory of single processes; a driver that does not report it omits it in readings only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::facts::ProcessOwner;
use crate::model::names::{GpuId, ServiceName};
use crate::model::size::Mebibytes;

/// Steps in which a model loads: enough to observe one half loaded.
pub(super) const LOADING_STEPS: u32 = 4;

/// First pid, above those of trees, so that no two instances share one.
pub(super) const PIDS_FROM: i32 = 3_000_000;

/// Violation: a start without enough free memory.
pub const OVERCOMMITTED: &str = "GPU overcommitted by a start";

/// Violation: a start whose memory is free, but reserved for running services that have not taken it yet.
pub const OVERRESERVED: &str = "GPU overcommitted by a start, once all have taken what they declare";

/// Foreign program that takes memory for a time.
#[derive(Clone, Debug)]
pub struct Intrusion {
    pub gpu: GpuId,
    /// Time from now.
    pub after: Duration,
    pub program: String,
    /// Memory that the program takes, at most the free memory.
    pub memory: Mebibytes,
    pub lasts: Duration,
}

/// Pending changes of GPU memory, beside the current facts.
#[derive(Debug)]
pub(super) struct SimulatedMemory {
    /// Claims by the instance's key.
    pub(super) claims: BTreeMap<String, MemoryClaim>,
    /// Evictions, past and scheduled, by the instance's key.
    pub(super) evicted: BTreeMap<String, Evicted>,
    pub(super) ghosts: Vec<Ghost>,
    pub(super) visits: Vec<Visit>,
    pub(super) pids: i32,
    pub(super) silent: bool,
    /// Memory that services gave back and that is not reserved for them.
    pub(super) released: BTreeSet<(ServiceName, GpuId)>,
    /// Time of the last wake, by the instance's key.
    pub(super) woken: BTreeMap<String, Instant>,
    /// Peak of held and requested memory on each GPU.
    pub(super) worst: BTreeMap<GpuId, Mebibytes>,
    /// Time up to which all events are applied.
    pub(super) moment: Instant,
}

/// Memory that a running instance takes on each of its GPUs.
#[derive(Clone, Debug)]
pub(super) struct MemoryClaim {
    pub(super) owner: ProcessOwner,
    pub(super) pid: i32,
    pub(super) program: String,
    pub(super) gpus: Vec<GpuId>,
    pub(super) takes: Mebibytes,
    /// Most on each of `gpus`, where that differs; empty: the same on all.
    pub(super) most: Vec<Mebibytes>,
    pub(super) since: Instant,
    pub(super) loading: Duration,
    pub(super) late: Option<Duration>,
    /// Times from which the instance holds at most this amount; `None`: all of its memory again.
    pub(super) sleeps: Vec<(Instant, Option<Mebibytes>)>,
    /// Last demand that was met in full: a test may change the facts afterwards.
    pub(super) settled: Option<Mebibytes>,
}

#[derive(Clone, Debug)]
pub(super) struct Evicted {
    pub(super) at: Instant,
    pub(super) to: Mebibytes,
    /// True once the eviction is applied; the instance may have grown since.
    pub(super) done: bool,
}

/// Memory of an ended instance that is not free yet.
#[derive(Clone, Debug)]
pub(super) struct Ghost {
    pub(super) until: Instant,
    pub(super) gpu: GpuId,
    pub(super) pid: i32,
}

#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) from: Instant,
    pub(super) until: Instant,
    pub(super) pid: i32,
    pub(super) intrusion: Intrusion,
}

impl SimulatedMemory {
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

    /// Returns a pid for an instance whose runtime shows no processes.
    pub(super) fn new_pid(&mut self) -> i32 {
        self.pids += 1;
        self.pids
    }

    /// Returns the times of all scheduled events.
    pub(super) fn moments(&self) -> impl Iterator<Item = Instant> {
        let claims = self.claims.values().flat_map(MemoryClaim::moments);
        let sleeps = self.claims.values().flat_map(|claim| claim.sleeps.iter().map(|(at, _)| *at));
        let visits = self.visits.iter().flat_map(|visit| [visit.from, visit.until]);
        let evicted = self.evicted.values().map(|evicted| evicted.at);
        claims.chain(sleeps).chain(visits).chain(evicted).chain(self.ghosts.iter().map(|ghost| ghost.until))
    }

    /// Returns the memory that an instance demands now, regardless of free memory: its last change counts, requested or
    /// by itself.
    pub(super) fn wants(&self, key: &str, claim: &MemoryClaim) -> Mebibytes {
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

    pub(super) fn take_up(&mut self, key: &str, claim: MemoryClaim) {
        // The memory stays as the facts have it until the next change.
        let claim = MemoryClaim { settled: Some(claim.wants(self.moment)), ..claim };
        self.claims.insert(key.to_owned(), claim);
    }

    /// Takes the memory back from this time.
    pub(super) fn rouse(&mut self, key: &str, at: Instant, takes: Mebibytes) {
        self.evicted.remove(key);
        self.woken.insert(key.to_owned(), at);
        if let Some(claim) = self.claims.get_mut(key) {
            (claim.takes, claim.settled) = (takes, None);
        }
    }
}

impl MemoryClaim {
    /// Returns the part of a demand on the GPU at this position.
    pub(super) fn on(&self, position: usize, wants: Mebibytes) -> Mebibytes {
        self.most.get(position).map_or(wants, |most| wants.min(*most))
    }

    pub(super) fn wants(&self, at: Instant) -> Mebibytes {
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
