//! `lcm init`: files of other tools and recorded machines in, a manifest out, which validates and has a plan. What is
//! found on a real machine is a chapter of the README, and tested with it.

#[path = "../support/lcm.rs"]
#[expect(dead_code, reason = "the tests of the command line need more of it")]
mod lcm;

mod machine;
mod refusals;
mod translated;
