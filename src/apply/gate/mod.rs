//! Conditions that a step must meet at the moment of its effect: its expectation holds, no hold and no rule forbids it, and
//! no required hook vetoes it.

pub(super) mod expect;
mod holds;
pub(super) mod hooks;
pub(super) mod permission;
