//! Waiting until a service that was started truly answers. Nothing is slept through: a success counts at once, an end
//! is final at once, and all that lies between ends at the deadline.

use std::time::Duration;

use tokio::time::Instant;

use super::run::{Cut, Run, spoken};
use crate::model::desired::{Health, Service};
use crate::model::facts::{ExitFact, ProbeReading};
use crate::model::instance::Instance;
use crate::model::lifecycle::State;
use crate::runtime::{DriverError, Life, Look};

/// A switch waits twice, for memory and for an answer, and is to lose less than 100 ms by all that it does.
const INTERVAL_MIN: Duration = Duration::from_millis(3);

/// Nobody minds two seconds in a wait of a hundred.
const INTERVAL_MAX: Duration = Duration::from_secs(2);

/// The interval is this part of the wait so far, so that a service is seen about 1 % late; and never shorter than the
/// asking itself took, so that whoever is asked has at least as much time to himself.
const INTERVAL_PART: u32 = 100;

/// Why a service did not come up.
#[derive(Debug)]
pub(super) enum Illness {
    /// It is over, and the service is in this state.
    Final { state: State, error: String },
    /// Nothing is known to be wrong with it.
    Cut(Cut),
}

/// Waits until the instance, begun just now, is healthy. Only readings that begin after this call count, and a failed
/// one never counts: only the end of the process or of the time does.
pub(super) async fn wait(run: &Run<'_>, service: &Service, instance: &Instance) -> Result<(), Illness> {
    let (driver, project) = (run.context.driver, &run.context.desired.project);
    let health = &service.health;
    let began = Instant::now();
    let time_max = health.start_time_max();
    let mut row = Row::default();
    loop {
        let asked_at = Instant::now();
        let reading = run.unless_cut(driver.probe(project, service, instance)).await.map_err(Illness::Cut)?;
        // Looked at after the probe: an answer that comes from another than this, while this has ended, is no answer.
        let look = run.unless_cut(driver.look(project, service)).await.map_err(Illness::Cut)?;
        alive(look, instance, &mut row)?;
        row.add(reading, asked_at);
        if row.is_enough(health) {
            return Ok(());
        }
        let elapsed = began.elapsed();
        if elapsed >= time_max {
            let state = State::Timeout;
            return Err(Illness::Final { state, error: late(time_max, &row) });
        }
        let pause =
            health.interval.unwrap_or_else(|| growing(elapsed, asked_at.elapsed())).max(Duration::from_millis(1));
        let pause = pause.min(time_max.saturating_sub(elapsed)).min(row.until_stable(health));
        run.nap(pause).await.map_err(Illness::Cut)?;
    }
}

/// How long to wait before asking again, after having waited so long, the last asking included.
pub(super) fn growing(elapsed: Duration, asking: Duration) -> Duration {
    asking.max(elapsed / INTERVAL_PART).clamp(INTERVAL_MIN, INTERVAL_MAX)
}

/// Successes without a failure between them.
#[derive(Default)]
struct Row {
    successes: u32,
    since: Option<Instant>,
    last_detail: String,
}

impl Row {
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

    /// Without a success this bounds nothing.
    fn until_stable(&self, health: &Health) -> Duration {
        match self.since {
            Some(since) if self.successes >= health.successes => health.stable_for.saturating_sub(since.elapsed()),
            Some(_) | None => Duration::MAX,
        }
    }
}

/// Whether it still lives; a look that fails says nothing.
fn alive(look: Result<Look, DriverError>, instance: &Instance, row: &mut Row) -> Result<(), Illness> {
    let look = match look {
        Ok(look) => look,
        Err(error) => {
            row.lose(format!("it could not be looked at: {error}"));
            return Ok(());
        }
    };
    let (state, error) = match look.life {
        Life::Running if look.instance.as_ref() == Some(instance) => return Ok(()),
        Life::Running => (State::Failed, "another of it runs in its place".to_owned()),
        Life::Absent => (State::Failed, "it is gone".to_owned()),
        Life::Ended(exit) => (State::Failed, format!("it ended while it was starting{}", status(exit.as_ref()))),
        Life::Crippled(exit) => {
            let status = status(Some(&exit));
            (State::Error, format!("its first process ended while it was starting{status}; others are left"))
        }
        Life::Suspended => (State::Error, "somebody suspended it while it was starting".to_owned()),
    };
    Err(Illness::Final { state, error })
}

fn late(waited: Duration, row: &Row) -> String {
    format!("not healthy after {}: {}", spoken(waited), row.last_detail)
}

/// `: exit status 1`, or what else is known.
fn status(exit: Option<&ExitFact>) -> String {
    match exit {
        Some(ExitFact { signal: Some(signal), .. }) => format!(": ended by signal {signal}"),
        Some(ExitFact { code: Some(code), .. }) => format!(": exit status {code}"),
        Some(ExitFact { code: None, signal: None, .. }) | None => String::new(),
    }
}
