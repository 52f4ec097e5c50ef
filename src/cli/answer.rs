//! Answers of commands, on stdout.

use std::io;

use crate::cli::stop::{Code, Stop};
use crate::report::output::Output;
use crate::report::print;

/// Writes a command's answer.
pub(crate) fn data(text: &Output) -> Result<(), Stop> {
    print::data(text).map_err(|error| unwritten(&error))
}

/// Refusal of a command whose answer can't be written.
pub(crate) fn unwritten(error: &io::Error) -> Stop {
    Stop::refused(Code::System, format!("can't write to stdout: {error}"))
}
