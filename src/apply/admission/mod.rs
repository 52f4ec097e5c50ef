//! Proof that resources are free: memory, ports and names before a start, and their return after a stop.
//!
//! In: a step and the reservations of the run. Out: permission to start, or the block that is waited for. Not here:
//! the choice of the services that are stopped for it, which the plan has made.

pub(super) mod admit;
mod host_memory;
pub(super) mod memory;
pub(super) mod release;
