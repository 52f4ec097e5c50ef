//! What all steps of one run share: its clock, its ledger, its voice, and the two ways in which it is cut short.
//! Nothing here touches the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::memory::Promise;
use super::notify::Notices;
use super::pending::Commitment;
use super::{Context, Failure};
use crate::model::endpoint::Endpoint;
use crate::model::event::{Event, EventKind, Stage, StageTime};
use crate::model::facts::Attempts;
use crate::model::instance::Instance;
use crate::model::lifecycle::State;
use crate::model::names::{ServiceName, StepId};
use crate::model::pending::PendingCall;
use crate::model::plan::{Reason, Step};
use crate::model::secret::Masker;
use crate::model::size::Mebibytes;
use crate::model::words::Said;

/// Whoever watches should hear something at least so often: CI systems give up on a silent job after minutes,
/// people after seconds.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// One apply, as its steps see it.
pub(super) struct Run<'a> {
    pub(super) context: Context<'a>,
    pub(super) began: Instant,
    /// Only one start at a time may ask for room.
    pub(super) room: tokio::sync::Mutex<()>,
    /// A start has got so far that those who only wait for that may begin.
    pub(super) launched: Notify,
    /// `None`: so far away that the clock can't say it.
    deadline: Mutex<Option<Instant>>,
    said: Mutex<Instant>,
    ledger: Mutex<Ledger>,
    /// What notifiers are to be told.
    pub(super) notices: Notices,
    deaf: AtomicBool,
    masker: Masker,
    /// Calls that earlier runs committed themselves to and did not make.
    pub(super) earlier: Vec<PendingCall>,
}

/// Why a wait ended before what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Interrupted,
    OutOfTime,
}

/// What has been done so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) changed: bool,
    pub(super) done: u32,
    pub(super) failures: Vec<Failure>,
    /// Not tried twice in one run.
    pub(super) failed: BTreeSet<StepId>,
    /// Not begun, and not done in a later round.
    pub(super) skipped: BTreeSet<StepId>,
    pub(super) prevented: BTreeMap<ServiceName, Reason>,
    /// Evictions that gave back too little, and whose: these services may still be stopped.
    pub(super) unevicted: BTreeMap<StepId, ServiceName>,
    /// Services whose settings could not be changed in place: they are made anew.
    pub(super) unmended: BTreeSet<ServiceName>,
    /// GPUs of a stop could not be read, though it was tried more than once.
    pub(super) unread: bool,
    pub(super) prepared: BTreeSet<ServiceName>,
    pub(super) under_way: BTreeSet<StepId>,
    /// When each step under way entered its stages.
    stages: BTreeMap<StepId, Vec<(Stage, Instant)>>,
    /// Of the present round: starts that have returned, healthy or not.
    pub(super) launched: BTreeSet<StepId>,
    /// Services that a start of this run has brought up.
    pub(super) risen: BTreeSet<ServiceName>,
    pub(super) started: Vec<Moved>,
    pub(super) stopped: Vec<Moved>,
    pub(super) freed_ports: BTreeSet<Endpoint>,
    /// GPU memory that starts of this run were let in with, until they are stopped again.
    pub(super) promises: BTreeMap<ServiceName, Promise>,
    /// The most that each service was measured to hold on one GPU.
    pub(super) heaviest: BTreeMap<ServiceName, Mebibytes>,
    /// Services that this run has counted an attempt of.
    pub(super) tried: BTreeSet<ServiceName>,
    /// All attempts that count; `None`: not read yet.
    pub(super) attempts: Option<BTreeMap<ServiceName, Attempts>>,
    /// Where each service was last brought to.
    pub(super) states: BTreeMap<ServiceName, State>,
    /// Services that a plan of this run stops to start them again.
    pub(super) restarting: BTreeSet<ServiceName>,
    /// What operators had said when somebody last asked.
    pub(super) said: BTreeMap<ServiceName, Said>,
    /// Recorded calls of steps under way.
    pub(super) committed: BTreeMap<StepId, Vec<Commitment>>,
    /// Pending calls of earlier runs that this one has dealt with.
    pub(super) settled: BTreeSet<u64>,
    /// Number of them that were made.
    pub(super) made: u32,
}

/// A service that this run started or stopped, as a way back needs it.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    pub(super) step: Step,
    pub(super) instance: Option<Instance>,
}

impl<'a> Run<'a> {
    pub(super) fn new(context: Context<'a>) -> Self {
        let began = Instant::now();
        Self {
            context,
            began,
            deadline: Mutex::new(began.checked_add(context.options.timeout)),
            room: tokio::sync::Mutex::new(()),
            launched: Notify::new(),
            said: Mutex::new(began),
            ledger: Mutex::default(),
            notices: Notices::new(context.desired.notify.len()),
            deaf: AtomicBool::new(false),
            masker: context.desired.masker(),
            earlier: context.earlier.to_vec(),
        }
    }

    /// Whether this run committed itself to the call, or has dealt with it.
    pub(super) fn is_own(&self, call: &PendingCall) -> bool {
        call.payload.run == self.context.author.run || self.ledger().settled.contains(&call.id)
    }

