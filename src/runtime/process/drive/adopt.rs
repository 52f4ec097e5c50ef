//! Processes that somebody else started and the manifest or an operator calls a service: known by a pid that can't have
//! been given to another process since.

use std::io;

use jiff::{SignedDuration, Timestamp};
use rustix::process::geteuid;

use crate::files::{Refused, named};
use crate::host::proc;
use crate::model::desired::{Desired, PidFile, Runtime};
use crate::model::facts::{Marks, ProcessFact};
use crate::model::names::ServiceName;
use crate::runtime::DriverError;
use crate::runtime::process::drive::folder::{AdoptNote, Folder};
use crate::runtime::process::drive::trees::Census;
use crate::runtime::process::drive::{Processes, survey};

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
fn noted(folder: &Folder) -> Option<ProcessFact> {
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

/// Takes a running process for this service from now on. What another service has, in part or whole, is not given to a
/// second one: stopping that would end both.
pub(crate) fn adopt(
    processes: &Processes,
    desired: &Desired,
    service: &ServiceName,
    pid: i32,
) -> Result<ProcessFact, DriverError> {
    let process = adoptable(processes, desired, service, pid)?;
    let folder = processes.folder(desired.project.as_str(), service.as_str());
    folder.ensure()?;
    let note = AdoptNote { pid, start_ticks: process.start_ticks, boot: proc::boot_id() };
    folder.write_adopted(&note).map_err(|source| DriverError::Io {
        what: format!("can't note the adoption in {}", folder.path().display()),
        source,
    })?;
    Ok(process)
}

/// The process, where it can be adopted as this service.
pub(crate) fn adoptable(
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
    let process = of_this_user(pid).map_err(refused)?;
    let census = Census::take_whole(&processes.trust()).map_err(unreadable)?;
    if let Some(reason) = unfit(&process, &census) {
        return Err(refused(reason));
    }
    if let Some(begun) = census.start_of(pid) {
        let Marks { project, service, .. } = &begun.marks;
        return Err(refused(format!("it is part of `{service}` of project {project} already")));
    }
    for claim in claims(processes, desired, service, &census) {
        claim.refuse(&census, &process).map_err(refused)?;
    }
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
        let all = tree.shims.into_iter().chain(tree.members);
        claims.extend(all.map(|process| Claim { process, whose: whose(&project, &name) }));
    }
    let own_folder = processes.folder(&own.0, &own.1);
    for (project, name, folder) in Folder::all(&processes.state_dir) {
        let process = noted(&folder).filter(|_| folder.path() != own_folder.path());
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

/// Why a process can never be a service.
fn unfit(process: &ProcessFact, census: &Census) -> Option<String> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    if proc::words(process.pid).is_empty() {
        return Some("it is the kernel's, or has ended".to_owned());
    }
    if census.comes_from(own, process) {
        return Some("lcm itself was started from it, and would end with it".to_owned());
    }
    let container = proc::container(process.pid).filter(|container| proc::own_container().as_ref() != Some(container));
    container.map(|id| {
        let id = id.get(..12).unwrap_or(&id).to_owned();
        format!(
            "it runs in container {id}, whose engine starts and stops it; name that as `docker: {{ container: … }}`"
        )
    })
}

/// A living process all of whose user ids are this user's.
fn of_this_user(pid: i32) -> Result<ProcessFact, String> {
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
