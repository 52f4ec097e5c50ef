//! Files that the command line has lcm write: never one that this run reads or that lcm keeps. `--out lcm.yaml` is a slip
//! of the finger, and the manifest would be gone.

use std::path::Path;

use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::files::named;
use crate::reconcile::wire;
use crate::shared;

/// Refuses a file that this run reads, or one in lcm's own folders.
pub(super) fn check(session: &Session, manifest: &Path, file: &Path) -> Result<(), EarlyExit> {
    if named::is_handed_over(file) {
        return Ok(());
    }
    let identity = named::identity(file);
    let environment = &session.environment;
    let refused = |what: &str| {
        let message = format!("{} is {what}, and would be lost: name another file to write", file.display());
        Err(EarlyExit::refused(Code::File, message))
    };
    if wire::manifest_files(manifest, environment).iter().any(|read| named::identity(read) == identity) {
        return refused("read by this command");
    }
    if identity.starts_with(named::identity(&wire::state_folder(environment))) {
        return refused("in lcm's state folder");
    }
    if is_beside_lock(&identity, &shared::lock(environment)) {
        return refused("lcm's lock, or one of its files beside that");
    }
    Ok(())
}

/// The lock and what users leave for each other have one name with different endings.
fn is_beside_lock(identity: &Path, lock: &Path) -> bool {
    let (Some(folder), Some(stem)) = (lock.parent(), lock.file_stem()) else { return false };
    let first = identity.strip_prefix(named::identity(folder)).ok().and_then(|rest| rest.components().next());
    first.is_some_and(|first| Path::new(first.as_os_str()).file_stem() == Some(stem))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::is_beside_lock;

    #[test]
    fn the_lock_and_its_neighbours_are_known_by_name() {
        let lock = Path::new("/no/such/lcm.lock");
        for path in ["/no/such/lcm.lock", "/no/such/lcm.owners/shop", "/no/such/lcm.reservations"] {
            assert!(is_beside_lock(Path::new(path), lock), "{path}");
        }
        for path in ["/no/such/plan.json", "/no/lcm.lock", "/no/such/lcm-plan.json"] {
            assert!(!is_beside_lock(Path::new(path), lock), "{path}");
        }
    }
}
