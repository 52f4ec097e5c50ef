//! Types that all stages share: manifest, machine, plan and events as data.
//!
//! In: a manifest becomes a [`desired::Desired`]; readings of a machine, [`facts::Facts`], become an
//! [`observed::Observed`].
//! Out: both together become a [`plan::Plan`]; applying a plan emits [`event::Event`]s.
//! Not here: imports of other stages, a clock, and access to the machine. Decisions are `plan`'s, parsing is
//! `manifest`'s.

pub mod budget;
pub mod call;
pub mod capacity;
pub mod claim;
pub mod converged;
pub mod copies;
pub mod desired;
pub mod doctor;
pub mod enclosure;
pub mod endpoint;
pub mod environment;
pub mod event;
pub mod facts;
pub mod found;
pub mod holds;
pub mod hooks;
pub mod host;
pub mod instance;
pub mod job;
pub mod job_record;
pub mod lifecycle;
pub mod mode_set;
pub mod names;
pub mod network;
pub mod observed;
pub mod pending;
pub mod plan;
pub mod reason;
pub mod reservation;
pub(crate) mod reserved_variables;
pub mod rules;
pub mod safe_text;
pub mod secret;
pub mod signal;
pub mod size;
pub mod snapshot;
pub mod spec;
pub mod step;
pub mod vram;
pub mod workload;
