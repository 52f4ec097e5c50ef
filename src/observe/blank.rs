//! Pictures of services of which there is nothing, or nothing is known.

use crate::model::lifecycle::State;
use crate::model::observed::Ownership;
use crate::observe::ObservedService;
/// A service of which there is nothing.
pub(super) fn nothing(state: State, detail: &str, ownership: Ownership) -> ObservedService {
    ObservedService::plain(state, detail, ownership)
}

/// A service of which nothing can be said.
pub(super) fn unknown(reason: &str) -> ObservedService {
    ObservedService {
        unknown: Some(reason.to_owned()),
        ..nothing(State::Registered, "it could not be looked at", Ownership::Absent)
    }
}
