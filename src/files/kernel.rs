//! Pseudo-files of the kernel, below /proc and /sys, and small tables of the host (/etc/passwd). Reads are bounded,
//! since a process writes its own arguments and names there.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// Bound for a table of users or control groups, or a list of children: some hundred KiB on the largest hosts.
pub const TABLE_BYTES_MAX: u64 = 4 << 20;

/// Reads the first `bytes_max` bytes of a file.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the first `bytes_max` bytes of a file as text; invalid UTF-8 is replaced.
pub fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read(path, bytes_max)?).into_owned())
}

/// Reads a table, at most [`TABLE_BYTES_MAX`] of it.
pub fn table(path: impl AsRef<Path>) -> io::Result<String> {
    read_text(path.as_ref(), TABLE_BYTES_MAX)
}

/// Opens a pseudo-file for reading in parts.
pub fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Writes a kernel setting.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text)
}

/// Lists the names in a folder of the kernel, which bounds their number itself: by processes, threads and descriptors.
pub fn names(folder: &Path) -> io::Result<impl Iterator<Item = OsString> + use<>> {
    Ok(std::fs::read_dir(folder)?.flatten().map(|entry| entry.file_name()))
}

/// Opens the regular file behind a descriptor of a process (`/proc/PID/fd/N`), for reading. Another user's process may
/// hold any kind of file, so the open never waits for the other end of a pipe.
pub fn open_held(descriptor: &Path) -> io::Result<File> {
    let file = held(descriptor)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Opens the pipe behind a descriptor of a process, for reading without waiting.
pub fn open_held_pipe(descriptor: &Path) -> io::Result<File> {
    let file = held(descriptor)?;
    if file.metadata()?.file_type().is_fifo() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Reopens a pipe of this process, for reading and writing.
pub fn open_own_pipe(descriptor: BorrowedFd<'_>) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    File::options().read(true).write(true).open(path)
}

fn held(descriptor: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    File::options().read(true).custom_flags(flags).open(descriptor)
}
