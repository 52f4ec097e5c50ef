//! Manifest file as written. Editors show the doc comments here, through the JSON schema.
//!
//! In: nodes of a YAML tree. Out: typed keys with their places, and the schema. Not here: rules that involve more than
//! one value, which are `resolve`'s.

pub(crate) mod example;
pub(crate) mod hooks;
pub(crate) mod lifecycle;
mod manifest;
pub(crate) mod probes;
pub(crate) mod service;
pub(crate) mod shape;
pub(crate) mod ulimit;
pub(crate) mod vram;

pub(super) use manifest::{Checkout, Device, Manifest, Orphans, OthersValue};
