//! A manifest file as it is written. The doc comments here are what editors show, through the JSON schema; rules that
//! need more than one value are `resolve`'s.

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
