//! Settings of simulated containers: compared as those of a real engine, and changed in place where an engine could.

use crate::model::desired::Service;
use crate::model::facts::Facts;
use crate::runtime::docker::facts::ContainerFact;
use crate::runtime::docker::settings::{COMPARED, ContainerSettings, Difference};
use crate::runtime::docker::sim::containers::{by_id, by_id_mut};

/// Returns true if an engine could change all differing settings of a container in place.
pub(super) fn can_be_mended(facts: &Facts, service: &Service, found: &ContainerFact) -> bool {
    let Some(expected) = expected(facts, service, found) else { return true };
    let (Some(settings), Some(marks)) = (&found.settings, &found.marks) else { return true };
    settings.drift(&expected, marks.compared).iter().all(Difference::can_update_in_place)
}

/// Gives a container the settings that can be changed in place.
pub(super) fn mend(facts: &mut Facts, service: &Service, id: &str) {
    let Some(found) = by_id(facts, id).filter(|found| can_be_mended(facts, service, found)) else { return };
    let is_compared = found.marks.as_ref().is_some_and(|marks| marks.compared >= COMPARED);
    let expected = expected(facts, service, found);
    let settings = by_id_mut(facts, id).and_then(|container| container.settings.as_mut());
    if let (Some(expected), Some(settings)) = (expected, settings) {
        // Of the others only limits are changed.
        **settings =
            if is_compared { expected } else { ContainerSettings { limits: expected.limits, ..(**settings).clone() } };
    }
}

fn expected(facts: &Facts, service: &Service, found: &ContainerFact) -> Option<ContainerSettings> {
    ContainerSettings::expected(service, found.marks.as_ref()?, facts)
}
