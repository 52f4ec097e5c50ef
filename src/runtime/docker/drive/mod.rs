//! Driver of containers: one Docker engine, read and changed through bollard. Every call has a deadline and a name, so
//! that a failure names what was tried. Ownership is proven anew before each change: a label alone proves nothing.
//!
//! In: services, instances, and answers of the engine. Out: facts, inspections, logs, and effects on containers.
//! Not here: when to start or stop, waiting for health, passwords of registries, creating networks, removing volumes.

mod as_runtime;
mod connect;
mod create;
mod engine;
mod found;
mod gpus;
mod home;
mod inspect;
mod lazy;
mod list;
mod marks;
mod output;
mod ownership;
mod place;
mod prepare;
mod real_settings;
mod scope;

mod start;
mod stop;
mod transport;
mod update;

pub use self::connect::connect;
pub use self::engine::Engine;
pub use self::home::{EngineLocation, Outside};
pub use self::lazy::Docker;
pub use self::scope::OwnershipScope;
