//! Look at the file of a store without opening it as a database, which would create files beside it.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use super::format::FORMAT;
use super::store::Sqlite;
use crate::files::own;
use crate::model::doctor::readings::StoreReading;

/// Beginning of every database file.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Bytes of a database file's header.
const HEADER_BYTES: usize = 100;
/// Place of `user_version` in the header, which has the format of a store. During an upgrade the newer one may be in
/// the log beside the file.
const VERSION: std::ops::Range<usize> = 60..64;

/// Returns the state of the store in a state folder, and the format that this lcm writes.
#[must_use]
pub fn look(folder: &Path) -> (StoreReading, u32) {
    (read(&Sqlite::file_in(folder)), FORMAT)
}

fn read(file: &Path) -> StoreReading {
    let mut header = Vec::new();
    let opened = own::open(file).and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut header));
    match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return StoreReading::Absent,
        Err(error) => return StoreReading::Unreadable(error.to_string()),
        Ok(_) => {}
    }
    let version = header.get(VERSION).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    match version {
        Some(version @ 1..) if header.starts_with(MAGIC) => StoreReading::Format(version),
        Some(_) | None => StoreReading::NotAStore,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::{FORMAT, Sqlite, look};
    use crate::model::doctor::readings::StoreReading;

    #[tokio::test]
    async fn the_format_is_read_without_a_file_beside_the_store() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        assert_eq!(look(&state), (StoreReading::Absent, FORMAT));
        assert!(!state.exists());
        Sqlite::at(&state).ensure_writable().await.expect("written");
        let before = fs::read_dir(&state).expect("there").count();
        assert_eq!(look(&state).0, StoreReading::Format(FORMAT));
        assert_eq!(fs::read_dir(&state).expect("there").count(), before);

        let file = Sqlite::file_in(&state);
        for (text, what) in [("", "an emptied store"), ("no database, but a text of some length", "a text")] {
            fs::write(&file, text).expect("written");
            assert_eq!(look(&state).0, StoreReading::NotAStore, "{what}");
        }
        fs::set_permissions(&state, Permissions::from_mode(0o777)).expect("set");
        assert!(matches!(look(&state).0, StoreReading::Unreadable(why) if why.contains("mode 0777")));
    }
}
