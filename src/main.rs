//! Parse, dispatch, exit.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(lcm::cli::main().code())
}
