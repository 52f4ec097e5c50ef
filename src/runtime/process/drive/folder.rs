//! Folder of one service in lcm's state folder: its log, its lock, and notes on its last start and exit.
//!
//! The kernel is the source of truth, not this folder: without it trees are still found, by their marks. Only log, exit
//! status and adoptions are lost with it.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::files::own::{self, Durability};
use crate::host::log_match::LogMatch;
use crate::host::{proc, state};
use crate::model::facts::{ExitFact, Marks};
use crate::runtime::DriverError;
use crate::runtime::process::drive::members_note::{self, MembersNote};

const MEMBERS: &str = "members.json";
/// Bound for a note: it holds the marks of one start, whose configuration is bounded by 64 KiB.
const NOTE_BYTES_MAX: u64 = 1 << 20;
/// Bound for projects of one user, and for services of one project; entries beyond it are not read.
const FOLDERS_MAX: usize = 10_000;

/// Returns the last components of a lock file's path, which do not depend on the state folder.
pub(crate) fn lock_path_end(project: &str, service: &str) -> PathBuf {
    Folder::new(Path::new(""), project, service).lock()
}

/// Folder of one service; it need not exist. Its files are opened through [`own`]: one that another user created or can
/// write is an error.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    /// Folder from which on all folders must belong to the current user.
    top: PathBuf,
    path: PathBuf,
}

/// Note on a start, which the shim writes before the service runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StartNote {
    pub(crate) marks: Marks,
    pub(crate) started_at: Timestamp,
    pub(crate) cwd: PathBuf,
    /// Offset of this start's output in `log`.
    pub(crate) log_offset: u64,
    /// Offset of this start's output in `log.1`, once the log was rotated.
    #[serde(default)]
    pub(crate) previous_offset: Option<u64>,
    /// Bytes that rotations have removed from `log` since its creation, in this start and earlier ones; positions for
    /// following the log count from there.
    #[serde(default)]
    pub(crate) rotated_bytes: u64,
    /// True if rotations have removed the beginning of the output from both files.
    #[serde(default)]
    pub(crate) beginning_is_gone: bool,
    /// Bytes written to the log before this start, rotations included.
    #[serde(default)]
    pub(crate) began_at: Option<u64>,
    /// Pipe through which the output comes into the log; `None`: the service writes to the log itself, as under an
    /// older lcm.
    #[serde(default)]
    pub(crate) output: Option<OutputNote>,
    /// File to which the shim writes the pid.
    #[serde(default)]
    pub(crate) pid_file: Option<PathBuf>,
}

/// Pipe that a service writes to, and the bounds of its log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OutputNote {
    pub(crate) inode: u64,
    /// Bounds of the log.
    pub(crate) bytes_max: u64,
    pub(crate) files: u32,
    /// Pattern that the relay searches for in the output.
    #[serde(default)]
    pub(crate) awaited: Option<LogMatch>,
}

/// Note on an exit, which the shim writes when the first process has ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ExitNote {
    /// Salt of the start.
    pub(crate) salt: String,
    pub(crate) exit: ExitFact,
}

/// Note on an adoption, which `lcm adopt` writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AdoptNote {
    pub(crate) pid: i32,
    pub(crate) start_ticks: u64,
    /// Id of the boot in which pid and start time are valid; `None`: an lcm that did not record it wrote the note.
    #[serde(default)]
    pub(crate) boot: Option<String>,
    /// True since `lcm disown`: the adoption is over, whether the process lives or not.
    #[serde(default)]
    pub(crate) given_back: bool,
}

impl Folder {
    pub(crate) fn new(state_dir: &Path, project: &str, service: &str) -> Self {
        let path = state::service_folder(state_dir, project, service);
        Self { top: state_dir.to_owned(), path }
    }

    /// Lists the readable folders of all services of all projects, with project and service names as they are in paths.
    pub(crate) fn all(state_dir: &Path) -> Vec<(String, String, Self)> {
        let mut all = Vec::new();
        for (project, path) in entries(&state::projects(state_dir)) {
            let folder = |path| Self { top: state_dir.to_owned(), path };
            all.extend(entries(&path).into_iter().map(|(service, path)| (project.clone(), service, folder(path))));
        }
        all
    }

