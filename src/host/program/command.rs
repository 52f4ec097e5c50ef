//! Runs a command beside a service: an exec probe, an eviction, a custom stop. The command carries none of lcm's marks,
//! so that it never counts as a member of the service, and none of its child processes outlives it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::host::error::DriverError;
use crate::host::proc;
use crate::host::program::descent::END_WAIT;
use crate::host::program::environment::Invocation;
use crate::host::program::guard::Guarded;
use crate::host::program::guardian::{CommandOutcome, CommandReport};

/// End of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandExit {
    /// Exit code; `128 + n` if signal n ended the command.
    Code(i32),
    /// Killed at its deadline.
    TimedOut,
}

impl CommandExit {
    pub(crate) fn of(report: &CommandReport) -> Self {
        match report.outcome {
            CommandOutcome::Code(code) => Self::Code(code),
            CommandOutcome::TimedOut | CommandOutcome::NotRun(_) => Self::TimedOut,
        }
    }
}

/// Runs a command until its deadline at most, and waits for the end of all its child processes. The output is
/// discarded: it could hold secrets. `lcm` is the executable that becomes the guardian.
pub(crate) async fn run(lcm: &Path, invocation: &Invocation, deadline: Duration) -> Result<CommandExit, DriverError> {
    let mut invocation = invocation.clone();
    for mark in proc::ALL_MARKS {
        invocation.environment.remove(mark);
    }
    let guarded = Guarded { lcm, invocation: &invocation, input: "", deadline };
    let report = guarded.run(Stdio::null(), Stdio::null()).await;
    let report = report.map_err(|source| {
        let what = format!("can't run {}", invocation.program.display());
        DriverError::Io { what, source }
    })?;
    if report.survivors.is_empty() {
        return Ok(CommandExit::of(&report));
    }
    let started = invocation.argv.first().map_or("", String::as_str);
    let survivors = format!("{} of {started}", report.survivors.join(", "));
    Err(DriverError::Survivors { survivors, waited: END_WAIT })
}
