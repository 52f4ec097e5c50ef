//! The host's lock, for the runs that change something, and the name under which they hold it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::reconcile::caller::Caller;
use crate::reconcile::error::ReconcileError;
use crate::reconcile::project::Project;
use crate::shared;
use crate::store::lock::{self, Holder, HostLock, LockError};

/// Takes it for this command, or says who holds it.
pub(crate) async fn take(
    caller: &dyn Caller,
    command: &str,
    project: &Project,
    patience: Duration,
) -> Result<HostLock, ReconcileError> {
    let holder = Holder {
        pid: std::process::id(),
        user: who(caller.environment()),
        command: command.to_owned(),
        since: project.driver().now(),
        project: project.desired.project.to_string(),
    };
    let path = shared::lock(caller.environment());
    project.driver().require_host_path(&path).await.map_err(|error| {
        ReconcileError::Lock(format!("{error}; another lcm on the host would not see this lock, so nothing is changed"))
    })?;
    let on_wait = |held: &LockError| caller.note(&format!("waiting: {held}"));
    lock::take(&path, &holder, patience, on_wait).await.map_err(|error| match error {
        LockError::Held { .. } => ReconcileError::Locked(error),
        LockError::Unusable { .. } | LockError::Replaced { .. } => ReconcileError::Lock(error.to_string()),
    })
}

/// Proves before a step that the lock is still this command's; a simulated world has none.
pub(crate) fn check(lock: Option<&HostLock>) -> Result<(), String> {
    let checked = lock.map_or(Ok(()), HostLock::check);
    checked.map_err(|error| format!("{error}, so no further step is begun; run it again"))
}

/// `kim`, `kim as root`, `kim as root from 10.0.0.7`: for messages, never for a decision.
pub(crate) fn who(environment: &BTreeMap<String, String>) -> String {
    let said = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let uid = rustix::process::geteuid();
    let user = if uid.is_root() {
        "root".to_owned()
    } else {
        said("USER").cloned().unwrap_or_else(|| format!("uid {}", uid.as_raw()))
    };
    let user = said("SUDO_USER").map_or_else(|| user.clone(), |person| format!("{person} as {user}"));
    // `address port port`, by the SSH server.
    let from = said("SSH_CONNECTION").and_then(|connection| connection.split(' ').next());
    from.map_or_else(|| user.clone(), |from| format!("{user} from {from}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::who;

    #[test]
    fn who_it_is_says_where_from() {
        let environment = BTreeMap::from([
            ("SUDO_USER".to_owned(), "kim".to_owned()),
            ("SSH_CONNECTION".to_owned(), "10.0.0.7 40000 10.0.0.1 22".to_owned()),
        ]);
        let who = who(&environment);
        assert!(who.starts_with("kim as ") && who.ends_with(" from 10.0.0.7"), "{who}");
    }
}
