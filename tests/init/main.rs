//! `lcm init`: files of other tools and recorded machines in, a manifest out, which validates and has a plan. Drafts
//! of a real machine are a chapter of the README, and tested with it.

#[path = "../support/lcm.rs"]
#[expect(dead_code, reason = "the tests of the command line need more of it")]
mod lcm;

mod llama_swap;
mod machine;
mod refusals;
mod stacks;
mod translated;
