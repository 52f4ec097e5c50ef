//! Owner: a user of this machine who runs lcm, with their own home, store and manifest.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::host::{Host, lcm};
use crate::gpus::Gpus;
use crate::sandbox::{Ran, Running, run};

/// Maximum number of applies until nothing changes.
const ROUNDS_MAX: usize = 6;

pub(crate) struct User<'h> {
    host: &'h Host,
    pub(crate) uid: u32,
    environment: BTreeMap<String, String>,
    /// Manifests that are taken down on drop.
    manifests: RefCell<Vec<PathBuf>>,
}

impl<'h> User<'h> {
    pub(super) fn new(host: &'h Host, uid: u32) -> Self {
        let home = host.folder_of(uid, &format!("home/{uid}"), 0o755);
        let at = |name: &str| home.join(name).display().to_string();
        let environment = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".to_owned()),
            ("HOME", home.display().to_string()),
            ("USER", format!("u{uid}")),
            ("LCM_STATE_DIR", at("state")),
            ("LCM_LOCK", host.lock().display().to_string()),
            // Hides this machine's own GPUs.
            ("LCM_NVML_LIB", String::new()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
        Self { host, uid, environment, manifests: RefCell::default() }
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.insert(name.to_owned(), value.into());
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.environment.remove(name);
    }

    /// Makes this user's lcm read these GPUs; services find them by `LCM_SIMULATED_GPU` if `inherit` names that.
    pub(crate) fn use_gpus(&mut self, gpus: &Gpus) {
        self.set("LCM_NVML_LIB", gpus.library().display().to_string());
        self.set("LCM_SIMULATED_GPU", gpus.path().display().to_string());
    }

    /// Makes this user's lcm use the engine at this socket.
    pub(crate) fn use_engine(&mut self, socket: &Path) {
        self.set("DOCKER_HOST", format!("unix://{}", socket.display()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.host.path(&format!("home/{}", self.uid)).join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Writes a file of this user; `@NAME@` and `@SERVER@` become this trial's project and model server.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        let server = self.host.server().display().to_string();
        let text = text.replace("@NAME@", &self.host.name).replace("@SERVER@", &server);
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != self.path("")) {
            if !folder.exists() {
                fs::create_dir_all(folder).expect("a folder");
                chown(folder, Some(self.uid), Some(self.uid)).expect("its owner");
            }
        }
        fs::write(&path, text).expect("a file");
        chown(&path, Some(self.uid), Some(self.uid)).expect("its owner");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("its mode");
        path
    }

    /// Writes a manifest of this trial's project with these services (each line indented by two blanks); it is taken down on
    /// drop.
    pub(crate) fn manifest(&self, services: &str) -> String {
        self.manifest_at("lcm.yaml", "@NAME@", services)
    }

    pub(crate) fn manifest_at(&self, file: &str, project: &str, services: &str) -> String {
        let path = self.write(file, &format!("version: 1\nname: \"{project}\"\nservices:\n{services}\n"));
        let mut manifests = self.manifests.borrow_mut();
        if !manifests.contains(&path) {
            manifests.push(path.clone());
        }
        path.to_str().expect("UTF-8").to_owned()
    }

    /// Returns a command as this user, in this user's home and minimal environment.
    pub(crate) fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.environment).current_dir(self.path("")).stdin(Stdio::null());
        if self.uid != 0 {
            // std clears the supplementary groups with the uid.
            command.uid(self.uid).gid(self.uid);
        }
        command
    }

    pub(crate) fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let mut command = self.program(lcm());
        command.args(words);
        command
    }

    #[track_caller]
    pub(crate) fn lcm<S: AsRef<OsStr>>(&self, words: &[S]) -> Ran {
        run(self.command(words), &self.what(words))
    }

    /// Starts lcm and returns at once.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, words: &[S]) -> Running {
        Running::start(self.command(words), &self.what(words))
    }

    /// Runs lcm with a limit of data memory, in MiB: beyond it, a signal ends lcm, and the trial fails.
    #[track_caller]
    pub(crate) fn bounded<S: AsRef<OsStr>>(&self, memory_mib: u64, words: &[S]) -> Ran {
        let mut command = self.program("sh");
        // The data limit counts private writable memory, not address space that allocators merely reserve.
        command.args(["-c", "ulimit -d \"$0\" && exec \"$@\"", &(memory_mib << 10).to_string()]);
        command.arg(lcm()).args(words);
        run(command, &format!("{} within {memory_mib} MiB", self.what(words)))
    }

    fn what<S: AsRef<OsStr>>(&self, words: &[S]) -> String {
        let words: Vec<_> = words.iter().map(|word| word.as_ref().to_string_lossy()).collect();
        format!("(uid {}) lcm {}", self.uid, words.join(" "))
    }

    /// Applies until nothing changes, within a bound; then a plan must be empty.
    #[track_caller]
    pub(crate) fn converges(&self, manifest: &str) {
        for _ in 0..ROUNDS_MAX {
            let applied = self.lcm(&["apply", "--yes", "--detailed-exitcode", manifest]);
            match applied.code {
                0 => return drop(self.lcm(&["plan", "--detailed-exitcode", manifest]).exits(0)),
                2 => {}
                _ => panic!("does not converge\n{applied}"),
            }
        }
        panic!("{ROUNDS_MAX} applies in a row changed something");
    }

    /// Takes the project down, and asserts that no process, container or unfinished file of it is left.
    #[track_caller]
    pub(crate) fn goes_down(&self, manifest: &str) {
        let down = self.lcm(&["down", "--yes", manifest]).exits(0);
        let left = self.host.leftovers();
        assert!(left.is_empty(), "left after down:\n{}\n{down}", left.join("\n"));
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        for manifest in self.manifests.borrow().iter().filter(|manifest| manifest.exists()) {
            let words = [OsStr::new("down"), OsStr::new("--yes"), manifest.as_os_str()];
            let _ = self.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}
