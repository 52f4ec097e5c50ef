//! Processes that somebody else started and the manifest or an operator calls a service: known by a pid that can't have
//! been given to another process since.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use rustix::process::geteuid;

use crate::driver::DriverError;
use crate::driver::process::folder::{AdoptNote, Folder};
use crate::driver::process::trees::Census;
use crate::driver::process::{Processes, proc, survey};
use crate::model::desired::{Desired, PidFile, Runtime};
use crate::model::facts::ProcessFact;
use crate::model::names::ServiceName;

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

/// Takes a running process for this service from now on. What another service has, in part or whole, is not given to a
/// second one: stopping that would end both.
pub(crate) fn adopt(
    processes: &Processes,
    desired: &Desired,
    service: &ServiceName,
    pid: i32,
) -> Result<ProcessFact, DriverError> {
    let refused = |reason: String| DriverError::Refused(format!("can't adopt process {pid} as `{service}`: {reason}"));
    let unreadable = |source| DriverError::Io { what: "can't read the processes of this host".to_owned(), source };
    if pid <= 1 || u32::try_from(pid) == Ok(std::process::id()) {
        return Err(refused("it is not a service".to_owned()));
    }
    let wanted = desired.services.get(service).ok_or_else(|| refused("the manifest has no such service".to_owned()))?;
    let now = survey::one(processes, &desired.project, wanted).map_err(unreadable)?;
    if let Some(running) = now.as_ref().and_then(|tree| tree.members.first())
        && running.pid != pid
    {
        let program = &running.program;
        return Err(refused(format!("`{service}` already runs as pid {} ({program}); stop that first", running.pid)));
    }
    let process = ours(pid).map_err(refused)?;
    let census = Census::take_whole().map_err(unreadable)?;
    for claim in claims(processes, desired, service, &census) {
        claim.refuse(&census, &process).map_err(refused)?;
    }
    let folder = processes.folder(desired.project.as_str(), service.as_str());
    folder.ensure()?;
    let note = AdoptNote { pid, start_ticks: process.start_ticks };
    folder.write_adopted(&note).map_err(|source| DriverError::Io {
        what: format!("can't note the adoption in {}", folder.path().display()),
        source,
    })?;
    Ok(process)
}

/// A process that another service has already.
struct Claim {
    process: ProcessFact,
    /// `api` of project studio.
    whose: String,
}

impl Claim {
    /// An error where one of the two is the other or comes from it.
    fn refuse(&self, census: &Census, wanted: &ProcessFact) -> Result<(), String> {
        let Self { process: ProcessFact { pid, program, .. }, whose } = self;
        if process_is(wanted, &self.process) {
            return Err(format!("it is {whose} already"));
        }
        if census.comes_from(wanted.pid, &self.process) {
            return Err(format!("it comes from process {pid} ({program}), which is {whose}"));
        }
        if census.comes_from(*pid, wanted) {
            return Err(format!("process {pid} ({program}) comes from it, and is {whose}"));
        }
        Ok(())
    }
}

fn process_is(one: &ProcessFact, other: &ProcessFact) -> bool {
    (one.pid, one.start_ticks) == (other.pid, other.start_ticks)
}

/// What other services have: by their marks, by an operator's word in any project, or by a pid file of this manifest.
fn claims(processes: &Processes, desired: &Desired, service: &ServiceName, census: &Census) -> Vec<Claim> {
    let own = (desired.project.to_string(), service.to_string());
    let whose = |project: &str, service: &str| format!("part of `{service}` of project {project}");
    let mut claims = Vec::new();
    for ((project, name), tree) in census.trees().into_iter().filter(|(key, _)| *key != own) {
        let all = tree.shim.into_iter().chain(tree.members);
        claims.extend(all.map(|process| Claim { process, whose: whose(&project, &name) }));
    }
    let own_folder = processes.folder(&own.0, &own.1);
    for (project, name, folder) in Folder::all(&processes.state_dir) {
        let note = folder.adopted().filter(|_| folder.path() != own_folder.path());
        let process = note.and_then(|note| living(note.pid, note.start_ticks));
        claims.extend(process.map(|process| Claim { process, whose: whose(&project, &name) }));
    }
    for other in desired.services.values().filter(|other| other.name != *service) {
        let Runtime::Process(process) = &other.runtime else { continue };
        let Some(pid_file) = &process.pid_file else { continue };
        let whose = || format!("{}, by {}", whose(&own.0, other.name.as_str()), pid_file.path.display());
        claims.extend(by_pid_file(pid_file).ok().map(|process| Claim { process, whose: whose() }));
    }
    claims
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
