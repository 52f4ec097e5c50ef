//! End of an adoption: the process keeps running, and is foreign from then on.
//!
//! Only what `lcm adopt` adopted is given back. A service that lcm started has a shim above it and marks in its
//! environment, which nothing can take away while it runs; a pid file adopts for as long as the manifest names it.

use crate::host::proc;
use crate::model::desired::Desired;
use crate::model::facts::ProcessFact;
use crate::model::names::ServiceName;
use crate::runtime::DriverError;
use crate::runtime::process::drive::adopted::{by_pid_file, noted};
use crate::runtime::process::drive::folder::AdoptNote;
use crate::runtime::process::drive::processes::Processes;
use crate::runtime::process::drive::survey;
use crate::runtime::process::facts::TreeFact;
use crate::runtime::process::intent::ProcessSpec;

/// Ends the adoption of a service's process, and returns the process.
pub(crate) fn disown(
    processes: &Processes,
    desired: &Desired,
    service: &ServiceName,
) -> Result<ProcessFact, DriverError> {
    let process = disownable(processes, desired, service)?;
    let folder = processes.folder(desired.project.as_str(), service.as_str());
    // The note stays: the service has run, and its process did not end.
    let note =
        AdoptNote { pid: process.pid, start_ticks: process.start_ticks, boot: proc::boot_id(), given_back: true };
    folder.write_adopted(&note).map_err(|source| DriverError::Io {
        what: format!("can't record the end of the adoption in {}", folder.path().display()),
        source,
    })?;
    Ok(process)
}

/// Returns the process if it can be given back; else an error with the reason.
pub(crate) fn disownable(
    processes: &Processes,
    desired: &Desired,
    service: &ServiceName,
) -> Result<ProcessFact, DriverError> {
    let refused = |reason: String| DriverError::Refused(format!("can't give back `{service}`: {reason}"));
    let unreadable = |source| DriverError::Io { what: "can't read the processes of this host".to_owned(), source };
    let wanted = desired.services.get(service).ok_or_else(|| refused("the manifest has no such service".to_owned()))?;
    let tree = survey::one(processes, &desired.project, wanted).map_err(unreadable)?;
    let Some((tree, first)) = tree.as_ref().and_then(|tree| Some((tree, tree.members.first()?))) else {
        return Err(refused("it does not run, so nothing is adopted".to_owned()));
    };
    if !tree.adopted {
        return Err(refused(started_by_lcm(service, tree, first)));
    }
    let pid_file = wanted.workload.spec::<ProcessSpec>().and_then(|process| process.pid_file.as_ref());
    let named = pid_file.filter(|file| by_pid_file(file).is_ok_and(|process| process.pid == first.pid));
    if let Some(pid_file) = named {
        let path = pid_file.path.display();
        return Err(refused(format!("its `pid_file` {path} adopts it; remove `pid_file` from the manifest")));
    }
    let folder = processes.folder(desired.project.as_str(), service.as_str());
    noted(&folder).ok_or_else(|| refused("its adoption is not on record".to_owned()))
}

fn started_by_lcm(service: &ServiceName, tree: &TreeFact, first: &ProcessFact) -> String {
    let shim = tree.shim.as_ref().map(|shim| format!(" under its helper process {}", shim.pid)).unwrap_or_default();
    format!(
        "lcm started it, as process {} ({}){shim}, and it carries lcm's marks until it ends; stop it with `lcm stop \
         {service}`, or leave it alone with `lcm maintain {service}`",
        first.pid, first.program
    )
}
