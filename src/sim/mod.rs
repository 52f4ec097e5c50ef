//! Simulated machine for `--world` and for the tests of planning and applying. Time is tokio's, so a test that pauses
//! it never waits.
//!
//! In: the facts of a snapshot, a [`Behaviour`] per service (loads, dies, is busy; by default healthy at once), and
//! effects, which change the facts as a real machine would.
//! Out: facts, the log of effects, and [`Sim::violations`]: effects that lcm must never attempt, which are refused.
//! Not here: any decision, and the details of a runtime (`runtime`, behind `contract`).

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
mod ram;
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
pub use self::memory::{Intrusion, OVERCOMMITTED, OVERRESERVED};
pub use self::ram::HOST_OVERCOMMITTED;
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
    /// Simulation whose time advances.
    #[must_use]
    pub fn new(facts: Facts) -> Self {
        let clock = Clock::Running(facts.observed_at, Instant::now());
        Self::with_clock(facts, clock)
    }

    /// Simulation whose time is frozen, so that the same command on the same file has the same output.
    #[must_use]
    pub fn frozen(facts: Facts) -> Self {
        let clock = Clock::Frozen(facts.observed_at);
        Self::with_clock(facts, clock)
    }

    fn with_clock(mut facts: Facts, clock: Clock) -> Self {
        // A simulated machine can always be read: listeners missing in the file do not exist.
        if matches!(facts.listeners, Reading::NotAsked) {
            facts.listeners = Reading::Known(Vec::new());
        }
        let instances = RUNTIMES.iter().map(|runtime| -> &'static dyn SimulatedInstances { runtime.sim });
        Self { machine: SimulatedMachine::new(World::new(facts, instances.collect()), clock) }
    }

    /// Sets the behaviour of a service.
    #[must_use]
    pub fn with_behaviour(self, service: impl Into<ServiceName>, behaviour: Behaviour) -> Self {
        self.set_behaviour(service, behaviour);
        self
    }

    /// Sets the behaviour of a service from now on: injects a fault, or clears one.
    pub fn set_behaviour(&self, service: impl Into<ServiceName>, behaviour: Behaviour) {
        self.machine.lock().behaviours.insert(service.into(), behaviour);
    }

    /// Resets all services to the default behaviour.
    pub fn clear_behaviours(&self) {
        self.machine.lock().behaviours.clear();
    }

    /// Returns the current facts, for the next run or for a file.
    #[must_use]
    pub fn world(&self) -> Facts {
        let mut world = self.machine.lock();
        world.tick();
        Facts { observed_at: self.machine.time(), ..world.facts.clone() }
    }

    /// Changes the facts directly, as another actor on the machine would.
    pub fn inject(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.machine.lock().facts);
    }

    /// Schedules a foreign program that takes GPU memory.
    pub fn intrude(&self, intrusion: Intrusion) {
        self.machine.lock().expect_visit(intrusion);
    }

    /// Limits the driver to totals per GPU from now on, without the memory of single processes.
    pub fn silence(&self) {
        self.machine.lock().memory.silent = true;
    }

    /// Returns the peak memory of each measured GPU, with unmet demand.
    #[must_use]
    pub fn worst(&self) -> BTreeMap<GpuId, Mebibytes> {
        let mut world = self.machine.lock();
        world.tick();
        world.memory.worst.clone()
    }

    /// Sets the memory that services gave back and that a plan released: other services may be admitted there.
    pub fn release(&self, given_back: BTreeSet<(ServiceName, GpuId)>) {
        self.machine.lock().memory.released = given_back;
    }

    /// Sets the history of a service, which a store would hold otherwise.
    pub fn remember(&self, service: ServiceName, fact: HistoryFact) {
        self.machine.lock().facts.history.insert(service, fact);
    }

    /// Crashes lcm at the effect with this number, from 1: that effect never returns, and nothing happens until
    /// [`Sim::revive`].
    pub fn crash_at(&self, effect_number: usize, side: Crash) {
        self.machine.lock().crash = Some((effect_number, side));
    }

    /// Waits for the crash.
    pub async fn crashed(&self) {
        self.machine.crashed().await;
    }

    /// Resumes the machine after a crash, for a new lcm process.
    pub fn revive(&self) {
        let mut world = self.machine.lock();
        world.crash = None;
        world.down = false;
    }

    /// Returns the number of effects so far.
    #[must_use]
    pub fn effects(&self) -> usize {
        self.machine.lock().log.len()
    }

    #[must_use]
    pub fn log(&self) -> Vec<Effect> {
        self.machine.lock().log.clone()
    }

    /// Returns the forbidden effects that lcm attempted: touching a foreign instance, starting a service that runs,
    /// taking a held port or memory that is not free.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.machine.lock().violations.clone()
    }
}

/// Returns a runtime of this lcm by its name.
fn runtime_of(name: &RuntimeName) -> Result<&'static dyn SimulatedRuntime, DriverError> {
    let found = RUNTIMES.iter().find(|runtime| runtime.name == *name);
    found.map(|runtime| runtime.sim).ok_or_else(|| DriverError::Refused(format!("this lcm has no runtime `{name}`")))
}
