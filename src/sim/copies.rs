//! Copies of a simulated service: they start, stop and are replaced one by one, at the pace that the test sets.
//! Services for which a test sets no copies have one.

use tokio::time::Instant;

use super::Sim;
use super::deed::Deed;
use super::rollout::{PlayedCopies, Rollout};
use super::world::{World, key_of};
use crate::model::copies::{Copies, SURGE};
use crate::model::desired::Service;
use crate::model::instance::Instance;
use crate::model::names::{ProjectName, ServiceName};
use crate::runtime::DriverError;

impl Sim {
    /// Gives a service this number of copies, all ready, which change at this pace.
    pub fn play_copies(&self, service: impl Into<ServiceName>, copies: u32, pace: Rollout) {
        let before = Copies { wanted: copies, ready: copies, updated: copies };
        let played = PlayedCopies { pace, before, wanted: copies, rolls: false, since: Instant::now(), previous: None };
        self.machine.lock().copies.insert(service.into(), played);
    }

    /// Returns the copies of a service now; `None`: the test set none.
    #[must_use]
    pub fn copies(&self, service: &str) -> Option<Copies> {
        self.machine.lock().copies_of(&service.into())
    }

    pub(super) fn plays_copies(&self, service: &ServiceName) -> bool {
        self.machine.lock().copies.contains_key(service)
    }

    pub(super) async fn scale_to(&self, service: &Service, instance: &Instance, to: u32) -> Result<(), DriverError> {
        self.machine.effect(Deed::Scale, &service.name, |world, _| world.roll_out(service, instance, to, false)).await
    }

    pub(super) async fn roll(&self, service: &Service, instance: &Instance) -> Result<(), DriverError> {
        self.machine
            .effect(Deed::Update, &service.name, |world, _| {
                let before = world.copies.get(&service.name).map_or(1, |played| played.wanted);
                world.roll_out(service, instance, service.copies, true)?;
                let carried = world.carry(key_of(instance), service.spec.hash());
                if let Some(played) = world.copies.get_mut(&service.name) {
                    played.previous = carried.map(|spec| (before, spec));
                }
                Ok(())
            })
            .await
    }

    /// Restores the previous revision at once; returns false if there is none.
    pub(super) async fn roll_back(&self, project: &ProjectName, service: &Service) -> Result<bool, DriverError> {
        self.machine
            .effect(Deed::PutBack, &service.name, |world, _| {
                let played = world.copies.get_mut(&service.name);
                let Some((copies, spec)) = played.and_then(|played| played.previous.take()) else { return Ok(false) };
                if let Some(played) = world.copies.get_mut(&service.name) {
                    played.before = Copies { wanted: copies, ready: copies, updated: copies };
                    (played.wanted, played.rolls) = (copies, false);
                }
                if let Some(instance) = world.inspect(project, service)?.instance {
                    world.carry(key_of(&instance), &spec);
                }
                Ok(true)
            })
            .await
    }
}

impl World {
    pub(super) fn copies_of(&self, service: &ServiceName) -> Option<Copies> {
        self.copies.get(service).map(PlayedCopies::now)
    }

    fn roll_out(&mut self, service: &Service, instance: &Instance, to: u32, rolls: bool) -> Result<(), DriverError> {
        let Some(played) = self.copies.get_mut(&service.name) else {
            return Err(DriverError::Refused(format!("{} has one copy, and can't be scaled", service.name)));
        };
        if let Some(reason) = &played.pace.refused {
            return Err(DriverError::Refused(reason.clone()));
        }
        let from = played.wanted;
        played.begin(to, rolls);
        // All memory at once, and the surge of an update until the next change: a bound for any order of the copies.
        let most = from.max(to) + if rolls { SURGE } else { 0 };
        let most = if to < from && !rolls { to } else { most };
        self.claim_found();
        self.memory.rouse(key_of(instance), Instant::now(), service.vram_of(most));
        Ok(())
    }

    /// Writes a spec's hash on an instance; returns the previous one.
    fn carry(&mut self, key: &str, spec: &str) -> Option<String> {
        let mut runtimes = self.runtimes.0.iter();
        runtimes.find_map(|runtime| runtime.replace_spec(&mut self.facts, key, spec))
    }
}
