//! Another, hostile user of this machine: processes with any environment and name, files, containers.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::host::{Host, MARKER};
use super::process::Identity;
use super::shell;

/// Maximum lifetime of an attacker's processes, in seconds, even if the test is killed.
const LIFE_S: &str = "600";

pub(crate) struct Attacker<'h> {
    host: &'h Host,
    pub(crate) uid: u32,
}

impl<'h> Attacker<'h> {
    pub(super) fn new(host: &'h Host, uid: u32) -> Self {
        host.folder_of(uid, &format!("attacker-{uid}"), 0o755);
        Self { host, uid }
    }

    /// Returns a path in the attacker's own folder, which all users can read.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.host.path(&format!("attacker-{}", self.uid)).join(name)
    }

    /// Returns a command as this user: no groups, an empty environment.
    pub(crate) fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(self.path("")).stdin(Stdio::null());
        command.uid(self.uid).gid(self.uid).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts the command; the process ends with the trial.
    #[track_caller]
    pub(crate) fn spawn(&self, command: Command) -> Identity {
        self.host.spawn(command)
    }

    /// Starts a sleeping process, with this environment beside the marker.
    #[track_caller]
    pub(crate) fn sleeper(&self, environment: &[(&str, &str)]) -> Identity {
        let mut command = self.program("sleep");
        command.arg(LIFE_S).envs(environment.iter().copied());
        self.spawn(command)
    }

    /// Starts a sleeping process with a full set of forged marks; `more` overrides them.
    #[track_caller]
    pub(crate) fn forge(&self, service: &str, more: &[(&str, &str)]) -> Identity {
        let project = self.host.name.clone();
        let marks = forged(&project, service);
        let marks: Vec<(&str, &str)> = marks.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.sleeper(&[&marks[..], more].concat())
    }

    /// Starts a process with a shim's command line for this project.
    #[track_caller]
    pub(crate) fn fake_shim(&self, service: &str, environment: &[(&str, &str)]) -> Identity {
        let mut command = self.program("sh");
        // A shell that reads its commands from its first argument would end; this one waits.
        command.arg0("lcm").args([
            "-c",
            &format!("sleep {LIFE_S}; :"),
            "__shim",
            "--project",
            &self.host.name,
            "--service",
            service,
        ]);
        command.envs(environment.iter().copied());
        self.spawn(command)
    }

    /// Runs a shell command as this user, and waits for its end.
    #[track_caller]
    pub(crate) fn sh(&self, line: &str) -> Output {
        let mut command = self.program("sh");
        command.args(["-c", line]).env(MARKER, &self.host.name).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.output().expect("a shell")
    }

    /// Writes a file owned by this user.
    #[track_caller]
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("a file");
        std::os::unix::fs::chown(&path, Some(self.uid), Some(self.uid)).expect("its owner");
        path
    }

    /// Runs a container whose shell runs this command, with these arguments for `docker run` before the image.
    #[track_caller]
    pub(crate) fn container(&self, words: &[&str], line: &str) -> String {
        self.host.run_container(&[words, &[shell::image(), "-c", line]].concat())
    }
}

/// Returns all marks of a process, forged.
pub(crate) fn forged(project: &str, service: &str) -> Vec<(&'static str, String)> {
    [
        ("LCM_PROJECT", project),
        ("LCM_SERVICE", service),
        ("LCM_SALT", "00112233445566778899aabbccddeeff"),
        ("LCM_SPEC", "v1:0123456789abcdef"),
        ("LCM_STARTED_AT", "2026-01-01T00:00:00Z"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}
