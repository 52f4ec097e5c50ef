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
/// It may have a second name: another user can give it one, where its mode lets that user write it. See
/// [`has_one_name`].
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
        Err(error) if error.kind() == ErrorKind::NotFound => match create(path, flags) {
            // Another user was faster: that file's bits are theirs.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => existing(true).or_else(|_| existing(false))?,
            created => created?,
        },
        Err(error) => return Err(why_not_opened(path, error)),
        Ok(file) => file,
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(no_regular_file()) }
}

/// Whether a file can be written without changing one of another name: any user may have put there what is about to be
/// emptied, perhaps by root. To be locked it needs no such proof.
#[must_use]
pub fn has_one_name(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.nlink() <= 1)
}

fn no_regular_file() -> io::Error {
    io::Error::other("it is a link, a pipe or a folder, not a regular file: remove it")
}

/// The kernel's words for a link or a socket are those of a network.
fn why_not_opened(path: &Path, error: io::Error) -> io::Error {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => no_regular_file(),
        Ok(_) | Err(_) => error,
    }
}

fn create(path: &Path, flags: i32) -> io::Result<File> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(MODE).custom_flags(flags);
    let file = options.open(path)?;
    // The umask has taken bits away.
    let _ = file.set_permissions(Permissions::from_mode(MODE));
    Ok(file)
}
