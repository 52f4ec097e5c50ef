//! The folder of one service below lcm's state folder: its log, its lock, and notes on its last start and end.
//!
//! Convenience, not truth: without it trees are still found, by their marks. Only log, exit status and adoptions are
//! lost with it.

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
/// A note holds the marks of one start, whose configuration is bounded by 64 KiB.
const NOTE_BYTES_MAX: u64 = 1 << 20;
/// Projects of one user, and services of one project: a state folder that holds more is not read on.
const FOLDERS_MAX: usize = 10_000;

/// The last parts of a lock file's path, wherever the state folder lies.
pub(crate) fn lock_path_end(project: &str, service: &str) -> PathBuf {
    Folder::new(Path::new(""), project, service).lock()
}

/// One service's folder; it need not exist. Its files are opened as [`own`] has it: one that another user made or can
/// write is an error.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    /// From here down all must be the present user's.
    top: PathBuf,
    path: PathBuf,
}

/// Written by the shim before the service runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StartNote {
    pub(crate) marks: Marks,
    pub(crate) started_at: Timestamp,
    pub(crate) cwd: PathBuf,
    /// Where this start's output begins in `log`.
    pub(crate) log_offset: u64,
    /// Where it begins in `log.1`, once the log was rotated.
    #[serde(default)]
    pub(crate) previous_offset: Option<u64>,
    /// Bytes that rotations have taken out of `log` since it was made, by this start and those before: what whoever
    /// follows the log counts by.
    #[serde(default)]
    pub(crate) rotated_bytes: u64,
    /// Rotations have taken its beginning out of both.
    #[serde(default)]
    pub(crate) beginning_is_gone: bool,
    /// Bytes that the log had been given before this start, rotations included.
    #[serde(default)]
    pub(crate) began_at: Option<u64>,
    /// How its output comes into the log; `None`: the service writes there itself, as an older lcm had it.
    #[serde(default)]
    pub(crate) output: Option<OutputNote>,
    /// File that the shim writes the pid into.
    #[serde(default)]
    pub(crate) pid_file: Option<PathBuf>,
}

/// The pipe that a service writes to, and what becomes of its output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OutputNote {
    pub(crate) inode: u64,
    /// Bounds of the log.
    pub(crate) bytes_max: u64,
    pub(crate) files: u32,
    /// The pattern that its relay looks for in all that passes.
    #[serde(default)]
    pub(crate) awaited: Option<LogMatch>,
}

/// Written by the shim when the first process has ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ExitNote {
    /// Of the start that it ends.
    pub(crate) salt: String,
    pub(crate) exit: ExitFact,
}

/// Written by `lcm adopt`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AdoptNote {
    pub(crate) pid: i32,
    pub(crate) start_ticks: u64,
    /// The boot in which both hold; `None`: written by an lcm that did not record it.
    #[serde(default)]
    pub(crate) boot: Option<String>,
}

impl Folder {
    pub(crate) fn new(state_dir: &Path, project: &str, service: &str) -> Self {
        let path = state::service_folder(state_dir, project, service);
        Self { top: state_dir.to_owned(), path }
    }

    /// Those of all services of all projects, as far as they can be read, with both names as they are in paths.
    pub(crate) fn all(state_dir: &Path) -> Vec<(String, String, Self)> {
        let mut all = Vec::new();
        for (project, path) in entries(&state::projects(state_dir)) {
            let folder = |path| Self { top: state_dir.to_owned(), path };
            all.extend(entries(&path).into_iter().map(|(service, path)| (project.clone(), service, folder(path))));
        }
        all
    }

    /// The folder itself, as a shim is told.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { top: path.clone(), path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// `log.1` is the youngest copy.
    pub(crate) fn log_copy(&self, number: u32) -> PathBuf {
        self.path.join(format!("log.{number}"))
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Held by the relay of a service whose shim is gone.
    pub(crate) fn relay_lock(&self) -> PathBuf {
        self.path.join("relay.lock")
    }

    /// What the shim itself had to say, or what kept it from running.
    pub(crate) fn shim_log(&self) -> PathBuf {
        self.path.join("shim.log")
    }

    pub(crate) fn start_note(&self) -> Option<StartNote> {
        self.read("start.json")
    }

    pub(crate) fn write_start(&self, note: &StartNote) -> io::Result<()> {
        self.write("start.json", note)
    }

    /// How the start with this salt ended.
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

    /// What lcm starts itself replaces what was adopted.
    pub(crate) fn forget_adopted(&self) {
        let _ = own::remove(&self.path.join("adopted.json"));
    }

    /// Members of the last start that were recorded in this boot.
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

    /// Makes it, for this user's eyes only, and tries that something can be written there.
    pub(crate) fn ensure(&self) -> Result<(), DriverError> {
        self.ensure_by(Durability::Whole)
    }

    /// The same, and proves it: a disk that is full says so at the latest when it is asked to keep what it took.
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
        own::make_folder(&self.top, &self.path).map_err(unusable)?;
        let trial = self.path.join(format!("trial.{}", std::process::id()));
        let written = own::replace(&trial, &[b' '; 4096], durability);
        let _ = own::remove(&trial);
        written.map_err(unusable)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&own::read(&self.path.join(name), NOTE_BYTES_MAX).ok()?).ok()
    }

    /// Whole or not at all: readers never see half a note. What it tells of is over after a power cut: nothing waits
    /// until the disk has it.
    fn write(&self, name: &str, note: &impl Serialize) -> io::Result<()> {
        let bytes = serde_json::to_vec(note).map_err(io::Error::other)?;
        own::replace(&self.path.join(name), &bytes, Durability::Whole)
    }
}

fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let names = own::names(folder, FOLDERS_MAX).unwrap_or_default();
    names.into_iter().map(|name| (name.to_string_lossy().into_owned(), folder.join(name))).collect()
}
