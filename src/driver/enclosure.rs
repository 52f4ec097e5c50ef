//! Readings of the surroundings that this process runs in; judged in [`crate::model::enclosure`].

use std::collections::BTreeMap;

use crate::driver::process::proc;
use crate::files::kernel;
use crate::model::enclosure::{Enclosure, Surroundings, container_of_mounts, judge};

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
