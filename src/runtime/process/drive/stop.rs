//! Stop of a whole tree: a signal to each member, the grace period, then KILL, until a scan finds no process. Members
//! are identified by marks and descent, and signalled by pidfd; never by a name or a port.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use rustix::process::Signal;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::files::pid_file;
use crate::host::program::command::{self, CommandExit};
use crate::host::program::environment;
use crate::host::signal::send;
use crate::host::{proc, signal};
use crate::model::desired::GRACE_MAX;
use crate::model::facts::ProcessFact;
use crate::model::names::{ProjectName, ServiceName};
use crate::runtime::process::drive::invocation;
use crate::runtime::process::drive::processes::{Processes, process_of};
use crate::runtime::process::drive::trees::{Census, Key};
use crate::runtime::process::drive::verified::Trust;
use crate::runtime::process::drive::{adopted, ending};
use crate::runtime::process::tree_of;
use crate::runtime::{DriverError, StopRequest};

/// Bound for the end of killed processes: one lingers only in the kernel, where a driver takes seconds to free much
/// memory.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// Bound for the end of a shim, which ends as soon as its tree is empty.
const SHIM_WAIT: Duration = Duration::from_secs(2);
/// Wait before the final scan: a shim with an empty tree ends within 1 or 2 ms, and a fork under way is over by then.
const SETTLE: Duration = Duration::from_millis(5);
/// Pause between two rounds of KILL.
const KILL_PAUSE: Duration = Duration::from_millis(50);

/// Tree to stop.
#[derive(Clone, Debug)]
pub(super) enum StopTarget {
    /// Tree that lcm started, with the conditions that prove it.
    Started { key: Key, trust: Trust },
    /// Process that lcm did not start, and its descendants.
    Adopted { root: ProcessFact, trust: Trust },
}

/// Processes of the tree that still live.
#[derive(Clone, Debug, Default)]
pub(super) struct RemainingProcesses {
    pub(super) salt: String,
    pub(super) shims: Vec<ProcessFact>,
    pub(super) members: Vec<ProcessFact>,
}

/// Stops a tree. Returns when no process of it is left.
pub(crate) async fn stop(processes: &Processes, stop: &StopRequest<'_>) -> Result<(), DriverError> {
    let Some(id) = tree_of(stop.instance) else {
        return Err(DriverError::Refused(format!("`{}` does not run as a process tree", stop.service)));
    };
    let trust = processes.trust();
    let Some((target, left)) = find_tree(trust, stop.project, stop.service, id, "stop").await? else { return Ok(()) };
    let pids: Vec<i32> = left.members.iter().map(|member| member.pid).collect();
    let (salt, deadline) = (left.salt.clone(), Instant::now() + stop.policy.grace.min(GRACE_MAX));
    request_stop(processes, stop, &left).await?;
    let (gone, left) = wait_until_gone(&target, left, deadline).await?;
    let left = if gone { left } else { kill(&target, left).await? };
    end_shims(&target, left).await?;
    remove_pid_file(processes, stop, &salt, &pids);
    Ok(())
}

/// Removes the pid file if the shim was killed before it could. The path is from the note of the start, so that an
/// orphan's file is removed, too. A file that can't be removed names no living process, and is no error.
fn remove_pid_file(processes: &Processes, stop: &StopRequest<'_>, salt: &str, pids: &[i32]) {
    let note = processes.readable_folder(stop.project.as_str(), stop.service.as_str()).start_note();
    if let Some(path) = note.filter(|note| note.marks.salt == salt).and_then(|note| note.pid_file) {
        let _ = pid_file::remove(&path, |pid| pids.contains(&pid));
    }
}

