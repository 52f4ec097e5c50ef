//! The map of lcm.
//!
//! ```text
//! YAML ── syntax ── manifest ──► Desired ─┐
//!                                         ├─ plan ──► Plan ── apply ──► Events ── report ──► people, pipelines
//! machine ─ runtime, host ─► Facts ─ observe ─► Observed ─┘      │
//!                 ▲                                              │
//!                 └────────────── one effect at a time ──────────┘
//! ```
//!
//! Stages meet only in [`model`]. No stage imports another, but that [`apply`] knows the traits of [`runtime`], [`host`] and
//! [`store`], [`reconcile`] joins the stages to one cycle without a terminal, and [`cli`] knows all. [`import`] and
//! [`manifest`] share [`syntax`]. [`files`] opens what the others read and write, and [`shared`] the few files that all
//! users of a host share; they know none of the stages. `model`, `syntax`, `import`, `observe`, `plan` and
//! `manifest::resolve` are pure: no clock, no I/O, no async, no environment. Only `runtime` and `host` touch the machine. A
//! test reads the imports and holds this.
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
