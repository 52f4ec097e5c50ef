//! Processes that somebody else started and the manifest or an operator calls a service: known by a pid that can't have
//! been given to another process since.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use rustix::process::geteuid;

use crate::driver::DriverError;
use crate::driver::process::folder::{AdoptNote, Folder};
use crate::driver::process::proc;
use crate::model::desired::PidFile;
use crate::model::facts::ProcessFact;

/// The kernel's clocks and those of file systems differ by some ticks, and a clock may be set by a second.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_secs(1);

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
    let noted = folder.adopted().and_then(|note| living(note.pid, note.start_ticks));
    noted.or_else(|| by_pid_file(pid_file?).ok())
}

/// The process that a pid file names, or why that is not to be believed.
pub(crate) fn by_pid_file(pid_file: &PidFile) -> Result<ProcessFact, String> {
    let path = pid_file.path.display();
    let text = fs::read_to_string(&pid_file.path).map_err(|error| format!("{path}: {error}"))?;
    let pid: i32 = text.trim().parse().map_err(|_| format!("{path} holds no pid"))?;
    let process = ours(pid)?;
    let written = fs::metadata(&pid_file.path).and_then(|metadata| metadata.modified());
    let written = written.ok().and_then(|time| Timestamp::try_from(time).ok());
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

/// Takes a running process for the service of this folder from now on.
pub(crate) fn adopt(folder: &Folder, service: &str, pid: i32) -> Result<ProcessFact, DriverError> {
    let refused = |reason: String| DriverError::Refused(format!("can't adopt process {pid} as `{service}`: {reason}"));
    if pid <= 1 || u32::try_from(pid) == Ok(std::process::id()) {
        return Err(refused("it is not a service".to_owned()));
    }
    let process = ours(pid).map_err(refused)?;
    folder.ensure()?;
    let note = AdoptNote { pid, start_ticks: process.start_ticks };
    folder.write_adopted(&note).map_err(|source| DriverError::Io {
        what: format!("can't note the adoption in {}", folder.path().display()),
        source,
    })?;
    Ok(process)
}

/// A living process of this user that belongs to no service yet.
fn ours(pid: i32) -> Result<ProcessFact, String> {
    let stat = proc::stat(pid).filter(proc::Stat::is_alive).ok_or_else(|| format!("there is no process {pid}"))?;
    let (own, uid) = (geteuid().as_raw(), proc::uid(pid));
    if uid != Some(own) {
        let whose = uid.map_or_else(|| "nobody's".to_owned(), |uid| format!("user {uid}'s"));
        return Err(format!("process {pid} ({}) is {whose}, and lcm runs as user {own}", stat.program));
    }
    if let Some(marked) = proc::marked(pid) {
        let (project, service) = (marked.marks.project, marked.marks.service);
        return Err(format!("process {pid} ({}) is part of `{service}` of project {project}", stat.program));
    }
    Ok(stat.fact())
}
