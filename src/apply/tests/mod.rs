//! Plans written by hand, carried out in a simulated world whose time is tokio's and paused: no test waits.
//!
//! What the planner makes of a world is not tested here; both together are, in `tests/simulate.rs`.

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
