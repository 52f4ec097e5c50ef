//! Time of one run: its deadline, waits that end early when the run is cancelled, and the heartbeat of a silent run.

use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::context::{Interrupt, RunContext};

/// Longest time without an event: CI systems end a silent job after minutes, people lose patience after seconds.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Reason for which a wait ended before its condition was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::apply) enum Cancelled {
    Interrupted,
    OutOfTime,
}

/// Start, deadline and interrupt of one run.
pub(in crate::apply) struct RunClock {
    began: Instant,
    timeout: Duration,
    /// `None`: too far away for the clock to represent.
    deadline: Mutex<Option<Instant>>,
    last_event: Mutex<Instant>,
    interrupt: watch::Receiver<Option<Interrupt>>,
}

impl RunClock {
    pub(super) fn new(context: &RunContext<'_>) -> Self {
        let (began, timeout) = (Instant::now(), context.options.timeout);
        Self {
            began,
            timeout,
            deadline: Mutex::new(began.checked_add(timeout)),
            last_event: Mutex::new(began),
            interrupt: context.interrupt.clone(),
        }
    }

    /// Returns the time since the run began.
    pub(in crate::apply) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns the reason for which the run begins nothing more, if there is one.
    pub(in crate::apply) fn cancelled(&self) -> Option<Cancelled> {
        if self.interrupt.borrow().is_some() {
            return Some(Cancelled::Interrupted);
        }
        self.deadline().is_some_and(|deadline| Instant::now() >= deadline).then_some(Cancelled::OutOfTime)
    }

    /// Waits for this time, unless the run is cancelled.
    pub(in crate::apply) async fn sleep(&self, time: Duration) -> Result<(), Cancelled> {
        self.unless_cancelled(tokio::time::sleep(time)).await
    }

    /// Carries out a reading or a wait, and drops it when the run is cancelled. Not for effects: a step ends those itself.
    pub(in crate::apply) async fn unless_cancelled<F: Future>(&self, work: F) -> Result<F::Output, Cancelled> {
        tokio::select! {
            biased;
            cancelled = self.when_cancelled() => Err(cancelled),
            output = work => Ok(output),
        }
    }

    /// Returns when the run begins nothing more.
    pub(in crate::apply) async fn when_cancelled(&self) -> Cancelled {
        tokio::select! {
            biased;
            () = self.interrupted() => Cancelled::Interrupted,
            () = until(*self.deadline()) => Cancelled::OutOfTime,
        }
    }

    /// Returns when the run is interrupted.
    pub(in crate::apply) async fn interrupted(&self) {
        let mut interrupt = self.interrupt.clone();
        if interrupt.wait_for(Option::is_some).await.is_err() {
            // The sender is gone, so that no interrupt can come any more.
            std::future::pending::<()>().await;
        }
    }

    /// Gives the run its full time again, from now: a rollback has as much time as the forward run.
    pub(in crate::apply) fn restart(&self) {
        *self.deadline() = Instant::now().checked_add(self.timeout);
    }

    /// Notes that an event was reported just now.
    pub(super) fn note_event(&self) {
        *self.last_event() = Instant::now();
    }

    /// Carries out the work, and calls `beat` whenever no event was reported for [`SILENCE_MAX`].
    pub(super) async fn with_heartbeat<F: Future>(&self, work: F, beat: impl Fn()) -> F::Output {
        let mut work = pin!(work);
        loop {
            let silent_until = *self.last_event() + SILENCE_MAX;
            tokio::select! {
                biased;
                output = &mut work => return output,
                () = tokio::time::sleep_until(silent_until) => {
                    if self.last_event().elapsed() >= SILENCE_MAX {
                        beat();
                    }
                }
            }
        }
    }

    fn deadline(&self) -> MutexGuard<'_, Option<Instant>> {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_event(&self) -> MutexGuard<'_, Instant> {
        self.last_event.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

pub(in crate::apply) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Formats a time for messages: `2m 30s`.
pub(in crate::apply) fn duration_text(time: Duration) -> String {
    jiff::SignedDuration::try_from(time).map_or_else(|_| "ages".to_owned(), |time| format!("{time:#}"))
}
