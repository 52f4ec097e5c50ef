//! Processes that somebody else started and the manifest or an operator calls a service: known by a pid that can't have
//! been given to another process since.

use crate::host::proc;
use crate::model::desired::Desired;
use crate::model::facts::{Marks, ProcessFact};
use crate::model::names::ServiceName;
use crate::runtime::DriverError;
use crate::runtime::process::drive::adopted::{by_pid_file, noted, of_this_user};
use crate::runtime::process::drive::folder::{AdoptNote, Folder};
use crate::runtime::process::drive::processes::Processes;
use crate::runtime::process::drive::survey;
use crate::runtime::process::drive::trees::Census;
use crate::runtime::process::intent::ProcessSpec;

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
struct ClaimedProcess {
    process: ProcessFact,
    /// `api` of project studio.
    whose: String,
}

impl ClaimedProcess {
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
fn claims(processes: &Processes, desired: &Desired, service: &ServiceName, census: &Census) -> Vec<ClaimedProcess> {
    let own = (desired.project.to_string(), service.to_string());
    let whose = |project: &str, service: &str| format!("part of `{service}` of project {project}");
    let mut claims = Vec::new();
    for ((project, name), tree) in census.trees().into_iter().filter(|(key, _)| *key != own) {
        let all = tree.shims.into_iter().chain(tree.members);
        claims.extend(all.map(|process| ClaimedProcess { process, whose: whose(&project, &name) }));
    }
    let own_folder = processes.folder(&own.0, &own.1);
    for (project, name, folder) in Folder::all(&processes.state_dir) {
        let process = noted(&folder).filter(|_| folder.path() != own_folder.path());
        claims.extend(process.map(|process| ClaimedProcess { process, whose: whose(&project, &name) }));
    }
    for other in desired.services.values().filter(|other| other.name != *service) {
        let Some(process) = other.workload.spec::<ProcessSpec>() else { continue };
        let Some(pid_file) = &process.pid_file else { continue };
        let whose = || format!("{}, by {}", whose(&own.0, other.name.as_str()), pid_file.path.display());
        claims.extend(by_pid_file(pid_file).ok().map(|process| ClaimedProcess { process, whose: whose() }));
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
