//! A machine that is not there: the facts of a world file, changed by effects as a real machine would change them.
//!
//! It stands behind `--world` and under the tests of planning and applying. Time is tokio's, so a test that pauses it
//! waits for nothing. What a service does (loads, dies, is busy) is its [`Behaviour`]; without one it is well at once.
//! Not here: any judgement, and any leniency. What lcm must never do is refused and kept in [`Sim::violations`].

mod as_driver;
mod behaviour;
mod calls;
pub(crate) mod contract;
mod copies;
pub(crate) mod deed;
mod effects;
mod freeze;
mod holding;
pub(crate) mod instances;
pub(crate) mod lives;
pub(crate) mod machine;
pub(crate) mod marks;
mod memory;
mod readings;
mod reply;
mod rollout;
mod sleep;
pub(crate) mod world;

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

pub use self::behaviour::{Behaviour, Sleep};
use self::contract::SimulatedRuntime;
pub use self::deed::{Crash, Deed, Effect};
use self::instances::SimulatedInstances;
use self::machine::{Clock, SimulatedMachine};
pub use self::memory::{Intrusion, OVERCOMMITTED, OVERPROMISED};
pub use self::reply::{RecordedCall, Reply};
pub use self::rollout::Rollout;
use self::world::World;
use crate::model::facts::{Facts, HistoryFact, Reading};
use crate::model::names::{GpuId, RuntimeName, ServiceName};
use crate::model::size::Mebibytes;
use crate::runtime::DriverError;
use crate::runtime::registry::RUNTIMES;

/// A simulated machine.
#[derive(Debug)]
pub struct Sim {
    machine: SimulatedMachine,
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
        if matches!(facts.listeners, Reading::NotAsked) {
            facts.listeners = Reading::Known(Vec::new());
        }
        let instances = RUNTIMES.iter().map(|runtime| -> &'static dyn SimulatedInstances { runtime.sim });
        Self { machine: SimulatedMachine::new(World::new(facts, instances.collect()), clock) }
    }

    /// Says how a service behaves.
    #[must_use]
    pub fn with_behaviour(self, service: impl Into<ServiceName>, behaviour: Behaviour) -> Self {
        self.set_behaviour(service, behaviour);
        self
    }

    /// Says how a service behaves from now on: lifts a fault, or brings one about.
    pub fn set_behaviour(&self, service: impl Into<ServiceName>, behaviour: Behaviour) {
        self.machine.lock().behaviours.insert(service.into(), behaviour);
    }

    /// Everybody behaves.
    pub fn clear_behaviours(&self) {
        self.machine.lock().behaviours.clear();
    }

    /// The world as it is now, for the next run or for a file.
    #[must_use]
    pub fn world(&self) -> Facts {
        let mut world = self.machine.lock();
        world.tick();
        Facts { observed_at: self.machine.time(), ..world.facts.clone() }
    }

    /// Lets a test change the world behind lcm's back.
    pub fn inject(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.machine.lock().facts);
    }

    /// A foreign program takes some memory, in the middle of whatever goes on then.
    pub fn intrude(&self, intrusion: Intrusion) {
        self.machine.lock().expect_visit(intrusion);
    }

    /// The driver measures GPUs as a whole from now on, and does not tell what single processes hold.
    pub fn silence(&self) {
        self.machine.lock().memory.silent = true;
    }

    /// The most that was ever held on each measured GPU at one time, with what was asked for in vain.
    #[must_use]
    pub fn worst(&self) -> BTreeMap<GpuId, Mebibytes> {
        let mut world = self.machine.lock();
        world.tick();
        world.memory.worst.clone()
    }

    /// What these services gave back is not theirs any more by a plan that says so: others may be let in there.
    pub fn release(&self, given_back: BTreeSet<(ServiceName, GpuId)>) {
        self.machine.lock().memory.released = given_back;
    }

    /// What a store would remember, for worlds that carry their history with them.
    pub fn remember(&self, service: ServiceName, fact: HistoryFact) {
        self.machine.lock().facts.history.insert(service, fact);
    }

    /// The effect of this number, from 1, never returns; from then on nothing happens until [`Sim::revive`].
    pub fn crash_at(&self, effect_number: usize, side: Crash) {
        self.machine.lock().crash = Some((effect_number, side));
    }

    /// Returns when the crash has come.
    pub async fn crashed(&self) {
        self.machine.crashed().await;
    }

    /// The machine goes on, and lcm is started anew.
    pub fn revive(&self) {
        let mut world = self.machine.lock();
        world.crash = None;
        world.down = false;
    }

    /// How many effects there have been.
    #[must_use]
    pub fn effects(&self) -> usize {
        self.machine.lock().log.len()
    }

    #[must_use]
    pub fn log(&self) -> Vec<Effect> {
        self.machine.lock().log.clone()
    }

    /// Everything that lcm tried and must not: touching what is another's, starting over what runs, taken
    /// ports, memory that is not there.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.machine.lock().violations.clone()
    }
}

/// A runtime of this lcm, by its name.
fn runtime_of(name: &RuntimeName) -> Result<&'static dyn SimulatedRuntime, DriverError> {
    let found = RUNTIMES.iter().find(|runtime| runtime.name == *name);
    found.map(|runtime| runtime.sim).ok_or_else(|| DriverError::Refused(format!("this lcm has no runtime `{name}`")))
}
