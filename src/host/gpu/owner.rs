//! Whose the processes on a GPU are: by their control group, and by the process trees of the same reading. What nobody claims is a stranger, known by its program's name alone.
//!
//! In a container with pids of its own nothing is attributed: drivers list the host's pids there, or leave out those
//! that have none in it, and what is called so in here is another process. Nor where `/proc` hides other users'
//! processes (`hidepid`): one that is hidden looks like one that has ended.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::files::kernel;
use crate::host::proc;
use crate::model::facts::{Attribution, GpuFact, GpuHolder, ProcessOwner};
use crate::model::size::Mebibytes;

/// The driver goes on listing what has ended until its memory is back.
const ENDED: &str = "a process that has ended";
const UNNAMED: &str = "processes that the driver does not name";

/// Somebody holds what is used, and the driver gives no list of them.
pub(super) fn unnamed() -> GpuHolder {
    GpuHolder { pid: 0, program: UNNAMED.to_owned(), memory: None, owner: ProcessOwner::Foreign }
}

/// The host's own pids, by the kernel's `PROC_PID_INIT_INO`: the same on every machine.
const HOST_PIDS: &str = "pid:[4026531836]";

/// Whether the pids that a driver lists can all be looked up. A kernel that tells of no namespaces has one alone; and
/// of process 1 everybody may read this much, unless it is hidden.
fn can_be_looked_up(processes: &Path) -> bool {
    let are_the_hosts = fs::read_link(processes.join("self/ns/pid")).map_or(true, |pids| pids == Path::new(HOST_PIDS));
    are_the_hosts && kernel::table(processes.join("1/stat")).is_ok()
}

/// What each process shows: its program and its container. Reads `/proc`.
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
            // What it was can't be read any more; its pid may still be one of a tree.
            None => ENDED.clone_into(&mut holder.program),
        }
    }
    gpus
}

/// Its own environment may name any service, and proves none.
fn by_control_group(pid: i32) -> ProcessOwner {
    proc::container(pid).map_or(ProcessOwner::Foreign, ProcessOwner::Container)
}

/// Members of trees are their services', whatever their control group: that is proven.
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
    fn attributed_processes_are_their_services_and_others_stay() {
        let mut gpus = [gpu(&[6, 8, 9])];
        let owned = Attribution::of_service("p", "s", vec![6, 7, 8]);
        attribute(&mut gpus, std::slice::from_ref(&owned));
        let owners: Vec<&ProcessOwner> = gpus[0].holders.iter().map(|holder| &holder.owner).collect();
        assert_eq!(owners, [&owned.owner, &owned.owner, &ProcessOwner::Container("c".to_owned())]);
    }

    #[test]
    fn the_ended_are_named_as_such_and_the_unnamed_stay_so() {
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
    fn pids_that_can_not_be_looked_up_say_nothing() {
        let own = i32::try_from(std::process::id()).expect("a pid");
        let used = |mib| GpuFact { used: Some(Mebibytes(mib)), ..gpu(&[own]) };
        // A driver that leaves out whoever has no pid here, tells as little.
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
