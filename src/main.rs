//! Parse, dispatch, exit.
#![forbid(unsafe_code)]

fn main() {}
