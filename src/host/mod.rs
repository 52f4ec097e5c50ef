//! Access to the local machine: GPUs, ports, processes, helper programs that run beside services, probes, disk.
//!
//! In: reads and calls from the runtimes.
//! Out: readings, results and errors.
//! Not here: the runtimes themselves (`runtime`), and any decision (`observe`, `plan`).

pub mod calls;
pub(crate) mod disk;
pub(crate) mod elapsed;
pub(crate) mod enclosure;
pub mod error;
pub(crate) mod examine;
pub mod gpu;
pub(crate) mod helper;
pub(crate) mod host_id;
pub mod identity;
mod listening;
pub(crate) mod log_match;
pub(crate) mod memory;
pub mod paths;
pub mod ports;
pub mod probes;
pub(crate) mod proc;
pub mod program;
pub(crate) mod reservations;
pub(crate) mod signal;
pub(crate) mod stat;
pub mod state;
