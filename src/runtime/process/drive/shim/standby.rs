//! The standby of a shim: lcm executed again, which relays the service's output should the shim be killed. It is no part
//! of the service: it is started before the shim becomes a sub-reaper, by a stage that ends at once, and so is not below
//! the shim; and it carries none of lcm's marks.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::setsid;
use serde::{Deserialize, Serialize};

use crate::files::{kernel, own};
use crate::host::program::ignored;
use crate::model::facts::ProcessFact;
use crate::runtime::process::drive::folder::{Folder, StartNote};
use crate::runtime::process::drive::processes::Processes;
use crate::runtime::process::drive::shim::relay::{self, LogSpec, Relay};
use crate::runtime::process::drive::{helper, log};

/// The hidden subcommand by which lcm becomes a standby.
pub(crate) const SUBCOMMAND: &str = "__relay";
/// The stage that starts the standby itself and ends.
const FIRST_STAGE: &str = "starts";
const STANDBY: &str = "standby";
/// The same two for a service that has neither shim nor standby any more.
const FIRST_STAGE_REVIVING: &str = "revives";
const REVIVED: &str = "revived";
/// Names and numbers: orders beyond this are no orders.
const ORDERS_BYTES_MAX: u64 = 1 << 20;
/// A standby that is not needed any more ends within a millisecond; one that still relays for a process which fled is
/// not waited for.
const LEAVE_WAIT: Duration = Duration::from_millis(200);

/// What a standby needs to know.
#[derive(Serialize, Deserialize)]
pub(crate) struct StandbySpec {
    folder: PathBuf,
    log: LogSpec,
    /// For a revived one: the pipe, and who may hold it.
    #[serde(default)]
    pipe: u64,
    #[serde(default)]
    holders: Vec<i32>,
}

/// The shim's hold on its standby; the standby relays when this is closed, as by the shim's death.
pub(crate) struct Standby(UnixStream);

impl Standby {
    /// Starts one. Must be called before the caller becomes a sub-reaper.
    pub(crate) fn start(pipe: &File) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut stage = command(FIRST_STAGE);
        stage.stdin(OwnedFd::from(theirs)).stdout(pipe.try_clone()?);
        let mut stage = stage.spawn()?;
        stage.wait()?;
        Ok(Self(ours))
    }

    pub(crate) fn order(&mut self, folder: &Folder, log: &LogSpec) -> io::Result<()> {
        let orders = StandbySpec { folder: folder.path().to_owned(), log: log.clone(), pipe: 0, holders: Vec::new() };
        let mut line = serde_json::to_vec(&orders).map_err(io::Error::other)?;
        line.push(b'\n');
        self.0.write_all(&line)
    }

    /// Nothing is left to relay: it may go, and is waited for.
    pub(crate) fn release(mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
        let _ = self.0.set_read_timeout(Some(LEAVE_WAIT));
        let _ = self.0.read(&mut [0; 1]);
    }
}

/// Whether neither a shim nor a standby relays the output of this start, as far as its end is not known.
pub(crate) fn is_lost(folder: &Folder, note: &StartNote) -> bool {
    let is_free = |path: PathBuf| own::open(&path).is_ok_and(|lock| lock.try_lock().is_ok());
    let relays = folder.relay_lock();
    note.output.is_some()
        && folder.exit(&note.marks.salt).is_none()
        && is_free(folder.lock())
        && (!relays.exists() || is_free(relays))
}

/// Starts a standby for a service whose shim and standby were killed: it relays at once. Where one still relays, this
/// does nothing.
pub(crate) fn revive(
    processes: &Processes,
    folder: &Folder,
    note: &StartNote,
    members: &[ProcessFact],
) -> io::Result<()> {
    // An older lcm has started it, and it writes to its log itself.
    let Some(output) = &note.output else { return Ok(()) };
    if let Err(TryLockError::WouldBlock) = own::open_or_make(&folder.relay_lock())?.try_lock() {
        return Ok(());
    }
    let holders = members.iter().map(|member| member.pid).collect();
    let log = LogSpec { bytes_max: output.bytes_max, files: output.files, awaited: None };
    let orders = StandbySpec { folder: folder.path().to_owned(), log, pipe: output.inode, holders };
    let words = [SUBCOMMAND, FIRST_STAGE_REVIVING].map(str::to_owned);
    let mut stage = helper::helper(processes, &words).map_err(io::Error::other)?;
    let mut stage = stage.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    if let Some(mut stdin) = stage.stdin.take() {
        let mut line = serde_json::to_vec(&orders).map_err(io::Error::other)?;
        line.push(b'\n');
        stdin.write_all(&line)?;
    }
    stage.wait().map(drop)
}

/// Nothing on its command line names the service, of which it is no part.
fn command(stage: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("lcm").arg(SUBCOMMAND).arg(stage).current_dir("/").env_clear().stderr(Stdio::null());
    command
}

/// Runs as a standby and returns lcm's exit code. Meant for the hidden subcommand alone.
pub(crate) fn standby_main(mut arguments: impl Iterator<Item = OsString>) -> u8 {
    let stage = arguments.next();
    let stage = stage.as_ref().and_then(|stage| stage.to_str());
    if let Some(FIRST_STAGE | FIRST_STAGE_REVIVING) = stage {
        let next = if stage == Some(FIRST_STAGE) { STANDBY } else { REVIVED };
        let begun = command(next).stdin(Stdio::inherit()).stdout(Stdio::inherit()).spawn();
        return u8::from(begun.is_err());
    }
    let _ = setsid();
    // A handled signal does nothing: an operator who ends lcm's processes by name does not mean the services.
    let _hearing = ignored::hear_all();
    let Some(orders) = read_orders() else { return 1 };
    let folder = Folder::at(orders.folder.clone());
    let pipe = if stage == Some(REVIVED) { held_pipe(&orders) } else { inherited_pipe() };
    let (Ok(pipe), Ok(log)) = (pipe, log::open(&folder)) else { return 1 };
    if stage != Some(REVIVED) {
        wait_for_the_shims_end();
    }
    // Held while this lives: by its file, so that nothing is left to clean up.
    let Ok(lock) = own::open_or_make(&folder.relay_lock()) else { return 1 };
    if lock.try_lock().is_err() {
        return 0;
    }
    relay::run(&Arc::new(Mutex::new(Relay::new(pipe, log, folder, &orders.log))));
    0
}

fn read_orders() -> Option<StandbySpec> {
    let mut line = Vec::new();
    io::stdin().lock().take(ORDERS_BYTES_MAX).read_until(b'\n', &mut line).ok()?;
    serde_json::from_slice(&line).ok()
}

/// On the way through the first stage it took the place of stdout.
fn inherited_pipe() -> io::Result<File> {
    relay::reader_of(io::stdout().as_fd().try_clone_to_owned()?)
}

/// The pipe that a member of the service holds as its stdout or stderr.
fn held_pipe(orders: &StandbySpec) -> io::Result<File> {
    let paths = orders.holders.iter().flat_map(|pid| [1, 2].map(|number| format!("/proc/{pid}/fd/{number}")));
    for path in paths {
        if let Ok(file) = kernel::open_held_pipe(Path::new(&path))
            && file.metadata().is_ok_and(|metadata| metadata.ino() == orders.pipe)
        {
            return Ok(file);
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn wait_for_the_shims_end() {
    let stdin = io::stdin();
    loop {
        let mut control = [PollFd::new(&stdin, PollFlags::IN | PollFlags::RDHUP)];
        if poll(&mut control, None).is_ok() && !control[0].revents().is_empty() {
            return;
        }
    }
}
