//! Lease: the right to change what a scope covers, held by one run at a time. Each grant has a fencing token, greater
//! than that of every earlier grant, so that a write of a holder that lost its lease is distinct from a write of its
//! successor.
//!
//! Not here: how a lease is held. The host's lock is [`super::lock::HostLock`]; a simulation has a lease in memory.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

/// Pause between two tries: short against any apply, long against the cost of a system call.
const POLL: Duration = Duration::from_millis(100);

/// Scope of a lease, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseScope(String);

impl LeaseScope {
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Returns the scope of this host: its GPUs, ports, containers and processes.
    #[must_use]
    pub fn host() -> Self {
        Self::new("host")
    }
}

impl fmt::Display for LeaseScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// Number of a grant; it rises with every grant of a scope. 0: no grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FencingToken(pub u64);

impl FencingToken {
    /// Returns a token above those that are known to be taken: at least the time in µs, since counters may be lost with
    /// a reboot, and time is not.
    pub(super) fn above(taken: impl IntoIterator<Item = Self>, now: Timestamp) -> Self {
        let time = Self(u64::try_from(now.as_microsecond()).unwrap_or_default());
        let next = taken.into_iter().map(|Self(taken)| Self(taken.saturating_add(1)));
        next.max().map_or(time, |next| next.max(time))
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Holder of a lease, for messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseHolder {
    pub pid: u32,
    pub user: String,
    pub command: String,
    pub since: Timestamp,
    pub project: String,
}

impl fmt::Display for LeaseHolder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, user, command, since, project } = self;
        write!(formatter, "`{command}` of {user} (pid {pid}, project {project}), since {since:.0}")
    }
}

/// Process that holds a lease, as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub uid: u32,
}

impl fmt::Display for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "pid {} of uid {}", self.pid, self.uid)
    }
}

/// Request for a lease.
#[expect(missing_debug_implementations, reason = "a closure has nothing to show")]
#[derive(Clone, Copy)]
pub struct LeaseRequest<'a> {
    pub holder: &'a LeaseHolder,
    /// Longest wait for the present holder; 0: none.
    pub wait_max: Duration,
    /// Newest token that the caller's records have; the grant's is greater.
    pub newest: FencingToken,
    /// Called once, with the refusal, if the request has to wait.
    pub on_wait: &'a (dyn Fn(&LeaseError) + Sync),
}

/// Leases of one kind.
#[async_trait]
pub trait Lease: Send + Sync {
    /// Acquires the lease of a scope. A holder is waited for as long as the request allows; a future that is dropped
    /// acquires nothing, or releases it at once.
    async fn acquire(&self, scope: &LeaseScope, request: &LeaseRequest<'_>) -> Result<Grant, LeaseError>;
}

/// Lease that is held. Dropping it releases the lease.
pub trait Guard: fmt::Debug + Send + Sync {
    /// Proves that the lease is still held.
    fn check(&self) -> Result<(), LeaseError>;
}

/// Lease of a scope, held until this is dropped or the process ends.
#[derive(Debug)]
pub struct Grant {
    token: FencingToken,
    guard: Box<dyn Guard>,
}

impl Grant {
    #[must_use]
    pub fn new(token: FencingToken, guard: Box<dyn Guard>) -> Self {
        Self { token, guard }
    }

    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// Proves that the lease is still held.
    pub fn check(&self) -> Result<(), LeaseError> {
        self.guard.check()
    }
}

/// Refusal or loss of a lease. `lease` names it: `the lock /run/lock/lcm.lock`.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("another lcm holds {lease}: {}", name_holder(holder.as_deref(), *process))]
    Held { lease: String, holder: Option<Box<LeaseHolder>>, process: Option<Process> },
    #[error("{lease} was removed or replaced while it was held")]
    Lost { lease: String },
    #[error("{lease} can't be used: {reason}")]
    Unusable { lease: String, reason: String },
}

/// Returns the holder by its own record, and the process that the kernel reports where that is another one.
pub(super) fn name_holder(holder: Option<&LeaseHolder>, process: Option<Process>) -> String {
    match (holder, process) {
        (Some(holder), Some(process)) if i64::from(holder.pid) != i64::from(process.pid) => {
            format!("{holder}; its socket is held by {process}")
        }
        (Some(holder), _) => holder.to_string(),
        (None, Some(process)) => format!("its socket is held by {process}"),
        (None, None) => "its holder is unknown".to_owned(),
    }
}

/// Tries to acquire a lease until that succeeds or the request's `wait_max` is over.
pub(super) async fn acquire_in_time<F>(
    request: &LeaseRequest<'_>,
    mut attempt: impl FnMut() -> F + Send,
) -> Result<Grant, LeaseError>
where
    F: Future<Output = Result<Grant, LeaseError>> + Send,
{
    let began = Instant::now();
    let mut reported = false;
    loop {
        match attempt().await {
            Err(held @ LeaseError::Held { .. }) => {
                let left = request.wait_max.saturating_sub(began.elapsed());
                if left.is_zero() {
                    return Err(held);
                }
                if !reported {
                    (request.on_wait)(&held);
                    reported = true;
                }
                sleep(POLL.min(left)).await;
            }
            acquired @ Ok(_) => return acquired,
            refused @ Err(LeaseError::Lost { .. } | LeaseError::Unusable { .. }) => return refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::FencingToken;

    #[test]
    fn a_token_is_above_all_that_are_taken_and_not_below_the_time() {
        let now = Timestamp::from_second(1).expect("in range");
        assert_eq!(FencingToken::above([], now), FencingToken(1_000_000));
        assert_eq!(FencingToken::above([FencingToken(7)], now), FencingToken(1_000_000));
        assert_eq!(FencingToken::above([FencingToken(7), FencingToken(1_000_000)], now), FencingToken(1_000_001));
        let past = Timestamp::from_second(-1).expect("in range");
        assert_eq!(FencingToken::above([FencingToken(7)], past), FencingToken(8), "a clock that was set back");
    }
}
