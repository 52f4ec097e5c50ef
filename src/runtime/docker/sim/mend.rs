//! Settings of simulated containers: compared as those of a real engine, and changed in place where an engine could.

use crate::model::desired::Service;
use crate::model::facts::Facts;
use crate::runtime::docker::facts::ContainerFact;
use crate::runtime::docker::settings::{COMPARED, ContainerSettings, Difference};
use crate::runtime::docker::sim::containers::{by_id, by_id_mut};

/// Returns true if an engine could change all differing settings of a container in place.
pub(super) fn can_be_mended(facts: &Facts, service: &Service, found: &ContainerFact) -> bool {
    let Some(expected) = expected(facts, service, found) else { return true };
    let Some(settings) = &found.settings else { return true };
    settings.differences(&expected).iter().all(Difference::can_update_in_place)
}

/// Gives a container the settings that can be changed in place.
pub(super) fn mend(facts: &mut Facts, service: &Service, id: &str) {
    let Some(found) = by_id(facts, id).filter(|found| can_be_mended(facts, service, found)) else { return };
    let expected = expected(facts, service, found);
    if let (Some(expected), Some(container)) = (expected, by_id_mut(facts, id)) {
        container.settings = Some(Box::new(expected));
    }
}

fn expected(facts: &Facts, service: &Service, found: &ContainerFact) -> Option<ContainerSettings> {
    let marks = found.marks.as_ref().filter(|marks| marks.compared >= COMPARED)?;
    ContainerSettings::expected(service, marks, facts)
}
