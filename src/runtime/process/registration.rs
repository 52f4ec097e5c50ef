//! Entry of the process runtime in the registry.

use crate::host::helper::HelperProgram;
use crate::runtime::process::NAME;
use crate::runtime::process::drive::Processes;
use crate::runtime::process::drive::limits;
use crate::runtime::process::drive::shim::{self, standby};
use crate::runtime::process::facts::{self, ProcessFacts};
use crate::runtime::process::observe::ProcessObserver;
use crate::runtime::process::sim::SimulatedProcesses;
use crate::runtime::registration::{FactsFormat, Registration, moved};

/// Registration of the process runtime.
pub(crate) const REGISTRATION: Registration = Registration {
    name: NAME,
    observer: &ProcessObserver,
    facts: FactsFormat::of::<ProcessFacts>(facts::FORMAT, |world| {
        moved(world, &[("trees", "trees"), ("pid_files", "pid_files")])
    }),
    helpers: &[
        HelperProgram { subcommand: shim::SUBCOMMAND, run: |_| shim::shim_main() },
        HelperProgram { subcommand: limits::SUBCOMMAND, run: |words| limits::limits_main(words) },
        HelperProgram { subcommand: standby::SUBCOMMAND, run: |words| standby::standby_main(words) },
    ],
    connect: |connection| Box::new(Processes::of(connection)),
    sim: &SimulatedProcesses,
};
