//! Terminal of a command: style of the output, progress and summary of a run, signals, the log.
//!
//! In: the environment, flags, signals and events of a run.
//! Out: a style, interrupts, and lines for `report`.
//! Not here: layout and drawing, which are `report`'s.

pub(super) mod color;
pub(super) mod interrupt;
pub(super) mod log;
pub(super) mod session;
pub(super) mod tally;
pub(super) mod teller;
