//! Input and result of one run: what the caller hands in, the options that bound it, and the outcome that it returns.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::watch;

use crate::model::desired::{Desired, StopPolicy};
use crate::model::event::Event;
use crate::model::names::{ServiceName, StepId};
use crate::model::pending::PendingCall;
use crate::model::plan::{Plan, Request};
use crate::model::snapshot::Planner;
use crate::runtime::Driver;
use crate::store::{Author, Store};

/// Everything that a run works with.
#[expect(missing_debug_implementations, reason = "closures and trait objects have nothing to show")]
#[derive(Clone, Copy)]
pub struct RunContext<'a> {
    pub driver: &'a dyn Driver,
    pub store: &'a dyn Store,
    /// True once a failure of the store has been reported: later ones are not.
    pub store_failure_reported: &'a AtomicBool,
    /// Operator and id of this run, as the history records them.
    pub author: &'a Author,
    pub desired: &'a Desired,
    pub request: &'a Request,
    /// The saved plan, where only that was approved: a step that is not in it is never begun, also not in a later round.
    pub approved: Option<&'a Plan>,
    /// The only planner, handed in so that this stage imports none.
    pub planner: &'a dyn Planner,
    /// Recorded calls of earlier runs that are still to be made.
    pub earlier: &'a [PendingCall],
    /// Stop policies of orphans; an orphan that is not listed gets a TERM and 10 s.
    pub orphans: &'a BTreeMap<ServiceName, StopPolicy>,
    pub options: &'a Options,
    pub events: &'a (dyn Fn(Event) + Sync),
    /// Changes from `None` when the run has to end early.
    pub interrupt: &'a watch::Receiver<Option<Interrupt>>,
    /// Verifies that this process still holds the host's lock; `Err`: the reason for which no further step may begin.
    pub check_lock: &'a (dyn Fn() -> Result<(), String> + Sync),
}

#[derive(Clone, Debug)]
pub struct Options {
    /// Largest number of steps under way at once.
    pub parallelism: usize,
    pub on_failure: OnFailure,
    /// Bound of the whole run.
    pub timeout: Duration,
    /// True if a busy service is stopped without a wait.
    pub force: bool,
    /// Longest wait for memory, ports and names to become free after a stop.
    pub release_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Begin no further step.
    Stop,
    /// Carry out every step that does not need the failed one.
    Continue,
    /// Return to what ran before.
    Rollback,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// First INT.
    Interrupted,
    /// First TERM.
    Terminated,
    /// HUP: the terminal was closed.
    HungUp,
}

/// Result of a run.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// True if at least one thing was changed.
    pub changed: bool,
    pub done: u32,
    pub skipped: u32,
    /// Number of pending calls of earlier runs that were made.
    pub settled: u32,
    pub failures: Vec<Failure>,
    pub interrupted: Option<Interrupt>,
    /// Reason for which no step, or no further step, was begun.
    pub refused: Option<String>,
    /// True if that reason is the loss of the host's lock.
    pub lock_lost: bool,
    /// Plan for the state that the run left behind: without steps when converged. `None` where the run was interrupted
    /// or refused, so that nothing was observed at its end.
    pub last_plan: Option<Plan>,
}

#[derive(Clone, Debug)]
pub struct Failure {
    pub step: StepId,
    pub service: ServiceName,
    pub error: String,
    pub log: Vec<String>,
}
