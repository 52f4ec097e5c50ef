//! Summaries of services in contiguous memory. A plan reads them repeatedly for all services; thousands of
//! observations, which fill many cache lines each, would not stay in a cache, but their summaries do.
//!
//! Decides nothing, and adds nothing to what was observed.

use jiff::Timestamp;

use crate::model::budget::Budget;
use crate::model::desired::Service;
use crate::model::lifecycle::State;
use crate::model::observed::{ObservedService, Ownership};
use crate::model::size::Mebibytes;

/// Facts about one service that most decisions read.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServiceSummary {
    /// Attempts left, and the time of the next one.
    pub(super) budget: Budget,
    /// Declared memory of all wanted copies, on each GPU that the service uses.
    pub(super) vram: Mebibytes,
    pub(super) state: State,
    pub(super) owner: OwnerKind,
    pub(super) holds_capacity: bool,
    /// True if the state is known.
    pub(super) is_known: bool,
    /// True if an operator holds the service.
    pub(super) has_hold: bool,
    /// True if restarts are counted against the budget.
    pub(super) has_attempts: bool,
    /// True if a secret is missing, which prevents a start.
    pub(super) lacks_secret: bool,
    /// True if the service was evicted and no `wake` call has undone that yet.
    pub(super) is_asleep: bool,
    /// True if the service can free its memory without a stop.
    pub(super) has_evict: bool,
    /// True if the instance is a container.
    pub(super) is_container: bool,
    /// True if a previous instance was put aside.
    pub(super) has_previous: bool,
    /// True for a job that has completed under the present spec.
    pub(super) is_done: bool,
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
            is_done: seen.is_done_job(),
        }
    }

    /// Returns true if lcm may stop the service.
    pub(super) fn is_ours(self) -> bool {
        matches!(self.owner, OwnerKind::Ours | OwnerKind::Adopted)
    }
}
