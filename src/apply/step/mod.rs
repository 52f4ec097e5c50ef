//! The steps of a plan: each module carries out one kind of step through the driver.
//!
//! In: a step and its run. Out: a step outcome or error, and its stages as events. Not here: order, parallelism and
//! dependents, which are `execute`'s.

pub(super) mod copies;
pub(super) mod evict;
mod health;
pub(super) mod log;
pub(super) mod pause;
pub(super) mod prepare;
mod previous;
pub(super) mod start;
pub(super) mod stop;
pub(super) mod update;
pub(super) mod wake;
