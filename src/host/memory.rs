//! Host memory: what the machine has and what is available, and the memory that process trees and containers hold.
//!
//! Counted is anonymous and shared memory: pages of files can be dropped, and are part of what is available. A process or
//! control group that can't be read leaves its owner unknown, never at zero.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::files::kernel;
use crate::host::proc;
use crate::model::facts::{Attribution, HostMemoryFact, HostMemoryHolder, ProcessOwner, Reading};
use crate::model::size::Mebibytes;

const MEMORY: &str = "/proc/meminfo";
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// Reads the host's memory, and that of all owners.
pub(crate) fn read(owned: &[Attribution]) -> Reading<HostMemoryFact> {
    let table = match kernel::table(MEMORY) {
        Ok(table) => table,
        Err(error) => return Reading::Unknown(format!("{MEMORY} can't be read: {error}")),
    };
    let Some(total) = amount(&table, "MemTotal:") else {
        return Reading::Unknown(format!("{MEMORY} does not report the host's memory"));
    };
    let available = amount(&table, "MemAvailable:").map(|kibibytes| Mebibytes(kibibytes >> 10));
    Reading::Known(HostMemoryFact { total: Mebibytes(total >> 10), available, holders: holders(owned) })
}

/// Returns the host's memory; `None`: the kernel does not report it.
pub(crate) fn total() -> Option<Mebibytes> {
    amount(&kernel::table(MEMORY).ok()?, "MemTotal:").map(|kibibytes| Mebibytes(kibibytes >> 10))
}

/// Reads a figure in KiB of a table like /proc/meminfo.
fn amount(table: &str, key: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn holders(owned: &[Attribution]) -> Vec<HostMemoryHolder> {
    let mut of_containers: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for one in owned {
        if let (ProcessOwner::Container(id), true) = (&one.owner, one.pids.is_empty()) {
            of_containers.entry(id).or_default();
        }
    }
    if !of_containers.is_empty() {
        for pid in proc::pids().into_iter().flatten() {
            let Some(container) = proc::container(pid) else { continue };
            if let Some(pids) = of_containers.get_mut(container.as_str()) {
                pids.push(pid);
            }
        }
    }
    let holder =
        |owner: &ProcessOwner, bytes: u64| HostMemoryHolder { owner: owner.clone(), memory: Mebibytes::needed(bytes) };
    let mut trees: BTreeMap<&ProcessOwner, BTreeSet<i32>> = BTreeMap::new();
    for one in owned.iter().filter(|one| !one.pids.is_empty()) {
        trees.entry(&one.owner).or_default().extend(&one.pids);
    }
    let of_trees = trees.into_iter().filter_map(|(owner, pids)| Some(holder(owner, of_processes(pids)?)));
    let of_containers = of_containers.into_iter().filter_map(|(id, pids)| {
        let owner = ProcessOwner::Container(id.to_owned());
        let first = *pids.first()?;
        Some(holder(&owner, of_control_group(first, id).or_else(|| of_processes(pids))?))
    });
    of_trees.chain(of_containers).collect()
}

/// Returns the memory of processes in bytes; one that has ended holds none. `None`: one of them can't be read.
fn of_processes(pids: impl IntoIterator<Item = i32>) -> Option<u64> {
    let mut sum = 0_u64;
    for pid in pids {
        match kernel::table(format!("/proc/{pid}/status")) {
            Ok(status) => sum = sum.saturating_add(of_status(&status)),
            Err(_) if proc::stat(pid).is_none_or(|stat| !stat.is_alive()) => {}
            Err(_) => return None,
        }
    }
    Some(sum)
}

/// Anonymous and shared memory by `/proc/PID/status`, in bytes. A kernel thread or a zombie has none.
fn of_status(status: &str) -> u64 {
    let figures = ["RssAnon:", "RssShmem:"].into_iter().filter_map(|key| amount(status, key));
    figures.fold(0, |sum, kibibytes| u64::saturating_add(sum, kibibytes.saturating_mul(1 << 10)))
}

/// Anonymous and shared memory of a container's control group, in bytes. `None`: it can't be found or read, such as from
/// inside of another container.
fn of_control_group(pid: i32, container: &str) -> Option<u64> {
    let groups = kernel::table(format!("/proc/{pid}/cgroup")).ok()?;
    // `0::/system.slice/docker-ID.scope`: version 2 has one hierarchy, numbered 0.
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mut folder = Path::new(CONTROL_GROUPS).to_owned();
    for part in path.split('/') {
        if matches!(part, "" | "." | "..") {
            return None;
        }
        folder.push(part);
        if part.contains(container) {
            return of_group(&kernel::table(folder.join("memory.stat")).ok()?);
        }
    }
    None
}

/// Anonymous and shared memory by `memory.stat`, in bytes.
fn of_group(table: &str) -> Option<u64> {
    let figure = |key: &str| {
        let mut lines = table.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(name, _)| *name == key)?.1.trim().parse::<u64>().ok()
    };
    Some(figure("anon")?.saturating_add(figure("shmem")?))
}

