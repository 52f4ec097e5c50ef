//! Files and folders held open for nothing but their identity: while they are, the kernel gives their number to no other.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

/// Opens a path without the right to read it, at the lowest free descriptor from `first` on. Links are followed: what
/// counts is where they lead now.
pub fn hold(path: &Path, first: i32) -> io::Result<OwnedFd> {
    let opened = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::io::fcntl_dupfd_cloexec(&opened, first)?)
}
