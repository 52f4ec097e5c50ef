//! Carries a plan out through the driver, and reports the result.
//!
//! In: the context of a run, and the plan that was approved. Out: effects through the driver, events, history, and the
//! result of the run. Not here: decisions (each finding of a round goes back to the one planner, whose next plan is the
//! next round); the host's lock, the choice of an exit code and the last event of a run, which are the caller's.
//!
//! Dependencies run one way: `run` (shared state), `journal` (records), `gate` (permission), `admission` (free
//! resources), `step` (one step), `execute` (one plan), `reconcile` (rounds).

mod admission;
mod execute;
mod gate;
mod journal;
mod networks;
mod reconcile;
mod rollback;
mod run;
mod step;
#[cfg(test)]
mod tests;

pub use self::journal::seen::{RecordedSnapshot, record_seen};
pub use self::reconcile::apply;
pub use self::run::{Failure, Interrupt, OnFailure, Options, RunContext, RunResult};
