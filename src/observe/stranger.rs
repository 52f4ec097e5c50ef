//! What answers in a service's place without being it: somebody started it by hand, or another tool did. It is left
//! alone, and counts as the service would.

use crate::model::desired::{Desired, Service};
use crate::model::facts::{Facts, ProbeReading};
use crate::model::lifecycle::State;
use crate::model::observed::{ObservedService, Ownership};
use crate::observe::{nothing, ports};

/// The picture with the stranger in it, where nothing of the service runs, one holds its port, and its probe passes.
pub(super) fn instead(
    facts: &Facts,
    desired: &Desired,
    service: &Service,
    seen: &ObservedService,
) -> Option<ObservedService> {
    let absent = match &seen.ownership {
        Ownership::Absent | Ownership::Ours | Ownership::Adopted | Ownership::Missing { .. } => {
            seen.state.is_not_running() && !seen.holds_room && seen.unknown.is_none()
        }
        // Its container's name is taken: that alone stands in the way.
        Ownership::Foreign { .. } | Ownership::Renamed { .. } => false,
    };
    let answers = || facts.probes.get(&service.name)?.health.as_ref().filter(|health| **health == ProbeReading::Passed);
    if !absent || answers().is_none() {
        return None;
    }
    let holder = ports::stranger_on(facts, desired, service)?;
    let detail = format!("what answers in its place is not lcm's: {}", holder.name);
    Some(ObservedService {
        // What of it is ours and does not run is still to be removed when all goes.
        instance: seen.instance.clone().filter(|_| seen.ownership == Ownership::Ours),
        previous: seen.previous.clone(),
        holds_room: !holder.counted,
        ..nothing(State::Online, &detail, Ownership::Foreign { holder: holder.name })
    })
}
