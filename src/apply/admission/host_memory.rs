//! Shortfall of host memory: less is available than a start needs, beside the reserve and what is promised to others.

use std::collections::BTreeMap;

use super::memory::{Need, Reserved, Shortfall, has_capacity, shortfall, with_reservations};
use crate::apply::run::{ReservationState, StartReservation};
use crate::model::capacity::{GpuCapacity, HostCapacity, MemoryCapacity, MemoryHolder};
use crate::model::names::ServiceName;
use crate::model::size::Mebibytes;

/// Returns the shortfall of memory, on GPUs or of the host, if there is one.
pub(super) fn shortfall_of_any(
    headroom: &HostCapacity,
    need: &Need<'_>,
    reservations: &BTreeMap<ServiceName, StartReservation>,
) -> Option<Shortfall> {
    shortfall(headroom, need, reservations).or_else(|| shortfall_of_host(headroom, need, reservations))
}

fn shortfall_of_host(
    headroom: &HostCapacity,
    need: &Need<'_>,
    reservations: &BTreeMap<ServiceName, StartReservation>,
) -> Option<Shortfall> {
    if need.ram == Mebibytes::ZERO {
        return None;
    }
    let memory = match headroom.memory.as_ref()? {
        MemoryCapacity::Known(memory) => memory,
        MemoryCapacity::Unknown(reason) => {
            return Some(Shortfall::Unknown(format!("free host memory can't be read: {reason}")));
        }
    };
    let name = &need.service.name;
    let others = reservations.iter().filter(|(other, reservation)| *other != name && reservation.ram > Mebibytes::ZERO);
    let others: Vec<Reserved<'_>> =
        others.map(|(other, reservation)| (other, reservation.ram, reservation.state)).collect();
    let counted = with_reservations(memory, &others);
    let needs = total(need, memory.holders.iter().find(|holder| holder.is(name)));
    if has_capacity(&counted, Some(name), needs) {
        return None;
    }
    let line = format!("it needs {needs} of host memory; {}", counted.arithmetic(Some(name)));
    Some(Shortfall::Short { line, passes: passes(memory, &counted, &others, (name, needs)) })
}

/// Host memory of the service once it has started; `holder`: what it counts for now.
fn total(need: &Need<'_>, holder: Option<&MemoryHolder>) -> Mebibytes {
    let Some(holder) = holder.filter(|_| need.is_beside) else { return need.ram };
    let declared = need.service.ram_of(need.service.copies);
    holder.counts.max(holder.measured.unwrap_or_default() + need.ram).max(declared)
}

/// Returns true if the memory would suffice once the loading services are done. Until then, memory that a service has
/// taken, and that is not measured as its own, counts as its reservation and as foreign.
fn passes(
    memory: &GpuCapacity,
    counted: &GpuCapacity,
    others: &[Reserved<'_>],
    (name, needs): (&ServiceName, Mebibytes),
) -> bool {
    let is_measured = |other: &ServiceName| memory.holders.iter().any(|held| held.is(other) && held.measured.is_some());
    let loading = others.iter().filter(|(other, _, state)| *state == ReservationState::Loading && !is_measured(other));
    let theirs: Mebibytes = loading.map(|(_, amount, _)| *amount).sum();
    let done = GpuCapacity { foreign: counted.foreign - theirs, ..counted.clone() };
    theirs > Mebibytes::ZERO && has_capacity(&done, Some(name), needs)
}
