//! Skeleton of a runtime: the least that reads, plans, shows and is simulated. `just new-runtime NAME` copies it; tests
//! carry services by it. In come a manifest's block and an endpoint's answers; out go facts, and effects on objects.
//!
//! Not here: an endpoint. Its driver refuses each effect until there is one.

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