/// Returns the tree of an instance and its processes; `None`: it is gone. A tree that was restarted meanwhile is
/// refused, and so is one that lcm itself runs in.
pub(super) async fn find_tree(
    trust: Trust,
    project: &ProjectName,
    service: &ServiceName,
    id: &str,
    what: &str,
) -> Result<Option<(StopTarget, RemainingProcesses)>, DriverError> {
    let Some(target) = stop_target(trust, project, service, id)? else { return Ok(None) };
    let left = scan(&target, &[]).await?;
    if let StopTarget::Started { .. } = target
        && left.salt != *id
    {
        if left.members.is_empty() && left.shims.is_empty() {
            return Ok(None);
        }
        let reason = format!("`{service}` was restarted since it was inspected; it is left alone");
        return Err(DriverError::Refused(reason));
    }
    if left.members.iter().any(|member| u32::try_from(member.pid) == Ok(std::process::id())) {
        let reason = format!("lcm itself runs within `{service}` and can't {what} it from there");
        return Err(DriverError::Refused(reason));
    }
    Ok(Some((target, left)))
}

fn stop_target(
    trust: Trust,
    project: &ProjectName,
    service: &ServiceName,
    id: &str,
) -> Result<Option<StopTarget>, DriverError> {
    let Some((pid, ticks)) = adopted::pid_and_ticks(id) else {
        let key = (project.as_str().to_owned(), service.as_str().to_owned());
        return Ok(Some(StopTarget::Started { key, trust }));
    };
    let Some(root) = adopted::living(pid, ticks) else { return Ok(None) };
    if proc::uids(pid) != Some([rustix::process::geteuid().as_raw(); 4]) {
        let reason = format!("`{service}` is process {pid}, which belongs to another user");
        return Err(DriverError::Refused(reason));
    }
    Ok(Some(StopTarget::Adopted { root, trust }))
}

/// Scans for the processes of a tree; of an adopted tree also for descendants of members seen before.
pub(super) async fn scan(target: &StopTarget, known: &[ProcessFact]) -> Result<RemainingProcesses, DriverError> {
    let (target, known) = (target.clone(), known.to_vec());
    let scanned = spawn_blocking(move || -> io::Result<RemainingProcesses> {
        match target {
            StopTarget::Started { key, trust } => {
                let tree = Census::take(&trust)?.trees().remove(&key);
                Ok(tree.map_or_else(RemainingProcesses::default, |tree| RemainingProcesses {
                    salt: tree.marks.salt,
                    shims: tree.shims,
                    members: tree.members,
                }))
            }
            StopTarget::Adopted { root, trust } => {
                let census = Census::take_whole(&trust)?;
                let roots = known.iter().chain([&root]);
                let members: BTreeMap<i32, ProcessFact> =
                    roots.flat_map(|root| census.below(root)).map(|member| (member.pid, member)).collect();
                Ok(RemainingProcesses { members: members.into_values().collect(), ..RemainingProcesses::default() })
            }
        }
    });
    let scanned = scanned.await.map_err(io::Error::other).and_then(|scanned| scanned);
    scanned.map_err(|source| DriverError::Io { what: "can't read /proc".to_owned(), source })
}

/// Requests a stop: by the service's `stop.exec`; by the signal if there is none or it fails.
async fn request_stop(
    processes: &Processes,
    stop: &StopRequest<'_>,
    left: &RemainingProcesses,
) -> Result<(), DriverError> {
    let name = stop.policy.signal.as_deref().unwrap_or("TERM");
    let signal = signal::named(name)
        .ok_or_else(|| DriverError::Refused(format!("`{}`: stop.signal {name} is not a signal", stop.service)))?;
    if let Some(exec) = &stop.policy.exec
        && run_exec(processes, stop, left, exec).await
    {
        return Ok(());
    }
    for member in &left.members {
        deliver(member, signal)?;
        // A stopped process handles no signal but KILL until it is continued.
        if proc::stat(member.pid).is_some_and(|stat| stat.is_suspended()) {
            deliver(member, Signal::CONT)?;
        }
    }
    Ok(())
}

pub(super) fn deliver(member: &ProcessFact, signal: Signal) -> Result<(), DriverError> {
    match send(member, signal) {
        Ok(_) => Ok(()),
        Err(source) => {
            Err(DriverError::Io { what: format!("can't signal {} (pid {})", member.program, member.pid), source })
        }
    }
}