    pub(super) fn masker(&self) -> &Masker {
        &self.masker
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn say(&self, kind: EventKind) {
        *self.said() = Instant::now();
        (self.context.events)(Event::new(self.context.driver.now(), kind));
    }

    pub(super) fn warn(&self, message: &str) {
        self.say(EventKind::Warning { message: self.mask(message) });
    }

    pub(super) fn stage(&self, step: &Step, stage: Stage, detail: Option<String>) {
        let detail = detail.map(|detail| self.mask(&detail));
        if let Some(stages) = self.ledger().stages.get_mut(&step.id)
            && stages.last().is_none_or(|(last, _)| *last != stage)
        {
            stages.push((stage, Instant::now()));
        }
        self.say(EventKind::Stage { step: step.id.clone(), service: step.service.clone(), stage, detail });
    }

    /// From now on the step's time is told by its stages.
    pub(super) fn time_stages(&self, step: &StepId) {
        self.ledger().stages.insert(step.clone(), Vec::new());
    }

    /// How long the step was in each stage, the last one until now; nothing where it never began.
    pub(super) fn stage_times(&self, step: &StepId) -> Vec<StageTime> {
        let entered = self.ledger().stages.remove(step).unwrap_or_default();
        let left = entered.iter().skip(1).map(|(_, at)| *at).chain([Instant::now()]);
        let times = entered.iter().zip(left);
        times.map(|((stage, at), left)| StageTime { stage: *stage, took_ms: millis(left - *at) }).collect()
    }

    /// Masks text that quotes the manifest. What services, engines and probes wrote is masked already.
    pub(super) fn mask(&self, text: &str) -> String {
        self.masker.mask(text)
    }

    /// The first time that the store fails is told, the rest is the same trouble.
    pub(super) fn store_failed(&self, error: &dyn std::error::Error) {
        if !self.context.store_told.swap(true, Ordering::Relaxed) {
            self.warn(&format!("the history is not kept in this run: {error}"));
        }
    }

    /// The same for operators' words.
    pub(super) fn deaf(&self, error: &dyn std::error::Error) {
        if !self.deaf.swap(true, Ordering::Relaxed) {
            self.warn(&format!("what operators hold can't be read: {error}"));
        }
    }

    /// A step was carried out so far that another may begin.
    pub(super) fn launch(&self, step: &StepId) {
        self.ledger().launched.insert(step.clone());
        self.launched.notify_one();
    }

    /// Whether this run is to begin nothing more.
    pub(super) fn cut(&self) -> Option<Cut> {
        if self.context.interrupt.borrow().is_some() {
            return Some(Cut::Interrupted);
        }
        self.deadline().is_some_and(|deadline| Instant::now() >= deadline).then_some(Cut::OutOfTime)
    }

    /// Waits, unless the run is cut short.
    pub(super) async fn nap(&self, time: Duration) -> Result<(), Cut> {
        self.unless_cut(tokio::time::sleep(time)).await
    }

    /// For readings and waits: dropping them harms nothing. Effects are not cut by their steps.
    pub(super) async fn unless_cut<F: Future>(&self, work: F) -> Result<F::Output, Cut> {
        tokio::select! {
            biased;
            cut = self.when_cut() => Err(cut),
            output = work => Ok(output),
        }
    }

    /// Returns when the run is to begin nothing more.
    pub(super) async fn when_cut(&self) -> Cut {
        tokio::select! {
            biased;
            () = self.interrupted() => Cut::Interrupted,
            () = until(*self.deadline()) => Cut::OutOfTime,
        }
    }

    pub(super) async fn interrupted(&self) {
        let mut interrupt = self.context.interrupt.clone();
        if interrupt.wait_for(Option::is_some).await.is_err() {
            // Nobody is left who could interrupt.
            std::future::pending::<()>().await;
        }
    }

    /// Carries the work through, and says that it goes on whenever nothing else is said.
    pub(super) async fn beating<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        loop {
            let silent_until = *self.said() + SILENCE_MAX;
            tokio::select! {
                biased;
                output = &mut work => return output,
                () = tokio::time::sleep_until(silent_until) => {
                    if self.said().elapsed() >= SILENCE_MAX {
                        let waiting = self.ledger().under_way.iter().cloned().collect();
                        let elapsed_ms = millis(self.began.elapsed());
                        self.say(EventKind::Heartbeat { waiting, elapsed_ms });
                    }
                }
            }
        }
    }

    /// A way back has as much time as the way there had.
    pub(super) fn begin_anew(&self) {
        *self.deadline() = Instant::now().checked_add(self.context.options.timeout);
    }

    fn deadline(&self) -> MutexGuard<'_, Option<Instant>> {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn said(&self) -> MutexGuard<'_, Instant> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `2m 30s`, for messages.
pub(super) fn spoken(time: Duration) -> String {
    jiff::SignedDuration::try_from(time).map_or_else(|_| "ages".to_owned(), |time| format!("{time:#}"))
}
