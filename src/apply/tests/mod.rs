//! Plans written by hand, carried out in a simulation whose time is tokio's and paused: no test waits.
//!
//! In: a manifest, a simulated host and the plans of the rounds. Out: assertions on effects, events, history and
//! results. Not here: the planner; `tests/simulate.rs` has both together.

mod bench;
mod copies;
mod failure;
mod forgetful;
mod graph;
mod hooks;
mod interrupt;
mod measuring;
mod memory;
mod pending;
mod recover;
mod release;
mod rules;
mod seen;
mod starting;
mod stopping;
mod waking;
