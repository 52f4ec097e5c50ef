//! Sandbox of one trial, shared by several users: a sticky lock folder like `/run/lock`, a home for each user, a folder
//! for proofs of execution. On drop, also by a panic, everything that was started in it is removed.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tempfile::TempDir;

use super::process::{self, Identity};
use super::{Attacker, KIM, User};
use crate::gpus::Gpus;
use crate::sandbox::copy_program;
use crate::server::static_server;
use crate::studio::{docker, remove_labelled};
use crate::world::{Gpu, World};

/// Marker on each process and container that a trial starts beside lcm, by which the cleanup finds them.
pub(crate) const MARKER: &str = "LCM_ATTACK_TRIAL";
/// Maximum number of rounds of the cleanup; processes that fork meanwhile are found in the next.
const ROUNDS_MAX: usize = 50;

pub(crate) struct Host {
    folder: TempDir,
    /// Unique on this machine while the trial runs; also the project's name.
    pub(crate) name: String,
    started: Mutex<Vec<Child>>,
    foreign: Mutex<BTreeSet<Identity>>,
    containers: Mutex<Vec<String>>,
}

impl Host {
    pub(crate) fn new(what: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{what}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = TempDir::with_prefix("lcm-attack-").expect("a temporary folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("a folder for all users");
        let host =
            Self { folder, name, started: Mutex::default(), foreign: Mutex::default(), containers: Mutex::default() };
        for (folder, mode) in [("run-lock", 0o1777), ("proofs", 0o777), ("home", 0o755)] {
            fs::create_dir(host.path(folder)).expect("a folder");
            fs::set_permissions(host.path(folder), Permissions::from_mode(mode)).expect("its mode");
        }
        copy_program(static_server(), &host.server());
        fs::set_permissions(host.server(), Permissions::from_mode(0o755)).expect("its mode");
        host
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the model server at a path of this trial.
    pub(crate) fn server(&self) -> PathBuf {
        self.path("model_server")
    }

    /// Returns the lock that all users of this trial share.
    pub(crate) fn lock(&self) -> PathBuf {
        self.path("run-lock/lcm.lock")
    }

    pub(crate) fn user(&self, uid: u32) -> User<'_> {
        User::new(self, uid)
    }

    pub(crate) fn attacker(&self, uid: u32) -> Attacker<'_> {
        Attacker::new(self, uid)
    }

    /// Returns a folder owned by this user, created if missing.
    pub(crate) fn folder_of(&self, uid: u32, name: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        if !path.exists() {
            fs::create_dir_all(&path).expect("a folder");
        }
        chown(&path, Some(uid), Some(uid)).expect("its owner");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
        path
    }

    /// Returns a command that leaves a proof of the user who executed it. Nothing may ever execute it.
    pub(crate) fn payload(&self, tag: &str) -> String {
        format!("id >>{}", self.path("proofs").join(tag).display())
    }

