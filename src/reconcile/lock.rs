//! The lease of a run that changes something, and the name under which it is held: the host's lock, and for a
//! simulation a lease in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::reconcile::caller::Caller;
use crate::reconcile::error::ReconcileError;
use crate::reconcile::project::Project;
use crate::shared;
use crate::store::lock::HostLock;
use crate::store::memory::MemoryLease;
use crate::store::{Grant, Lease, LeaseError, LeaseHolder, LeaseRequest, LeaseScope};

/// Takes the host's lock for this command, or reports its holder.
pub(crate) async fn take(
    caller: &dyn Caller,
    command: &str,
    project: &Project,
    wait_max: Duration,
) -> Result<Grant, ReconcileError> {
    let holder = LeaseHolder {
        pid: std::process::id(),
        user: who(caller.environment()),
        command: command.to_owned(),
        since: project.driver().now(),
        project: project.desired.project.to_string(),
    };
    if project.is_simulated() {
        return acquire(&MemoryLease::default(), caller, project, (&holder, wait_max)).await;
    }
    let path = shared::lock(caller.environment());
    project.driver().require_host_path(&path).await.map_err(|error| {
        ReconcileError::Lock(format!("{error}; another lcm on the host would not see this lock, so nothing is changed"))
    })?;
    acquire(&HostLock::at(&path), caller, project, (&holder, wait_max)).await
}

/// Acquires the host's lease with a token above all that this user's store has on record.
async fn acquire(
    lease: &dyn Lease,
    caller: &dyn Caller,
    project: &Project,
    (holder, wait_max): (&LeaseHolder, Duration),
) -> Result<Grant, ReconcileError> {
    // A store that can't be read is reported when the run begins.
    let newest = project.store().newest_token().await.unwrap_or_default();
    let on_wait = |held: &LeaseError| caller.note(&format!("waiting: {held}"));
    let request = LeaseRequest { holder, wait_max, newest, on_wait: &on_wait };
    lease.acquire(&LeaseScope::host(), &request).await.map_err(|error| match error {
        LeaseError::Held { .. } => ReconcileError::Locked(error),
        LeaseError::Unusable { .. } | LeaseError::Lost { .. } => ReconcileError::Lock(error.to_string()),
    })
}

/// Proves before a step that this command still holds the lock.
pub(crate) fn check(lock: &Grant) -> Result<(), String> {
    lock.check().map_err(|error| format!("{error}, so no further step is begun; run it again"))
}

/// Returns the user for messages, never for a decision: `kim`, `kim as root`, `kim as root from 10.0.0.7`.
pub(crate) fn who(environment: &BTreeMap<String, String>) -> String {
    let value = |name: &str| environment.get(name).filter(|text| !text.is_empty());
    let uid = rustix::process::geteuid();
    let user = if uid.is_root() {
        "root".to_owned()
    } else {
        value("USER").cloned().unwrap_or_else(|| format!("uid {}", uid.as_raw()))
    };
    let user = value("SUDO_USER").map_or_else(|| user.clone(), |person| format!("{person} as {user}"));
    // `address port port`, set by the SSH server.
    let from = value("SSH_CONNECTION").and_then(|connection| connection.split(' ').next());
    from.map_or_else(|| user.clone(), |from| format!("{user} from {from}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::who;

    #[test]
    fn the_user_is_named_with_the_address() {
        let environment = BTreeMap::from([
            ("SUDO_USER".to_owned(), "kim".to_owned()),
            ("SSH_CONNECTION".to_owned(), "10.0.0.7 40000 10.0.0.1 22".to_owned()),
        ]);
        let who = who(&environment);
        assert!(who.starts_with("kim as ") && who.ends_with(" from 10.0.0.7"), "{who}");
    }
}
