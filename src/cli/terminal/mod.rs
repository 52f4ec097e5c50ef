//! What a person at a terminal sees and sends: how output is painted, progress and its end, interrupts, the log.
//!
//! In: the environment, flags, signals and events of a run. Out: a style, interrupts, and lines handed to `report`.
//! Not here: layout and drawing, which are `report`'s.

pub(super) mod color;
pub(super) mod interrupt;
pub(super) mod log;
pub(super) mod session;
pub(super) mod tally;
pub(super) mod teller;
