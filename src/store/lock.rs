//! The host's lock: one changing lcm at a time, for all users.
//!
//! It is the kernel's lock on an open file, so it ends with its holder, in every case. Since the file can be unlinked
//! or replaced by its owner, an abstract socket is bound beside it, and the holder checks before each step that the
//! file at the path is still the one that it holds. The name of the holder is written in the file, for messages only.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::lease::{
    FencingToken, Grant, Guard, Lease, LeaseError, LeaseHolder, LeaseRequest, LeaseScope, acquire_in_time,
};
use crate::files::host_wide;
use crate::model::safe_text;

mod look;
mod socket;
mod token;

/// A holder writes its name within microseconds of taking the lock; this bounds the wait for it.
const HOLDER_TRIES: u32 = 10;
const HOLDER_PAUSE: Duration = Duration::from_millis(20);

/// A file that is replaced each time it is locked is replaced on purpose.
const REPLACED_MAX: u32 = 10;

/// A holder that ends closes its file a moment before its socket; this bounds the wait for it.
const SOCKET_TRIES: u32 = 10;
const SOCKET_PAUSE: Duration = Duration::from_millis(20);

/// The holder's line is a few hundred bytes. Every user may write the file, so the read is bounded.
const HOLDER_BYTES_MAX: u64 = 4096;

/// Locks of this host: one file, whose path all users share.
#[derive(Clone, Debug)]
pub struct HostLock {
    path: PathBuf,
}

impl HostLock {
    /// Returns the lock at a path. Touches nothing yet.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

#[async_trait]
impl Lease for HostLock {
    /// System calls and the short pauses between them are made off the runtime's threads.
    async fn acquire(&self, scope: &LeaseScope, request: &LeaseRequest<'_>) -> Result<Grant, LeaseError> {
        if *scope != LeaseScope::host() {
            return Err(LeaseError::Unusable {
                lease: name(&self.path),
                reason: format!("it covers the host, not {scope}"),
            });
        }
        acquire_in_time(request, || {
            let (path, holder, newest) = (self.path.clone(), request.holder.clone(), request.newest);
            let attempt = tokio::task::spawn_blocking(move || try_take(&path, &holder, newest));
            async {
                // Only the end of the runtime cancels an attempt.
                attempt.await.unwrap_or_else(|error| match error.try_into_panic() {
                    Ok(panic) => resume_unwind(panic),
                    Err(error) => Err(unusable(&self.path, &error)),
                })
            }
        })
        .await
    }
}

/// The lock, held until this is dropped or the process ends. The file stays.
#[derive(Debug)]
struct LockGuard {
    path: PathBuf,
    file: File,
    /// Closed before the file is unlocked: the next holder must find both free.
    socket: Option<UnixListener>,
}

impl Guard for LockGuard {
    /// Proves that the locked file is still the one at its path, which any other lcm would lock.
    fn check(&self) -> Result<(), LeaseError> {
        match is_at(&self.file, &self.path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(LeaseError::Lost { lease: name(&self.path) }),
            Err(error) => Err(unusable(&self.path, &error)),
        }
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        drop(self.socket.take());
        // Emptied first, so that no message names a holder that has released the lock.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

fn name(path: &Path) -> String {
    format!("the lock {}", path.display())
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> LeaseError {
    let reason = format!("{reason}; or set LCM_LOCK to another path, the same for all users of this host");
    LeaseError::Unusable { lease: name(path), reason }
}

/// Takes the lock if it is free.
fn try_take(path: &Path, holder: &LeaseHolder, newest: FencingToken) -> Result<Grant, LeaseError> {
    let io_error = |error: io::Error| unusable(path, &error);
    for _ in 0..REPLACED_MAX {
        let mut file = host_wide::open_or_create(path).map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = host_wide::has_single_link(&file).then(|| read_holder(&mut file)).flatten().map(Box::new);
                return Err(LeaseError::Held { lease: name(path), holder, process: socket::holder(path) });
            }
            Err(TryLockError::Error(error)) => return Err(io_error(error)),
        }
        // Between opening and locking, the file may have been removed: then another lcm locks another file.
        if !is_at(&file, path).map_err(io_error)? {
            continue;
        }
        let socket = bind(path)?;
        let mut lock = LockGuard { path: path.to_owned(), file, socket: Some(socket) };
        // Where the file is another user's and only readable, the lock holds all the same, without a name in it.
        if host_wide::has_single_link(&lock.file) {
            let _ = write_holder(&mut lock.file, holder);
        }
        return Ok(Grant::new(token::next(path, newest, Timestamp::now()), Box::new(lock)));
    }
    Err(LeaseError::Lost { lease: name(path) })
}

/// Binds the socket, while the lock file is held already.
fn bind(path: &Path) -> Result<UnixListener, LeaseError> {
    for attempt in 0..SOCKET_TRIES {
        if attempt > 0 {
            std::thread::sleep(SOCKET_PAUSE);
        }
        match socket::bind(path) {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(unusable(path, &format!("can't bind the socket beside it: {error}")));
            }
        }
    }
    Err(LeaseError::Held { lease: name(path), holder: None, process: socket::holder(path) })
}

/// Returns true if an open file is the one at this path.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_holder(file: &mut File, holder: &LeaseHolder) -> io::Result<()> {
    let mut line = serde_json::to_vec(holder)?;
    line.push(b'\n');
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&line)
}

fn read_holder(file: &mut File) -> Option<LeaseHolder> {
    for attempt in 0..HOLDER_TRIES {
        if attempt > 0 {
            std::thread::sleep(HOLDER_PAUSE);
        }
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).ok()?;
        let read = file.take(HOLDER_BYTES_MAX).read_to_string(&mut text);
        if read.is_ok()
            && let Ok(holder) = serde_json::from_str::<LeaseHolder>(&text)
        {
            return Some(made_harmless(holder));
        }
    }
    None
}

/// Makes a holder's texts safe to show: every user may write the file, and messages go to a terminal.
fn made_harmless(holder: LeaseHolder) -> LeaseHolder {
    let clean = |text: String| safe_text::line(&text);
    LeaseHolder {
        user: clean(holder.user),
        command: clean(holder.command),
        project: clean(holder.project),
        pid: holder.pid,
        since: holder.since,
    }
}

#[cfg(test)]
mod tests;
