//! Carries a plan out through the driver, and says what happened. Improvises nothing.

use std::time::Duration;

use tokio::sync::watch;

use crate::driver::Driver;
use crate::model::desired::Desired;
use crate::model::event::Event;
use crate::model::facts::Facts;
use crate::model::names::{ServiceName, StepId};
use crate::model::plan::{Plan, Request};
use crate::store::Store;

/// All that an apply works with.
#[expect(missing_debug_implementations, reason = "closures and trait objects have nothing to show")]
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub driver: &'a dyn Driver,
    pub store: &'a dyn Store,
    pub desired: &'a Desired,
    pub request: &'a Request,
    /// Facts to an audited plan: the only brain, handed in so that this stage needs no other.
    /// `Err`: why the plan must not be carried out.
    pub think: &'a (dyn Fn(&Facts, &Request) -> Result<Plan, String> + Sync),
    pub options: &'a Options,
    pub events: &'a (dyn Fn(Event) + Sync),
    /// Turns from `None` when the run is to end early.
    pub interrupt: &'a watch::Receiver<Option<Interrupt>>,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// Steps under way at once.
    pub parallelism: usize,
    pub on_failure: OnFailure,
    /// For the whole run.
    pub timeout: Duration,
    /// Busy services are not waited for.
    pub force: bool,
    /// How long room may take to come back after a stop.
    pub release_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Begin no further step.
    Stop,
    /// Go on with whatever does not need the failed one.
    Continue,
    /// Go back to what ran before.
    Rollback,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// First INT.
    Interrupted,
    /// First TERM.
    Terminated,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Something was changed.
    pub changed: bool,
    pub done: u32,
    pub skipped: u32,
    pub failures: Vec<Failure>,
    pub interrupted: Option<Interrupt>,
    /// Why nothing was begun.
    pub refused: Option<String>,
    /// The plan for the world as it is now: empty when converged.
    pub last_plan: Option<Plan>,
}

#[derive(Clone, Debug)]
pub struct Failure {
    pub step: StepId,
    pub service: ServiceName,
    pub error: String,
    pub log: Vec<String>,
}

/// Observes, plans, executes, and again while that makes progress; ends converged, or with what stands in the way.
/// `first` is the plan that was shown and agreed to.
pub async fn apply(context: Context<'_>, first: &Plan) -> Outcome {
    let _ = (context, first);
    unimplemented!()
}
