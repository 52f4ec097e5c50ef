//! What a person at a terminal sees and sends: how output is painted, progress and its end, interrupts, the log.

pub(super) mod color;
pub(super) mod interrupt;
pub(super) mod log;
pub(super) mod session;
pub(super) mod tally;
pub(super) mod teller;
