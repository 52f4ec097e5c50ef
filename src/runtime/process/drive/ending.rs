//! Waits for the ends of processes by pidfd: the kernel reports them, so that no polling is needed.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use crate::host::proc;
use crate::model::facts::ProcessFact;

/// Polling interval for kernels without pidfds; a check whether a known process lives costs next to nothing.
const PAUSE: Duration = Duration::from_millis(5);

/// Returns when none of these processes lives any more. Waits for one after the other, with one descriptor at a time:
/// their order does not matter.
pub(crate) async fn all(processes: &[ProcessFact]) {
    for process in processes {
        if let Some(pidfd) = pidfd_of(process) {
            // The result does not matter: the check below does.
            let _ = pidfd.readable().await;
        }
        while proc::is_alive(process) {
            sleep(PAUSE).await;
        }
    }
}

/// Opens a pidfd first, and then checks that it is the right process. `None`: the process is gone, or this kernel
/// (before Linux 5.3) has no pidfds.
#[expect(deprecated, reason = "its successors are unsafe for kinds of descriptors that may change; an owned one stays")]
fn pidfd_of(process: &ProcessFact) -> Option<AsyncFd<OwnedFd>> {
    let pidfd = pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    proc::is_alive(process).then(|| AsyncFd::with_interest(pidfd, Interest::READABLE).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::all;
    use crate::host::proc;

    #[tokio::test]
    async fn a_wait_ends_with_the_process_and_ignores_a_later_one_with_the_same_pid() {
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
