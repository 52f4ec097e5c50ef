//! The real binary in a folder of the test's own, with a minimal environment. For tests that need no machine: usage,
//! files, locks, simulations.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use promised::Promised;

#[path = "promised.rs"]
pub(crate) mod promised;

/// Builder of one call of `lcm`.
pub(crate) struct Lcm {
    folder: PathBuf,
    words: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl Lcm {
    /// Creates a call with `folder` as working directory, which also contains state and lock.
    pub(crate) fn new(folder: &Path) -> Self {
        let at = |name: &str| folder.join(name).display().to_string();
        let environment = [
            ("HOME", at("home")),
            ("LCM_LOCK", at("lcm.lock")),
            // No GPU of this machine is read.
            ("LCM_NVML_LIB", String::new()),
            ("LCM_STATE_DIR", at("state")),
            ("PATH", "/usr/bin:/bin".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
        Self { folder: folder.to_owned(), words: Vec::new(), environment }
    }

    pub(crate) fn args(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Adds `--world world.json`.
    pub(crate) fn simulated(self) -> Self {
        self.args(&["--world", "world.json"])
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Returns the command, for tests that don't just run it to its end.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lcm"));
        command.args(&self.words).env_clear().envs(&self.environment).current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    #[track_caller]
    pub(crate) fn run(self) -> Ran {
        let mut command = self.command();
        let promised = Promised::by(&command);
        let ran = Ran::new(&self.words, &command.output().expect("lcm runs"));
        promised.check(&ran.stdout);
        ran
    }
}

/// Result of a run.
pub(crate) struct Ran {
    what: String,
    code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn new(words: &[String], output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            what: format!("lcm {}", words.join(" ")),
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Returns the exit code.
    pub(crate) fn exit(&self) -> Option<i32> {
        self.code
    }

    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        assert!(!self.stderr.contains("panicked"), "{self}");
        self
    }

    #[track_caller]
    pub(crate) fn stdout_has(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "stdout lacks {text:?}\n{self}");
        self
    }

    #[track_caller]
    pub(crate) fn stderr_has(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "stderr lacks {text:?}\n{self}");
        self
    }

    /// Formats the command with its output, for golden files.
    pub(crate) fn told(&self) -> String {
        let Self { what, code, stdout, stderr } = self;
        let code = code.map_or_else(|| "by a signal".to_owned(), |code| code.to_string());
        let note: String = stderr.lines().flat_map(|line| ["! ", line, "\n"]).collect();
        format!("$ {what}\n{note}{stdout}[{code}]\n\n")
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON: {error}\n{self}"))
    }

    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        let event = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON: {error}\n{self}"));
        self.stdout.lines().map(event).collect()
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, code, stdout, stderr } = self;
        write!(formatter, "$ {what}\nexit {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

/// Creates a folder with a manifest of two modes that can't share the GPU, and a snapshot in which nothing runs.
pub(crate) fn studio() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("lcm.yaml"), STUDIO).expect("a manifest");
    fs::write(folder.path().join("world.json"), NOTHING_RUNS).expect("a world");
    folder
}

const STUDIO: &str = "\
version: 1
name: studio
mode: paint
gpus: { devices: [{ index: 0, uuid: GPU-studio, vram: 24GiB }] }
services:
  encoder: { process: { command: [sleep, inf] }, vram: 2GB, priority: 60 }
  painter: { process: { command: [sleep, inf] }, vram: 18GB, priority: 100, depends_on: [encoder] }
  writer: { process: { command: [sleep, inf] }, vram: 20GB, priority: 50 }
modes:
  paint: { services: [painter] }
  write: { services: [writer, encoder] }
  both: { services: [writer, painter] }
goals:
  narrate: { services: [encoder] }
";

const NOTHING_RUNS: &str = r#"{
  "format": "lcm.world/1",
  "host": "box",
  "observed_at": "2026-11-20T10:00:00Z",
  "gpus": { "known": [{ "id": "GPU-studio", "index": 0, "capacity": 24576 }] }
}
"#;
