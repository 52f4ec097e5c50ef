//! Runs a command beside a service: a probe, an eviction, a stop of the service's own making. It carries none of lcm's
//! marks, so that it is never taken for a part of what it asks.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::driver::process::environment::Invocation;
use crate::driver::process::proc;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Its exit code; `128 + n` where signal n ended it.
    Code(i32),
    /// It was killed at its deadline.
    TimedOut,
}

impl Ended {
    pub(crate) fn of(status: ExitStatus) -> Self {
        Self::Code(status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1))
    }
}

/// Waits for it, at most until the deadline. What it prints is nobody's: it could hold secrets.
pub(crate) async fn run(invocation: &Invocation, deadline: Duration) -> io::Result<Ended> {
    let mut command = ready(invocation);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for mark in proc::ALL_MARKS {
        command.env_remove(mark);
    }
    let mut child = command.spawn()?;
    if let Ok(status) = timeout(deadline, child.wait()).await {
        return Ok(Ended::of(status?));
    }
    // Not waited for yet, so that its group's number can't belong to anyone else.
    if let Some(group) = group_of(&child) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    child.kill().await?;
    Ok(Ended::TimedOut)
}

/// In a process group of its own, with nothing of lcm's own environment.
pub(crate) fn ready(invocation: &Invocation) -> Command {
    let mut command = Command::new(&invocation.program);
    command
        .arg0(invocation.argv.first().map_or("", String::as_str))
        .args(invocation.argv.iter().skip(1))
        .current_dir(&invocation.cwd)
        .env_clear()
        .envs(&invocation.environment)
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Its own number; `None`: it was waited for already, and the number may be another's.
pub(crate) fn group_of(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}
