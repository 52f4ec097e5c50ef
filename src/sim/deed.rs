//! Effects of the simulated world, as its log holds them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::names::{GpuId, ServiceName};
use crate::model::size::Mebibytes;

/// One thing that was done to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    pub at: Timestamp,
    pub deed: Deed,
    pub service: ServiceName,
    /// Services of the project that ran just after it.
    pub running: BTreeSet<ServiceName>,
    /// Those of them that answered.
    pub answering: BTreeSet<ServiceName>,
    /// Declared memory of all that ran just after it, by anybody's marks.
    pub memory: BTreeMap<GpuId, Mebibytes>,
}

/// The smallest changes: lcm may be killed between any two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    PutAside,
    Create,
    Start,
    /// The signal is sent; the end may come later.
    Stop,
    Remove,
    PutBack,
    Evict,
    Wake,
    Pause,
    Unpause,
    Update,
    Scale,
}

/// Which side of an effect a crash is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    Before,
    After,
}
