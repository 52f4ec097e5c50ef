//! Proof that resources are free: memory, ports and names before a start, and their return after a stop.

pub(super) mod admit;
pub(super) mod memory;
pub(super) mod release;
