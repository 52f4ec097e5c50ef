//! Ends a tree, all of it: a signal to each member, the grace, then KILL, until a look finds nothing more. Members are
//! known by their marks and their descent, and held by pidfd; never by a name or a port.

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

/// A killed process lingers only in the kernel: a driver that gives back much memory takes seconds.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// A shim leaves as soon as it has nothing to keep.
const SHIM_WAIT: Duration = Duration::from_secs(2);
/// A shim leaves in one or two once nothing is below it, and without one a fork under way is over by then.
const SETTLE: Duration = Duration::from_millis(5);
/// Between two rounds of killing.
const KILL_PAUSE: Duration = Duration::from_millis(50);

/// What is meant.
#[derive(Clone, Debug)]
pub(super) enum StopTarget {
    /// A tree that lcm started, by the proof that it did.
    Started { key: Key, trust: Trust },
    /// A process that lcm did not start, and its descendants.
    Adopted { root: ProcessFact, trust: Trust },
}

/// What of it is still there.
#[derive(Clone, Debug, Default)]
pub(super) struct RemainingProcesses {
    pub(super) salt: String,
    pub(super) shims: Vec<ProcessFact>,
    pub(super) members: Vec<ProcessFact>,
}

/// Returns when nothing of it is left.
pub(crate) async fn stop(processes: &Processes, stop: &StopRequest<'_>) -> Result<(), DriverError> {
    let Some(id) = tree_of(stop.instance) else {
        return Err(DriverError::Refused(format!("`{}` is no process tree", stop.service)));
    };
    let trust = processes.trust();
    let Some((quarry, left)) = found(trust, stop.project, stop.service, id, "stop").await? else { return Ok(()) };
    let pids: Vec<i32> = left.members.iter().map(|member| member.pid).collect();
    let (salt, deadline) = (left.salt.clone(), Instant::now() + stop.policy.grace.min(GRACE_MAX));
    ask(processes, stop, &left).await?;
    let (gone, left) = wait_until_gone(&quarry, left, deadline).await?;
    let left = if gone { left } else { kill(&quarry, left).await? };
    see_off_shims(&quarry, left).await?;
    remove_pid_file(processes, stop, &salt, &pids);
    Ok(())
}

/// The shim removes the file of a process that ends; one that was killed before leaves that to lcm. By the note of the
/// start, so that an orphan's goes too. A file that can't be removed names no process, and hinders nothing.
fn remove_pid_file(processes: &Processes, stop: &StopRequest<'_>, salt: &str, pids: &[i32]) {
    let note = processes.readable_folder(stop.project.as_str(), stop.service.as_str()).start_note();
    if let Some(path) = note.filter(|note| note.marks.salt == salt).and_then(|note| note.pid_file) {
        let _ = pid_file::remove(&path, |pid| pids.contains(&pid));
    }
}

/// The tree that is meant and what there is of it; `None`: it is gone. Another one than was looked at is refused, and so
/// is the one that lcm itself runs in.
pub(super) async fn found(
    trust: Trust,
    project: &ProjectName,
    service: &ServiceName,
    id: &str,
    what: &str,
) -> Result<Option<(StopTarget, RemainingProcesses)>, DriverError> {
    let Some(quarry) = quarry(trust, project, service, id)? else { return Ok(None) };
    let left = look(&quarry, &[]).await?;
    if let StopTarget::Started { .. } = quarry
        && left.salt != *id
    {
        if left.members.is_empty() && left.shims.is_empty() {
            return Ok(None);
        }
        let reason = format!("`{service}` was started anew since it was looked at: it is left alone");
        return Err(DriverError::Refused(reason));
    }
    if left.members.iter().any(|member| u32::try_from(member.pid) == Ok(std::process::id())) {
        let reason = format!("lcm itself runs within `{service}`, and can't {what} it from there");
        return Err(DriverError::Refused(reason));
    }
    Ok(Some((quarry, left)))
}

