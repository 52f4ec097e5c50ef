//! The guardian: lcm executed again, once for each command that it runs beside a service. It is the sub-reaper of all
//! processes that the command starts, and kills them when the command ends, at the deadline, or when lcm's end of the
//! pipe closes, which the kernel does for an lcm that is killed.
//!
//! The guardian reads its spec as JSON on its stdin, a socket, and reports there; its stdout and stderr are the
//! command's. The command itself is started by a second stage, which the kernel kills together with its guardian. A
//! killed guardian leaves only the processes that the command has started in another session by then.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, getpid, getppid, kill_process_group,
    pidfd_open, set_child_subreaper, set_parent_process_death_signal, setsid, wait, waitid, waitpid,
};
use serde::{Deserialize, Serialize};

use crate::files::kernel;
use crate::host::proc;
use crate::host::program::descent::{self, Rounds};
use crate::host::program::environment::Invocation;
use crate::host::program::ignored;

/// Hidden subcommand by which lcm becomes a guardian; followed by the guardian's pid, its second stage.
pub(crate) const SUBCOMMAND: &str = "__guard";
/// Prefix of the command's variables on their way to the second stage, which is lcm and must ignore them.
const CARRIED: &[u8] = b"lcm:";
/// Process name that a second stage takes if it can't become the command; the error's number follows.
const NOT_RUN: &str = "lcm!exec ";
/// Exit code of a second stage that can't become the command, as of a shell.
const NOT_RUN_CODE: u8 = 127;
/// Size limit of a spec: variables, one command and its input.
const SPEC_BYTES_MAX: u64 = 16 << 20;
/// Interval at which ended orphans are reaped while the command runs.
const REAP_PAUSE: Duration = Duration::from_secs(1);
/// Interval at which the command is polled on a kernel without pidfds (before Linux 5.3).
const POLL_PAUSE: Duration = Duration::from_millis(10);

/// Command for a guardian to run. No `Debug`: the environment holds secrets.
#[derive(Serialize, Deserialize)]
pub(crate) struct GuardianSpec {
    program: PathBuf,
    argv: Vec<String>,
    cwd: PathBuf,
    environment: BTreeMap<String, String>,
    /// Input written to the command's stdin.
    told: String,
    deadline_ms: u64,
}

impl GuardianSpec {
    pub(crate) fn of(invocation: &Invocation, input: &str, deadline: Duration) -> Self {
        let Invocation { program, argv, cwd, environment } = invocation.clone();
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        Self { program, argv, cwd, environment, told: input.to_owned(), deadline_ms }
    }
}

/// One line from a guardian to lcm.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GuardianMessage {
    Started { pid: i32, start_ticks: u64 },
    Over(CommandReport),
}

/// End of a command and of the processes that it had started.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CommandReport {
    pub(crate) outcome: CommandOutcome,
    /// Processes that were left and were killed, by program and pid; at most [`descent::NAMED_MAX`].
    pub(crate) ended: Vec<String>,
    /// Processes that could not be killed.
    pub(crate) survivors: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CommandOutcome {
    /// Exit code; `128 + n` if signal n ended the command.
    Code(i32),
    /// Killed at its deadline, or because lcm's end of the pipe was closed.
    TimedOut,
    /// Not started, for this reason.
    NotRun(String),
}

/// Runs as a guardian or its second stage, and returns lcm's exit code. Only for the hidden subcommand.
pub(crate) fn guardian_main(mut arguments: impl Iterator<Item = OsString>) -> u8 {
    if let Some(guardian) = arguments.next() {
        return become_command(&guardian, arguments);
    }
    // A handled signal does nothing: only KILL ends a guardian early.
    let _handlers = ignored::handle_all();
    let Some(spec) = read_spec() else { return 1 };
    let report = match set_child_subreaper(Some(getpid())) {
        Ok(()) => run(&spec),
        Err(error) => not_run(format!("can't become a sub-reaper: {error}")),
    };
    send(&GuardianMessage::Over(report));
    0
}

/// Reads the spec; `None`: lcm has ended, or another process started this one.
fn read_spec() -> Option<GuardianSpec> {
    let mut line = Vec::new();
    io::stdin().lock().take(SPEC_BYTES_MAX).read_until(b'\n', &mut line).ok()?;
    line.ends_with(b"\n").then(|| serde_json::from_slice(&line).ok()).flatten()
}

