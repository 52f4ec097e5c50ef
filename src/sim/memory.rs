//! GPU memory of the simulated world, where it measures any: taken while a service loads or later, shrunk when it is
//! evicted, given back at its end, late or never. What is there is there: nobody takes more than is free.
//!
//! The facts hold the truth. A driver that tells nothing of single processes is silent in its readings alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::facts::ProcessOwner;
use crate::model::names::{GpuId, ServiceName};
use crate::model::size::Mebibytes;

/// Models are read in pieces: enough to see one half loaded.
pub(super) const LOADING_STEPS: u32 = 4;

/// Beyond those of trees, so that no two things share one.
pub(super) const PIDS_FROM: i32 = 3_000_000;

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
pub(super) struct SimulatedMemory {
    /// By the instance's key.
    pub(super) claims: BTreeMap<String, MemoryClaim>,
    /// What each evicted thing is down to, or will be, by the instance's key.
    pub(super) evicted: BTreeMap<String, Evicted>,
    pub(super) ghosts: Vec<Ghost>,
    pub(super) visits: Vec<Visit>,
    pub(super) pids: i32,
    pub(super) silent: bool,
    /// What these gave back there is not reserved for them.
    pub(super) released: BTreeSet<(ServiceName, GpuId)>,
    /// When each was last woken, by the instance's key.
    pub(super) woken: BTreeMap<String, Instant>,
    /// The most that was ever held and asked for on each GPU at one time.
    pub(super) worst: BTreeMap<GpuId, Mebibytes>,
    /// Up to when everything has happened.
    pub(super) moment: Instant,
}

/// What something that runs takes on each of its GPUs.
#[derive(Clone, Debug)]
pub(super) struct MemoryClaim {
    pub(super) owner: ProcessOwner,
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
pub(super) struct Evicted {
    pub(super) at: Instant,
    pub(super) to: Mebibytes,
    /// It was so small once, and may have grown since.
    pub(super) done: bool,
}

/// Memory of what has ended, on its way back.
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

    /// Of something that nobody shows the processes of.
    pub(super) fn new_pid(&mut self) -> i32 {
        self.pids += 1;
        self.pids
    }

    /// When something happens next by itself.
    pub(super) fn moments(&self) -> impl Iterator<Item = Instant> {
        let claims = self.claims.values().flat_map(MemoryClaim::moments);
        let sleeps = self.claims.values().flat_map(|claim| claim.sleeps.iter().map(|(at, _)| *at));
        let visits = self.visits.iter().flat_map(|visit| [visit.from, visit.until]);
        let evicted = self.evicted.values().map(|evicted| evicted.at);
        claims.chain(sleeps).chain(visits).chain(evicted).chain(self.ghosts.iter().map(|ghost| ghost.until))
    }

    /// What a thing would hold by now, if there were room for it: the last that was asked of it, or that it did by
    /// itself, counts.
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
        // Its memory stays as it is until it gives some back.
        let claim = MemoryClaim { settled: Some(claim.wants(self.moment)), ..claim };
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

impl MemoryClaim {
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
