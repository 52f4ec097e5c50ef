//! Files that root reads or executes and that another user can write: `apply` warns of them, and a watch by root
//! refuses them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::files::trust::{Writable, writable_by_others};
use crate::model::desired::Desired;
use crate::reconcile::caller::Caller;
use crate::reconcile::wire;
use crate::syntax::Environment;

/// Warnings of one run: where a whole tree is shared, a list of its files is of no use.
const WARNINGS_MAX: usize = 8;

/// Returns the manifest, its includes and env files, and the programs that it names by a path, as far as a user besides
/// root and the present one can write them or a folder on the way; each folder or file once.
pub(crate) fn writable(desired: &Desired, manifest: &Path, environment: &Environment) -> BTreeSet<Writable> {
    let read: Vec<PathBuf> = wire::manifest_files(manifest, environment);
    // A missing file is reported elsewhere.
    read.iter().chain(&desired.programs()).filter_map(|path| writable_by_others(path).ok().flatten()).collect()
}

/// Warns root of files that another user can write.
pub(crate) fn warn_root(caller: &dyn Caller, desired: &Desired, manifest: &Path) {
    if !geteuid().is_root() {
        return;
    }
    let found = writable(desired, manifest, caller.environment());
    for writable in found.iter().take(WARNINGS_MAX) {
        caller.warn(&format!(
            "another user can write {writable}, which root reads or executes here, and so can run anything as root: run \
             lcm as that user, or keep the manifest and its programs in folders that root owns"
        ));
    }
    if let Some(more) = found.len().checked_sub(WARNINGS_MAX).filter(|more| *more > 0) {
        caller.warn(&format!("another user can write {more} more files that root reads or executes here"));
    }
}
