//! A manifest file as it is written. The doc comments here are what editors show, through the JSON schema.
//!
//! In: nodes of a YAML tree. Out: typed keys with their places, and the schema. Not here: rules that need more than
//! one value, which are `resolve`'s.

pub(super) mod docker;
mod example;
pub(super) mod health;
pub(super) mod hooks;
pub(super) mod lifecycle;
mod manifest;
pub(super) mod process;
pub(super) mod service;
pub(super) mod shape;

pub(super) use manifest::{Checkout, Device, Manifest, Orphans, Others};
