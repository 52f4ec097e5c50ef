//! Copies of one simulated service, and the rollout that changes them, by tokio's clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::copies::Copies;

/// Pace and faults of a service's copies.
#[derive(Clone, Debug, Default)]
pub struct Rollout {
    /// Time from one copy to the next.
    pub each: Duration,
    /// Number of copies after which the rollout makes no progress; `None`: it completes.
    pub stuck_after: Option<u32>,
    /// Reason with which a scale or an update is refused.
    pub refused: Option<String>,
}

/// Copies of one service, and the rollout in progress.
#[derive(Clone, Debug)]
pub(super) struct PlayedCopies {
    pub(super) pace: Rollout,
    /// Copies at the beginning of the rollout.
    pub(super) before: Copies,
    pub(super) wanted: u32,
    /// True if every copy is replaced.
    pub(super) rolls: bool,
    pub(super) since: Instant,
    /// Number and spec of the previous revision.
    pub(super) previous: Option<(u32, String)>,
}

impl PlayedCopies {
    /// Returns the copies now: one has changed per interval since the rollout began.
    pub(super) fn now(&self) -> Copies {
        let steps = self.since.elapsed().as_millis().checked_div(self.pace.each.as_millis());
        let steps = steps.map_or(u32::MAX, |steps| u32::try_from(steps).unwrap_or(u32::MAX));
        let steps = steps.min(self.pace.stuck_after.unwrap_or(u32::MAX));
        let toward = |from: u32| {
            if self.wanted >= from {
                from.saturating_add(steps).min(self.wanted)
            } else {
                from.saturating_sub(steps).max(self.wanted)
            }
        };
        let updated = if self.rolls { steps.min(self.wanted) } else { toward(self.before.updated) };
        Copies { wanted: self.wanted, ready: toward(self.before.ready), updated }
    }

    pub(super) fn begin(&mut self, wanted: u32, rolls: bool) {
        (self.before, self.wanted, self.rolls, self.since) = (self.now(), wanted, rolls, Instant::now());
    }
}
