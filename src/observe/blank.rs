//! Pictures of services of which there is nothing, or nothing is known.

use crate::model::lifecycle::State;
use crate::model::observed::{ObservedService, Ownership};

/// A service of which there is nothing.
pub(crate) fn nothing(state: State, detail: &str, ownership: Ownership) -> ObservedService {
    ObservedService::plain(state, detail, ownership)
}

/// A service of which nothing can be said.
pub(crate) fn unknown(reason: &str) -> ObservedService {
    ObservedService {
        unknown: Some(reason.to_owned()),
        ..nothing(State::Registered, "it could not be looked at", Ownership::Absent)
    }
}
