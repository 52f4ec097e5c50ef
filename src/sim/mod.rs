//! A machine that is not there: the facts of a world file, changed by effects as a real machine would change them.
//!
//! It stands behind `--world` and under the tests of planning and applying. Time is tokio's, so a test that pauses it
//! waits for nothing. What a service does (loads, dies, is busy) is its [`Behaviour`]; without one it is well at once.
//! Not here: any judgement, and any leniency. What lcm must never do is refused and kept in [`Sim::violations`].

mod as_driver;
mod behaviour;
mod calls;
mod copies;
mod deed;
mod effects;
mod freeze;
mod holding;
mod keys;
mod memory;
mod mend;
mod readings;
mod reply;
mod rollout;
mod sleep;
mod things;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

pub use self::behaviour::{Behaviour, Sleep};
pub use self::deed::{Crash, Deed, Effect};
pub use self::memory::{Intrusion, OVERCOMMITTED, OVERPROMISED};
pub use self::reply::{Call, Reply};
pub use self::rollout::Rollout;
use self::world::World;
use crate::model::facts::{Facts, HistoryFact, Reading};
use crate::model::names::{GpuId, ServiceName};
use crate::model::size::Mebibytes;
use crate::runtime::DriverError;
use crate::runtime::docker::facts::DockerReading as _;
use crate::runtime::process::facts::ProcessReading as _;

/// A simulated machine.
#[derive(Debug)]
pub struct Sim {
    world: Mutex<World>,
    clock: Clock,
    crashed: Notify,
}

#[derive(Clone, Copy, Debug)]
enum Clock {
    /// The world's time goes on with tokio's from here.
    Running(Timestamp, Instant),
    /// It is always this time: what lies in a file does not age.
    Frozen(Timestamp),
}

impl Sim {
    /// A world whose time goes on.
    #[must_use]
    pub fn new(facts: Facts) -> Self {
        let clock = Clock::Running(facts.observed_at, Instant::now());
        Self::with_clock(facts, clock)
    }

    /// A world whose time stands still, so that the same command on the same file says the same.
    #[must_use]
    pub fn frozen(facts: Facts) -> Self {
        let clock = Clock::Frozen(facts.observed_at);
        Self::with_clock(facts, clock)
    }

    fn with_clock(mut facts: Facts, clock: Clock) -> Self {
        // A simulated machine can always be asked: what its file leaves out is not there.
        ask(&mut facts.docker_mut().containers);
        ask(&mut facts.processes_mut().trees);
        ask(&mut facts.listeners);
        Self { world: Mutex::new(World::new(facts)), clock, crashed: Notify::new() }
    }

    /// Says how a service behaves.
    #[must_use]
    pub fn with_behaviour(self, service: impl Into<ServiceName>, behaviour: Behaviour) -> Self {
        self.set_behaviour(service, behaviour);
        self
    }

    /// Says how a service behaves from now on: lifts a fault, or brings one about.
    pub fn set_behaviour(&self, service: impl Into<ServiceName>, behaviour: Behaviour) {
        self.lock().behaviours.insert(service.into(), behaviour);
    }

    /// Everybody behaves.
    pub fn clear_behaviours(&self) {
        self.lock().behaviours.clear();
    }

    /// The world as it is now, for the next run or for a file.
    #[must_use]
    pub fn world(&self) -> Facts {
        let mut world = self.lock();
        world.tick();
        Facts { observed_at: self.time(), ..world.facts.clone() }
    }

    /// Lets a test change the world behind lcm's back.
    pub fn meddle(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.lock().facts);
    }

    /// A foreign program takes some memory, in the middle of whatever goes on then.
    pub fn intrude(&self, intrusion: Intrusion) {
        self.lock().expect_visit(intrusion);
    }

    /// The driver measures GPUs as a whole from now on, and does not tell what single processes hold.
    pub fn silence(&self) {
        self.lock().memory.silent = true;
    }

    /// The most that was ever held on each measured GPU at one time, with what was asked for in vain.
    #[must_use]
    pub fn worst(&self) -> BTreeMap<GpuId, Mebibytes> {
        let mut world = self.lock();
        world.tick();
        world.memory.worst.clone()
    }

    /// What these services gave back is not theirs any more by a plan that says so: others may be let in there.
    pub fn release(&self, given_back: BTreeSet<(ServiceName, GpuId)>) {
        self.lock().memory.released = given_back;
    }

    /// What a store would remember, for worlds that carry their history with them.
    pub fn remember(&self, service: ServiceName, fact: HistoryFact) {
        self.lock().facts.history.insert(service, fact);
    }

    /// The effect of this number, from 1, never returns; from then on nothing happens until [`Sim::revive`].
    pub fn crash_at(&self, effect_number: usize, side: Crash) {
        self.lock().crash = Some((effect_number, side));
    }

    /// Returns when the crash has come.
    pub async fn crashed(&self) {
        self.crashed.notified().await;
    }

    /// The machine goes on, and lcm is started anew.
    pub fn revive(&self) {
        let mut world = self.lock();
        world.crash = None;
        world.down = false;
    }

    /// How many effects there have been.
    #[must_use]
    pub fn effects(&self) -> usize {
        self.lock().log.len()
    }

    #[must_use]
    pub fn log(&self) -> Vec<Effect> {
        self.lock().log.clone()
    }

    /// Everything that lcm tried and must not: touching what is another's, starting over what runs, taken
    /// ports, memory that is not there.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn time(&self) -> Timestamp {
        match self.clock {
            Clock::Running(start, began) => {
                let elapsed = SignedDuration::try_from(began.elapsed()).unwrap_or(SignedDuration::MAX);
                start.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
            }
            Clock::Frozen(time) => time,
        }
    }

    /// One effect, with the crash that may be set for it.
    async fn effect<T>(
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

    /// lcm is gone: whoever waits here waits for ever, and is dropped by the test.
    async fn go_down(&self) {
        self.lock().down = true;
        self.crashed.notify_one();
        std::future::pending::<()>().await;
    }
}

fn ask<T: Default>(reading: &mut Reading<T>) {
    if matches!(reading, Reading::NotAsked) {
        *reading = Reading::Known(T::default());
    }
}
