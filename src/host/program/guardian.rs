//! The guardian: lcm executed again, once for each command that it runs beside a service. It is the sub-reaper of all
//! that the command starts, and ends all of it when the command ends, at the deadline, or when lcm's end of its pipe
//! closes, which the kernel does for an lcm that is killed.
//!
//! It takes its orders as JSON on its stdin, a socket, and reports there; its stdout and stderr are the command's. The
//! command itself is started by a second stage, which asks the kernel to kill it should its guardian be killed. What the
//! command has started by then, in another session, is the one thing that a killed guardian leaves.

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

/// The hidden subcommand by which lcm becomes a guardian; with the guardian's pid behind it, its second stage.
pub(crate) const SUBCOMMAND: &str = "__guard";
/// Before each name of the command's environment on its way to the second stage, which is lcm and must not heed it.
const CARRIED: &[u8] = b"lcm:";
/// The name that a second stage gives itself where it can't become the command; the error's number follows.
const NOT_RUN: &str = "lcm!exec ";
/// As a shell does.
const NOT_RUN_CODE: u8 = 127;
/// Names, one command and what it is told: orders beyond this are no orders.
const ORDERS_BYTES_MAX: u64 = 16 << 20;
/// How often orphans that have ended are reaped while the command runs.
const REAP_PAUSE: Duration = Duration::from_secs(1);
/// How often the command is looked at on a kernel without pidfds (before Linux 5.3).
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// What a guardian is to run. It has no `Debug`: the environment holds secrets.
#[derive(Serialize, Deserialize)]
pub(crate) struct GuardianSpec {
    program: PathBuf,
    argv: Vec<String>,
    cwd: PathBuf,
    environment: BTreeMap<String, String>,
    /// Written to its stdin.
    told: String,
    deadline_ms: u64,
}

impl GuardianSpec {
    pub(crate) fn of(invocation: &Invocation, told: &str, deadline: Duration) -> Self {
        let Invocation { program, argv, cwd, environment } = invocation.clone();
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        Self { program, argv, cwd, environment, told: told.to_owned(), deadline_ms }
    }
}

/// One line of a guardian's to lcm.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GuardianMessage {
    Started { pid: i32, start_ticks: u64 },
    Over(CommandReport),
}

/// How a command ended, and what it had started.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CommandReport {
    pub(crate) outcome: CommandOutcome,
    /// What was left of it and was killed, by program and pid; the first few.
    pub(crate) ended: Vec<String>,
    /// What could not be ended.
    pub(crate) survivors: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CommandOutcome {
    /// Its exit code; `128 + n` where signal n ended it.
    Code(i32),
    /// It was killed at its deadline, or because lcm's end of the pipe was closed.
    TimedOut,
    /// Why it could not be run.
    NotRun(String),
}

/// Runs as a guardian, or as its second stage, and returns lcm's exit code. Meant for the hidden subcommand alone.
pub(crate) fn guardian_main(mut arguments: impl Iterator<Item = OsString>) -> u8 {
    if let Some(guardian) = arguments.next() {
        return become_command(&guardian, arguments);
    }
    // A handled signal does nothing: only KILL ends a guardian before its time.
    let _hearing = ignored::hear_all();
    let Some(orders) = read_orders() else { return 1 };
    let report = match set_child_subreaper(Some(getpid())) {
        Ok(()) => carry_out(&orders),
        Err(error) => not_run(format!("can't become a sub-reaper: {error}")),
    };
    say(&GuardianMessage::Over(report));
    0
}

/// `None`: lcm is gone, or never was there.
fn read_orders() -> Option<GuardianSpec> {
    let mut line = Vec::new();
    io::stdin().lock().take(ORDERS_BYTES_MAX).read_until(b'\n', &mut line).ok()?;
    line.ends_with(b"\n").then(|| serde_json::from_slice(&line).ok()).flatten()
}

/// lcm may be gone by now: what was started ends all the same.
fn say(said: &GuardianMessage) {
    let Ok(mut line) = serde_json::to_vec(said) else { return };
    line.push(b'\n');
    let mut rest = &line[..];
    while let Ok(count @ 1..) = rustix::io::write(io::stdin().as_fd(), rest) {
        rest = &rest[count..];
    }
}

fn not_run(reason: String) -> CommandReport {
    CommandReport { outcome: CommandOutcome::NotRun(reason), ended: Vec::new(), survivors: Vec::new() }
}

