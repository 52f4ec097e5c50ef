//! Conditions that a step must meet at the moment of its effect: its expectation holds, no hold and no rule forbids it, and
//! no required hook vetoes it.
//!
//! In: a step of the plan. Out: the step may begin, is done already, is stale, or is refused. Not here: free
//! resources, which `admission` proves.

pub(super) mod expect;
mod holds;
pub(super) mod hooks;
pub(super) mod permission;
