//! The map of lcm.
//!
//! ```text
//! YAML ── manifest ──► Desired ─┐
//!                               ├─ plan ──► Plan ── apply ──► Events ── report ──► people, pipelines
//! machine ─ driver ─► Facts ─ observe ─► Observed ─┘            │
//!              ▲                                                │
//!              └────────────── one effect at a time ────────────┘
//! ```
//!
//! Stages meet only in [`model`]. No stage imports another, but that [`apply`] knows the traits of [`driver`] and
//! [`store`], [`reconcile`] runs one cycle over them without a terminal, and [`cli`] knows all. [`files`] opens what the others read and write, and [`shared`] the few files that all
//! users of a host share; they know none of the stages. `model`, `observe`, `plan` and `manifest::resolve` are pure: no
//! clock, no I/O, no async, no environment. Only `driver` touches the machine. A test reads the imports and holds this.
#![deny(unsafe_code)]

pub mod apply;
pub mod cli;
pub mod files;
pub mod host;
pub mod import;
pub mod manifest;
pub mod model;
pub mod observe;
pub mod plan;
pub mod reconcile;
pub mod report;
pub mod runtime;
pub mod shared;
pub mod sim;
pub mod store;
pub mod syntax;
