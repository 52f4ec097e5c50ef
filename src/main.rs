//! Entry point: runs a helper or the command line, and exits with its code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use lcm::runtime::helpers;

fn main() -> ExitCode {
    if let Some(code) = helpers::run() {
        return ExitCode::from(code);
    }
    ExitCode::from(lcm::cli::main().code())
}
