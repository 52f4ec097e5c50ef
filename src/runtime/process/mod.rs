//! Process runtime: services that run as process trees on this host, each under a shim.
//!
//! In: the `process` key of a manifest, and readings of the kernel. Out: facts, observations and effects. Only `drive`
//! has side effects. Not here: programs that run beside services (hooks, probes), which are `host`'s.

pub(crate) mod checks;
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

/// Creates the instance of a process tree; `id` is the salt of its start, or `pid:ticks` if it was adopted.
#[must_use]
pub fn instance(id: impl Into<String>) -> Instance {
    Instance::new(NAME, id, None)
}

/// Returns the id of an instance's process tree; `None`: the instance belongs to another runtime.
#[must_use]
pub fn tree_of(instance: &Instance) -> Option<&str> {
    instance.is_of(&NAME).then_some(instance.id.as_str())
}
