//! Services that are containers of one Docker engine: manifest keys, readings and effects.
//!
//! In: the `docker` blocks of a manifest and answers of the engine. Out: facts, observations and effects. Pure except
//! `drive`. Not here: GPUs, ports and probes, which are in `host`.
//!
//! The way of a key: `wire` (block, `KEYS`) → `resolve` (`others`; `container` → `intent`; `hashed_config` → spec
//! hash) → `drive::create` (request). For drift, `expected_settings` and `drive::real_settings` give its value under
//! one name, and `settings` compares both; the simulator (`sim`) follows `expected_settings`. Outside: the keys of
//! Compose that `import::compose::service` knows (`KNOWN`), the schema (`just bless`), README.
//!
//! Keys that neither mount, connect nor run anything are `options`: one type for those of the manifest
//! (`resolve::options`) and those of a real container (`drive::options`), compared as texts.
//!
//! Besides: `facts` and `observe` (readings of the engine → state of services), `ownership` (proof that a container is
//! lcm's), `checks` (lines of `lcm doctor`), `registration` (entry in the list of runtimes).

pub(crate) mod checks;
pub mod drive;
mod expected_settings;
pub mod facts;
pub mod intent;
pub mod network;
pub mod observe;
pub mod options;
pub mod ownership;
pub(crate) mod registration;
pub(crate) mod registry;
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
