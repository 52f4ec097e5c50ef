//! Runs a command beside a service: a probe, an eviction, a stop of the service's own making. It carries none of lcm's
//! marks, so that it is never taken for a part of what it asks, and nothing that it starts outlives it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::host::error::DriverError;
use crate::host::proc;
use crate::host::program::descent::END_WAIT;
use crate::host::program::environment::Invocation;
use crate::host::program::guard::Guarded;
use crate::host::program::guardian::{CommandOutcome, CommandReport};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandExit {
    /// Its exit code; `128 + n` where signal n ended it.
    Code(i32),
    /// It was killed at its deadline.
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

/// Waits for it, at most until the deadline, and for the end of all that it started. Its output is kept nowhere: it
/// could hold secrets. `lcm` becomes the guardian.
pub(crate) async fn run(lcm: &Path, invocation: &Invocation, deadline: Duration) -> Result<CommandExit, DriverError> {
    let mut invocation = invocation.clone();
    for mark in proc::ALL_MARKS {
        invocation.environment.remove(mark);
    }
    let guarded = Guarded { lcm, invocation: &invocation, told: "", deadline };
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
