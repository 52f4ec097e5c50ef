//! The simulated machine: a world behind a lock, its clock, and the one way to change it. Here a crash of lcm strikes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::deed::{Crash, Deed};
use super::world::World;
use crate::model::names::ServiceName;
use crate::runtime::DriverError;

/// World of a simulation, with its clock.
#[derive(Debug)]
pub(crate) struct SimulatedMachine {
    world: Mutex<World>,
    clock: Clock,
    crashed: Notify,
}

/// Clock of a simulation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Clock {
    /// The world's time goes on with tokio's from here.
    Running(Timestamp, Instant),
    /// It is always this time: what lies in a file does not age.
    Frozen(Timestamp),
}

impl SimulatedMachine {
    pub(super) fn new(world: World, clock: Clock) -> Self {
        Self { world: Mutex::new(world), clock, crashed: Notify::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn time(&self) -> Timestamp {
        match self.clock {
            Clock::Running(start, began) => {
                let elapsed = SignedDuration::try_from(began.elapsed()).unwrap_or(SignedDuration::MAX);
                start.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
            }
            Clock::Frozen(time) => time,
        }
    }

    /// Returns when the crash has come.
    pub(super) async fn crashed(&self) {
        self.crashed.notified().await;
    }

    /// One effect, with the crash that may be set for it.
    pub(crate) async fn effect<T>(
        &self,
        deed: Deed,
        service: &ServiceName,
        act: impl FnOnce(&mut World, Timestamp) -> Result<T, DriverError> + Send,
    ) -> Result<T, DriverError> {
        let side = self.lock().crash_of_next();
        if self.lock().down || side == Some(Crash::Before) {
            self.go_down().await;
        }
        let result = {
            let mut world = self.lock();
            world.tick();
            let result = act(&mut world, self.time());
            world.tick();
            world.note(self.time(), deed, service);
            result
        };
        if side == Some(Crash::After) {
            self.go_down().await;
        }
        result
    }

    /// lcm is gone: a caller waits here for ever, and is dropped by the test.
    async fn go_down(&self) {
        self.lock().down = true;
        self.crashed.notify_one();
        std::future::pending::<()>().await;
    }
}
