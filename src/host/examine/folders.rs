//! Folders that lcm and its services write to, as they are for the current user.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::geteuid;

use crate::files::{Refused, own, reach, user_text};
use crate::host::disk;
use crate::model::doctor::readings::{FolderReading, FolderState};

const WRITE_OF_OTHERS: u32 = 0o022;

/// Reads a folder of lcm's own.
pub(super) fn own(path: &Path) -> FolderReading {
    // A link to a folder is that folder; the links on the way are proven with it.
    let state = match fs::metadata(path) {
        Ok(found) => own_state(path, &found),
        Err(error) if error.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err() => {
            reach::not_creatable(path).map_or(FolderState::Absent, FolderState::Uncreatable)
        }
        Err(error) => FolderState::Unusable(error.to_string()),
    };
    FolderReading { path: path.to_owned(), state, free_mib: free_mib(path) }
}

fn own_state(path: &Path, found: &fs::Metadata) -> FolderState {
    let mode = found.mode() & 0o7777;
    if found.is_dir() {
        if found.uid() != geteuid().as_raw() {
            return FolderState::Foreign(user_text(found.uid()));
        }
        if mode & WRITE_OF_OTHERS != 0 {
            return FolderState::Open { mode };
        }
        if let Some(reason) = reach::not_writable(path) {
            return FolderState::Unwritable(reason);
        }
    }
    match own::prove_folder(path) {
        Ok(()) => FolderState::Usable { mode },
        Err(error) => FolderState::Unusable(
            Refused::of(&error).map_or_else(|| error.to_string(), |refused| refused.reason().to_owned()),
        ),
    }
}

/// Reads a folder for temporary files.
pub(super) fn temp(path: &Path) -> FolderReading {
    let state = match fs::metadata(path) {
        Ok(found) if !found.is_dir() => FolderState::Unusable("it is not a folder".to_owned()),
        Ok(found) => match reach::not_writable(path) {
            Some(reason) => FolderState::Unwritable(reason),
            None => FolderState::Open { mode: found.mode() & 0o7777 },
        },
        Err(error) if error.kind() == ErrorKind::NotFound => FolderState::Absent,
        Err(error) => FolderState::Unusable(error.to_string()),
    };
    FolderReading { path: path.to_owned(), state, free_mib: free_mib(path) }
}

/// Free space on the file system of a path that may be missing.
fn free_mib(path: &Path) -> Option<u64> {
    disk::free_mib(path.ancestors().find(|folder| folder.exists())?)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::{FolderState, own, temp};

    #[test]
    fn the_state_of_a_folder_is_read_without_a_change() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("state");
        assert_eq!(own(&path).state, FolderState::Absent);
        assert!(!path.exists());
        fs::create_dir(&path).expect("made");
        for (mode, expected) in [
            (0o700, FolderState::Usable { mode: 0o700 }),
            (0o755, FolderState::Usable { mode: 0o755 }),
            (0o777, FolderState::Open { mode: 0o777 }),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("set");
            assert_eq!(own(&path).state, expected);
        }
        assert!(own(&path).free_mib.is_some());
        let link = root.path().join("link");
        symlink(&path, &link).expect("linked");
        assert_eq!(own(&link).state, FolderState::Open { mode: 0o777 });
        let broken = root.path().join("broken");
        symlink("nowhere", &broken).expect("linked");
        assert!(matches!(own(&broken).state, FolderState::Unusable(_)), "nothing is created through a link");
        assert_eq!(temp(&path).state, FolderState::Open { mode: 0o777 });
        assert_eq!(temp(&root.path().join("none")).state, FolderState::Absent);
    }
}
