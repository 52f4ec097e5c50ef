//! The host's lock: one changing lcm at a time, for all users.
//!
//! It is the kernel's lock on an open file, so it ends with its holder, however that ends. Since the file can be unlinked
//! or replaced by its owner, a socket of the kernel's stands beside it, and the holder checks before each step that the
//! file at the path is still the one it holds. The name of the holder is written in the file, for messages only.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files::host_wide;
use crate::model::harmless;

mod socket;

pub use socket::Process;

/// Between two tries: short against any apply, long against the cost of a system call.
const POLL: Duration = Duration::from_millis(100);

/// A holder writes who it is within microseconds of taking the lock; this bounds how long we look for it.
const HOLDER_TRIES: u32 = 10;
const HOLDER_PAUSE: Duration = Duration::from_millis(20);

/// A file that is replaced each time it is locked is replaced on purpose.
const REPLACED_MAX: u32 = 10;

/// A holder that ends closes its file a moment before its socket; this bounds how long that is waited for.
const SOCKET_TRIES: u32 = 10;
const SOCKET_PAUSE: Duration = Duration::from_millis(20);

/// A holder's line is a few hundred bytes; anybody may write the file, so it is not read without an end.
const HOLDER_BYTES_MAX: u64 = 4096;

/// Who holds the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    pub user: String,
    pub command: String,
    pub since: Timestamp,
    pub project: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pid, user, command, since, project } = self;
        write!(formatter, "`{command}` of {user} (pid {pid}, project {project}), since {since:.0}")
    }
}

/// The lock, held until this is dropped or the process ends. The file stays.
#[derive(Debug)]
pub struct HostLock {
    path: PathBuf,
    file: File,
    /// Closed before the file is unlocked: the next holder must find both free.
    socket: Option<UnixListener>,
}

impl HostLock {
    /// Proves that the locked file is still the one at its path: the one that any other lcm would lock.
    pub fn check(&self) -> Result<(), LockError> {
        match is_at(&self.file, &self.path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(LockError::Replaced { path: self.path.clone() }),
            Err(error) => Err(LockError::Unusable { path: self.path.clone(), reason: error.to_string() }),
        }
    }
}

impl Drop for HostLock {
    fn drop(&mut self) {
        drop(self.socket.take());
        // Emptied first, so that nobody is named who does not hold it any more.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another lcm holds the lock {}: {}", path.display(), name_holder(holder.as_deref(), *process))]
    Held { path: PathBuf, holder: Option<Box<Holder>>, process: Option<Process> },
    #[error("the lock {} was removed or replaced while it was held", path.display())]
    Replaced { path: PathBuf },
    #[error("the lock {} can't be used: {reason}; or set LCM_LOCK to another path, the same for all users of this host", path.display())]
    Unusable { path: PathBuf, reason: String },
}

/// Takes the lock, waiting for it for at most `patience`. `on_wait` is told once who is waited for.
pub async fn take(
    path: &Path,
    holder: &Holder,
    patience: Duration,
    on_wait: impl Fn(&LockError),
) -> Result<HostLock, LockError> {
    let began = Instant::now();
    let mut told = false;
    loop {
        match try_take(path, holder) {
            Err(held @ LockError::Held { .. }) => {
                let left = patience.saturating_sub(began.elapsed());
                if left.is_zero() {
                    return Err(held);
                }
                if !told {
                    on_wait(&held);
                    told = true;
                }
                tokio::time::sleep(POLL.min(left)).await;
            }
            taken_or_unusable => return taken_or_unusable,
        }
    }
}

/// Takes the lock if it is free.
pub fn try_take(path: &Path, holder: &Holder) -> Result<HostLock, LockError> {
    let unusable = |error: io::Error| LockError::Unusable { path: path.to_owned(), reason: error.to_string() };
    for _ in 0..REPLACED_MAX {
        let mut file = host_wide::open_or_make(path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = host_wide::has_one_name(&file).then(|| read_holder(&mut file)).flatten().map(Box::new);
                return Err(LockError::Held { path: path.to_owned(), holder, process: socket::holder(path) });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        // Between opening and locking it may have been removed: then another lcm locks another file.
        if !is_at(&file, path).map_err(unusable)? {
            continue;
        }
        let socket = bind(path)?;
        let mut lock = HostLock { path: path.to_owned(), file, socket: Some(socket) };
        // Where the file is another user's and only readable, the lock holds all the same, without a name in it.
        if host_wide::has_one_name(&lock.file) {
            let _ = write_holder(&mut lock.file, holder);
        }
        return Ok(lock);
    }
    Err(LockError::Replaced { path: path.to_owned() })
}

/// Binds the socket, for which the lock file is held already.
fn bind(path: &Path) -> Result<UnixListener, LockError> {
    for attempt in 0..SOCKET_TRIES {
        if attempt > 0 {
            std::thread::sleep(SOCKET_PAUSE);
        }
        match socket::bind(path) {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => {
                let reason = format!("can't bind the socket beside it: {error}");
                return Err(LockError::Unusable { path: path.to_owned(), reason });
            }
        }
    }
    Err(LockError::Held { path: path.to_owned(), holder: None, process: socket::holder(path) })
}

/// Whether an open file is the one at this path.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_holder(file: &mut File, holder: &Holder) -> io::Result<()> {
    let mut line = serde_json::to_vec(holder)?;
    line.push(b'\n');
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&line)
}

fn read_holder(file: &mut File) -> Option<Holder> {
    for attempt in 0..HOLDER_TRIES {
        if attempt > 0 {
            std::thread::sleep(HOLDER_PAUSE);
        }
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).ok()?;
        let read = file.take(HOLDER_BYTES_MAX).read_to_string(&mut text);
        if read.is_ok()
            && let Ok(holder) = serde_json::from_str::<Holder>(&text)
        {
            return Some(made_harmless(holder));
        }
    }
    None
}

/// The file is anybody's to write, and this goes to a terminal.
fn made_harmless(holder: Holder) -> Holder {
    let clean = |text: String| harmless::line(&text);
    Holder {
        user: clean(holder.user),
        command: clean(holder.command),
        project: clean(holder.project),
        pid: holder.pid,
        since: holder.since,
    }
}

/// The holder's own line, and the process that the kernel names where that is another one.
fn name_holder(holder: Option<&Holder>, process: Option<Process>) -> String {
    match (holder, process) {
        (Some(holder), Some(process)) if i64::from(holder.pid) != i64::from(process.pid) => {
            format!("{holder}; its socket is held by {process}")
        }
        (Some(holder), _) => holder.to_string(),
        (None, Some(process)) => format!("its socket is held by {process}"),
        (None, None) => "what holds it has not given a name".to_owned(),
    }
}

#[cfg(test)]
mod tests;
