//! A manifest file as it is written. The doc comments here are what editors show, through the JSON schema; rules that
//! need more than one value are `resolve`'s.

pub(crate) mod example;
pub(crate) mod health;
pub(crate) mod hooks;
pub(crate) mod lifecycle;
mod manifest;
pub(crate) mod service;
pub(crate) mod shape;

pub(super) use manifest::{Checkout, Device, Manifest, Orphans, Others};
