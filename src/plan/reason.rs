//! Reasons of decisions and steps.

use crate::model::plan::{Reason, ReasonCode};

/// Returns a reason with its code, its sentence, and the service, mode or operator that caused it.
pub(super) fn reason(code: ReasonCode, message: String, by: Option<String>) -> Reason {
    Reason { code, message, by }
}
