//! The store on disk: one `SQLite` file, in WAL mode so that a reader never waits for an apply.
//!
//! In: the records of commands. Out: the history that later commands plan by. The file is opened when first needed, on
//! a thread of the store's own, and made only by a write: a plan on a machine without a state folder leaves none
//! behind. Likewise an older file is read as it is, and brought to this lcm's format only by a write.
//!
//! Not here: repair. A file that this lcm can't read is an error and stays as it is.

mod attempts;
mod converged;
mod fault;
mod fence;
mod file;
mod format;
mod history;
mod holds;
mod job_ends;
mod journal;
mod look;
mod measures;
mod notices;
mod pending;
mod row;
mod runs;
mod store;
mod worker;

pub use look::look;
pub use store::{Sqlite, versions};

#[cfg(test)]
mod tests;
