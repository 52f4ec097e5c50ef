//! The run that all steps share: its context, clock, ledger and notifications, and the events that it reports.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::clock::{RunClock, millis};
use super::context::RunContext;
use super::ledger::RunLedger;
use super::notices::NoticeChannel;
use crate::model::event::{Event, EventKind, Stage, StageTime};
use crate::model::names::{ServiceName, StepId};
use crate::model::pending::PendingCall;
use crate::model::plan::Step;
use crate::model::rules::Case;
use crate::model::secret::Masker;

/// One run, as its steps share it.
pub(in crate::apply) struct Run<'a> {
    pub(in crate::apply) context: RunContext<'a>,
    pub(in crate::apply) clock: RunClock,
    /// Held while an admission is checked: one at a time.
    pub(in crate::apply) admission: tokio::sync::Mutex<()>,
    /// Signals that a start was launched: dependents that wait for no more may begin.
    pub(in crate::apply) launched: Notify,
    ledger: Mutex<RunLedger>,
    pub(in crate::apply) notices: NoticeChannel,
    holds_unreadable: AtomicBool,
    masker: Masker,
    /// Recorded calls of earlier runs that are still to be made.
    pub(in crate::apply) earlier: Vec<PendingCall>,
}

impl<'a> Run<'a> {
    pub(in crate::apply) fn new(context: RunContext<'a>) -> Self {
        Self {
            context,
            clock: RunClock::new(&context),
            admission: tokio::sync::Mutex::new(()),
            launched: Notify::new(),
            ledger: Mutex::default(),
            notices: NoticeChannel::new(context.desired.notify.len()),
            holds_unreadable: AtomicBool::new(false),
            masker: context.desired.masker(),
            earlier: context.earlier.to_vec(),
        }
    }

    /// Returns true if this run committed itself to the call, or has settled it.
    pub(in crate::apply) fn is_own(&self, call: &PendingCall) -> bool {
        call.payload.run == self.context.author.run || self.ledger().settled.contains(&call.id)
    }

    pub(in crate::apply) fn masker(&self) -> &Masker {
        &self.masker
    }

    pub(in crate::apply) fn ledger(&self) -> MutexGuard<'_, RunLedger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the case that rules judge: this service, in this mode, now.
    pub(in crate::apply) fn rule_case<'s>(&'s self, service: &'s ServiceName) -> Case<'s> {
        Case { service, mode: self.context.desired.mode.as_ref(), at: self.context.driver.now() }
    }

    /// Reports an event.
    pub(in crate::apply) fn emit(&self, kind: EventKind) {
        self.clock.note_event();
        (self.context.events)(Event::new(self.context.driver.now(), kind));
    }

    pub(in crate::apply) fn warn(&self, message: &str) {
        self.emit(EventKind::Warning { message: self.mask(message) });
    }

    /// Reports that a step has entered a stage.
    pub(in crate::apply) fn stage(&self, step: &Step, stage: Stage, detail: Option<String>) {
        let detail = detail.map(|detail| self.mask(&detail));
        self.ledger().enter_stage(&step.id, stage);
        self.emit(EventKind::Stage { step: step.id.clone(), service: step.service.clone(), stage, detail });
    }

    /// Begins to time the stages of a step.
    pub(in crate::apply) fn time_stages(&self, step: &StepId) {
        self.ledger().time_stages(step);
    }

    /// Returns the time that the step spent in each stage, the last one until now; empty where it never began.
    pub(in crate::apply) fn stage_times(&self, step: &StepId) -> Vec<StageTime> {
        self.ledger().take_stage_times(step)
    }

    /// Masks text that quotes the manifest. Output of services, engines and probes is masked already.
    pub(in crate::apply) fn mask(&self, text: &str) -> String {
        self.masker.mask(text)
    }

    /// Reports the first failure of the store; later ones have the same cause.
    pub(in crate::apply) fn store_failed(&self, error: &dyn std::error::Error) {
        if !self.context.store_failure_reported.swap(true, Ordering::Relaxed) {
            self.warn(&format!("the history is not kept in this run: {error}"));
        }
    }

    /// Reports the first time that operator holds can't be read.
    pub(in crate::apply) fn holds_unreadable(&self, error: &dyn std::error::Error) {
        if !self.holds_unreadable.swap(true, Ordering::Relaxed) {
            self.warn(&format!("operator holds can't be read: {error}"));
        }
    }

    /// Marks a start as launched, so that dependents that wait for no more may begin.
    pub(in crate::apply) fn launch(&self, step: &StepId) {
        self.ledger().launched.insert(step.clone());
        self.launched.notify_one();
    }

    /// Carries out the work, and reports a heartbeat whenever no other event was reported for a while.
    pub(in crate::apply) async fn with_heartbeat<F: Future>(&self, work: F) -> F::Output {
        let beat = || {
            let waiting = self.ledger().under_way.iter().cloned().collect();
            let elapsed_ms = millis(self.clock.elapsed());
            self.emit(EventKind::Heartbeat { waiting, elapsed_ms });
        };
        self.clock.with_heartbeat(work, beat).await
    }
}
