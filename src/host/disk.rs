//! Check of the free space on a file system before a write that would fill it. Nothing is reserved: another process
//! may take the space in between.

use std::path::Path;

use crate::host::error::DriverError;

const MIB: u64 = 1 << 20;

/// Returns an error if the file system of this path has fewer than `least_bytes` free; `what` completes "not enough
/// disk space for …". Free space that can't be read is no error: the write itself fails then.
pub(crate) fn require(path: &Path, least_bytes: u64, what: &str) -> Result<(), DriverError> {
    match free_bytes(path) {
        Some(free) if free < least_bytes => Err(DriverError::Refused(format!(
            "not enough disk space for {what}: {} has {} MiB free, and at least {} MiB are needed",
            path.display(),
            free / MIB,
            least_bytes.div_ceil(MIB)
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Returns the free space of a file system in MiB; `None`: unknown.
pub(crate) fn free_mib(path: &Path) -> Option<u64> {
    free_bytes(path).map(|bytes| bytes / MIB)
}

/// Bytes that an unprivileged user could still write; `None`: unknown.
fn free_bytes(path: &Path) -> Option<u64> {
    let stats = rustix::fs::statvfs(path).ok()?;
    // Some file systems keep no count.
    (stats.f_blocks > 0).then(|| stats.f_bavail.saturating_mul(stats.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{free_bytes, require};

    #[test]
    fn a_full_file_system_is_named_with_its_free_space() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = require(folder.path(), u64::MAX, "the image").expect_err("no disk is that large").to_string();
        let named = format!("not enough disk space for the image: {} has ", folder.path().display());
        assert!(error.contains(&named) && error.contains("MiB free"), "{error}");
        require(folder.path(), 0, "nothing").expect("zero bytes always fit");
    }

    #[test]
    fn a_file_system_without_a_count_or_a_missing_path_is_no_error() {
        assert_eq!(free_bytes(Path::new("/proc")), None);
        require(Path::new("/proc"), u64::MAX, "a note").expect("free space is unknown");
        require(Path::new("/no/such/folder"), u64::MAX, "a note").expect("free space is unknown");
    }
}
