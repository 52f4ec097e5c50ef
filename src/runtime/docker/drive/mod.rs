//! Driver of containers: one Docker engine, read and changed through bollard. Every call has a deadline and a name, so
//! that a failure names what was tried. Ownership is proven anew before each change: a label alone proves nothing.
//!
//! In: services, instances, and answers of the engine. Out: facts, inspections, logs, and effects on containers.
//!
//! Changes: `prepare` (image, networks, devices), `networks` (made and removed), `create` and `options` (request),
//! `start` (and restore), `stop`, `update` (in place). Readings: `list` (all containers), `inspect` (one),
//! `real_settings`, `gpus` (given at creation), `output` (log, commands), `found` (discovery), `examine` (`lcm doctor`).
//! Ownership: `marks` (labels), `ownership` (evidence), `scope` (the manifest's part). Registries: `login`. Connection:
//! `connect`, `transport` (bounds), `lazy` (first use), `engine` (calls, deadlines), `home` and `place` (the engine's
//! machine), `as_runtime` (the contract that all runtimes share).
//!
//! Not here: when to start or stop, waiting for health, removing volumes.

mod as_runtime;
mod connect;
mod create;
mod engine;
mod examine;
mod found;
mod gpus;
mod home;
mod inspect;
mod lazy;
mod list;
mod login;
mod marks;
mod networks;
mod options;
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
pub use self::login::Logins;
pub use self::scope::OwnershipScope;
