//! Check of the output files that a command line names: never one that this run reads or that lcm keeps. With
//! `--out lcm.yaml`, a typing error, the manifest would be lost.

use std::path::Path;

use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::files::named;
use crate::reconcile::wire;
use crate::shared;

/// Refuses a file that this run reads, or one in lcm's own folders.
pub(super) fn check(session: &Session, manifest: &Path, file: &Path) -> Result<(), EarlyExit> {
    if named::is_inherited_descriptor(file) {
        return Ok(());
    }
    let identity = named::identity(file);
    if file == Path::new("-") {
        let message = "`-` names no file here; write /dev/stdout for standard output, or name a file";
        return Err(EarlyExit::refused(Code::File, message));
    }
    let environment = &session.environment;
    let refused = |what: &str| {
        let message = format!("{} is {what} and would be overwritten; name another output file", file.display());
        Err(EarlyExit::refused(Code::File, message))
    };
    if wire::manifest_files(manifest, environment).iter().any(|read| named::identity(read) == identity) {
        return refused("read by this command");
    }
    if identity.starts_with(named::identity(&wire::state_folder(environment))) {
        return refused("in lcm's state folder");
    }
    if is_beside_lock(&identity, &shared::lock(environment)) {
        return refused("lcm's lock or a file that lcm keeps beside it");
    }
    Ok(())
}

/// Returns true if a file is the lock or one that lcm keeps beside it: all have one name with different extensions.
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
    fn the_lock_and_the_files_beside_it_are_recognized_by_name() {
        let lock = Path::new("/no/such/lcm.lock");
        for path in ["/no/such/lcm.lock", "/no/such/lcm.owners/shop", "/no/such/lcm.reservations"] {
            assert!(is_beside_lock(Path::new(path), lock), "{path}");
        }
        for path in ["/no/such/plan.json", "/no/lcm.lock", "/no/such/lcm-plan.json"] {
            assert!(!is_beside_lock(Path::new(path), lock), "{path}");
        }
    }
}
