//! Pauses and unpauses a tree, by STOP and CONT to each member by pidfd. Processes forked meanwhile are found by the
//! next scan, since a stopped process forks no more.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::host::proc;
use crate::model::facts::ProcessFact;
use crate::runtime::process::drive::processes::Processes;
use crate::runtime::process::drive::stop::{RemainingProcesses, StopTarget, deliver, find_tree, scan};
use crate::runtime::process::tree_of;
use crate::runtime::{DriverError, Pause};

/// Bound for a signal to take effect: when the process leaves the kernel, in which a GPU driver may keep it for
/// seconds.
const SETTLE_WAIT: Duration = Duration::from_secs(10);
/// Pause between two scans, each of which reads all of /proc.
const PAUSE: Duration = Duration::from_millis(5);
/// Consecutive scans that must find all members in the target state. A scan sees the processes that existed when it
/// began; those forked during the first such scan are seen by the second.
const SCANS_IN_A_ROW: u32 = 2;

/// State that all members must reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PauseGoal {
    Frozen,
    Running,
}

impl Processes {
    /// Pauses a whole tree; if that fails, the whole tree runs on.
    pub async fn pause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        let Some((target, left)) = self.target(pause, "pause").await? else {
            return Err(DriverError::Missing(format!("`{}` is not running any more", pause.service)));
        };
        let frozen = reach(&target, left, PauseGoal::Frozen).await;
        if frozen.is_err() {
            // A half-paused tree is worse than a running one; the error is returned all the same.
            let left = scan(&target, &[]).await?;
            let _ = reach(&target, left, PauseGoal::Running).await;
        }
        frozen
    }

    /// Unpauses a whole tree; an ended tree is no error.
    pub async fn unpause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        match self.target(pause, "unpause").await? {
            Some((target, left)) => reach(&target, left, PauseGoal::Running).await,
            None => Ok(()),
        }
    }

    async fn target(
        &self,
        pause: &Pause<'_>,
        what: &str,
    ) -> Result<Option<(StopTarget, RemainingProcesses)>, DriverError> {
        let Some(id) = tree_of(pause.instance) else {
            return Err(DriverError::Refused(format!("`{}` does not run as a process tree", pause.service)));
        };
        find_tree(self.trust(), pause.project, pause.service, id, what).await
    }
}

/// Signals all members that are not in the target state yet, until consecutive scans find none.
async fn reach(target: &StopTarget, mut left: RemainingProcesses, goal: PauseGoal) -> Result<(), DriverError> {
    let deadline = Instant::now() + SETTLE_WAIT;
    let mut in_a_row = 0;
    loop {
        let others: Vec<&ProcessFact> = left.members.iter().filter(|member| !has_reached(member, goal)).collect();
        in_a_row = if others.is_empty() { in_a_row + 1 } else { 0 };
        if in_a_row >= SCANS_IN_A_ROW {
            return Ok(());
        }
        for member in &others {
            deliver(member, goal.signal())?;
        }
        if goal == PauseGoal::Frozen {
            let awaited = awaited_by(&others, &left.members);
            awaited.into_iter().try_for_each(|child| deliver(child, Signal::CONT))?;
        }
        if Instant::now() >= deadline {
            let names: Vec<String> =
                others.iter().map(|member| format!("{} (pid {})", member.program, member.pid)).collect();
            let seconds = SETTLE_WAIT.as_secs();
            let message = format!("{} after {seconds} s: {}", goal.failure(), names.join(", "));
            return Err(DriverError::Refused(message));
        }
        sleep(PAUSE).await;
        left = scan(target, &left.members).await?;
    }
}

/// Lists the stopped children of members in uninterruptible sleep. A parent that called `vfork` stays in that state
/// until its child executes a program: if the child is stopped before that, the parent never takes its own stop. The
/// child is continued for the length of one scan, and stopped again after the next.
fn awaited_by<'a>(sleepers: &[&ProcessFact], members: &'a [ProcessFact]) -> Vec<&'a ProcessFact> {
    let is_asleep = |stat: &proc::Stat| stat.state == 'D' && sleepers.iter().any(|member| stat.is(member));
    let asleep: Vec<i32> =
        sleepers.iter().filter_map(|member| proc::stat(member.pid)).filter(is_asleep).map(|stat| stat.pid).collect();
    let is_awaited = |stat: proc::Stat| stat.is_suspended() && asleep.contains(&stat.parent);
    let awaited = |member: &&ProcessFact| {
        !asleep.is_empty() && proc::stat(member.pid).is_some_and(|stat| stat.is(member) && is_awaited(stat))
    };
    members.iter().filter(awaited).collect()
}

/// Returns true if the member is in the target state; an ended one always is.
fn has_reached(member: &ProcessFact, goal: PauseGoal) -> bool {
    let stat = proc::stat(member.pid).filter(|stat| stat.is(member) && stat.is_alive());
    stat.is_none_or(|stat| stat.is_suspended() == (goal == PauseGoal::Frozen))
}

impl PauseGoal {
    fn signal(self) -> Signal {
        match self {
            Self::Frozen => Signal::STOP,
            Self::Running => Signal::CONT,
        }
    }

    fn failure(self) -> &'static str {
        match self {
            Self::Frozen => "processes still running",
            Self::Running => "processes still stopped",
        }
    }
}