/// Runs `stop.exec`, in the environment that lcm builds for the service and in the folder of its start. Neither is read
/// from a process, since a member could forge both. Returns true if the program exits with 0. An orphan has no
/// definition, and no command from its marks is run.
async fn run_exec(processes: &Processes, stop: &StopRequest<'_>, left: &RemainingProcesses, exec: &[String]) -> bool {
    let Some(service) = stop.definition else { return false };
    let Ok(process) = process_of(service) else { return false };
    let Ok(environment) = invocation::environment(service, process, &processes.environment) else { return false };
    let note = processes.readable_folder(stop.project.as_str(), stop.service.as_str()).start_note();
    let noted = note.filter(|note| note.marks.salt == left.salt).map(|note| note.cwd);
    let Ok(invocation) = environment::invoke(exec, noted.unwrap_or_else(|| process.cwd.clone()), environment) else {
        return false;
    };
    let grace = stop.policy.grace.min(GRACE_MAX);
    command::run(&processes.shim_program, &invocation, grace).await.is_ok_and(|ended| ended == CommandExit::Code(0))
}

/// Waits for the ends of the known members, and scans again whenever none of them is left. The flag is true if no
/// process is left before the deadline.
async fn wait_until_gone(
    target: &StopTarget,
    left: RemainingProcesses,
    deadline: Instant,
) -> Result<(bool, RemainingProcesses), DriverError> {
    let mut left = left;
    loop {
        if timeout_at(deadline, ending::all(&left.members)).await.is_err() {
            return Ok((false, left));
        }
        let later = scan(target, &left.members).await?;
        left = left.updated(later);
        if left.members.is_empty() {
            // A second scan shows the children of processes that ended during the first.
            settle(&left.shims).await;
            let again = scan(target, &[]).await?;
            if again.members.is_empty() {
                return Ok((true, left));
            }
            left.members = again.members;
        }
        if Instant::now() >= deadline {
            return Ok((false, left));
        }
    }
}

/// Waits for the end of the shims, which live while their trees do; at most [`SETTLE`].
async fn settle(shims: &[ProcessFact]) {
    match shims {
        [] => sleep(SETTLE).await,
        shims => drop(timeout(SETTLE, ending::all(shims)).await),
    }
}

/// Kills the processes that each scan finds, until one finds none.
async fn kill(target: &StopTarget, left: RemainingProcesses) -> Result<RemainingProcesses, DriverError> {
    let deadline = Instant::now() + KILL_WAIT;
    let mut left = left;
    loop {
        let later = scan(target, &left.members).await?;
        left = left.updated(later);
        for member in &left.members {
            deliver(member, Signal::KILL)?;
        }
        let soon = (Instant::now() + KILL_PAUSE).min(deadline);
        let (gone, rest) = wait_until_gone(target, left, soon).await?;
        if gone {
            return Ok(rest);
        }
        left = rest;
        if Instant::now() >= deadline {
            let survivors: Vec<String> =
                left.members.iter().map(|member| format!("{} (pid {})", member.program, member.pid)).collect();
            return Err(DriverError::Survivors { survivors: survivors.join(", "), waited: KILL_WAIT });
        }
    }
}

/// Waits for the shims, which end once their trees are empty, and kills those that don't.
async fn end_shims(target: &StopTarget, left: RemainingProcesses) -> Result<(), DriverError> {
    let shims = left.shims;
    if shims.is_empty() || timeout(SHIM_WAIT, ending::all(&shims)).await.is_ok() {
        return Ok(());
    }
    let left = scan(target, &[]).await?;
    if !left.members.is_empty() {
        kill(target, left).await?;
    }
    shims.iter().try_for_each(|shim| deliver(shim, Signal::KILL))
}

impl RemainingProcesses {
    /// Returns the result of a later scan, with the shims of this one if that one finds none: they are still ending.
    fn updated(self, later: Self) -> Self {
        let shims = if later.shims.is_empty() { self.shims } else { later.shims };
        Self { shims, ..later }
    }
}
