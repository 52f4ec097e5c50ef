//! Wait until a started service answers. A success counts at once, the end of the process is final at once, and everything
//! else ends at the deadline.

use std::time::Duration;

use tokio::time::Instant;

use crate::apply::run::{Cancelled, Run, duration_text, poll_interval};
use crate::model::desired::{Health, Service};
use crate::model::facts::{ExitFact, ProbeReading};
use crate::model::instance::Instance;
use crate::model::lifecycle::State;
use crate::runtime::{DriverError, Inspection, RunState};

/// Reason for which a wait for health ended without it.
#[derive(Debug)]
pub(in crate::apply) enum HealthError {
    /// The service did not become healthy, and is in this state.
    Final { state: State, error: String },
    /// The run was cancelled; no fault of the service is known.
    Cancelled(Cancelled),
}

/// Waits until the instance, begun just now, is healthy. Only readings that begin after this call count. A failed reading is
/// never final: only the end of the process and the timeout are.
pub(in crate::apply) async fn wait(run: &Run<'_>, service: &Service, instance: &Instance) -> Result<(), HealthError> {
    let (driver, project) = (run.context.driver, &run.context.desired.project);
    let health = &service.health;
    let began = Instant::now();
    let wait_max = health.start_time_max();
    let mut streak = SuccessStreak::default();
    loop {
        let asked_at = Instant::now();
        let reading = run
            .clock
            .unless_cancelled(driver.probe(project, service, instance))
            .await
            .map_err(HealthError::Cancelled)?;
        // Inspected after the probe: once the instance has ended, the answer came from another process and does not count.
        let inspection =
            run.clock.unless_cancelled(driver.inspect(project, service)).await.map_err(HealthError::Cancelled)?;
        alive(inspection, instance, &mut streak)?;
        streak.add(reading, asked_at);
        if streak.is_enough(health) {
            return Ok(());
        }
        let elapsed = began.elapsed();
        if elapsed >= wait_max {
            let state = State::Timeout;
            return Err(HealthError::Final { state, error: late(wait_max, &streak) });
        }
        let pause =
            health.interval.unwrap_or_else(|| poll_interval(elapsed, asked_at.elapsed())).max(Duration::from_millis(1));
        let pause = pause.min(wait_max.saturating_sub(elapsed)).min(streak.until_stable(health));
        run.clock.sleep(pause).await.map_err(HealthError::Cancelled)?;
    }
}

/// Consecutive successes.
#[derive(Default)]
struct SuccessStreak {
    successes: u32,
    since: Option<Instant>,
    last_detail: String,
}

impl SuccessStreak {
    fn add(&mut self, reading: ProbeReading, asked_at: Instant) {
        match reading {
            ProbeReading::Passed => {
                self.successes = self.successes.saturating_add(1);
                self.since.get_or_insert(asked_at);
                "it answers, but not yet for long enough".clone_into(&mut self.last_detail);
            }
            ProbeReading::Failed { detail, .. } => self.lose(detail),
            ProbeReading::Unknown(reason) => self.lose(format!("the probe could not be run: {reason}")),
        }
    }

    fn lose(&mut self, detail: String) {
        *self = Self { last_detail: detail, ..Self::default() };
    }

    fn is_enough(&self, health: &Health) -> bool {
        self.successes >= health.successes.max(1) && self.until_stable(health).is_zero()
    }

    /// Returns the time until the streak is stable; unbounded without enough successes.
    fn until_stable(&self, health: &Health) -> Duration {
        match self.since {
            Some(since) if self.successes >= health.successes => health.stable_for.saturating_sub(since.elapsed()),
            Some(_) | None => Duration::MAX,
        }
    }
}

/// Checks that the instance still runs. An inspection that fails proves nothing.
fn alive(
    inspection: Result<Inspection, DriverError>,
    instance: &Instance,
    streak: &mut SuccessStreak,
) -> Result<(), HealthError> {
    let inspection = match inspection {
        Ok(inspection) => inspection,
        Err(error) => {
            streak.lose(format!("it could not be inspected: {error}"));
            return Ok(());
        }
    };
    let (state, error) = match inspection.run_state {
        RunState::Running if inspection.instance.as_ref() == Some(instance) => return Ok(()),
        RunState::Running => (State::Failed, "another instance is running in its place".to_owned()),
        RunState::Absent => (State::Failed, "it is gone".to_owned()),
        RunState::Ended(exit) => (State::Failed, format!("it ended while it was starting{}", status(exit.as_ref()))),
        RunState::Degraded(exit) => {
            let status = status(Some(&exit));
            (State::Error, format!("its first process ended while it was starting{status}; others are left"))
        }
        RunState::Suspended => (State::Error, "it was suspended while it was starting".to_owned()),
    };
    Err(HealthError::Final { state, error })
}

fn late(waited: Duration, streak: &SuccessStreak) -> String {
    format!("not healthy after {}: {}", duration_text(waited), streak.last_detail)
}

/// Formats an exit: `: exit status 1`.
pub(super) fn status(exit: Option<&ExitFact>) -> String {
    match exit {
        Some(ExitFact { signal: Some(signal), .. }) => format!(": ended by signal {signal}"),
        Some(ExitFact { code: Some(code), .. }) => format!(": exit status {code}"),
        Some(ExitFact { code: None, signal: None, .. }) | None => String::new(),
    }
}
