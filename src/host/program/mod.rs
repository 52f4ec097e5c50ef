//! Programs that lcm runs beside services: probes, evictions, hooks. Each runs under a guardian and leaves no process
//! behind.
//!
//! In: an invocation and its deadline.
//! Out: its exit, and an excerpt of its output on request.
//! Not here: services, which outlive lcm (`runtime/process`).

pub(crate) mod command;
pub(crate) mod converse;
mod descent;
pub(crate) mod environment;
mod guard;
pub(crate) mod guardian;
pub(crate) mod ignored;
pub(crate) mod leaks;
pub(crate) mod scope;
pub(crate) mod survival;
