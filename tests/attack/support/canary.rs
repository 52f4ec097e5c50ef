//! Foreign objects that no run of lcm may touch: processes, containers and files, recorded before.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use super::host::Host;
use super::process::Identity;
use super::{KIM, LEE, ROOT};
use crate::studio::docker;

/// Id, state, start, name and restart count: they change when a container is started, stopped, renamed or recreated.
const CONTAINER: &str = "{{.Id}} {{.State.Status}} {{.State.StartedAt}} {{.Name}} {{.RestartCount}}";

pub(crate) struct Canary<'h> {
    host: &'h Host,
    processes: Vec<Identity>,
    containers: Vec<(String, String)>,
    files: Vec<(PathBuf, FileState)>,
}

/// Content, inode, owner, mode and time of the last change.
#[derive(Debug, PartialEq, Eq)]
struct FileState {
    content: Vec<u8>,
    inode: u64,
    uid: u32,
    mode: u32,
    changed: (i64, i64),
}

impl FileState {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok()?;
        Some(Self {
            content: if metadata.is_file() { fs::read(path).ok()? } else { Vec::new() },
            inode: metadata.ino(),
            uid: metadata.uid(),
            mode: metadata.mode(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl<'h> Canary<'h> {
    /// Starts a foreign process and creates a foreign file, of root and of two users.
    pub(crate) fn new(host: &'h Host) -> Self {
        let mut canary = Self { host, processes: Vec::new(), containers: Vec::new(), files: Vec::new() };
        for uid in [ROOT, KIM, LEE] {
            canary.watch_process(host.attacker(uid).sleeper(&[]));
            let path = host.path(&format!("canary-{uid}"));
            fs::write(&path, format!("known content of {uid}\n")).expect("a file");
            chown(&path, Some(uid), Some(uid)).expect("its owner");
            canary.watch_file(&path);
        }
        canary
    }

    pub(crate) fn watch_process(&mut self, process: Identity) {
        self.processes.push(process);
    }

    #[track_caller]
    pub(crate) fn watch_file(&mut self, path: &Path) {
        let state = FileState::of(path).unwrap_or_else(|| panic!("no file {}", path.display()));
        self.files.push((path.to_owned(), state));
    }

    #[track_caller]
    pub(crate) fn watch_container(&mut self, id: &str) {
        self.containers.push((id.to_owned(), docker(&["inspect", "--format", CONTAINER, id])));
    }

    /// Creates a file with known content owned by this user, as a target of attacks.
    pub(crate) fn file_of(&self, uid: u32) -> PathBuf {
        self.host.path(&format!("canary-{uid}"))
    }

    /// Asserts that nothing foreign was ended, paused, changed or removed, and nothing of the attacker was executed.
    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        for process in &self.processes {
            assert!(process.is_alive(), "the foreign process {} was ended", process.pid);
            assert!(!process.is_stopped(), "the foreign process {} was paused", process.pid);
        }
        for (id, before) in &self.containers {
            let now = docker(&["inspect", "--format", CONTAINER, id]);
            assert_eq!(now, *before, "the foreign container {id} was changed");
        }
        for (path, before) in &self.files {
            let now = FileState::of(path);
            assert_eq!(now.as_ref(), Some(before), "the foreign file {} was changed", path.display());
        }
        self.assert_not_executed();
    }

    /// Asserts that no payload left a proof.
    #[track_caller]
    pub(crate) fn assert_not_executed(&self) {
        let proofs = self.host.proofs();
        assert!(proofs.is_empty(), "an attacker's command was executed:\n{}", proofs.join("\n"));
    }
}
