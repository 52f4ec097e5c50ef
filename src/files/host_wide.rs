//! The lock file that all users of a host share: any user may have created it and may write it. Its content proves
//! nothing.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// Any user of the host must be able to take the lock after any other.
const MODE: u32 = 0o666;

/// Opens the lock file for reading, and for writing where that is allowed; creates a missing file.
///
/// The file may have a second hard link: another user who can write it can create one. See [`has_single_link`].
///
/// Opens without `O_CREAT` first: `fs.protected_regular` forbids creating over another user's file in a sticky folder.
/// The standard library sets `O_CLOEXEC`, so that no child inherits the lock. A pipe is opened without waiting for its
/// other end, and is an error.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let existing = |write: bool| OpenOptions::new().read(true).write(write).custom_flags(flags).open(path);
    let opened = match existing(true) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => existing(false),
        other => other,
    };
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => match create(path, flags) {
            // Another user created the file first: its permissions are theirs to set.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => existing(true).or_else(|_| existing(false))?,
            created => created?,
        },
        Err(error) => return Err(why_not_opened(path, error)),
        Ok(file) => file,
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_a_regular_file()) }
}

/// Opens an existing lock file for reading, to look at it.
pub fn open_existing(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = opened.map_err(|error| why_not_opened(path, error))?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_a_regular_file()) }
}

/// Returns true if the file has a single hard link, so that a write to it changes no file of another name. Any user may
/// have placed it, and root may truncate it. A lock needs no such proof.
#[must_use]
pub fn has_single_link(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.nlink() <= 1)
}

fn not_a_regular_file() -> io::Error {
    io::Error::other("it is a link, a pipe or a folder, not a regular file; remove it")
}

/// Explains why a file can't be opened: for a link or a socket the kernel's own error speaks of networks.
fn why_not_opened(path: &Path, error: io::Error) -> io::Error {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => not_a_regular_file(),
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
    // The umask has removed bits.
    let _ = file.set_permissions(Permissions::from_mode(MODE));
    Ok(file)
}
