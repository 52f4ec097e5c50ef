//! Standby of a shim: lcm executed again, which relays the service's output if the shim is killed. It is no part of the
//! service: it is started before the shim becomes a sub-reaper, by a stage that ends at once, so that it does not
//! descend from the shim; and it carries none of lcm's marks.

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

/// Hidden subcommand that runs lcm as a standby.
pub(crate) const SUBCOMMAND: &str = "__relay";
/// Stage that starts the standby and ends.
const FIRST_STAGE: &str = "starts";
const STANDBY: &str = "standby";
/// Stage that starts a standby for a service that has neither shim nor standby any more.
const FIRST_STAGE_REVIVING: &str = "revives";
const REVIVED: &str = "revived";
/// Bound for a spec: names and numbers.
const SPEC_BYTES_MAX: u64 = 1 << 20;
/// Wait for the end of a standby. One that is not needed any more ends within a millisecond; one that still relays for
/// a process which left the tree is not awaited.
const LEAVE_WAIT: Duration = Duration::from_millis(200);

/// Spec of a standby.
#[derive(Serialize, Deserialize)]
pub(crate) struct StandbySpec {
    folder: PathBuf,
    log: LogSpec,
    /// For a revived standby: the inode of the pipe, and the pids that may hold it.
    #[serde(default)]
    pipe: u64,
    #[serde(default)]
    holders: Vec<i32>,
}

/// Connection from a shim to its standby; the standby relays once it is closed, as by the shim's death.
pub(crate) struct Standby(UnixStream);

impl Standby {
    /// Starts a standby. Must be called before the caller becomes a sub-reaper.
    pub(crate) fn start(pipe: &File) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut stage = command(FIRST_STAGE);
        stage.stdin(OwnedFd::from(theirs)).stdout(pipe.try_clone()?);
        let mut stage = stage.spawn()?;
        stage.wait()?;
        Ok(Self(ours))
    }

    pub(crate) fn configure(&mut self, folder: &Folder, log: &LogSpec) -> io::Result<()> {
        let spec = StandbySpec { folder: folder.path().to_owned(), log: log.clone(), pipe: 0, holders: Vec::new() };
        let mut line = serde_json::to_vec(&spec).map_err(io::Error::other)?;
        line.push(b'\n');
        self.0.write_all(&line)
    }

    /// Ends the standby, since nothing is left to relay, and waits for its end.
    pub(crate) fn release(mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
        let _ = self.0.set_read_timeout(Some(LEAVE_WAIT));
        let _ = self.0.read(&mut [0; 1]);
    }
}

/// Returns true if the output of this start has neither a shim nor a standby that relays it, and no exit is recorded.
pub(crate) fn is_lost(folder: &Folder, note: &StartNote) -> bool {
    let is_free = |path: PathBuf| own::open(&path).is_ok_and(|lock| lock.try_lock().is_ok());
    let relays = folder.relay_lock();
    note.output.is_some()
        && folder.exit(&note.marks.salt).is_none()
        && is_free(folder.lock())
        && (!relays.exists() || is_free(relays))
}

/// Starts a standby for a service whose shim and standby were killed: it relays at once. Does nothing if one still
/// relays.
pub(crate) fn revive(
    processes: &Processes,
    folder: &Folder,
    note: &StartNote,
    members: &[ProcessFact],
) -> io::Result<()> {
    // A service that an older lcm started writes to its log itself.
    let Some(output) = &note.output else { return Ok(()) };
    if let Err(TryLockError::WouldBlock) = own::open_or_create(&folder.relay_lock())?.try_lock() {
        return Ok(());
    }
    let holders = members.iter().map(|member| member.pid).collect();
    let log = LogSpec { bytes_max: output.bytes_max, files: output.files, awaited: None };
    let spec = StandbySpec { folder: folder.path().to_owned(), log, pipe: output.inode, holders };
    let words = [SUBCOMMAND, FIRST_STAGE_REVIVING].map(str::to_owned);
    let mut stage = helper::helper(processes, &words).map_err(io::Error::other)?;
    let mut stage = stage.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    if let Some(mut stdin) = stage.stdin.take() {
        let mut line = serde_json::to_vec(&spec).map_err(io::Error::other)?;
        line.push(b'\n');
        stdin.write_all(&line)?;
    }
    stage.wait().map(drop)
}

/// Builds the command of a stage. Its command line does not name the service, of which it is no part.
fn command(stage: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("lcm").arg(SUBCOMMAND).arg(stage).current_dir("/").env_clear().stderr(Stdio::null());
    command
}

/// Runs as a standby and returns lcm's exit code. For the hidden subcommand only.
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
    let _handlers = ignored::handle_all();
    let Some(spec) = read_spec() else { return 1 };
    let folder = Folder::at(spec.folder.clone());
    let pipe = if stage == Some(REVIVED) { held_pipe(&spec) } else { inherited_pipe() };
    let (Ok(pipe), Ok(log)) = (pipe, log::open(&folder)) else { return 1 };
    if stage != Some(REVIVED) {
        wait_for_shim_exit();
    }
    // Held as long as this process lives: the kernel releases it, so nothing needs a cleanup.
    let Ok(lock) = own::open_or_create(&folder.relay_lock()) else { return 1 };
    if lock.try_lock().is_err() {
        return 0;
    }
    relay::run(&Arc::new(Mutex::new(Relay::new(pipe, log, folder, &spec.log))));
    0
}

fn read_spec() -> Option<StandbySpec> {
    let mut line = Vec::new();
    io::stdin().lock().take(SPEC_BYTES_MAX).read_until(b'\n', &mut line).ok()?;
    serde_json::from_slice(&line).ok()
}

/// Returns the pipe, which the first stage passed on as stdout.
fn inherited_pipe() -> io::Result<File> {
    relay::reader_of(io::stdout().as_fd().try_clone_to_owned()?)
}

/// Opens the pipe that a member of the service holds as its stdout or stderr.
fn held_pipe(spec: &StandbySpec) -> io::Result<File> {
    let paths = spec.holders.iter().flat_map(|pid| [1, 2].map(|number| format!("/proc/{pid}/fd/{number}")));
    for path in paths {
        if let Ok(file) = kernel::open_held_pipe(Path::new(&path))
            && file.metadata().is_ok_and(|metadata| metadata.ino() == spec.pipe)
        {
            return Ok(file);
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn wait_for_shim_exit() {
    let stdin = io::stdin();
    loop {
        let mut control = [PollFd::new(&stdin, PollFlags::IN | PollFlags::RDHUP)];
        if poll(&mut control, None).is_ok() && !control[0].revents().is_empty() {
            return;
        }
    }
}
