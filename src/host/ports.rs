//! Listeners on TCP ports of this host. Only requested ports are looked up; UDP is not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::{fs, io};

use tokio::task::spawn_blocking;

use crate::files::kernel;
use crate::host::{listening, proc};
use crate::model::endpoint::Endpoint;
use crate::model::facts::{ListenerFact, ProcessOwner, Reading};
use crate::model::names::{ProjectName, ServiceName};

/// Snapshot of the live processes of services.
pub trait ServiceProcesses {
    /// Returns the project and the service that a process belongs to; `None`: none.
    fn service_of(&self, pid: i32) -> Option<(ProjectName, ServiceName)>;
}

/// Processes of several runtimes.
impl ServiceProcesses for Vec<Box<dyn ServiceProcesses>> {
    fn service_of(&self, pid: i32) -> Option<(ProjectName, ServiceName)> {
        self.iter().find_map(|processes| processes.service_of(pid))
    }
}

/// Reads the listeners on these ports, by port and pid. `processes` is called after the sockets are read, and only if
/// there are any.
pub(crate) async fn listeners<P: ServiceProcesses>(
    ports: BTreeSet<u16>,
    processes: impl FnOnce() -> io::Result<P> + Send + 'static,
) -> Reading<Vec<ListenerFact>> {
    if ports.is_empty() {
        return Reading::NotAsked;
    }
    match spawn_blocking(move || read(&ports, processes)).await.map_err(io::Error::other).and_then(|read| read) {
        Ok(listeners) => Reading::Known(listeners),
        Err(error) => Reading::Unknown(format!("can't read the listening sockets: {error}")),
    }
}

/// Describes a listener for messages: `python3 (pid 4711)`.
pub(crate) fn describe(listener: &ListenerFact) -> String {
    let process = match (&listener.program, listener.pid) {
        (Some(program), Some(pid)) => format!("{program} (pid {pid})"),
        (None, Some(pid)) => format!("pid {pid}"),
        (_, None) => "a process that this user can't inspect".to_owned(),
    };
    match &listener.owner {
        ProcessOwner::Service { project, service } => format!("`{service}` of project {project}, {process}"),
        ProcessOwner::Container(id) => format!("container {}", id.get(..12).unwrap_or(id)),
        ProcessOwner::Foreign => process,
    }
}

fn read<P: ServiceProcesses>(
    ports: &BTreeSet<u16>,
    processes: impl FnOnce() -> io::Result<P>,
) -> io::Result<Vec<ListenerFact>> {
    let requested = || -> io::Result<BTreeMap<u64, Endpoint>> {
        Ok(listening::sockets()?.into_iter().filter(|(_, endpoint)| ports.contains(&endpoint.port)).collect())
    };
    let mut sockets = requested()?;
    if sockets.is_empty() {
        return Ok(Vec::new());
    }
    let processes = processes()?;
    let holders = holders(&processes, sockets.keys().copied().collect())?;
    if sockets.keys().any(|inode| !holders.contains_key(inode)) {
        // A process that just ended: its sockets were listed before its pid was looked up.
        let still = requested()?;
        sockets.retain(|inode, _| holders.contains_key(inode) || still.contains_key(inode));
    }
    // A process may share a socket with others, or have several on one address.
    let found: BTreeSet<(Endpoint, Option<i32>)> =
        sockets.iter().map(|(inode, endpoint)| (*endpoint, holders.get(inode).copied())).collect();
    Ok(found.into_iter().map(|(endpoint, pid)| fact(&processes, endpoint, pid)).collect())
}

/// Returns the ports that these processes listen on.
pub(crate) fn of(pids: &BTreeSet<i32>) -> BTreeSet<u16> {
    let ports: BTreeMap<u64, Endpoint> = listening::known_sockets().into_iter().collect();
    let sockets = pids.iter().flat_map(|pid| sockets_of(*pid));
    sockets.filter_map(|inode| Some(ports.get(&inode)?.port)).collect()
}

/// Returns a process for each socket, preferring a service's process over another that shares the socket. Only root
/// can read the sockets of other users' processes.
fn holders(processes: &impl ServiceProcesses, mut wanted: BTreeSet<u64>) -> io::Result<BTreeMap<u64, i32>> {
    let mut pids: Vec<i32> = proc::pids()?.collect();
    pids.sort_by_key(|pid| (processes.service_of(*pid).is_none(), *pid));
    let mut holders = BTreeMap::new();
    for pid in pids {
        if wanted.is_empty() {
            break;
        }
        for inode in sockets_of(pid).filter(|inode| wanted.remove(inode)) {
            holders.insert(inode, pid);
        }
    }
    Ok(holders)
}

/// Returns the inodes of a process's sockets; none if it may not be inspected.
fn sockets_of(pid: i32) -> impl Iterator<Item = u64> {
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let names = kernel::names(&folder).into_iter().flatten();
    names.filter_map(move |name| socket_of(fs::read_link(folder.join(name)).ok()?.to_str()?))
}

/// Parses the inode in `socket:[12345]`.
fn socket_of(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn fact(processes: &impl ServiceProcesses, endpoint: Endpoint, pid: Option<i32>) -> ListenerFact {
    let program = pid.and_then(proc::stat).map(|stat| stat.program);
    let service = pid.and_then(|pid| processes.service_of(pid));
    let owner = match (service, pid.and_then(proc::container)) {
        (Some((project, service)), _) => ProcessOwner::Service { project, service },
        (None, Some(id)) => ProcessOwner::Container(id),
        (None, None) => ProcessOwner::Foreign,
    };
    ListenerFact { port: endpoint.port, address: endpoint.address, pid, program, owner }
}

#[cfg(test)]
mod tests {
    use super::socket_of;

    #[test]
    fn sockets_are_known_by_their_inode() {
        assert_eq!(socket_of("socket:[123]"), Some(123));
        assert_eq!(socket_of("pipe:[123]"), None);
    }
}
