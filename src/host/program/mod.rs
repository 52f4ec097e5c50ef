//! Programs that lcm runs beside services: probes, evictions, hooks. Each runs under a guardian and leaves nothing behind.

pub(crate) mod command;
pub(crate) mod converse;
mod descent;
pub(crate) mod environment;
mod guard;
pub(crate) mod guardian;
pub(crate) mod ignored;
pub(crate) mod leaks;
pub(crate) mod scope;
