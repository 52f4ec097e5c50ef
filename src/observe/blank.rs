//! Observed services without an instance, or with an unknown state.

use crate::model::lifecycle::State;
use crate::model::observed::{ObservedService, Ownership};

/// Returns a service without an instance.
pub(crate) fn nothing(state: State, detail: &str, ownership: Ownership) -> ObservedService {
    ObservedService::plain(state, detail, ownership)
}

/// Returns a service whose state is unknown, for this reason.
pub(crate) fn unknown(reason: &str) -> ObservedService {
    ObservedService {
        unknown: Some(reason.to_owned()),
        ..nothing(State::Registered, "it could not be inspected", Ownership::Absent)
    }
}
