//! Readings of the surroundings that this process runs in; judged in [`crate::model::enclosure`].

use std::collections::BTreeMap;

use crate::files::kernel;
use crate::host::proc;
use crate::model::enclosure::{Enclosure, Surroundings, container_of_mounts, judge};

/// Number of the capability, by capabilities(7).
const CAP_SYS_PTRACE: u32 = 19;

/// Processes tried, of which most are open where one is.
const LOOKS_MAX: usize = 256;

/// Ancestors between lcm and the first process: shells, runners, a terminal. More is a loop.
const ANCESTORS_MAX: usize = 256;

/// This process's surroundings.
#[derive(Clone, Debug)]
pub(crate) struct Enclosed {
    pub(crate) enclosure: Enclosure,
    /// The container that this process runs in, whether it is used as a machine or not.
    pub(crate) container: Option<String>,
}

/// Reads and judges the surroundings. `environment` is lcm's own.
pub(crate) fn read(environment: &BTreeMap<String, String>) -> Enclosed {
    let container = container_of_mounts(&mounts()).or_else(proc::own_container);
    let namespace = proc::namespace("self", "pid");
    let ci = environment.get("CI").map_or("", String::as_str);
    let surroundings = Surroundings {
        pid_namespace: namespace.map(|namespace| namespace.display().to_string()),
        container,
        first: proc::stat(1).map(|stat| stat.program),
        descends_from_first: descends_from_first(),
        is_ci: !matches!(ci, "" | "0" | "false"),
    };
    Enclosed { enclosure: judge(&surroundings), container: surroundings.container }
}

/// The mounts of this process; empty where they can't be read.
pub(crate) fn mounts() -> String {
    kernel::table("/proc/self/mountinfo").unwrap_or_default()
}

/// Option of `docker run` without which root in a container can't verify the host's processes: their namespaces and open
/// files. `host_pids`: they are visible.
pub(crate) fn lacking_right(host_pids: bool) -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        // Of the own user's processes no right is needed; others' are not verified on the host either.
        return None;
    }
    let status = kernel::table("/proc/self/status").unwrap_or_default();
    if !has_capability(&status, CAP_SYS_PTRACE) {
        return Some("--cap-add=SYS_PTRACE");
    }
    (host_pids && !can_look_outside()).then_some("--security-opt=apparmor=unconfined")
}

/// Whether the namespaces of any process outside of containers can be read. A single one may be closed to all.
fn can_look_outside() -> bool {
    let outside = proc::pids().into_iter().flatten().filter(|pid| proc::container(*pid).is_none());
    outside.take(LOOKS_MAX).any(|pid| proc::namespace(pid, "pid").is_some())
}

/// Whether a capability is effective, by `/proc/PID/status`.
fn has_capability(status: &str, capability: u32) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    effective.is_some_and(|mask| mask >> capability & 1 == 1)
}

/// `None`: an ancestor is hidden.
fn descends_from_first() -> Option<bool> {
    let mut pid = rustix::process::getpid().as_raw_nonzero().get();
    for _ in 0..ANCESTORS_MAX {
        match pid {
            // A process that was put into the namespace from outside (`docker exec`) has no parent in it.
            0 => return Some(false),
            1 => return Some(true),
            _ => pid = proc::stat(pid)?.parent,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{CAP_SYS_PTRACE, has_capability};

    #[test]
    fn a_capability_is_one_bit_of_the_effective_ones() {
        let status = |mask: &str| format!("Name:\tlcm\nCapPrm:\tffffffffffffffff\nCapEff:\t{mask}\n");
        for (mask, expected) in
            [("00000000a80425fb", false), ("00000000a80c25fb", true), ("000001ffffffffff", true), ("broken", false)]
        {
            assert_eq!(has_capability(&status(mask), CAP_SYS_PTRACE), expected, "{mask}");
        }
        assert!(!has_capability("", CAP_SYS_PTRACE));
    }
}
