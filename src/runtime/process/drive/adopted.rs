//! Processes that were adopted as services: by a note of `lcm adopt`, or by a pid file that is believed.

use std::io;

use jiff::SignedDuration;
use jiff::Timestamp;
use rustix::process::geteuid;

use crate::files::{Refused, named};
use crate::host::proc;
use crate::model::facts::ProcessFact;
use crate::runtime::process::drive::folder::Folder;
use crate::runtime::process::intent::PidFile;

/// The kernel's clocks and those of file systems differ by some ticks, and a clock may be set by a second.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_secs(1);

/// A pid and a line end; some programs write more lines, which are no pid.
const PID_FILE_BYTES_MAX: u64 = 4096;

/// The name of an adopted instance.
pub(crate) fn id_of(process: &ProcessFact) -> String {
    format!("{}:{}", process.pid, process.start_ticks)
}

/// The process that an adopted instance's name means, as far as it still lives. Salts hold no colon.
pub(crate) fn pid_and_ticks(id: &str) -> Option<(i32, u64)> {
    let (pid, ticks) = id.split_once(':')?;
    Some((pid.parse().ok()?, ticks.parse().ok()?))
}

/// The living process of this pid, if it was started at that tick.
pub(crate) fn living(pid: i32, start_ticks: u64) -> Option<ProcessFact> {
    let stat = proc::stat(pid).filter(|stat| stat.is_alive() && stat.start_ticks == start_ticks)?;
    Some(stat.fact())
}

/// What stands for the service of this folder, by an operator's word or by its pid file.
pub(crate) fn root(folder: &Folder, pid_file: Option<&PidFile>) -> Option<ProcessFact> {
    noted(folder).or_else(|| by_pid_file(pid_file?).ok())
}

/// The adopted process as far as it still lives, in the boot in which it was adopted.
pub(crate) fn noted(folder: &Folder) -> Option<ProcessFact> {
    let note = folder.adopted()?;
    let same_boot = note.boot.is_none() || note.boot == proc::boot_id();
    living(note.pid, note.start_ticks).filter(|_| same_boot)
}

/// The process that a pid file names, or the reason why the file is not believed: another user could have written it,
/// or have put another process in the place of the one that was named.
pub(crate) fn by_pid_file(pid_file: &PidFile) -> Result<ProcessFact, String> {
    let path = pid_file.path.display();
    let read = named::read_believed(&pid_file.path, PID_FILE_BYTES_MAX).map_err(|error| format!("{path}: {error}"))?;
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

/// Why a pid file is not believed, before its content is looked at; `None`: it is, or there is none.
pub(crate) fn disbelief(pid_file: &PidFile) -> Option<String> {
    let error = named::read_believed(&pid_file.path, PID_FILE_BYTES_MAX).err()?;
    (error.kind() != io::ErrorKind::NotFound).then(|| match Refused::of(&error) {
        Some(_) => error.to_string(),
        None => format!("{}: {error}", pid_file.path.display()),
    })
}

/// A living process all of whose user ids are this user's.
pub(crate) fn of_this_user(pid: i32) -> Result<ProcessFact, String> {
    let stat = proc::stat(pid).filter(proc::Stat::is_alive).ok_or_else(|| format!("there is no process {pid}"))?;
    let own = geteuid().as_raw();
    match proc::uids(pid).ok_or_else(|| format!("there is no process {pid}"))? {
        uids if uids == [own; 4] => Ok(stat.fact()),
        [real, effective, ..] => {
            let other = if real == own { effective } else { real };
            Err(format!("process {pid} ({}) is user {other}'s, and lcm runs as user {own}", stat.program))
        }
    }
}
