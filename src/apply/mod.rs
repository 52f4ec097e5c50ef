//! Carries a plan out through the driver, and reports the result. It makes no decision of its own: each finding of a round
//! goes back to the one planner, whose next plan is the next round.
//!
//! Arrows run one way: `run` (shared state), `journal` (records), `gate` (permission), `admission` (free resources),
//! `step` (one step), `execute` (one plan), `reconcile` (rounds). Not here: the lock, the choice of an exit code, the last
//! event of a run. Those are the caller's.

mod admission;
mod execute;
mod gate;
mod journal;
mod reconcile;
mod rollback;
mod run;
mod step;
#[cfg(test)]
mod tests;

pub use self::journal::seen::{RecordedSnapshot, record_seen};
pub use self::reconcile::apply;
pub use self::run::{Failure, Interrupt, OnFailure, Options, RunContext, RunResult};
