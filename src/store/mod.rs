//! Records that can't be observed on the machine: the journal of a project, its holds and attempts, and the lease under
//! which it is changed.
//!
//! In: records of runs, and holds of operators.
//! Out: facts for the planner, and rows for `lcm history`.
//! Not here: decisions. Without the store a plan has other estimates, holds and budgets, and no fewer services.

mod attempts;
#[cfg(test)]
mod contract;
mod error;
mod handle;
mod holds;
mod journal;
mod lease;
pub mod lock;
pub mod memory;
mod past;
pub mod query;
mod recall;
mod record;
pub mod sqlite;
pub mod stats;

pub use attempts::AttemptStore;
pub use error::StoreError;
pub use handle::Store;
pub use holds::HoldStore;
pub use journal::{CONVERGED_MAX, Journal, JournalEntry, PendingChange};
pub use lease::{FencingToken, Grant, Guard, Lease, LeaseError, LeaseHolder, LeaseRequest, LeaseScope, Process};
pub use recall::{Recalled, recall};
pub use record::{
    Author, Called, KILLED_EXIT_CODE, Measure, Measured, NotifiedMode, RunBegun, RunEnd, RunNotice, RunRecord,
    Transition,
};
