//! Entry of this runtime in the registry.

use crate::runtime::registration::{FactsFormat, Registration};
use crate::runtime::skeleton::NAME;
use crate::runtime::skeleton::drive::SkeletonDriver;
use crate::runtime::skeleton::facts::{self, SkeletonFacts};
use crate::runtime::skeleton::observe::SkeletonObserver;
use crate::runtime::skeleton::sim::SimulatedObjects;

/// Registration of this runtime.
pub(crate) const REGISTRATION: Registration = Registration {
    name: NAME,
    observer: &SkeletonObserver,
    facts: FactsFormat::of::<SkeletonFacts>(facts::FORMAT, |_| None),
    helpers: &[],
    connect: |connection| Box::new(SkeletonDriver::new(connection.desired)),
    sim: &SimulatedObjects,
};
