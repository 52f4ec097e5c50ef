//! What all stages speak. Imports nothing of the others, reads no clock, touches no machine.
//!
//! A manifest becomes a [`desired::Desired`], a machine's [`facts::Facts`] become an [`observed::Observed`], both
//! together a [`plan::Plan`], and carrying that out makes [`event::Event`]s.

pub mod budget;
pub mod call;
pub mod capacity;
pub mod claim;
pub mod converged;
pub mod copies;
pub mod desired;
pub mod enclosure;
pub mod endpoint;
pub mod environment;
pub mod event;
pub mod facts;
pub mod found;
pub mod harmless;
pub mod holds;
pub mod hooks;
pub mod host;
pub mod instance;
pub mod lifecycle;
pub mod names;
pub mod observed;
pub mod pending;
pub mod plan;
pub mod reservation;
pub(crate) mod reserved_variables;
pub mod rules;
pub mod secret;
pub mod signal;
pub mod size;
pub mod snapshot;
pub mod spec;
mod step;
pub mod workload;
