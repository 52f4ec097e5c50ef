//! Interval between two readings of a wait: it grows with the wait, and never floods the process that is read.

use std::time::Duration;

/// Shortest interval: a switch waits twice, for memory and for an answer, and may lose less than 100 ms by all of lcm's
/// own work.
const INTERVAL_MIN: Duration = Duration::from_millis(3);

/// Longest interval: 2 % of a wait of 100 s.
const INTERVAL_MAX: Duration = Duration::from_secs(2);

/// Divisor of the wait so far that gives the interval: a success is seen about 1 % late.
const INTERVAL_PART: u32 = 100;

/// Returns the pause before the next reading. `elapsed`: the wait so far; `reading`: the time that the last reading took,
/// which the pause is never shorter than.
pub(in crate::apply) fn poll_interval(elapsed: Duration, reading: Duration) -> Duration {
    reading.max(elapsed / INTERVAL_PART).clamp(INTERVAL_MIN, INTERVAL_MAX)
}