#[cfg(test)]
mod tests {
    use super::{amount, of_control_group, of_group, of_processes, of_status, read, total};
    use crate::model::facts::{Attribution, ProcessOwner, Reading};
    use crate::model::size::Mebibytes;

    #[test]
    fn this_machine_has_memory_and_some_is_available() {
        let Reading::Known(memory) = read(&[]) else { panic!("it is readable") };
        let available = memory.available.expect("the kernel reports it");
        assert!(memory.total > Mebibytes::ZERO && available <= memory.total);
        assert_eq!(total(), Some(memory.total));
        assert!(memory.holders.is_empty());
    }

    #[test]
    fn a_tree_holds_the_memory_of_its_processes() {
        let own = i32::try_from(std::process::id()).expect("a pid");
        // Written, so that every page is there.
        let ballast = vec![1_u8; 24 << 20];
        let held = of_processes([own]).expect("readable");
        assert!(held > 24 << 20, "{held} with {}", ballast.len());
        // A process that has ended holds nothing, and does not make the others unknown.
        let service = Attribution::of_service("p", "s", vec![own, i32::MAX]);
        let Reading::Known(memory) = read(std::slice::from_ref(&service)) else { panic!("it is readable") };
        assert_eq!(memory.holders.len(), 1);
        assert!(memory.holders[0].owner == service.owner && memory.holders[0].memory > Mebibytes(24));
        assert_eq!(ballast.iter().map(|byte| usize::from(*byte)).sum::<usize>(), 24 << 20);
    }

    #[test]
    fn tables_are_read_by_their_keys() {
        let table = "MemTotal:       130023424 kB\nMemFree: 7 kB\nMemAvailable:   many kB\n";
        assert_eq!((amount(table, "MemTotal:"), amount(table, "MemAvailable:")), (Some(130_023_424), None));
        assert_eq!(of_status("Name:\tx\nRssAnon:\t  10 kB\nRssFile:\t 99 kB\nRssShmem:\t 4 kB\n"), 14 << 10);
        assert_eq!(of_status("Name:\tkthreadd\n"), 0);
        assert_eq!(of_group("anon 4096\nfile 99\nshmem 1\nanon_thp 7\n"), Some(4097));
        assert_eq!(of_group("file 99\n"), None);
    }

    #[test]
    fn a_container_without_processes_is_unknown() {
        let container = Attribution::of_object("0123456789abcdef", Vec::new());
        assert!(matches!(container.owner, ProcessOwner::Container(_)));
        let Reading::Known(memory) = read(&[container]) else { panic!("it is readable") };
        assert!(memory.holders.is_empty());
        assert_eq!(of_control_group(i32::MAX, "0123456789abcdef"), None);
    }
}
