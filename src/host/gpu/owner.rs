//! Attribution of the processes on a GPU: by their control group, and by the process trees of the same reading. A
//! process that neither claims is foreign, known by its program's name alone.
//!
//! In a container with its own pid namespace nothing is attributed: drivers list the host's pids there, which belong to
//! other processes inside, or leave out processes without a pid in the container. Nor where `/proc` hides other users'
//! processes (`hidepid`): a hidden process looks like one that has ended.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::files::kernel;
use crate::host::proc;
use crate::model::facts::{Attribution, GpuFact, GpuHolder, ProcessOwner};
use crate::model::size::Mebibytes;

/// Name of a process that has ended: the driver lists it until its memory is free.
const ENDED: &str = "a process that has ended";
const UNNAMED: &str = "processes that the driver does not name";

/// Returns a holder for memory in use whose processes the driver does not list.
pub(super) fn unnamed() -> GpuHolder {
    GpuHolder { pid: 0, program: UNNAMED.to_owned(), memory: None, owner: ProcessOwner::Foreign }
}

/// The host's pid namespace, by the kernel's `PROC_PID_INIT_INO`: the same on every machine.
const HOST_PIDS: &str = "pid:[4026531836]";

/// Returns true if all pids that a driver lists can be looked up. A kernel without namespace links has one namespace;
/// and every user may read the state of process 1, unless it is hidden.
fn can_be_looked_up(processes: &Path) -> bool {
    let are_the_hosts = fs::read_link(processes.join("self/ns/pid")).map_or(true, |pids| pids == Path::new(HOST_PIDS));
    are_the_hosts && kernel::table(processes.join("1/stat")).is_ok()
}

/// Adds program and container of each process, read from `/proc`.
pub(super) fn name(mut gpus: Vec<GpuFact>, processes: &Path) -> Vec<GpuFact> {
    if !can_be_looked_up(processes) {
        for gpu in &mut gpus {
            let in_use = gpu.used.is_some_and(|used| used > Mebibytes::ZERO);
            gpu.holders = in_use.then(unnamed).into_iter().collect();
        }
        return gpus;
    }
    for holder in gpus.iter_mut().flat_map(|gpu| &mut gpu.holders).filter(|holder| holder.pid > 0) {
        match proc::stat(holder.pid).filter(proc::Stat::is_alive) {
            Some(stat) => (holder.program, holder.owner) = (stat.program, by_control_group(holder.pid)),
            // Its program can't be read any more; its pid may still belong to a tree.
            None => ENDED.clone_into(&mut holder.program),
        }
    }
    gpus
}

/// Returns the owner by control group. The process's environment may name any service, and proves none.
fn by_control_group(pid: i32) -> ProcessOwner {
    proc::container(pid).map_or(ProcessOwner::Foreign, ProcessOwner::Container)
}

/// Attributes members of process trees to their services, regardless of their control group: membership is proven.
pub(crate) fn attribute(gpus: &mut [GpuFact], owned: &[Attribution]) {
    let owners: BTreeMap<i32, &ProcessOwner> =
        owned.iter().flat_map(|one| one.pids.iter().map(|pid| (*pid, &one.owner))).collect();
    for holder in gpus.iter_mut().flat_map(|gpu| &mut gpu.holders) {
        if let Some(owner) = owners.get(&holder.pid) {
            holder.owner = (*owner).clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ENDED, HOST_PIDS, attribute, name, unnamed};
    use crate::model::facts::{Attribution, GpuFact, GpuHolder, ProcessOwner};
    use crate::model::names::GpuId;
    use crate::model::size::Mebibytes;

    fn gpu(pids: &[i32]) -> GpuFact {
        let holder = |pid: &i32| GpuHolder {
            pid: *pid,
            program: String::new(),
            memory: Some(Mebibytes(1)),
            owner: ProcessOwner::Container("c".to_owned()),
        };
        GpuFact {
            id: GpuId::new("GPU-1"),
            index: 0,
            name: String::new(),
            capacity: Mebibytes(10),
            used: None,
            reserved: Mebibytes::ZERO,
            lost: None,
            unreadable: None,
            holders: pids.iter().map(holder).collect(),
        }
    }

    #[test]
    fn tree_members_get_their_services_and_other_owners_stay() {
        let mut gpus = [gpu(&[6, 8, 9])];
        let owned = Attribution::of_service("p", "s", vec![6, 7, 8]);
        attribute(&mut gpus, std::slice::from_ref(&owned));
        let owners: Vec<&ProcessOwner> = gpus[0].holders.iter().map(|holder| &holder.owner).collect();
        assert_eq!(owners, [&owned.owner, &owned.owner, &ProcessOwner::Container("c".to_owned())]);
    }

    #[test]
    fn ended_processes_are_named_as_ended_and_unnamed_ones_stay_unnamed() {
        // No process has this pid: the kernel's largest is 2^22.
        let mut ended = gpu(&[i32::MAX, i32::try_from(std::process::id()).expect("a pid")]);
        ended.holders.push(unnamed());
        let named = name(vec![ended], proc(HOST_PIDS, true).path());
        let programs: Vec<&str> = named[0].holders.iter().map(|holder| holder.program.as_str()).collect();
        assert_eq!((programs[0], programs[2]), (ENDED, unnamed().program.as_str()));
        assert!(!programs[1].is_empty() && programs[1] != ENDED, "{programs:?}");
    }

    fn proc(pids: &str, shows_all: bool) -> tempfile::TempDir {
        let proc = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(proc.path().join("self/ns")).expect("made");
        std::os::unix::fs::symlink(pids, proc.path().join("self/ns/pid")).expect("made");
        if shows_all {
            std::fs::create_dir(proc.path().join("1")).expect("made");
            std::fs::write(proc.path().join("1/stat"), "1 (init) S").expect("written");
        }
        proc
    }

    #[test]
    fn pids_that_can_not_be_looked_up_are_unnamed() {
        let own = i32::try_from(std::process::id()).expect("a pid");
        let used = |mib| GpuFact { used: Some(Mebibytes(mib)), ..gpu(&[own]) };
        // A driver may leave out the processes that have no pid in this namespace.
        let read = vec![used(9), used(0), GpuFact { holders: Vec::new(), ..used(9) }];
        let named = name(read.clone(), proc(HOST_PIDS, true).path());
        assert_eq!((named[0].holders[0].pid, named[2].holders.len()), (own, 0));
        for proc in [proc("pid:[4026532201]", true), proc(HOST_PIDS, false)] {
            let named = name(read.clone(), proc.path());
            let holders: Vec<_> = named.iter().map(|gpu| gpu.holders.clone()).collect();
            assert_eq!(holders, [vec![unnamed()], Vec::new(), vec![unnamed()]]);
        }
    }
}
