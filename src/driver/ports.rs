//! Who listens on a TCP port of this host. Only ports that somebody asks about are looked up; UDP is not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::{fs, io};

use tokio::task::spawn_blocking;

use crate::driver::listening;
use crate::driver::process::proc;
use crate::driver::process::trees::Census;
use crate::driver::process::verified::Trust;
use crate::files::kernel;
use crate::model::endpoint::Endpoint;
use crate::model::facts::{ListenerFact, Owner, ProcessFact, Reading, TreeFact};
use crate::model::names::{ProjectName, ServiceName};

/// The listeners on these ports, by port and pid.
pub(crate) async fn listeners(ports: BTreeSet<u16>, trust: Trust) -> Reading<Vec<ListenerFact>> {
    if ports.is_empty() {
        return Reading::NotAsked;
    }
    match spawn_blocking(move || read(&ports, &trust)).await.map_err(io::Error::other).and_then(|read| read) {
        Ok(listeners) => Reading::Known(listeners),
        Err(error) => Reading::Unknown(format!("can't read who listens on which port: {error}")),
    }
}

/// Tells apart what descent and control groups alone can't: adopted trees, and ports that an engine forwards.
pub(crate) fn attribute(listeners: &mut [ListenerFact], trees: &[TreeFact], published: &[(Endpoint, String)]) {
    for listener in listeners.iter_mut().filter(|listener| listener.owner == Owner::Stranger) {
        let holds = |members: &[ProcessFact]| members.iter().any(|member| Some(member.pid) == listener.pid);
        if let Some(tree) = trees.iter().find(|tree| holds(&tree.members)) {
            listener.owner = service(&tree.marks.project, &tree.marks.service);
        } else if let Some((_, id)) = published.iter().find(|(port, _)| port.clashes(&listener.endpoint())) {
            listener.owner = Owner::Container(id.clone());
        }
    }
}

/// `python3 (pid 4711)`, for messages.
pub(crate) fn describe(listener: &ListenerFact) -> String {
    let process = match (&listener.program, listener.pid) {
        (Some(program), Some(pid)) => format!("{program} (pid {pid})"),
        (None, Some(pid)) => format!("pid {pid}"),
        (_, None) => "a process that this user may not look at".to_owned(),
    };
    match &listener.owner {
        Owner::Service { project, service } => format!("`{service}` of project {project}, {process}"),
        Owner::Container(id) => format!("container {}", id.get(..12).unwrap_or(id)),
        Owner::Stranger => process,
    }
}

fn read(ports: &BTreeSet<u16>, trust: &Trust) -> io::Result<Vec<ListenerFact>> {
    let asked = || -> io::Result<BTreeMap<u64, Endpoint>> {
        Ok(listening::sockets()?.into_iter().filter(|(_, endpoint)| ports.contains(&endpoint.port)).collect())
    };
    let mut sockets = asked()?;
    if sockets.is_empty() {
        return Ok(Vec::new());
    }
    let census = Census::take(trust)?;
    let holders = holders(&census, sockets.keys().copied().collect())?;
    if sockets.keys().any(|inode| !holders.contains_key(inode)) {
        // Of a process that is just ending: its sockets were there before it was looked for.
        let still = asked()?;
        sockets.retain(|inode, _| holders.contains_key(inode) || still.contains_key(inode));
    }
    // A process may share its socket with others, or have several on one address.
    let found: BTreeSet<(Endpoint, Option<i32>)> =
        sockets.iter().map(|(inode, endpoint)| (*endpoint, holders.get(inode).copied())).collect();
    Ok(found.into_iter().map(|(endpoint, pid)| fact(&census, endpoint, pid)).collect())
}

/// The ports that these processes listen on.
pub(crate) fn of(pids: &BTreeSet<i32>) -> BTreeSet<u16> {
    let ports: BTreeMap<u64, Endpoint> = listening::known_sockets().into_iter().collect();
    let sockets = pids.iter().flat_map(|pid| sockets_of(*pid));
    sockets.filter_map(|inode| Some(ports.get(&inode)?.port)).collect()
}

/// A process for each socket: one of ours rather than another that shares it. Those of other users stay unknown to all
/// but root.
fn holders(census: &Census, mut wanted: BTreeSet<u64>) -> io::Result<BTreeMap<u64, i32>> {
    let mut pids: Vec<i32> = proc::pids()?.collect();
    pids.sort_by_key(|pid| (census.start_of(*pid).is_none(), *pid));
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

/// The sockets that a process has open; none where it may not be looked into.
fn sockets_of(pid: i32) -> impl Iterator<Item = u64> {
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let names = kernel::names(&folder).into_iter().flatten();
    names.filter_map(move |name| socket_of(fs::read_link(folder.join(name)).ok()?.to_str()?))
}

/// `socket:[12345]`.
fn socket_of(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn fact(census: &Census, endpoint: Endpoint, pid: Option<i32>) -> ListenerFact {
    let program = pid.and_then(proc::stat).map(|stat| stat.program);
    let begun = pid.and_then(|pid| census.start_of(pid));
    let owner = match (begun, pid.and_then(proc::container)) {
        (Some(begun), _) => service(&begun.marks.project, &begun.marks.service),
        (None, Some(id)) => Owner::Container(id),
        (None, None) => Owner::Stranger,
    };
    ListenerFact { port: endpoint.port, address: endpoint.address, pid, program, owner }
}

fn service(project: &str, service: &str) -> Owner {
    Owner::Service { project: ProjectName::new(project), service: ServiceName::new(service) }
}

#[cfg(test)]
mod tests {
    use super::{attribute, describe, socket_of};
    use crate::model::facts::{ListenerFact, Marks, Owner, ProcessFact, TreeFact};

    fn stranger(port: u16, pid: i32) -> ListenerFact {
        ListenerFact { port, address: None, pid: Some(pid), program: Some("python3".into()), owner: Owner::Stranger }
    }

    #[test]
    fn adopted_trees_and_forwarded_ports_are_no_strangers() {
        let tree = TreeFact {
            marks: Marks { project: "p".into(), service: "s".into(), salt: "7:9".into(), ..Marks::default() },
            adopted: true,
            shim: None,
            members: vec![ProcessFact { pid: 7, start_ticks: 9, program: "python3".into() }],
            started_at: None,
            exit: None,
            suspended: false,
            uid: None,
            lost_shim: None,
            held: None,
            former_project: None,
        };
        let mut listeners = [stranger(1, 7), stranger(2, 8), stranger(3, 9)];
        attribute(&mut listeners, &[tree], &[(2.into(), "0123456789abcdef".to_owned())]);
        let described: Vec<String> = listeners.iter().map(describe).collect();
        assert_eq!(described, ["`s` of project p, python3 (pid 7)", "container 0123456789ab", "python3 (pid 9)"]);
    }

    #[test]
    fn sockets_are_known_by_their_inode() {
        assert_eq!(socket_of("socket:[123]"), Some(123));
        assert_eq!(socket_of("pipe:[123]"), None);
    }
}
