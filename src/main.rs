//! Parse, dispatch, exit.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use lcm::driver::process::shim;

fn main() -> ExitCode {
    // Before anything is parsed: a shim takes its orders from stdin, and its arguments are for whoever lists processes.
    if std::env::args_os().nth(1).is_some_and(|word| word == shim::SUBCOMMAND) {
        return ExitCode::from(shim::shim_main());
    }
    ExitCode::from(lcm::cli::main().code())
}
