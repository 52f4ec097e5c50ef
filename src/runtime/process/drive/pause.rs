//! Freezes a tree, all of it, and lets it go on: by STOP and CONT to each member, held by pidfd as for a stop. What is
//! forked while that goes on is found by the next look, for what is stopped forks no more.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::host::proc;
use crate::model::facts::ProcessFact;
use crate::runtime::process::drive::processes::Processes;
use crate::runtime::process::drive::stop::{RemainingProcesses, StopTarget, deliver, found, look};
use crate::runtime::process::tree_of;
use crate::runtime::{DriverError, Pause};

/// A signal takes effect as soon as the kernel lets go of a process; a GPU driver may hold one for seconds.
const SETTLE_WAIT: Duration = Duration::from_secs(10);
/// Between two looks, each of which reads all of /proc.
const PAUSE: Duration = Duration::from_millis(5);
/// A look sees whoever was there when it began; only what was forked during the first look that finds all stopped can
/// have slipped through, and that the second one sees.
const LOOKS_IN_A_ROW: u32 = 2;

/// Where the members are to be brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    Frozen,
    Running,
}

impl Processes {
    /// Freezes all of a tree; where that can't be done, all of it runs on.
    pub async fn pause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        let Some((quarry, left)) = self.meant(pause, "pause").await? else {
            return Err(DriverError::Missing(format!("`{}` does not run any more", pause.service)));
        };
        let frozen = bring(&quarry, left, Aim::Frozen).await;
        if frozen.is_err() {
            // Half a tree is worse than a whole one that runs; what is wrong is told all the same.
            let left = look(&quarry, &[]).await?;
            let _ = bring(&quarry, left, Aim::Running).await;
        }
        frozen
    }

    /// Lets all of a tree go on; one that has ended is fine.
    pub async fn unpause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        match self.meant(pause, "let go on").await? {
            Some((quarry, left)) => bring(&quarry, left, Aim::Running).await,
            None => Ok(()),
        }
    }

    async fn meant(
        &self,
        pause: &Pause<'_>,
        what: &str,
    ) -> Result<Option<(StopTarget, RemainingProcesses)>, DriverError> {
        let Some(id) = tree_of(pause.instance) else {
            return Err(DriverError::Refused(format!("`{}` is no process tree", pause.service)));
        };
        found(self.trust(), pause.project, pause.service, id, what).await
    }
}

/// Signals whoever is not there yet, until looks in a row find nobody.
async fn bring(quarry: &StopTarget, mut left: RemainingProcesses, aim: Aim) -> Result<(), DriverError> {
    let deadline = Instant::now() + SETTLE_WAIT;
    let mut in_a_row = 0;
    loop {
        let others: Vec<&ProcessFact> = left.members.iter().filter(|member| !is_there(member, aim)).collect();
        in_a_row = if others.is_empty() { in_a_row + 1 } else { 0 };
        if in_a_row >= LOOKS_IN_A_ROW {
            return Ok(());
        }
        for member in &others {
            deliver(member, aim.signal())?;
        }
        if aim == Aim::Frozen {
            let awaited = awaited_by(&others, &left.members);
            awaited.into_iter().try_for_each(|child| deliver(child, Signal::CONT))?;
        }
        if Instant::now() >= deadline {
            let names: Vec<String> =
                others.iter().map(|member| format!("{} (pid {})", member.program, member.pid)).collect();
            let seconds = SETTLE_WAIT.as_secs();
            let message = format!("{} after {seconds} s: {}", aim.missed(), names.join(", "));
            return Err(DriverError::Refused(message));
        }
        sleep(PAUSE).await;
        left = look(quarry, &left.members).await?;
    }
}

/// The stopped children of members in uninterruptible sleep. A parent that forked by `vfork` sleeps so until its child
/// executes a program: with the child stopped before that, the parent would never take its own stop. The child goes
/// on for as long as one look takes, and the next look stops it again.
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

/// Whoever is gone is nowhere else.
fn is_there(member: &ProcessFact, aim: Aim) -> bool {
    let stat = proc::stat(member.pid).filter(|stat| stat.is(member) && stat.is_alive());
    stat.is_none_or(|stat| stat.is_suspended() == (aim == Aim::Frozen))
}

impl Aim {
    fn signal(self) -> Signal {
        match self {
            Self::Frozen => Signal::STOP,
            Self::Running => Signal::CONT,
        }
    }

    fn missed(self) -> &'static str {
        match self {
            Self::Frozen => "some of it still runs",
            Self::Running => "some of it is still stopped",
        }
    }
}
