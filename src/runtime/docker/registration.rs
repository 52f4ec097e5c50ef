//! Entry of this runtime in the registry.

use crate::runtime::docker::NAME;
use crate::runtime::docker::drive::Docker;
use crate::runtime::docker::facts::{self, DockerFacts};
use crate::runtime::docker::observe::DockerObserver;
use crate::runtime::docker::sim::SimulatedDocker;
use crate::runtime::registration::{FactsFormat, Registration, moved};

/// Registration of this runtime.
pub(crate) const REGISTRATION: Registration = Registration {
    name: NAME,
    observer: &DockerObserver,
    facts: FactsFormat::of::<DockerFacts>(facts::FORMAT, |snapshot| {
        let keys = ["engine", "containers", "networks"].map(|key| (key, key));
        moved(snapshot, &[&keys[..], &[("engine_elsewhere", "elsewhere")]].concat())
    }),
    helpers: &[],
    connect: |connection| Box::new(Docker::new(connection)),
    sim: &SimulatedDocker,
};
