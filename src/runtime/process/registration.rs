//! Entry of this runtime in the registry.

use crate::runtime::process::NAME;
use crate::runtime::process::drive::Processes;
use crate::runtime::process::facts::{self, ProcessFacts};
use crate::runtime::process::observe::ProcessObserver;
use crate::runtime::process::sim::SimulatedProcesses;
use crate::runtime::registration::{FactsFormat, Registration, moved};

/// What this runtime brings.
pub(crate) const REGISTRATION: Registration = Registration {
    name: NAME,
    observer: &ProcessObserver,
    facts: FactsFormat::of::<ProcessFacts>(facts::FORMAT, |world| {
        moved(world, &[("trees", "trees"), ("pid_files", "pid_files")])
    }),
    connect: |connection| Box::new(Processes::of(connection)),
    sim: &SimulatedProcesses,
};