/// Sends a message to lcm. lcm may have ended by now: the command's processes are killed all the same.
fn send(message: &GuardianMessage) {
    let Ok(mut line) = serde_json::to_vec(message) else { return };
    line.push(b'\n');
    let mut rest = &line[..];
    while let Ok(count @ 1..) = rustix::io::write(io::stdin().as_fd(), rest) {
        rest = &rest[count..];
    }
}

fn not_run(reason: String) -> CommandReport {
    CommandReport { outcome: CommandOutcome::NotRun(reason), ended: Vec::new(), survivors: Vec::new() }
}

fn run(spec: &GuardianSpec) -> CommandReport {
    let deadline = Instant::now().checked_add(Duration::from_millis(spec.deadline_ms));
    let mut child = match second_stage(spec).spawn() {
        Ok(child) => child,
        Err(error) => return not_run(error.to_string()),
    };
    let stdin = child.stdin.take();
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return not_run("it has no pid".to_owned());
    };
    if let Some(stat) = proc::stat(pid.as_raw_nonzero().get()) {
        send(&GuardianMessage::Started { pid: stat.pid, start_ticks: stat.start_ticks });
    }
    let in_time = watch(pid, stdin, spec.told.as_bytes(), deadline);
    let failure = proc::stat(pid.as_raw_nonzero().get()).and_then(|stat| failure(&stat.program));
    let (status, ended, survivors) = end_all(pid);
    let outcome = match (failure, status) {
        (Some(reason), _) => CommandOutcome::NotRun(reason),
        (None, Some(status)) if in_time => CommandOutcome::Code(code(status)),
        (None, _) => CommandOutcome::TimedOut,
    };
    CommandReport { outcome, ended, survivors }
}

/// Returns the second stage. It carries the command's environment under names that mean nothing to lcm, nor to the
/// loader that starts it.
fn second_stage(spec: &GuardianSpec) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("lcm")
        .arg(SUBCOMMAND)
        .arg(std::process::id().to_string())
        .arg(&spec.program)
        .args(&spec.argv)
        .current_dir(&spec.cwd)
        .env_clear()
        .stdin(if spec.told.is_empty() { Stdio::null() } else { Stdio::piped() });
    for (name, value) in &spec.environment {
        command.env(OsString::from_vec([CARRIED, name.as_bytes()].concat()), value);
    }
    command
}

/// Becomes the command: in its own session, and killed by the kernel together with its guardian.
fn become_command(guardian: &OsString, mut arguments: impl Iterator<Item = OsString>) -> u8 {
    let _ = setsid();
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // Only its pid distinguishes the guardian from another parent if it was killed before that call.
    let parent = getppid().map(|parent| parent.as_raw_nonzero().get().to_string());
    let (Some(program), Some(name)) = (arguments.next(), arguments.next()) else { return NOT_RUN_CODE };
    if parent.as_deref() != guardian.to_str() {
        return NOT_RUN_CODE;
    }
    let carried = std::env::vars_os().filter_map(|(variable, value)| {
        Some((OsString::from_vec(variable.as_bytes().strip_prefix(CARRIED)?.to_vec()), value))
    });
    let carried: Vec<(OsString, OsString)> = carried.collect();
    let error = Command::new(program).arg0(name).args(arguments).env_clear().envs(carried).exec();
    // The guardian reads the reason from this process's name: a zombie keeps it, and it needs no descriptor, which
    // the command would inherit as well.
    let _ =
        kernel::write(Path::new("/proc/self/comm"), &format!("{NOT_RUN}{}", error.raw_os_error().unwrap_or_default()));
    NOT_RUN_CODE
}

/// Returns the reason why a second stage with this name could not become the command.
fn failure(program: &str) -> Option<String> {
    let number: i32 = program.strip_prefix(NOT_RUN)?.parse().ok()?;
    Some(io::Error::from_raw_os_error(number).to_string())
}

/// Waits until the command has ended; returns false if its deadline has passed or lcm has ended. The command is not
/// reaped here, so that its process group keeps its number.
fn watch(pid: Pid, stdin: Option<ChildStdin>, input: &[u8], deadline: Option<Instant>) -> bool {
    let held = pidfd_open(pid, PidfdFlags::empty()).ok();
    let mut pipe = StdinPipe::new(stdin, input);
    let mut reaped_at = Instant::now();
    loop {
        if has_ended(pid) {
            return true;
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) || is_closed() {
            return false;
        }
        if now.duration_since(reaped_at) >= REAP_PAUSE {
            reap_orphans(pid);
            reaped_at = now;
        }
        let pause = if held.is_some() { REAP_PAUSE } else { POLL_PAUSE };
        let pause = deadline.map_or(pause, |deadline| pause.min(deadline.saturating_duration_since(now)));
        wait_for_any(held.as_ref(), pipe.as_ref(), pause);
        pipe.write();
    }
}

