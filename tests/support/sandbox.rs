//! Sandbox of one test on this machine: its own folder, names and ports, and the real binary with a minimal
//! environment. Dropping it, also in a panic, ends everything that was started in it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::server::static_server;
use promised::Promised;

#[path = "promised.rs"]
mod promised;

/// Ten times the longest wait: a machine that exceeds it is not slow but stuck.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Sandbox of one test.
pub(crate) struct Sandbox {
    folder: TempDir,
    /// Unique on this machine while the test runs.
    pub(crate) name: String,
    environment: BTreeMap<String, String>,
    /// Manifests that are taken down at the end.
    manifests: Vec<PathBuf>,
}

impl Sandbox {
    pub(crate) fn new(what: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{what}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = TempDir::with_prefix("lcm-test-").expect("a temporary folder");
        let mut sandbox = Self { folder, name, environment: BTreeMap::new(), manifests: Vec::new() };
        // The path of this copy distinguishes this test's processes from all others.
        let server = sandbox.path("model_server");
        copy_program(static_server(), &server);
        for (name, value) in [
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("HOME", sandbox.path("home").display().to_string()),
            ("LCM_STATE_DIR", sandbox.path("state").display().to_string()),
            ("LCM_LOCK", sandbox.path("lcm.lock").display().to_string()),
            // No GPU of this machine is read.
            ("LCM_NVML_LIB", String::new()),
            ("MODEL_SERVER", server.display().to_string()),
        ] {
            sandbox.set(name, value);
        }
        for name in ["DOCKER_HOST", "XDG_RUNTIME_DIR"] {
            if let Ok(value) = std::env::var(name) {
                sandbox.set(name, value);
            }
        }
        fs::create_dir(sandbox.path("home")).expect("a home");
        sandbox
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.insert(name.to_owned(), value.into());
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.environment.get(name).map_or("", String::as_str)
    }

    /// Registers a manifest to take down with `lcm down` at the end.
    pub(crate) fn take_down(&mut self, manifest: impl Into<PathBuf>) {
        self.manifests.push(manifest.into());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the sandbox; `NAME`, `GPU` and `SERVER` between at signs become those of this sandbox.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        let server = self.path("model_server").display().to_string();
        let gpu = format!("GPU-{}", self.name);
        let text = text.replace("@NAME@", &self.name).replace("@GPU@", &gpu).replace("@SERVER@", &server);
        fs::create_dir_all(path.parent().expect("in the sandbox")).expect("a folder");
        fs::write(&path, text).expect("a file in the sandbox");
        path
    }

    /// Returns the command of the real binary in this sandbox, with nothing of the caller's environment.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lcm"));
        command.args(words).env_clear().envs(&self.environment).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs `lcm` to its end.
    #[track_caller]
    pub(crate) fn lcm<S: AsRef<OsStr>>(&self, words: &[S]) -> Ran {
        let words: Vec<String> = words.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect();
        run(self.command(&words), &format!("lcm {}", words.join(" ")))
    }

