//! Effects on the simulated machine, as its log records them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::names::{GpuId, ServiceName};
use crate::model::size::Mebibytes;

/// One change of the simulated machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    pub at: Timestamp,
    pub deed: Deed,
    pub service: ServiceName,
    /// Services of the project that ran just after the change.
    pub running: BTreeSet<ServiceName>,
    /// Services among them that answered.
    pub answering: BTreeSet<ServiceName>,
    /// Declared memory of everything that ran just after the change, by the marks of all owners.
    pub memory: BTreeMap<GpuId, Mebibytes>,
}

/// Smallest changes: lcm may be killed between any two of them.
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
    CreateNetwork,
    RemoveNetwork,
}

/// Side of an effect on which lcm crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    Before,
    After,
}
