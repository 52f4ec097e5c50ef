//! Helper programs: lcm executes itself under a hidden subcommand.

use std::ffi::OsString;

use crate::host::identity;
use crate::host::program::guardian;

/// Program that lcm becomes before it parses its arguments: helpers read their input from stdin.
#[derive(Clone, Copy, Debug)]
pub struct HelperProgram {
    /// First word of the command line.
    pub(crate) subcommand: &'static str,
    /// Runs the helper with the remaining words, and returns its exit code.
    pub(crate) run: fn(&mut dyn Iterator<Item = OsString>) -> u8,
}

/// Helpers that no runtime brings.
pub(crate) const HELPERS: &[HelperProgram] = &[
    HelperProgram { subcommand: guardian::SUBCOMMAND, run: |words| guardian::guardian_main(words) },
    HelperProgram { subcommand: identity::SUBCOMMAND, run: |words| identity::as_main(words) },
];