fn quarry(
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

/// What is there of it now; of an adopted tree also what descends from members seen before.
pub(super) async fn look(quarry: &StopTarget, known: &[ProcessFact]) -> Result<RemainingProcesses, DriverError> {
    let (quarry, known) = (quarry.clone(), known.to_vec());
    let looked = spawn_blocking(move || -> io::Result<RemainingProcesses> {
        match quarry {
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
    let looked = looked.await.map_err(io::Error::other).and_then(|looked| looked);
    looked.map_err(|source| DriverError::Io { what: "can't read /proc".to_owned(), source })
}

/// The service's own way to stop, or the signal; the signal as well where that way fails.
async fn ask(processes: &Processes, stop: &StopRequest<'_>, left: &RemainingProcesses) -> Result<(), DriverError> {
    let name = stop.policy.signal.as_deref().unwrap_or("TERM");
    let asked = signal::named(name)
        .ok_or_else(|| DriverError::Refused(format!("`{}`: stop.signal {name} is no signal", stop.service)))?;
    if let Some(exec) = &stop.policy.exec
        && run_exec(processes, stop, left, exec).await
    {
        return Ok(());
    }
    for member in &left.members {
        deliver(member, asked)?;
        // A stopped process takes no signal but KILL before it goes on.
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

/// In the environment that lcm makes for the service and in the folder of its start, neither read from a process: a
/// member chooses what it shows there. Returns whether the program did what it is for. An orphan has no definition, and
/// nothing that was written on it is run.
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

/// Waits for the ends of the members known, and looks at all whenever none of them is left.
async fn wait_until_gone(
    quarry: &StopTarget,
    left: RemainingProcesses,
    deadline: Instant,
) -> Result<(bool, RemainingProcesses), DriverError> {
    let mut left = left;
    loop {
        if timeout_at(deadline, ending::all(&left.members)).await.is_err() {
            return Ok((false, left));
        }
        let later = look(quarry, &left.members).await?;
        left = left.again(later);
        if left.members.is_empty() {
            // What was forked by a process that ended while it was looked at shows in a second look.
            settle(&left.shims).await;
            let again = look(quarry, &[]).await?;
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

/// A moment; less where the shim leaves, which it does not while anything is below it.
async fn settle(shims: &[ProcessFact]) {
    match shims {
        [] => sleep(SETTLE).await,
        shims => drop(timeout(SETTLE, ending::all(shims)).await),
    }
}

/// Kills whatever each look finds, until one finds nothing.
async fn kill(quarry: &StopTarget, left: RemainingProcesses) -> Result<RemainingProcesses, DriverError> {
    let deadline = Instant::now() + KILL_WAIT;
    let mut left = left;
    loop {
        let later = look(quarry, &left.members).await?;
        left = left.again(later);
        for member in &left.members {
            deliver(member, Signal::KILL)?;
        }
        let soon = (Instant::now() + KILL_PAUSE).min(deadline);
        let (gone, rest) = wait_until_gone(quarry, left, soon).await?;
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

/// A shim goes by itself once nothing is left below it; one that lingers has lost its way.
async fn see_off_shims(quarry: &StopTarget, left: RemainingProcesses) -> Result<(), DriverError> {
    let shims = left.shims;
    if shims.is_empty() || timeout(SHIM_WAIT, ending::all(&shims)).await.is_ok() {
        return Ok(());
    }
    let left = look(quarry, &[]).await?;
    if !left.members.is_empty() {
        kill(quarry, left).await?;
    }
    shims.iter().try_for_each(|shim| deliver(shim, Signal::KILL))
}

impl RemainingProcesses {
    /// A later look, which no longer finds the shims that are about to leave.
    fn again(self, later: Self) -> Self {
        let shims = if later.shims.is_empty() { self.shims } else { later.shims };
        Self { shims, ..later }
    }
}
