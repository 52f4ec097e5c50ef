//! Helpers: programs that lcm executes itself as, by a first word that no command has.

use std::ffi::OsString;

use crate::host::identity;
use crate::host::program::guardian;

/// Program that lcm becomes before it parses anything: helpers take their orders from stdin.
#[derive(Clone, Copy, Debug)]
pub struct HelperProgram {
    /// First word of its command line.
    pub(crate) subcommand: &'static str,
    /// Runs it with the words after that one, and returns its exit code.
    pub(crate) run: fn(&mut dyn Iterator<Item = OsString>) -> u8,
}

/// Helpers that no runtime brings.
pub(crate) const HELPERS: &[HelperProgram] = &[
    HelperProgram { subcommand: guardian::SUBCOMMAND, run: |words| guardian::guardian_main(words) },
    HelperProgram { subcommand: identity::SUBCOMMAND, run: |words| identity::as_main(words) },
];
