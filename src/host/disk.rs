//! Room on a file system, asked for before something is begun that would fill it. Nothing is reserved: whoever writes
//! next may take it all the same.

use std::path::Path;

use crate::host::error::DriverError;

const MIB: u64 = 1 << 20;

/// An error where the file system of this path has less room than `least_bytes`; `what` completes "there is no room
/// for …". Where it can't be told there is no error: the writing itself will say.
pub(crate) fn require(path: &Path, least_bytes: u64, what: &str) -> Result<(), DriverError> {
    match free_bytes(path) {
        Some(free) if free < least_bytes => Err(DriverError::Refused(format!(
            "there is no room for {what}: {} has {} MiB free, and it takes at least {} MiB",
            path.display(),
            free / MIB,
            least_bytes.div_ceil(MIB)
        ))),
        Some(_) | None => Ok(()),
    }
}

/// What a user without privileges could still write.
fn free_bytes(path: &Path) -> Option<u64> {
    let told = rustix::fs::statvfs(path).ok()?;
    // Some file systems keep no count.
    (told.f_blocks > 0).then(|| told.f_bavail.saturating_mul(told.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{free_bytes, require};

    #[test]
    fn a_file_system_without_room_is_named_with_its_figures() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = require(folder.path(), u64::MAX, "the image").expect_err("nobody has so much").to_string();
        let named = format!("no room for the image: {} has ", folder.path().display());
        assert!(error.contains(&named) && error.contains("MiB free"), "{error}");
        require(folder.path(), 0, "nothing").expect("there is always room for nothing");
    }

    #[test]
    fn what_keeps_no_count_or_is_not_there_is_no_error() {
        assert_eq!(free_bytes(Path::new("/proc")), None);
        require(Path::new("/proc"), u64::MAX, "a note").expect("it can't be told");
        require(Path::new("/no/such/folder"), u64::MAX, "a note").expect("it can't be told");
    }
}
