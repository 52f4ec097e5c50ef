//! What a run tells whoever listens, and that it always tells its end: once, also where it ends before it began, or is
//! cut off half way.

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

const ASKED_TO_END: &str =
    "interrupted: nothing more is begun, and what is under way has 5 s to end; another interrupt leaves at once";
const LEFT_AT_ONCE: &str = "interrupted again: left at once; the next run finds how what was under way went on";

/// The events of one run, on their way out.
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

    pub(crate) fn tell(&self, event: &Event) {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).tell(event);
        self.progress.tell(event);
    }

    /// Tells programs alone what people read elsewhere.
    pub(crate) fn record(&self, event: &Event) {
        self.progress.record(event);
    }

    /// Takes what moves off the screen.
    pub(crate) fn clear_progress(&self) {
        self.progress.finish();
    }

    /// `1 stopped, 2 started, 1 failed in 12.3 s`
    pub(crate) fn sentence(&self, outcome: &RunResult, took_ms: u64) -> String {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).sentence(outcome, took_ms)
    }

    /// The last event of a run that came to its own end.
    pub(crate) fn end(&self, at: Timestamp, exit: Exit, outcome: &RunResult, message: &str) {
        self.tell_end(Some(at), exit, |_| Ending {
            changed: outcome.changed,
            done: outcome.done,
            failed: number(outcome.failures.len()),
            skipped: outcome.skipped,
            blocked: number(outcome.last_plan.as_ref().map_or(0, |plan| plan.blocked.len())),
            message: message.to_owned(),
        });
    }

    /// The last event of a run that did nothing.
    pub(crate) fn end_early(&self, stop: &EarlyExit) {
        self.tell_end(None, stop.exit, |_| Ending { message: stop.message(), ..Ending::default() });
    }

    /// What a signal has to be told of: a run that is cut off where it stands has a last event, too.
    pub(crate) fn hear(&self, interrupt: Interrupt, heard: SignalEffect) {
        match heard {
            SignalEffect::First => self.progress.remark(ASKED_TO_END),
            SignalEffect::BeforeTheRun => {
                let message = NOTHING_DONE.to_owned();
                self.tell_end(None, exit_of(interrupt), |_| Ending { message, ..Ending::default() });
            }
            SignalEffect::Again => {
                self.clear_progress();
                self.tell_end(None, exit_of(interrupt), RunTally::so_far);
                self.progress.remark(LEFT_AT_ONCE);
            }
        }
    }

    /// Only the first end is told: one that is cut off may be at its own just then.
    fn tell_end(&self, at: Option<Timestamp>, exit: Exit, ending: impl FnOnce(&RunTally) -> Ending) {
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
        self.progress.tell(&event);
    }
}
