//! File access, by owner and trust: lcm's own files ([`own`]), files that the caller names ([`named`], [`output`]), pid
//! files for other programs ([`pid_file`]), files shared by the host's users ([`shared`], [`host_wide`]) and /proc
//! ([`kernel`]); [`trust`] finds files that other users can write, and [`reach`]
//! looks at folders without a change.
//!
//! In: a path, and a bound in bytes for each read. Out: bytes or an open file, after checks of kind, owner, mode and
//! links; else an error, which names the reason ([`Refused`]). No open waits for the other end of a pipe.
//! Not here: the format of any file. Its module parses it.

pub mod held;
pub mod host_wide;
pub mod kernel;
pub mod named;
pub mod output;
pub mod own;
pub mod pid_file;
pub mod reach;
pub mod shared;
pub mod trust;
mod way;

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};
use rustix::process::geteuid;

/// Reason why lcm does not use an existing file; the payload of an [`io::Error`].
#[derive(Debug)]
pub struct Refused {
    path: PathBuf,
    reason: String,
}

impl Refused {
    /// Returns the reason alone, as a predicate: `is a named pipe, not a regular file`.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns the refusal within an error, if there is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for Refused {}

fn refused(kind: io::ErrorKind, path: &Path, reason: String) -> io::Error {
    io::Error::new(kind, Refused { path: path.to_owned(), reason })
}

fn denied(path: &Path, reason: String) -> io::Error {
    refused(io::ErrorKind::PermissionDenied, path, reason)
}

/// Reads an open file to its end; a file of more than `bytes_max` bytes is an error.
fn read_bounded(file: &mut File, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let reason = format!("is larger than {}", size_text(bytes_max));
        return Err(refused(io::ErrorKind::FileTooLarge, path, reason));
    }
    Ok(bytes)
}

fn size_text(bytes: u64) -> String {
    match bytes {
        whole if whole >= 1 << 20 && whole.is_multiple_of(1 << 20) => format!("{} MiB", whole >> 20),
        whole if whole >= 1 << 10 && whole.is_multiple_of(1 << 10) => format!("{} KiB", whole >> 10),
        bytes => format!("{bytes} bytes"),
    }
}

fn kind_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn kind_text(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a link",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "a file of an unknown kind",
    }
}

/// Returns the permission bits, without the file type.
fn mode_of(stat: &Stat) -> u32 {
    stat.st_mode & 0o7777
}

fn is_mine(stat: &Stat) -> bool {
    stat.st_uid == geteuid().as_raw()
}

/// Returns true for root and the user that lcm runs as: neither plants files against that user.
fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

/// Formats a user by name and uid, as far as /etc/passwd has the name: `kim (uid 1000)`.
#[must_use]
pub fn user_text(uid: u32) -> String {
    /// Above the size of the file on a host with every user of a company.
    const PASSWD_BYTES_MAX: u64 = 1 << 20;
    let users = kernel::read_text(Path::new("/etc/passwd"), PASSWD_BYTES_MAX).unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid)).then_some(name)
    });
    name.map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})"))
}
