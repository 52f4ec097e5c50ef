//! The host's lock: one changing lcm at a time, whoever runs it.
//!
//! It is the kernel's lock on an open file, so it ends with its holder, however that ends. Who holds it is written in
//! the file, for messages only: nothing is ever decided by what stands there.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::model::harmless;

/// The lock is the host's, whoever runs lcm, since the GPU is.
const FILE: &str = "/run/lock/lcm.lock";

/// Between two tries: short against any apply, long against the cost of a system call.
const POLL: Duration = Duration::from_millis(100);

/// A holder writes who it is within microseconds of taking the lock; this bounds how long we look for it.
const HOLDER_TRIES: u32 = 10;
const HOLDER_PAUSE: Duration = Duration::from_millis(20);

/// A holder's line is a few hundred bytes; anybody may write the file, so it is not read without an end.
const HOLDER_BYTES_MAX: u64 = 4096;

/// Any user of the host must be able to take the lock after any other.
const MODE: u32 = 0o666;

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
    file: File,
}

impl Drop for HostLock {
    fn drop(&mut self) {
        // Emptied first, so that nobody is named who does not hold it any more.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another lcm holds the lock {}: {}", path.display(), name_holder(holder.as_ref()))]
    Held { path: PathBuf, holder: Option<Holder> },
    #[error("the lock {} can't be used: {reason}; LCM_LOCK names another file", path.display())]
    Unusable { path: PathBuf, reason: String },
}

/// Where the lock is; `LCM_LOCK` moves it.
#[must_use]
pub fn file(environment: &BTreeMap<String, String>) -> PathBuf {
    let moved = environment.get("LCM_LOCK").filter(|value| !value.is_empty());
    moved.map_or_else(|| PathBuf::from(FILE), PathBuf::from)
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
    let mut file = open(path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(LockError::Held { path: path.to_owned(), holder: read_holder(&mut file) });
        }
        Err(TryLockError::Error(error)) => return Err(unusable(error)),
    }
    let mut lock = HostLock { file };
    // Where the file is somebody else's and only readable, the lock holds all the same, without a name in it.
    let _ = write_holder(&mut lock.file, holder);
    Ok(lock)
}

/// Opens without `O_CREAT` first: `fs.protected_regular` forbids creating over another user's file in a sticky folder.
/// The standard library sets `O_CLOEXEC`, so that no child inherits the lock.
fn open(path: &Path) -> io::Result<File> {
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let existing = |write: bool| OpenOptions::new().read(true).write(write).custom_flags(no_follow).open(path);
    let opened = match existing(true) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => existing(false),
        other => other,
    };
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => create(path, no_follow)?,
        other => other?,
    };
    // Anybody may have put something else there: it is about to be emptied, perhaps by root.
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.nlink() > 1 {
        return Err(io::Error::other("it is not a plain file of one name"));
    }
    Ok(file)
}

fn create(path: &Path, no_follow: i32) -> io::Result<File> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(MODE).custom_flags(no_follow);
    let file = options.open(path)?;
    // The umask has taken bits away; where the file turned out to be somebody else's, its bits are theirs.
    let _ = file.set_permissions(Permissions::from_mode(MODE));
    Ok(file)
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

fn name_holder(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "it does not say who".to_owned(), Holder::to_string)
}

#[cfg(test)]
mod tests;
