//! Looks at paths without changing them: what the current user could do there.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Access, access};

use crate::files::user_text;

/// Returns the reason why the current user can't create and remove files in a folder; `None`: the user can.
#[must_use]
pub fn not_writable(folder: &Path) -> Option<String> {
    access(folder, Access::WRITE_OK | Access::EXEC_OK).err().map(|error| io::Error::from(error).to_string())
}

/// Returns the reason why the current user can't create a missing file or folder, with the folders that it lacks;
/// `None`: the user can.
#[must_use]
pub fn not_creatable(path: &Path) -> Option<String> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = path.ancestors().skip(1).find(|folder| folder.symlink_metadata().is_ok())?;
    match fs::metadata(there) {
        Ok(found) if !found.is_dir() => Some(format!("{} is not a folder", there.display())),
        Ok(found) => {
            let reason = not_writable(there)?;
            Some(format!("{} is owned by {} ({reason})", there.display(), user_text(owner(&found))))
        }
        Err(error) => Some(format!("{}: {error}", there.display())),
    }
}

fn owner(found: &fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::uid(found)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{not_creatable, not_writable};

    #[test]
    fn the_nearest_folder_that_is_there_decides() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(not_creatable(&folder.path().join("a/b/c")), None);
        assert!(!folder.path().join("a").exists(), "nothing is created");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("written");
        assert_eq!(not_creatable(&file.join("b")), Some(format!("{} is not a folder", file.display())));
        assert!(not_writable(Path::new("/proc/self/nowhere")).is_some());
        assert_eq!(not_writable(folder.path()), None);
    }
}