    /// Returns the folder at a known path, as in a shim's spec.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { top: path.clone(), path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Returns the path of a rotated log; `log.1` is the newest copy.
    pub(crate) fn log_copy(&self, number: u32) -> PathBuf {
        self.path.join(format!("log.{number}"))
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Returns the path of the lock that a relay holds for a service whose shim is gone.
    pub(crate) fn relay_lock(&self) -> PathBuf {
        self.path.join("relay.lock")
    }

    /// Returns the path of the shim's own stderr.
    pub(crate) fn shim_log(&self) -> PathBuf {
        self.path.join("shim.log")
    }

    pub(crate) fn start_note(&self) -> Option<StartNote> {
        self.read("start.json")
    }

    pub(crate) fn write_start(&self, note: &StartNote) -> io::Result<()> {
        self.write("start.json", note)
    }

    /// Returns the exit of the start with this salt.
    pub(crate) fn exit(&self, salt: &str) -> Option<ExitFact> {
        self.read::<ExitNote>("exit.json").filter(|note| note.salt == salt).map(|note| note.exit)
    }

    pub(crate) fn write_exit(&self, note: &ExitNote) -> io::Result<()> {
        self.write("exit.json", note)
    }

    pub(crate) fn adopted(&self) -> Option<AdoptNote> {
        self.read("adopted.json")
    }

    pub(crate) fn write_adopted(&self, note: &AdoptNote) -> io::Result<()> {
        self.write("adopted.json", note)
    }

    /// Removes the note on an adoption: a start by lcm replaces it.
    pub(crate) fn forget_adopted(&self) {
        let _ = own::remove(&self.path.join("adopted.json"));
    }

    /// Returns the members of the last start, if they were recorded in this boot.
    pub(crate) fn members(&self) -> Option<MembersNote> {
        let bytes = own::read(&self.path.join(MEMBERS), members_note::BYTES_MAX).ok()?;
        let note: MembersNote = serde_json::from_slice(&bytes).ok()?;
        (Some(&note.boot) == proc::boot_id().as_ref()).then_some(note)
    }

    pub(crate) fn write_members(&self, note: &MembersNote) -> io::Result<()> {
        self.write(MEMBERS, note)
    }

    pub(crate) fn forget_members(&self) {
        let _ = own::remove(&self.path.join(MEMBERS));
    }

    /// Creates the folder, readable by this user only, and checks that it can be written to.
    pub(crate) fn ensure(&self) -> Result<(), DriverError> {
        self.ensure_by(Durability::Whole)
    }

    /// Creates the folder as [`Self::ensure`] does, and syncs the trial file: a full disk reports an error then at the
    /// latest.
    pub(crate) fn prove(&self) -> Result<(), DriverError> {
        self.ensure_by(Durability::Synced)
    }

    fn ensure_by(&self, durability: Durability) -> Result<(), DriverError> {
        let unusable = |source| DriverError::Io {
            what: format!(
                "the state folder {} can't be written to (set LCM_STATE_DIR to another)",
                self.path.display()
            ),
            source,
        };
        own::create_folder(&self.top, &self.path).map_err(unusable)?;
        let trial = self.path.join(format!("trial.{}", std::process::id()));
        let written = own::replace(&trial, &[b' '; 4096], durability);
        let _ = own::remove(&trial);
        written.map_err(unusable)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&own::read(&self.path.join(name), NOTE_BYTES_MAX).ok()?).ok()
    }

    /// Writes a note atomically: readers never see half a note. It is not synced: after a power cut the processes that
    /// it describes are gone, too.
    fn write(&self, name: &str, note: &impl Serialize) -> io::Result<()> {
        let bytes = serde_json::to_vec(note).map_err(io::Error::other)?;
        own::replace(&self.path.join(name), &bytes, Durability::Whole)
    }
}

fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let names = own::names(folder, FOLDERS_MAX).unwrap_or_default();
    names.into_iter().map(|name| (name.to_string_lossy().into_owned(), folder.join(name))).collect()
}
