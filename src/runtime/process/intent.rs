//! Definition of a service that is a process tree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::model::environment::EnvValue;
use crate::model::workload::{Capabilities, Capability, Origin, RuntimeSpec, Workload};
use crate::runtime::process::NAME;

const CAPABILITIES: Capabilities = Capabilities(&[
    Capability::Pause,
    Capability::Exec,
    Capability::Logs,
    Capability::LocalGpu,
    Capability::LocalPorts,
]);

/// Process tree that lcm starts under its shim.
#[derive(Clone, Debug)]
pub struct ProcessSpec {
    pub command: CommandSpec,
    /// Absolute.
    pub cwd: PathBuf,
    /// The whole of what the manifest gives; the fixed part is the driver's.
    pub environment: BTreeMap<String, EnvValue>,
    /// Names taken over from lcm's own environment, where they are set.
    pub inherit: BTreeSet<String>,
    pub log: LogPolicy,
    pub pid_file: Option<PidFile>,
    /// Absolute path of a file that holds the pid of the first process while that runs.
    pub writes_pid: Option<PathBuf>,
}

/// Command line of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandSpec {
    /// Run as it is; never empty.
    Exec(Vec<String>),
    /// `shell -c line`.
    Shell { shell: String, line: String },
}

impl CommandSpec {
    /// The program and its arguments.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Exec(words) => words.clone(),
            Self::Shell { shell, line } => vec![shell.clone(), "-c".to_owned(), line.clone()],
        }
    }
}

/// Bounds of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPolicy {
    pub max_size_bytes: u64,
    /// Rotated copies kept beside the one being written.
    pub files: u32,
}

/// A process that somebody else started, known by the file that holds its pid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PidFile {
    /// Absolute.
    pub path: PathBuf,
    /// Must stand in the process's arguments.
    pub matching: String,
}

impl RuntimeSpec for ProcessSpec {
    fn host_folder(&self) -> Option<&Path> {
        Some(&self.cwd)
    }

    fn host_command(&self) -> Option<Vec<String>> {
        Some(self.command.argv())
    }

    fn host_paths(&self) -> Vec<PathBuf> {
        vec![self.cwd.clone()]
    }

    fn environment(&self) -> Option<&BTreeMap<String, EnvValue>> {
        Some(&self.environment)
    }
}

impl From<ProcessSpec> for Workload {
    fn from(spec: ProcessSpec) -> Self {
        Self {
            runtime: NAME,
            target: None,
            object: None,
            origin: Origin::Created,
            capabilities: CAPABILITIES,
            spec: Box::new(spec),
        }
    }
}