fn has_ended(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None) | Err(rustix::io::Errno::INTR))
}

/// Returns true if lcm's end of the pipe is closed. Data that lcm writes after the spec is ignored.
fn is_closed() -> bool {
    let stdin = io::stdin();
    let mut control = [PollFd::new(&stdin, PollFlags::IN | PollFlags::RDHUP)];
    let none = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut control, Some(&none)).is_ok_and(|count| count > 0) && {
        let events = control[0].revents();
        events.intersects(PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR | PollFlags::NVAL)
    }
}

fn wait_for_any(command: Option<&OwnedFd>, pipe: Option<&ChildStdin>, pause: Duration) {
    let stdin = io::stdin();
    let mut awaited = vec![PollFd::new(&stdin, PollFlags::RDHUP)];
    awaited.extend(command.map(|command| PollFd::new(command, PollFlags::IN)));
    awaited.extend(pipe.map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
    // More than zero, so that a deadline which is a fraction of a millisecond away is not polled in a busy loop.
    let pause = pause.max(Duration::from_micros(100));
    if let Ok(pause) = Timespec::try_from(pause) {
        let _ = poll(&mut awaited, Some(&pause));
    }
}

/// Input that the command has not read yet.
struct StdinPipe<'a> {
    to: Option<ChildStdin>,
    rest: &'a [u8],
}

impl<'a> StdinPipe<'a> {
    fn new(to: Option<ChildStdin>, rest: &'a [u8]) -> Self {
        let to = to.filter(|to| rustix::io::ioctl_fionbio(to, true).is_ok());
        Self { to, rest }
    }

    fn as_ref(&self) -> Option<&ChildStdin> {
        self.to.as_ref()
    }

    /// Writes as much as the command takes now. A command that reads no input closes its end.
    fn write(&mut self) {
        let Some(to) = &mut self.to else { return };
        match to.write(self.rest) {
            Ok(count) => self.rest = &self.rest[count..],
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return,
            Err(_) => self.rest = &[],
        }
        if self.rest.is_empty() {
            self.to = None;
        }
    }
}

/// Reaps all ended children but the command itself.
fn reap_orphans(command: Pid) {
    let own = getpid().as_raw_nonzero().get();
    for orphan in descent::children(own).into_iter().filter_map(Pid::from_raw).filter(|orphan| *orphan != command) {
        let _ = waitpid(Some(orphan), WaitOptions::NOHANG);
    }
}

/// Kills every process below this one, and returns the status of the command, the other processes that were killed,
/// and those that could not be. A sub-reaper has no descendant left once it has no child left.
fn end_all(command: Pid) -> (Option<WaitStatus>, Vec<String>, Vec<String>) {
    let own = getpid().as_raw_nonzero().get();
    let (mut status, mut ended) = (None, Vec::new());
    let mut rounds = Rounds::begin();
    loop {
        let left = descent::below(own);
        for process in left.iter().filter(|process| process.pid != command.as_raw_nonzero().get()) {
            if ended.len() < descent::NAMED_MAX && !ended.contains(process) {
                ended.push(process.clone());
            }
        }
        // A child of this process that is not reaped keeps its pid, and that of the group that it led: a group is
        // killed at once, so no member escapes by forking.
        for child in descent::children(own).into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process_group(child, Signal::KILL);
        }
        let refused = descent::kill(&left);
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, ended))) if pid == command => status = Some(ended),
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return (status, descent::named(&ended), Vec::new()),
            }
        }
        if !rounds.pause() || (!refused.is_empty() && refused.len() == descent::below(own).len()) {
            ended.retain(|process| !proc::is_alive(process));
            return (status, descent::named(&ended), descent::named(&descent::below(own)));
        }
    }
}

fn code(status: WaitStatus) -> i32 {
    status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::{NOT_RUN, failure};

    #[test]
    fn a_second_stage_leaves_the_reason_in_its_process_name() {
        let number = rustix::io::Errno::NOEXEC.raw_os_error();
        let reason = failure(&format!("{NOT_RUN}{number}")).expect("a reason");
        assert!(reason.contains("Exec format error"), "{reason}");
        assert!(NOT_RUN.len() + 4 < 16, "a name of a process has 15 bytes");
        assert_eq!(failure("sleep"), None);
    }
}
