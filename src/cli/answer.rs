//! Output of commands on stdout.

use std::io;

use crate::cli::stop::{Code, EarlyExit};
use crate::report::output::Output;
use crate::report::print;

/// Writes the output of a command to stdout.
pub(crate) fn data(text: &Output) -> Result<(), EarlyExit> {
    print::data(text).map_err(|error| unwritten(&error))
}

/// Returns the error of a command whose output can't be written.
pub(crate) fn unwritten(error: &io::Error) -> EarlyExit {
    EarlyExit::refused(Code::System, format!("can't write to stdout: {error}"))
}