    /// Starts `lcm` without waiting; [`Running::end`] waits for it.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, words: &[S]) -> Running {
        let words: Vec<String> = words.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect();
        Running::start(self.command(&words), &format!("lcm {}", words.join(" ")))
    }

    /// Returns all live processes that run this sandbox's own server, with their arguments.
    pub(crate) fn servers(&self) -> Vec<(i32, String)> {
        let server = self.path("model_server");
        processes()
            .filter(|(pid, _)| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == server))
            .collect()
    }

    /// Returns the shims of this sandbox's project, by their command line.
    pub(crate) fn shims(&self) -> Vec<(i32, String)> {
        let lcm = Path::new(env!("CARGO_BIN_EXE_lcm"));
        processes()
            .filter(|(pid, words)| {
                words.contains(&self.name) && fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == lcm)
            })
            .collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for manifest in &self.manifests {
            let words = [OsStr::new("down"), OsStr::new("--yes"), manifest.as_os_str()];
            let child = self.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            if let Ok(mut child) = child {
                end_within(&mut child, PATIENCE);
            }
        }
        // Processes that are left by then are a bug that the test has found.
        for (pid, _) in self.servers() {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

/// Result of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) what: String,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Asserts the exit code; panics with the output.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "{text:?} is missing\n{self}");
        self
    }

    #[track_caller]
    pub(crate) fn hides(self, text: &str) -> Self {
        assert!(!self.stdout.contains(text) && !self.stderr.contains(text), "{text:?} is unexpected\n{self}");
        self
    }

    /// Parses stdout as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON: {error}\n{self}"))
    }

    /// Parses each line of stdout as JSON.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        let line =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON: {error}: {line}\n{self}"));
        self.stdout.lines().map(line).collect()
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, code, stdout, stderr } = self;
        write!(formatter, "$ {what}\nexit {code}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

/// Run in progress; dropping it ends the process.
pub(crate) struct Running {
    what: String,
    promised: Promised,
    pub(crate) child: Child,
    stdout: mpsc::Receiver<String>,
    stderr: mpsc::Receiver<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command, what: &str) -> Self {
        let promised = Promised::by(&command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a program to run");
        let stdout = gather(child.stdout.take().expect("piped"));
        let stderr = gather(child.stderr.take().expect("piped"));
        Self { what: what.to_owned(), promised, child, stdout, stderr }
    }

    #[track_caller]
    pub(crate) fn end(mut self) -> Ran {
        let code = end_within(&mut self.child, 2 * PATIENCE);
        // A pipe that stays open after the end is held by a child process.
        let text = |stream: &mpsc::Receiver<String>| {
            stream
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("{}: ended, but a child process holds its output open", self.what))
        };
        let (stdout, stderr) = (text(&self.stdout), text(&self.stderr));
        let ran = Ran { what: self.what.clone(), code: code.unwrap_or(-1), stdout, stderr };
        assert!(code.is_some(), "ended by a signal or by this test's timeout\n{ran}");
        self.promised.check(&ran.stdout);
        ran
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
pub(crate) fn run(command: Command, what: &str) -> Ran {
    Running::start(command, what).end()
}

/// Waits until the condition holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Returns a free port below the kernel's ephemeral range, so that no connection takes it.
pub(crate) fn free_port() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 10_000;
    const COUNT_MAX: u32 = 20_000;
    // Test programs that run side by side begin far from each other.
    let begin = std::process::id().wrapping_mul(97);
    loop {
        let at = begin.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)) % COUNT_MAX;
        let port = u16::try_from(FIRST + at).expect("below 65 536");
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

pub(crate) fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

pub(crate) fn is_alive(pid: i32) -> bool {
    processes().any(|(other, _)| other == pid)
}

/// Signals one process that this test started.
pub(crate) fn kill(pid: i32, signal: &str) {
    let status = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status().expect("kill");
    assert!(status.success(), "kill -{signal} {pid}");
}

/// Returns all live processes, without zombies, with their arguments.
fn processes() -> impl Iterator<Item = (i32, String)> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()).filter_map(|pid| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|words| !words.is_empty())?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let state = stat.rsplit(')').next()?.trim_start().chars().next()?;
        (state != 'Z').then(|| (pid, String::from_utf8_lossy(&words).replace('\0', " ")))
    })
}

/// Waits for the exit code; `None`: a signal ended the process, or it had to be killed.
fn end_within(child: &mut Child, time: Duration) -> Option<i32> {
    let deadline = Instant::now() + time;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return status.code();
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn gather(mut stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// Copies a program in a child process: a process forked meanwhile by another thread would hold the copy open for
/// writing, and the kernel executes no such file.
#[track_caller]
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status().expect("cp runs");
    assert!(copied.success(), "no copy of {}", from.display());
}
