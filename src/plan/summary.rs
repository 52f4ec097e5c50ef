//! Summaries of services, copied side by side. A plan reads them again and again for all services, and the observation
//! of one fills many cache lines: thousands of them do not stay in a cache, these do.
//!
//! Decides nothing, and adds nothing to what was observed.

use jiff::Timestamp;

use crate::model::budget::Budget;
use crate::model::desired::Service;
use crate::model::lifecycle::State;
use crate::model::observed::{ObservedService, Ownership};
use crate::model::size::Mebibytes;

/// Answers to most questions about one service.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServiceSummary {
    /// How often, and from when on, it may be brought up.
    pub(super) budget: Budget,
    /// Of all wanted copies, on each GPU that it uses.
    pub(super) vram: Mebibytes,
    pub(super) state: State,
    pub(super) owner: OwnerKind,
    pub(super) holds_capacity: bool,
    /// Its state is known.
    pub(super) is_known: bool,
    /// An operator holds it.
    pub(super) has_hold: bool,
    /// It was brought back of late.
    pub(super) has_attempts: bool,
    /// Without it there is no start.
    pub(super) lacks_secret: bool,
    /// An eviction of it was not undone by a `wake` call yet.
    pub(super) is_asleep: bool,
    /// It can give its memory back without a stop.
    pub(super) has_evict: bool,
    /// Its instance is a container.
    pub(super) is_container: bool,
    /// A previous instance was put aside.
    pub(super) has_previous: bool,
}

/// Owner of a service; [`Ownership`] has the details of a foreign one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnerKind {
    Absent,
    Ours,
    Adopted,
    Missing,
    Foreign,
}

impl ServiceSummary {
    pub(super) fn of(service: &Service, seen: &ObservedService, now: Timestamp) -> Self {
        Self {
            budget: Budget::of(service, seen, now),
            vram: service.vram_total(),
            state: seen.state,
            owner: match seen.ownership {
                Ownership::Absent => OwnerKind::Absent,
                Ownership::Ours => OwnerKind::Ours,
                Ownership::Adopted => OwnerKind::Adopted,
                Ownership::Missing { .. } => OwnerKind::Missing,
                Ownership::Foreign { .. } | Ownership::Renamed { .. } => OwnerKind::Foreign,
            },
            holds_capacity: seen.holds_capacity,
            is_known: seen.unknown.is_none(),
            has_hold: seen.hold.is_some(),
            has_attempts: seen.attempts.is_some(),
            lacks_secret: !service.missing_secrets.is_empty(),
            is_asleep: seen.is_asleep,
            has_evict: service.evict.is_some(),
            is_container: seen.instance.as_ref().is_some_and(|instance| instance.name.is_some()),
            has_previous: seen.previous.is_some(),
        }
    }

    /// lcm may stop it.
    pub(super) fn is_ours(self) -> bool {
        matches!(self.owner, OwnerKind::Ours | OwnerKind::Adopted)
    }
}