    /// Returns all proofs with their contents.
    pub(crate) fn proofs(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("proofs")).expect("the proofs").flatten();
        let proof = |path: PathBuf| format!("{}: {}", path.display(), fs::read_to_string(&path).unwrap_or_default());
        entries.map(|entry| proof(entry.path())).collect()
    }

    /// Starts a foreign process, with this trial's marker in its environment; it ends with this sandbox.
    #[track_caller]
    pub(crate) fn spawn(&self, mut command: Command) -> Identity {
        command.env(MARKER, &self.name).stdin(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let pid = i32::try_from(child.id()).expect("a pid");
        let identity = Identity::of(pid).expect("a process that was just started");
        self.started.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner).insert(identity);
        identity
    }

    /// Runs a foreign container (`docker run --detach` with these arguments); it is removed with this sandbox.
    #[track_caller]
    pub(crate) fn run_container(&self, words: &[&str]) -> String {
        self.container("run", &[&["--detach"], words].concat())
    }

    #[track_caller]
    pub(crate) fn create_container(&self, words: &[&str]) -> String {
        self.container("create", words)
    }

    #[track_caller]
    fn container(&self, verb: &str, words: &[&str]) -> String {
        let label = format!("lcm-attack-trial={}", self.name);
        let id = docker(&[&[verb, "--label", &label], words].concat());
        self.containers.lock().unwrap_or_else(PoisonError::into_inner).push(id.clone());
        id
    }

    /// Returns the UUID of one of this trial's simulated GPUs, which no container of another test names.
    pub(crate) fn gpu(&self, index: usize) -> String {
        format!("GPU-{}-{index}", self.name)
    }

    /// Creates simulated GPUs of these sizes, which all users may use.
    pub(crate) fn gpus(&self, sizes_mib: &[u64]) -> Gpus {
        let gpus = sizes_mib.iter().enumerate().map(|(index, total_mib)| Gpu {
            uuid: self.gpu(index),
            parent: None,
            total_mib: *total_mib,
            reserved_mib: 100,
            name: "Simulated GPU".to_owned(),
        });
        let world = World { driver: "550.54.14".to_owned(), gpus: gpus.collect(), ..World::default() };
        let gpus = Gpus::of(&world);
        fs::set_permissions(gpus.folder(), Permissions::from_mode(0o777)).expect("a folder for all");
        for entry in fs::read_dir(gpus.folder()).expect("its files").flatten() {
            let mode = if entry.path().is_dir() { 0o777 } else { 0o666 };
            fs::set_permissions(entry.path(), Permissions::from_mode(mode)).expect("a file for all");
        }
        gpus
    }

    /// Returns what is left of this trial, except the attackers': processes, containers and unfinished files.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let theirs = |process: &Identity| {
            foreign.contains(process)
                || has_variable(process.pid, &format!("{MARKER}={}", self.name))
                || self.is_in_foreign_container(process.pid)
        };
        let mut left: Vec<String> =
            self.processes().into_iter().filter(|process| !theirs(process)).map(shown).collect();
        left.extend(self.own_containers());
        left.extend(self.unfinished_files());
        left
    }

    /// Returns all running processes of this trial, including the attackers'.
    fn processes(&self) -> Vec<Identity> {
        let entries = [format!("LCM_PROJECT={}", self.name), format!("{MARKER}={}", self.name)];
        let server = self.server();
        process::living(|pid| {
            entries.iter().any(|entry| has_variable(pid, entry))
                || fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == server)
                || process::words(pid).contains(&format!("--project {}", self.name))
        })
    }

    /// Returns the processes of this project's services, of any user: the server's copies and shims.
    pub(crate) fn servers(&self) -> Vec<Identity> {
        let server = self.server();
        process::living(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == server))
    }

    pub(crate) fn shims(&self) -> Vec<Identity> {
        let words = format!("__shim --project {} ", self.name);
        process::living(|pid| process::words(pid).contains(&words))
    }

    fn is_in_foreign_container(&self, pid: i32) -> bool {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let containers = self.containers.lock().unwrap_or_else(PoisonError::into_inner);
        containers.iter().any(|id| groups.contains(id.as_str()))
    }

    /// Returns the containers with this project's label that no attacker created.
    fn own_containers(&self) -> Vec<String> {
        if super::Need::Docker.missing().is_some() {
            return Vec::new();
        }
        let label = format!("label=lcm.project={}", self.name);
        let listed =
            docker(&["ps", "--all", "--no-trunc", "--filter", &label, "--format", "{{.ID}} {{.Names}} {{.State}}"]);
        let containers = self.containers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_foreign = |line: &&str| containers.iter().any(|id| line.starts_with(id.as_str()));
        listed.lines().filter(|line| !is_foreign(line)).map(|line| format!("container {line}")).collect()
    }

    /// Returns temporary files that should have been renamed or removed.
    fn unfinished_files(&self) -> Vec<String> {
        let mut left = Vec::new();
        let mut folders = vec![self.path("home"), self.path("run-lock")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(entry.path());
                } else if ["trial.", "draft", ".tmp", ".json."].iter().any(|part| name.contains(part)) {
                    left.push(format!("file {}", entry.path().display()));
                }
            }
        }
        left
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            for process in left {
                process.signal("KILL");
            }
            for child in self.started.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
                let _ = child.try_wait();
            }
        }
        for child in self.started.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if super::Need::Docker.missing().is_none() {
            remove_labelled(&format!("lcm-attack-trial={}", self.name));
            remove_labelled(&format!("lcm.project={}", self.name));
        }
    }
}

fn has_variable(pid: i32, entry: &str) -> bool {
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environ.split(|byte| *byte == 0).any(|one| one == entry.as_bytes())
}

fn shown(process: Identity) -> String {
    let uid = process::uid(process.pid).map_or_else(|| "?".to_owned(), |uid| uid.to_string());
    format!("process {} of uid {uid}: {}", process.pid, process::words(process.pid))
}

/// Copy of lcm for all users, if the built one is in a folder that other users can't enter.
static COPY: OnceLock<Option<TempDir>> = OnceLock::new();

/// Returns the binary under test, at a path that every user can execute.
pub(crate) fn lcm() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_lcm"));
    let copy = COPY.get_or_init(|| {
        let mut tried = Command::new(built);
        tried.arg("--version").env_clear().current_dir("/").uid(KIM).gid(KIM).stdout(Stdio::null());
        if tried.status().is_ok_and(|status| status.success()) {
            return None;
        }
        let folder = TempDir::with_prefix("lcm-attack-bin-").expect("a folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("its mode");
        fs::copy(built, folder.path().join("lcm")).expect("a copy of lcm");
        Some(folder)
    });
    copy.as_ref().map_or_else(|| built.to_owned(), |folder| folder.path().join("lcm"))
}

/// Removes files shared by all trials: statics are never dropped.
pub(crate) fn clean() {
    if let Some(folder) = COPY.get().and_then(Option::as_ref) {
        let _ = fs::remove_dir_all(folder.path());
    }
}
