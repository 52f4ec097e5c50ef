//! Waiting for the ends of processes: the kernel tells, so that nobody has to ask every few milliseconds.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use crate::host::proc;
use crate::model::facts::ProcessFact;

/// Where the kernel can't tell; whether a known process lives costs next to nothing to ask.
const PAUSE: Duration = Duration::from_millis(5);

/// Returns when none of these lives any more. Which of them ends first does not matter: one after the other is waited
/// for, and takes one descriptor at a time.
pub(crate) async fn all(processes: &[ProcessFact]) {
    for process in processes {
        if let Some(held) = hold(process) {
            // What it says does not matter: the look below does.
            let _ = held.readable().await;
        }
        while proc::is_alive(process) {
            sleep(PAUSE).await;
        }
    }
}

/// Takes hold of the process first and then checks that it is the one meant. `None`: it is gone, or this kernel (before
/// Linux 5.3) knows no such hold.
#[expect(deprecated, reason = "its successors are unsafe for kinds of descriptors that may change; an owned one stays")]
fn hold(process: &ProcessFact) -> Option<AsyncFd<OwnedFd>> {
    let held = pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    proc::is_alive(process).then(|| AsyncFd::with_interest(held, Interest::READABLE).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::all;
    use crate::host::proc;

    #[tokio::test]
    async fn an_end_is_waited_for_and_that_of_a_later_process_with_its_pid_is_not() {
        let mut sleeper = Command::new("sleep").arg("600").spawn().expect("sleep runs");
        let pid = i32::try_from(sleeper.id()).expect("a pid");
        let seen = proc::stat(pid).expect("it lives").fact();
        let mut earlier = seen.clone();
        earlier.start_ticks -= 1;
        all(&[earlier]).await;
        let both = [seen.clone(), seen];
        let waiting = all(&both);
        tokio::pin!(waiting);
        timeout(Duration::from_millis(20), &mut waiting).await.expect_err("it lives");
        sleeper.kill().expect("killed");
        waiting.await;
        sleeper.wait().expect("it ended");
    }
}
