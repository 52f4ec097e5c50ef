//! History of services: one document, `lcm.history/2`, as tables and as comma-separated values.

mod csv;
mod document;
mod text;

pub use csv::csv;
pub use document::{CallLine, FORMAT, History, OpenRun, RunLine, StatsLine, TransitionLine, UnchangedRuns};
pub(crate) use text::open_run;
pub use text::text;
