//! Services that are containers of one Docker engine: manifest keys, readings and effects.
//!
//! In: the `docker` blocks of a manifest and answers of the engine. Out: facts, observations and effects. Pure except
//! `drive`. Not here: GPUs, ports and probes, which are in `host`.

pub mod drive;
mod expected_settings;
pub mod facts;
pub mod intent;
pub mod observe;
pub mod ownership;
pub(crate) mod registration;
pub(crate) mod resolve;
pub mod settings;
pub(crate) mod sim;
pub(crate) mod wire;

use crate::model::instance::Instance;
use crate::model::names::{ObjectName, RuntimeName};

/// Name of this runtime, and its key in a manifest.
pub const NAME: RuntimeName = RuntimeName::known("docker");

/// Returns the instance of a container.
#[must_use]
pub fn instance(id: impl Into<String>, name: impl Into<ObjectName>) -> Instance {
    Instance::new(NAME, id, Some(name.into()))
}
