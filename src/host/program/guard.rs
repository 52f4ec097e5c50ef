//! lcm's side of a guardian: every command that lcm runs beside a service runs under one, which kills all child
//! processes of the command when the command ends, at its deadline, and when lcm is killed or drops the call.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pair;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::host::elapsed::elapsed_ms;
use crate::host::proc;
use crate::host::program::descent::{self, END_WAIT};
use crate::host::program::environment::Invocation;
use crate::host::program::guardian::{CommandOutcome, CommandReport, GuardianMessage, GuardianSpec, SUBCOMMAND};
use crate::host::program::leaks;
use crate::host::program::scope::Launcher;
use crate::model::facts::ProcessFact;

/// Time beyond the deadline and [`END_WAIT`]: a machine under load may be slow to run a guardian at all.
const SLACK: Duration = Duration::from_secs(5);
/// Time for a guardian to exit, which it does at once after its report.
const LEAVE_WAIT: Duration = Duration::from_secs(1);
/// Size limit of a report, which names a few processes and one reason.
const REPORT_BYTES_MAX: u64 = 64 << 10;

/// A command to run under a guardian.
pub(crate) struct Guarded<'a> {
    /// Executable that becomes the guardian; `/proc/self/exe` for lcm itself.
    pub(crate) lcm: &'a Path,
    pub(crate) invocation: &'a Invocation,
    /// Input written to the command's stdin.
    pub(crate) input: &'a str,
    pub(crate) deadline: Duration,
}

impl Guarded<'_> {
    /// Runs the command, and returns when none of its processes is left or those that are left can't be killed.
    pub(crate) async fn run(&self, stdout: Stdio, stderr: Stdio) -> io::Result<CommandReport> {
        let began = Instant::now();
        let ended = self.run_unlogged(stdout, stderr).await;
        let (program, took_ms) = (self.invocation.program.display(), elapsed_ms(began));
        match &ended {
            Ok(CommandReport { outcome, .. }) => debug!(target: "host", %program, took_ms, ?outcome, "program ended"),
            Err(error) => warn!(target: "host", %program, took_ms, %error, "program not run"),
        }
        ended
    }

    async fn run_unlogged(&self, stdout: Stdio, stderr: Stdio) -> io::Result<CommandReport> {
        let (ours, theirs) = Pair::pair()?;
        ours.set_nonblocking(true)?;
        let mut control = UnixStream::from_std(ours)?;
        let mut guardian = Guardian(spawn(self.lcm, theirs, stdout, stderr)?);
        let spec = GuardianSpec::of(self.invocation, self.input, self.deadline);
        let mut text = serde_json::to_vec(&spec).map_err(io::Error::other)?;
        text.push(b'\n');
        let identity = guardian.identity();
        let mut command = None;
        let reported = timeout(self.deadline.saturating_add(END_WAIT + SLACK), async {
            control.write_all(&text).await?;
            report(&mut control, &mut command).await
        });
        let reported = reported.await;
        if let Ok(Ok(report)) = reported {
            let _ = timeout(LEAVE_WAIT, guardian.0.wait()).await;
            return match report.outcome {
                CommandOutcome::NotRun(reason) => Err(io::Error::other(reason)),
                CommandOutcome::Code(_) | CommandOutcome::TimedOut => Ok(report),
            };
        }
        let left =
            spawn_blocking(move || identity.map(|guardian| descent::end_unanswered(&guardian, command.as_ref())));
        let left = left.await.map_err(io::Error::other)?.unwrap_or_default();
        let survivors = descent::named(&left);
        if reported.is_err() {
            return Ok(CommandReport { outcome: CommandOutcome::TimedOut, ended: Vec::new(), survivors });
        }
        let reason = "the lcm process that guarded it was killed, so its exit code is unknown";
        if survivors.is_empty() {
            Err(io::Error::other(reason))
        } else {
            Err(io::Error::other(format!("{reason}; still running: {}", survivors.join(", "))))
        }
    }
}

/// Starts a guardian in its own process group, so that an interrupt at the terminal does not reach it. The guardian
/// gets nothing of lcm's environment, no file that lcm's caller left open, and no secret on its command line.
fn spawn(lcm: &Path, control: Pair, stdout: Stdio, stderr: Stdio) -> io::Result<Child> {
    let (program, arguments) = (lcm.to_owned(), vec![SUBCOMMAND.to_owned()]);
    let launcher = leaks::without(Launcher { program, arguments, environment: BTreeMap::new() }, &leaks::inherited());
    Command::new(launcher.program)
        .arg0("lcm")
        .args(launcher.arguments)
        .current_dir("/")
        .env_clear()
        .process_group(0)
        .stdin(OwnedFd::from(control))
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
}

/// Reads the report; sets `command` to the process that runs the command as soon as it is known.
async fn report(control: &mut UnixStream, command: &mut Option<ProcessFact>) -> io::Result<CommandReport> {
    let mut lines = BufReader::new(control.take(REPORT_BYTES_MAX)).lines();
    while let Some(line) = lines.next_line().await? {
        match serde_json::from_str(&line).map_err(io::Error::other)? {
            GuardianMessage::Started { pid, start_ticks } => {
                *command = Some(ProcessFact { pid, start_ticks, program: String::new() });
            }
            GuardianMessage::Over(report) => return Ok(report),
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// Running guardian. One that was stopped by a signal is continued when its call is dropped: it must see that its pipe
/// is closed.
struct Guardian(Child);

impl Guardian {
    fn identity(&self) -> Option<ProcessFact> {
        let pid = self.0.id().and_then(|id| i32::try_from(id).ok())?;
        proc::stat(pid).map(|stat| stat.fact())
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // Not reaped yet, so that its pid can't belong to another process.
        if let Some(pid) = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::CONT);
        }
    }
}
