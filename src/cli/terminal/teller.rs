//! Events of one run for its readers. The end is reported exactly once, also where a run ends before it begins, or is
//! cut off in the middle.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::apply::{Interrupt, RunResult};
use crate::cli::exit::Exit;
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::interrupt::{NOTHING_DONE, SignalEffect, exit_of};
use crate::cli::terminal::tally::{Ending, RunTally, number};
use crate::model::event::{Event, EventKind};
use crate::report::progress::Progress;

const ENDING: &str =
    "interrupted: no more steps start, and running ones have 5 s to end; interrupt again to quit at once";
const QUITTING: &str = "interrupted again: quitting at once; the next run observes how unfinished steps ended";

/// Reporter of the events of one run.
#[derive(Debug)]
pub(crate) struct EventReporter {
    progress: Progress,
    tally: Mutex<RunTally>,
    ended: AtomicBool,
}

impl EventReporter {
    pub(crate) fn new(progress: Progress) -> Self {
        Self { progress, tally: Mutex::default(), ended: AtomicBool::new(false) }
    }

    pub(crate) fn report(&self, event: &Event) {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).count(event);
        self.progress.show(event);
    }

    /// Reports an event to programs alone: people read it elsewhere.
    pub(crate) fn record(&self, event: &Event) {
        self.progress.record(event);
    }

    /// Removes the progress display from the screen.
    pub(crate) fn clear_progress(&self) {
        self.progress.finish();
    }

    /// Returns the summary, as `1 stopped, 2 started, 1 failed in 12.3 s`.
    pub(crate) fn sentence(&self, outcome: &RunResult, took_ms: u64) -> String {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).sentence(outcome, took_ms)
    }

    /// Reports the last event of a run that was not cut off.
    pub(crate) fn end(&self, at: Timestamp, exit: Exit, outcome: &RunResult, message: &str) {
        self.report_end(Some(at), exit, |_| Ending {
            changed: outcome.changed,
            done: outcome.done,
            failed: number(outcome.failures.len()),
            skipped: outcome.skipped,
            blocked: number(outcome.last_plan.as_ref().map_or(0, |plan| plan.blocked.len())),
            message: message.to_owned(),
        });
    }

    /// Reports the last event of a run that did nothing.
    pub(crate) fn end_early(&self, stop: &EarlyExit) {
        self.report_end(None, stop.exit, |_| Ending { message: stop.message(), ..Ending::default() });
    }

    /// Reports the effect of a signal: a run that is cut off has a last event, too.
    pub(crate) fn on_signal(&self, interrupt: Interrupt, heard: SignalEffect) {
        match heard {
            SignalEffect::First => self.progress.remark(ENDING),
            SignalEffect::BeforeTheRun => {
                let message = NOTHING_DONE.to_owned();
                self.report_end(None, exit_of(interrupt), |_| Ending { message, ..Ending::default() });
            }
            SignalEffect::Again => {
                self.clear_progress();
                self.report_end(None, exit_of(interrupt), RunTally::so_far);
                self.progress.remark(QUITTING);
            }
        }
    }

    /// Reports an end, only the first: a run may be cut off just while it ends.
    fn report_end(&self, at: Option<Timestamp>, exit: Exit, ending: impl FnOnce(&RunTally) -> Ending) {
        if self.ended.swap(true, Ordering::SeqCst) {
            return;
        }
        let event = {
            let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            let at = at.unwrap_or_else(|| tally.now());
            let Ending { changed, done, failed, skipped, blocked, message } = ending(&tally);
            let result = EventKind::Result {
                exit_code: exit.code(),
                changed,
                done,
                failed,
                skipped,
                blocked,
                message,
                took_ms: tally.took_ms(at),
                services: tally.services(),
                stages: tally.stages(),
            };
            Event::new(at, result)
        };
        self.progress.show(&event);
    }
}
