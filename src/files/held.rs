//! Files and folders held open for their identity alone: while a descriptor is open, the kernel does not reuse the
//! inode number.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

/// Opens a path (`O_PATH`: no right to read it) at the lowest free descriptor from `first` on. Links are followed: the
/// file that they lead to now is held.
pub fn hold(path: &Path, first: i32) -> io::Result<OwnedFd> {
    let opened = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::io::fcntl_dupfd_cloexec(&opened, first)?)
}
