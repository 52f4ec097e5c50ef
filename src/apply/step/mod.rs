//! The steps of a plan: each module carries out one kind of step through the driver.
//!
//! Steps: `start`; `stop`, with the removal of an ended instance; `evict` and `wake`, GPU memory of a running service;
//! `pause`; `update`, settings of a running service, and unpausing; `copies`, a rolling update or another number of
//! copies. Parts of steps: `prepare`, all starts before anything is stopped; `previous`, the instance that a start
//! replaces; `health`, the wait for a healthy service; `job`, the wait for a job's end; `drain`, the wait for an idle one; `log`, last lines of output.
//!
//! In: a step and its run. Out: a step outcome or error, and its stages as events. Not here: order, parallelism and
//! dependents, which are `execute`'s.

pub(super) mod copies;
mod drain;
pub(super) mod evict;
mod health;
mod job;
pub(super) mod log;
pub(super) mod pause;
pub(super) mod prepare;
mod previous;
pub(super) mod start;
pub(super) mod stop;
pub(super) mod update;
pub(super) mod wake;
