//! Simulated services that give GPU memory back by themselves, and take it again by themselves or when they are woken.

use tokio::time::Instant;

use super::memory::MemoryClaim;
use super::world::{Alive, World, key_of};
use super::{Deed, Sim};
use crate::model::facts::{GpuHolder, ProcessOwner};
use crate::model::names::ServiceName;
use crate::model::size::Mebibytes;
use crate::runtime::{DriverError, Start};

impl Sim {
    /// Wakes a service: it takes its memory again from now on.
    pub(super) async fn rouse(&self, start: &Start<'_>) -> Result<(), DriverError> {
        let name = &start.service.name;
        self.machine
            .effect(Deed::Wake, name, |world, _| {
                world.serve(start.project);
                if let Some(reason) = world.behaviour(name).wake_error {
                    return Err(DriverError::Refused(reason));
                }
                let Some(instance) = world.running(start.project, start.service) else {
                    return Err(world.violate(format!("woke {name}, which does not run")));
                };
                let key = key_of(&instance);
                world.judge_start(key, start);
                // From here on its memory is reserved for it again.
                world.memory.released.retain(|(released, _)| released != name);
                // Without a wake call the service takes its memory when it is used again.
                if start.service.wake.is_some() {
                    world.claim_found();
                    let takes = world.behaviour(name).takes.unwrap_or(start.service.vram);
                    world.memory.rouse(key, Instant::now(), takes);
                }
                Ok(())
            })
            .await
    }
}

impl World {
    /// Gives instances that ran from the beginning a claim, once their memory can differ from the facts.
    pub(super) fn claim_found(&mut self) {
        let unclaimed: Vec<Alive> = self
            .alive()
            .into_iter()
            .filter(|thing| !self.memory.has_claim(&thing.key) && !thing.holds.is_empty())
            .collect();
        for thing in unclaimed {
            let Some(service) = thing.service.clone() else { continue };
            let claim = self.found_claim(&thing, &service);
            self.memory.take_up(&thing.key, claim);
        }
    }

    fn found_claim(&self, thing: &Alive, service: &ServiceName) -> MemoryClaim {
        let is_its = self.is_holder_of(&thing.key);
        let gpus = self.facts.gpus.known().into_iter().flatten();
        let holder: Option<&GpuHolder> = gpus.flat_map(|gpu| &gpu.holders).find(|holder| is_its(holder));
        let (owner, pid) = match holder {
            Some(holder) => (holder.owner.clone(), holder.pid),
            None => match self.holder(&thing.key) {
                Some(holder) => (holder.owner, holder.pid.unwrap_or(FOUND_PID)),
                // A live instance is always a holder to its runtime.
                None => (ProcessOwner::Foreign, FOUND_PID),
            },
        };
        let declared = thing.holds.iter().map(|(_, declared)| *declared).max().unwrap_or_default();
        let is_even = thing.holds.iter().all(|(_, amount)| *amount == declared);
        let behaviour = self.behaviour(service);
        MemoryClaim {
            owner,
            pid,
            program: service.to_string(),
            gpus: thing.holds.iter().map(|(gpu, _)| gpu.clone()).collect(),
            takes: behaviour.takes.unwrap_or(declared),
            most: if is_even { Vec::new() } else { thing.holds.iter().map(|(_, declared)| *declared).collect() },
            since: self.began,
            loading: std::time::Duration::ZERO,
            late: None,
            sleeps: self.sleeps_of(service),
            settled: None,
        }
    }

    /// Returns the changes of the memory limit of a service, each with its time.
    pub(super) fn sleeps_of(&self, service: &ServiceName) -> Vec<(Instant, Option<Mebibytes>)> {
        let sleeps = self.behaviour(service).sleeps;
        let changes = sleeps.iter().flat_map(|sleep| {
            let end = sleep.until.map(|until| (self.began + until.max(sleep.from), None));
            [Some((self.began + sleep.from, Some(sleep.to))), end].into_iter().flatten()
        });
        changes.collect()
    }

    /// Returns true if any service gives memory back by itself.
    pub(super) fn has_sleepers(&self) -> bool {
        self.behaviours.values().any(|behaviour| !behaviour.sleeps.is_empty())
    }
}

/// Pid of an instance without processes in any reading that holds nothing yet.
const FOUND_PID: i32 = 2_999_999;
