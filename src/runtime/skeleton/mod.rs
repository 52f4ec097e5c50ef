//! Skeleton of a runtime: the least that is read, planned, shown and simulated. `just new-runtime NAME` copies it, and
//! tests run services on it.
//!
//! In: a manifest's block and an endpoint's answers. Out: facts, and effects on objects. Not here: an endpoint; the
//! driver refuses each effect until there is one.

mod drive;
mod facts;
mod intent;
mod observe;
pub(crate) mod registration;
pub(crate) mod resolve;
mod sim;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use crate::model::names::RuntimeName;

/// Name of this runtime, and its key in a manifest.
const NAME: RuntimeName = RuntimeName::known("skeleton");
