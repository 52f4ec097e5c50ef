//! Duration of a call, as logged.

use std::time::Instant;

/// Returns the milliseconds since a call began.
pub(crate) fn elapsed_ms(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}
