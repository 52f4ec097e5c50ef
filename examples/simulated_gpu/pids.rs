//! Host pid of a holder. A process in a container has another pid inside: it is found by the container's id in its
//! control group, and by its pid inside.

use std::fs;
use std::path::Path;

use crate::world::{Hold, World};

/// Pid of a holder that was never found while it lived: larger than any pid of a kernel.
const NEVER_SEEN: u32 = 1 << 23;

/// Returns the holder's pid on the host, and records it for when the process has ended.
pub(crate) fn on_host(hold: &Hold, world: &Path) -> u32 {
    let Some(container) = &hold.container else { return hold.pid };
    if let Some(pid) = hold.host_pid {
        return pid;
    }
    let Some(found) = search(container, hold.pid) else { return NEVER_SEEN };
    // If the file can't be written now, the next call searches again.
    let _ = World::change(world, |world| {
        let same = |one: &&mut Hold| one.life == hold.life && one.gpu == hold.gpu;
        world.holds.iter_mut().filter(same).for_each(|one| one.host_pid = Some(found));
    });
    found
}

fn search(container: &str, inside: u32) -> Option<u32> {
    let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.into_iter().find(|pid: &u32| {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        groups.contains(container) && number_inside(*pid) == Some(inside)
    })
}

/// `NSpid:  4711  1`: from the outermost to the innermost.
fn number_inside(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}
