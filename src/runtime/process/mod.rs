//! Services that are process trees of this host, each started under a shim.
//!
//! In: the `process` of a manifest and readings of the kernel. Out: facts, observations and effects. Pure except
//! `drive`. Not here: programs that run beside services, which are `host`'s.

pub mod drive;
pub mod facts;
pub mod intent;
pub mod observe;
pub(crate) mod registration;
pub(crate) mod resolve;
pub(crate) mod sim;
pub(crate) mod wire;

use crate::model::instance::Instance;
use crate::model::names::RuntimeName;

/// Name of this runtime, and its key in a manifest.
pub const NAME: RuntimeName = RuntimeName::known("process");

/// Instance that is a process tree: by the salt of its start, or by `pid:ticks` where it was adopted.
#[must_use]
pub fn instance(id: impl Into<String>) -> Instance {
    Instance::new(NAME, id, None)
}

/// Identity of the process tree that an instance is; `None`: another runtime carries it.
#[must_use]
pub fn tree_of(instance: &Instance) -> Option<&str> {
    instance.is_of(&NAME).then_some(instance.id.as_str())
}
