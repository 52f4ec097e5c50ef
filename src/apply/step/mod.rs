//! The steps of a plan: each module carries out one kind of step through the driver.

pub(super) mod copies;
pub(super) mod evict;
mod health;
pub(super) mod log;
pub(super) mod pause;
pub(super) mod prepare;
mod previous;
pub(super) mod start;
pub(super) mod stop;
pub(super) mod update;
pub(super) mod wake;
