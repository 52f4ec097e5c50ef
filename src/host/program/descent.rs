//! Lists and kills the descendants of a process: in any session, group or namespace and as any user, they stay below
//! the sub-reaper that they were started under. Blocking.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::slice;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::host::proc;
use crate::host::signal::send;
use crate::model::facts::ProcessFact;

/// Time for killed processes to end. They linger only in the kernel, and a command beside a service holds no GPU whose
/// driver takes longer.
pub(crate) const END_WAIT: Duration = Duration::from_secs(5);
/// Shortest and longest pause between two rounds of killing: an ordinary process ends within a fraction of a
/// millisecond.
const PAUSE_MIN: Duration = Duration::from_micros(200);
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// Processes that a message names.
pub(crate) const NAMED_MAX: usize = 8;

/// Returns the pids of the children of a process, zombies included, as far as they may be read.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    if !has_children_files() {
        let stats = proc::pids().into_iter().flatten().filter_map(proc::stat);
        return stats.filter(|stat| stat.parent == pid).map(|stat| stat.pid).collect();
    }
    proc::listed_children(pid)
}

/// Returns the live processes below `root`, without `root`. A process forked meanwhile is in the next list.
pub(crate) fn below(root: i32) -> Vec<ProcessFact> {
    let mut parents: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let listed = has_children_files();
    if !listed {
        for stat in proc::pids().into_iter().flatten().filter_map(proc::stat) {
            parents.entry(stat.parent).or_default().push(stat.pid);
        }
    }
    let (mut seen, mut next, mut found) = (BTreeSet::from([root]), vec![root], Vec::new());
    while let Some(pid) = next.pop() {
        let children = if listed { proc::listed_children(pid) } else { parents.remove(&pid).unwrap_or_default() };
        for child in children {
            // A pid that was reused in between is not followed twice.
            if !seen.insert(child) {
                continue;
            }
            if let Some(stat) = proc::stat(child).filter(proc::Stat::is_alive) {
                found.push(stat.fact());
                next.push(child);
            }
        }
    }
    found
}

/// Returns false for a kernel built without `CONFIG_PROC_CHILDREN`.
fn has_children_files() -> bool {
    Path::new("/proc/thread-self/children").exists()
}

/// Pauses between rounds, within [`END_WAIT`].
pub(crate) struct Rounds {
    deadline: Instant,
    pause: Duration,
}

impl Rounds {
    pub(crate) fn begin() -> Self {
        Self { deadline: Instant::now() + END_WAIT, pause: PAUSE_MIN }
    }

    /// Sleeps until the next round; returns false if there is no time for one.
    pub(crate) fn pause(&mut self) -> bool {
        if Instant::now() >= self.deadline {
            return false;
        }
        thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        true
    }
}

/// Sends KILL to each process; returns those that may not be signalled.
///
/// No STOP is sent first: KILL ends a stopped process too, and a dead process can't fork any more than a stopped one.
pub(crate) fn kill(processes: &[ProcessFact]) -> Vec<ProcessFact> {
    processes.iter().filter(|process| send(process, Signal::KILL).is_err()).cloned().collect()
}

/// Kills a guardian that does not respond, and every process below it or in the session of its command; returns those
/// that are left.
pub(crate) fn end_unanswered(guardian: &ProcessFact, command: Option<&ProcessFact>) -> Vec<ProcessFact> {
    let mut rounds = Rounds::begin();
    loop {
        let mut left = if proc::is_alive(guardian) { below(guardian.pid) } else { Vec::new() };
        left.extend(command.into_iter().flat_map(session_of));
        kill(&left);
        if left.is_empty() {
            kill(slice::from_ref(guardian));
        }
        // A process forked during the last round shows in this one: only a second empty list is final.
        if (left.is_empty() && !proc::is_alive(guardian)) || !rounds.pause() {
            return left;
        }
    }
}

/// Returns the live members of the session that a process leads or led. The kernel does not reuse a session's number
/// while the session has members; the start time distinguishes a later session of that number.
fn session_of(leader: &ProcessFact) -> Vec<ProcessFact> {
    let is_anothers = proc::stat(leader.pid).is_some_and(|stat| stat.start_ticks != leader.start_ticks);
    if is_anothers {
        return Vec::new();
    }
    let pids = proc::pids().into_iter().flatten();
    let members = pids.filter(|pid| proc::job(*pid).is_some_and(|job| job.session == leader.pid));
    let stats = members.filter_map(proc::stat);
    stats.filter(|stat| stat.is_alive() && stat.start_ticks >= leader.start_ticks).map(|stat| stat.fact()).collect()
}

/// Names processes (`sleep (pid 4711)`), at most [`NAMED_MAX`].
pub(crate) fn named<'a>(processes: impl IntoIterator<Item = &'a ProcessFact>) -> Vec<String> {
    processes.into_iter().take(NAMED_MAX).map(|process| format!("{} (pid {})", process.program, process.pid)).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::{Rounds, below, children, end_unanswered, kill};
    use crate::host::proc;

    #[test]
    fn all_descendants_are_found_and_killed() {
        let mut root = Command::new("sh")
            .args(["-c", "setsid sleep 600 & sleep 600 & echo begun; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let pid = i32::try_from(root.id()).expect("a pid");
        let mut rounds = Rounds::begin();
        while below(pid).iter().filter(|process| process.program == "sleep").count() < 2 {
            assert!(rounds.pause(), "both begin: {:?}", below(pid));
        }
        assert!(children(pid).len() == 2 && children(i32::try_from(std::process::id()).expect("a pid")).contains(&pid));
        let known = below(pid);
        let fact = proc::stat(pid).expect("it lives").fact();
        assert!(end_unanswered(&fact, None).is_empty());
        root.wait().expect("it ended");
        assert!(known.iter().all(|process| !proc::is_alive(process)), "{known:?}");
        assert!(kill(&known).is_empty(), "ended processes need no signal");
    }
}
