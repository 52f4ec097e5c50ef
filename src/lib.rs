//! Map of lcm: the data flow, the stages, and the laws. Each folder's `mod.rs` continues it.
//!
//! ```text
//! YAML ─ syntax ─ manifest ─► Desired ───────────────────────────┐
//!                                                                ├─ plan ─► Plan
//! machine ─ runtime, host ─► Facts ─ observe ─► Observed ────────┘
//!
//! Snapshot { facts, observed } ─► Proposal { snapshot, plan } ─► Approval ─► apply ─► RunReport ─► store, exit code
//!     ▲                                                                        │
//!     │                                              Step ─► one effect at a time ─► runtime, host
//!     └──────────── next round ◄──────────────────────┴────► Event ─► report ─► people, pipelines
//! ```
//!
//! Stages: [`model`] holds the types that all share. [`syntax`], [`manifest`] and [`import`] read text. [`runtime`] and
//! [`host`] read and change the machine, and [`sim`] simulates it. [`observe`] and [`plan`] decide, [`apply`] executes,
//! [`store`] persists, [`report`] renders. [`reconcile`] joins them to one cycle without a terminal, and [`cli`] is the
//! terminal. [`files`] opens the files that the others read and write, and [`shared`] those that all users of a host
//! share.
//!
//! Laws, each held by a test in `tests/laws.rs`:
//!
//! - Stages meet only in `model`. None imports another, except: `apply` knows the traits of `runtime`, `host` and
//!   `store`; `import` and `manifest` share `syntax`; `reconcile` joins the stages; `cli` knows all. No import is
//!   circular.
//! - `model`, `syntax`, `import`, `observe`, `plan`, `manifest::resolve` and each runtime except its `drive` are pure:
//!   no clock, I/O, async, environment, logger or chance.
//! - Only `runtime` and `host` touch the machine. A runtime is one folder and one line in the registry.
//! - One place each: files in `files`, the terminal in `report` and `cli`, YAML in `syntax`, `SQLite` in `store`, the
//!   log in `runtime`, `host`, `reconcile` and `cli`. Unsafe code has one file.
//! - Each type has a name of its own. Names, comments and texts are the terms of the field.
//! - A file has fewer than 500 lines and a `//!` head, a function fewer than 70 lines. Nothing is left undone or
//!   `allow`ed.
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
