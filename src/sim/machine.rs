//! The simulated machine: its state behind a lock, its clock, and effects, the only way to change it. Crashes of lcm
//! are injected here.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::deed::{Crash, Deed};
use super::world::World;
use crate::model::names::ServiceName;
use crate::runtime::DriverError;

/// State of a simulation, with its clock.
#[derive(Debug)]
pub(crate) struct SimulatedMachine {
    world: Mutex<World>,
    clock: Clock,
    crashed: Notify,
}

/// Clock of a simulation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Clock {
    /// Time that advances with tokio's, from this pair.
    Running(Timestamp, Instant),
    /// Constant time: the facts of a file do not age.
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

    /// Waits for the crash.
    pub(super) async fn crashed(&self) {
        self.crashed.notified().await;
    }

    /// Applies one effect, with the crash that may be set for it.
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

    /// Crashes lcm: the caller waits here forever, and is dropped by the test.
    async fn go_down(&self) {
        self.lock().down = true;
        self.crashed.notify_one();
        std::future::pending::<()>().await;
    }
}
