//! Parse, dispatch, exit.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use lcm::driver::process;

fn main() -> ExitCode {
    if let Some(code) = process::helper_main() {
        return ExitCode::from(code);
    }
    ExitCode::from(lcm::cli::main().code())
}
