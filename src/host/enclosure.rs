//! Reads where this process runs: container, pid namespace, CI job. Judged in [`crate::model::enclosure`].

use std::collections::BTreeMap;

use crate::files::kernel;
use crate::host::proc;
use crate::model::enclosure::{Enclosure, Surroundings, container_of_mounts, judge};

/// Number of the capability, by capabilities(7).
const CAP_SYS_PTRACE: u32 = 19;

/// Processes tried: where one is readable, most are.
const LOOKS_MAX: usize = 256;

/// Ancestors between lcm and process 1: shells, runners, a terminal. More is a loop.
const ANCESTORS_MAX: usize = 256;

/// This process's surroundings.
#[derive(Clone, Debug)]
pub(crate) struct Enclosed {
    pub(crate) enclosure: Enclosure,
    /// Container that this process runs in, even one that is used as a machine.
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

/// Returns the mount table of this process; empty if it can't be read.
pub(crate) fn mounts() -> String {
    kernel::table("/proc/self/mountinfo").unwrap_or_default()
}

/// Returns the option of `docker run` without which root in a container can't verify the host's processes by their
/// namespaces and open files. `host_pids`: true if they are visible.
pub(crate) fn lacking_right(host_pids: bool) -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        // A user's own processes need no capability; others' are not verified on the host.
        return None;
    }
    let status = kernel::table("/proc/self/status").unwrap_or_default();
    if !has_capability(&status, CAP_SYS_PTRACE) {
        return Some("--cap-add=SYS_PTRACE");
    }
    (host_pids && !can_look_outside()).then_some("--security-opt=apparmor=unconfined")
}

/// Returns true if the namespaces of any process outside of containers are readable. A single one may be closed.
fn can_look_outside() -> bool {
    let outside = proc::pids().into_iter().flatten().filter(|pid| proc::container(*pid).is_none());
    outside.take(LOOKS_MAX).any(|pid| proc::namespace(pid, "pid").is_some())
}

/// Returns true if a capability is effective, by `/proc/PID/status`.
fn has_capability(status: &str, capability: u32) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    effective.is_some_and(|mask| mask >> capability & 1 == 1)
}

/// Returns true if process 1 is an ancestor of this process; `None`: an ancestor is hidden.
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