fn carry_out(orders: &GuardianSpec) -> CommandReport {
    let deadline = Instant::now().checked_add(Duration::from_millis(orders.deadline_ms));
    let mut child = match second_stage(orders).spawn() {
        Ok(child) => child,
        Err(error) => return not_run(error.to_string()),
    };
    let stdin = child.stdin.take();
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return not_run("it has no pid".to_owned());
    };
    if let Some(stat) = proc::stat(pid.as_raw_nonzero().get()) {
        say(&GuardianMessage::Started { pid: stat.pid, start_ticks: stat.start_ticks });
    }
    let in_time = watch(pid, stdin, orders.told.as_bytes(), deadline);
    let failure = proc::stat(pid.as_raw_nonzero().get()).and_then(|stat| failure(&stat.program));
    let (status, ended, survivors) = end_all(pid);
    let outcome = match (failure, status) {
        (Some(reason), _) => CommandOutcome::NotRun(reason),
        (None, Some(status)) if in_time => CommandOutcome::Code(code(status)),
        (None, _) => CommandOutcome::TimedOut,
    };
    CommandReport { outcome, ended, survivors }
}

/// The command's environment travels under names that mean nothing to lcm, nor to the loader that starts it.
fn second_stage(orders: &GuardianSpec) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("lcm")
        .arg(SUBCOMMAND)
        .arg(std::process::id().to_string())
        .arg(&orders.program)
        .args(&orders.argv)
        .current_dir(&orders.cwd)
        .env_clear()
        .stdin(if orders.told.is_empty() { Stdio::null() } else { Stdio::piped() });
    for (name, value) in &orders.environment {
        command.env(OsString::from_vec([CARRIED, name.as_bytes()].concat()), value);
    }
    command
}

/// Becomes the command: in a session of its own, and killed by the kernel when its guardian is.
fn become_command(guardian: &OsString, mut arguments: impl Iterator<Item = OsString>) -> u8 {
    let _ = setsid();
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // A guardian that was killed before that can't be told from any other parent but by its pid.
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
    // Read by the guardian from what is left of this process: its own name is the one thing that a process can leave
    // there which needs no descriptor that the command would get as well.
    let _ =
        kernel::write(Path::new("/proc/self/comm"), &format!("{NOT_RUN}{}", error.raw_os_error().unwrap_or_default()));
    NOT_RUN_CODE
}

/// Why a second stage of this name could not become the command.
fn failure(program: &str) -> Option<String> {
    let number: i32 = program.strip_prefix(NOT_RUN)?.parse().ok()?;
    Some(io::Error::from_raw_os_error(number).to_string())
}

/// Returns once the command has ended; `false`: its time is over, or lcm is gone. The command is not reaped here, so that
/// its process group keeps its number.
fn watch(pid: Pid, stdin: Option<ChildStdin>, told: &[u8], deadline: Option<Instant>) -> bool {
    let held = pidfd_open(pid, PidfdFlags::empty()).ok();
    let mut pipe = StdinPipe::new(stdin, told);
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
        let pause = if held.is_some() { REAP_PAUSE } else { LOOK_PAUSE };
        let pause = deadline.map_or(pause, |deadline| pause.min(deadline.saturating_duration_since(now)));
        wait_for_any(held.as_ref(), pipe.as_ref(), pause);
        pipe.write();
    }
}

fn has_ended(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None) | Err(rustix::io::Errno::INTR))
}

/// Whether lcm's end of the pipe is closed. What lcm writes after its orders means nothing.
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
    // A moment more than nothing, so that a deadline which is a fraction of a millisecond away is not asked for often.
    let pause = pause.max(Duration::from_micros(100));
    if let Ok(pause) = Timespec::try_from(pause) {
        let _ = poll(&mut awaited, Some(&pause));
    }
}

/// What the command is told and has not taken yet.
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

    /// As much as it takes now. A command that does not want to hear it closes its end.
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

/// All but the command itself.
fn reap_orphans(command: Pid) {
    let own = getpid().as_raw_nonzero().get();
    for orphan in descent::children(own).into_iter().filter_map(Pid::from_raw).filter(|orphan| *orphan != command) {
        let _ = waitpid(Some(orphan), WaitOptions::NOHANG);
    }
}

/// Ends everything below this process, and returns the status of the command, what else had to be ended, and what could
/// not be. As the sub-reaper it has no descendant left once it has no child left.
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
        // A child of this process that is not reaped keeps its number, and that of the group that it led: a group can be
        // killed at one blow, which nothing in it can outrun by forking.
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
    fn a_second_stage_leaves_the_reason_in_its_name() {
        let number = rustix::io::Errno::NOEXEC.raw_os_error();
        let reason = failure(&format!("{NOT_RUN}{number}")).expect("a reason");
        assert!(reason.contains("Exec format error"), "{reason}");
        assert!(NOT_RUN.len() + 4 < 16, "a name of a process has 15 bytes");
        assert_eq!(failure("sleep"), None);
    }
}
