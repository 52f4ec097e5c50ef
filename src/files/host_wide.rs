//! The file that every user of a host locks: anyone may have made it, and may write it. What it holds proves nothing.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// Any user of the host must be able to take the lock after any other.
const MODE: u32 = 0o666;

/// Opens it for reading, and for writing where that is allowed; makes it where it is missing.
///
/// Opens without `O_CREAT` first: `fs.protected_regular` forbids creating over another user's file in a sticky folder.
/// The standard library sets `O_CLOEXEC`, so that no child inherits the lock. A pipe is opened without waiting for its
/// other end, and refused.
pub fn open_or_make(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let existing = |write: bool| OpenOptions::new().read(true).write(write).custom_flags(flags).open(path);
    let opened = match existing(true) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => existing(false),
        other => other,
    };
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => create(path, flags)?,
        Err(error) => return Err(why_not_opened(path, error)),
        Ok(file) => file,
    };
    // Any user may have put something else there: it is about to be emptied, perhaps by root.
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.nlink() > 1 {
        return Err(io::Error::other("it is not a regular file under one name"));
    }
    Ok(file)
}

/// The kernel's words for a link or a socket are those of a network.
fn why_not_opened(path: &Path, error: io::Error) -> io::Error {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => io::Error::other("it is not a regular file under one name"),
        Ok(_) | Err(_) => error,
    }
}

fn create(path: &Path, flags: i32) -> io::Result<File> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(MODE).custom_flags(flags);
    let file = options.open(path)?;
    // The umask has taken bits away; where the file turned out to be another user's, its bits are theirs.
    let _ = file.set_permissions(Permissions::from_mode(MODE));
    Ok(file)
}
