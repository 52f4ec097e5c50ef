//! Parse, dispatch, exit.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use lcm::runtime::process::drive;

fn main() -> ExitCode {
    if let Some(code) = drive::helper_main() {
        return ExitCode::from(code);
    }
    ExitCode::from(lcm::cli::main().code())
}
