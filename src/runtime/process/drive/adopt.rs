//! Adoption of processes that lcm did not start: an operator or the manifest names one as a service, by a pid that
//! can't have been reused since.

use crate::host::proc;
use crate::model::desired::{Desired, Service};
use crate::model::facts::{Marks, ProcessFact};
use crate::model::names::ServiceName;
use crate::runtime::DriverError;
use crate::runtime::contract::Adoption;
use crate::runtime::process::drive::adopted::{by_pid_file, noted, of_this_user};
use crate::runtime::process::drive::folder::{AdoptNote, Folder};
use crate::runtime::process::drive::processes::Processes;
use crate::runtime::process::drive::trees::Census;
use crate::runtime::process::drive::{fit, survey};
use crate::runtime::process::intent::ProcessSpec;

/// Adopts a running process as this service. A process that is part of another service is refused: a stop of one
/// service would end both.
pub(crate) fn adopt(processes: &Processes, adoption: &Adoption<'_>) -> Result<ProcessFact, DriverError> {
    let process = adoptable(processes, adoption)?;
    let Adoption { desired, service, pid, .. } = *adoption;
    let folder = processes.folder(desired.project.as_str(), service.as_str());
    folder.ensure()?;
    let note = AdoptNote { pid, start_ticks: process.start_ticks, boot: proc::boot_id(), given_back: false };
    folder.write_adopted(&note).map_err(|source| DriverError::Io {
        what: format!("can't record the adoption in {}", folder.path().display()),
        source,
    })?;
    Ok(process)
}

/// Returns the process if it can be adopted as this service; else an error with the reason.
pub(crate) fn adoptable(processes: &Processes, adoption: &Adoption<'_>) -> Result<ProcessFact, DriverError> {
    let Adoption { desired, service, pid, is_forced } = *adoption;
    let refused = |reason: String| DriverError::Refused(format!("can't adopt process {pid} as `{service}`: {reason}"));
    let unreadable = |source| DriverError::Io { what: "can't read the processes of this host".to_owned(), source };
    if pid <= 1 || u32::try_from(pid) == Ok(std::process::id()) {
        return Err(refused("it can't be a service".to_owned()));
    }
    let wanted = desired.services.get(service).ok_or_else(|| refused("the manifest has no such service".to_owned()))?;
    let now = survey::one(processes, &desired.project, wanted).map_err(unreadable)?;
    if let Some(running) = now.as_ref().and_then(|tree| tree.members.first())
        && running.pid != pid
    {
        let program = &running.program;
        return Err(refused(format!("`{service}` already runs as pid {} ({program}); stop it first", running.pid)));
    }
    let process = of_this_user(pid).map_err(refused)?;
    let census = Census::take_whole(&processes.trust()).map_err(unreadable)?;
    if let Some(reason) = unfit_reason(&process, &census) {
        return Err(refused(reason));
    }
    if let Some(start) = census.start_of(pid) {
        let Marks { project, service, .. } = &start.marks;
        return Err(refused(format!("it is already part of `{service}` of project {project}")));
    }
    for claim in claims(processes, desired, service, &census) {
        claim.refuse(&census, &process).map_err(refused)?;
    }
    if let Some(reason) = misfit_reason(&census, wanted, &process).filter(|_| !is_forced) {
        return Err(refused(format!("{reason}; check the pid, or adopt it all the same with `--force`")));
    }
    Ok(process)
}

/// Returns the reason why a process and those below it don't look like the service.
fn misfit_reason(census: &Census, wanted: &Service, process: &ProcessFact) -> Option<String> {
    let spec = wanted.workload.spec::<ProcessSpec>()?;
    let members: Vec<i32> = census.below(process).iter().map(|member| member.pid).collect();
    fit::misfit(&members, wanted, spec)
}

/// Process that already belongs to another service.
struct ClaimedProcess {
    process: ProcessFact,
    /// Service that owns the process, as in: part of `api` of project studio.
    owner: String,
}

impl ClaimedProcess {
    /// Returns an error if the two processes are the same, or one descends from the other.
    fn refuse(&self, census: &Census, wanted: &ProcessFact) -> Result<(), String> {
        let Self { process: ProcessFact { pid, program, .. }, owner } = self;
        if process_is(wanted, &self.process) {
            return Err(format!("it is already {owner}"));
        }
        if census.descends_from(wanted.pid, &self.process) {
            return Err(format!("it descends from process {pid} ({program}), which is {owner}"));
        }
        if census.descends_from(*pid, wanted) {
            return Err(format!("process {pid} ({program}) descends from it, and is {owner}"));
        }
        Ok(())
    }
}

fn process_is(one: &ProcessFact, other: &ProcessFact) -> bool {
    (one.pid, one.start_ticks) == (other.pid, other.start_ticks)
}

/// Lists the processes of other services: by their marks, by adoption in any project, or by a pid file of this
/// manifest.
fn claims(processes: &Processes, desired: &Desired, service: &ServiceName, census: &Census) -> Vec<ClaimedProcess> {
    let own = (desired.project.to_string(), service.to_string());
    let owner = |project: &str, service: &str| format!("part of `{service}` of project {project}");
    let mut claims = Vec::new();
    for ((project, name), tree) in census.trees().into_iter().filter(|(key, _)| *key != own) {
        let all = tree.shims.into_iter().chain(tree.members);
        claims.extend(all.map(|process| ClaimedProcess { process, owner: owner(&project, &name) }));
    }
    let own_folder = processes.folder(&own.0, &own.1);
    for (project, name, folder) in Folder::all(&processes.state_dir) {
        let process = noted(&folder).filter(|_| folder.path() != own_folder.path());
        claims.extend(process.map(|process| ClaimedProcess { process, owner: owner(&project, &name) }));
    }
    for other in desired.services.values().filter(|other| other.name != *service) {
        let Some(process) = other.workload.spec::<ProcessSpec>() else { continue };
        let Some(pid_file) = &process.pid_file else { continue };
        let owner = || format!("{}, by {}", owner(&own.0, other.name.as_str()), pid_file.path.display());
        claims.extend(by_pid_file(pid_file).ok().map(|process| ClaimedProcess { process, owner: owner() }));
    }
    claims
}

/// Returns the reason why a process can never be a service.
fn unfit_reason(process: &ProcessFact, census: &Census) -> Option<String> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    if proc::words(process.pid).is_empty() {
        return Some("it is a kernel thread, or has ended".to_owned());
    }
    if census.descends_from(own, process) {
        return Some("lcm itself descends from it, and would end with it".to_owned());
    }
    let container = proc::container(process.pid).filter(|container| proc::own_container().as_ref() != Some(container));
    container.map(|id| {
        let id = id.get(..12).unwrap_or(&id).to_owned();
        format!("it runs in container {id}, which its engine manages; declare it as `docker: {{ container: … }}`")
    })
}
