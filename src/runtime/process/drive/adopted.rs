//! Adopted processes: by the note of `lcm adopt`, or by a pid file that lcm trusts.

use std::io;

use jiff::SignedDuration;
use jiff::Timestamp;
use rustix::process::geteuid;

use crate::files::{Refused, named};
use crate::host::proc;
use crate::model::facts::ProcessFact;
use crate::runtime::process::drive::folder::Folder;
use crate::runtime::process::intent::PidFile;

/// Tolerance between the start of a process and the time of its pid file: clocks of the kernel and of file systems
/// differ by some ticks, and a clock may be set by a second.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_secs(1);

/// Bound for a pid file: a pid and a line end; some programs write more lines, which are not pids.
const PID_FILE_BYTES_MAX: u64 = 4096;

/// Returns the id of an adopted instance: `pid:ticks`.
pub(crate) fn id_of(process: &ProcessFact) -> String {
    format!("{}:{}", process.pid, process.start_ticks)
}

/// Parses the id of an adopted instance into pid and start time in ticks; `None`: the id is a salt, which has no colon.
pub(crate) fn pid_and_ticks(id: &str) -> Option<(i32, u64)> {
    let (pid, ticks) = id.split_once(':')?;
    Some((pid.parse().ok()?, ticks.parse().ok()?))
}

/// Returns the living process with this pid, if it was started at that tick.
pub(crate) fn living(pid: i32, start_ticks: u64) -> Option<ProcessFact> {
    let stat = proc::stat(pid).filter(|stat| stat.is_alive() && stat.start_ticks == start_ticks)?;
    Some(stat.fact())
}

/// Returns the adopted process of the service of this folder, by `lcm adopt` or by its pid file.
pub(crate) fn root(folder: &Folder, pid_file: Option<&PidFile>) -> Option<ProcessFact> {
    noted(folder).or_else(|| by_pid_file(pid_file?).ok())
}

/// Returns the process that `lcm adopt` noted, if it still lives, in the boot in which it was adopted, and was not given
/// back.
pub(crate) fn noted(folder: &Folder) -> Option<ProcessFact> {
    let note = folder.adopted().filter(|note| !note.given_back)?;
    let same_boot = note.boot.is_none() || note.boot == proc::boot_id();
    living(note.pid, note.start_ticks).filter(|_| same_boot)
}

/// Returns the process that a pid file names, or the reason why lcm does not trust the file: another user could have
/// written it, or the pid may have been reused.
pub(crate) fn by_pid_file(pid_file: &PidFile) -> Result<ProcessFact, String> {
    let path = pid_file.path.display();
    let read = named::read_trusted(&pid_file.path, PID_FILE_BYTES_MAX).map_err(|error| format!("{path}: {error}"))?;
    let pid = std::str::from_utf8(&read.bytes).ok().and_then(|text| text.trim().parse().ok());
    let pid: i32 = pid.ok_or_else(|| format!("{path} holds no pid"))?;
    let process = of_this_user(pid)?;
    let written = Timestamp::try_from(read.modified).ok();
    let started = proc::started_at(process.start_ticks, Timestamp::now());
    match (written, started) {
        (Some(written), Some(started)) if started.duration_since(written) <= CLOCK_SLACK => {}
        _ => return Err(format!("process {pid} was started after {path} was written")),
    }
    let arguments = proc::arguments(pid).unwrap_or_default();
    if arguments.contains(&pid_file.matching) {
        Ok(process)
    } else {
        Err(format!("the arguments of process {pid} don't contain `{}`", pid_file.matching))
    }
}

/// Returns the reason why lcm does not trust a pid file, regardless of its content; `None`: lcm trusts it, or there is
/// none.
pub(crate) fn distrust_reason(pid_file: &PidFile) -> Option<String> {
    let error = named::read_trusted(&pid_file.path, PID_FILE_BYTES_MAX).err()?;
    (error.kind() != io::ErrorKind::NotFound).then(|| match Refused::of(&error) {
        Some(_) => error.to_string(),
        None => format!("{}: {error}", pid_file.path.display()),
    })
}

/// Returns the living process with this pid, if all its user ids are this user's.
pub(crate) fn of_this_user(pid: i32) -> Result<ProcessFact, String> {
    let stat = proc::stat(pid).filter(proc::Stat::is_alive).ok_or_else(|| format!("there is no process {pid}"))?;
    let own = geteuid().as_raw();
    match proc::uids(pid).ok_or_else(|| format!("there is no process {pid}"))? {
        uids if uids == [own; 4] => Ok(stat.fact()),
        [real, effective, ..] => {
            let other = if real == own { effective } else { real };
            Err(format!("process {pid} ({}) belongs to user {other}, but lcm runs as user {own}", stat.program))
        }
    }
}
