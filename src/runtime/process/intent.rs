//! Definition of a service that runs as a process tree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::environment::EnvValue;
use crate::model::workload::{Capabilities, Capability, Origin, RuntimeSpec, Workload};
use crate::runtime::process::NAME;

const CAPABILITIES: Capabilities = Capabilities(&[
    Capability::Pause,
    Capability::Exec,
    Capability::Logs,
    Capability::LocalGpu,
    Capability::LocalPorts,
    Capability::RunsToEnd,
]);

/// Process tree that lcm starts under its shim.
#[derive(Clone, Debug)]
pub struct ProcessSpec {
    pub command: CommandSpec,
    /// Working folder, absolute.
    pub cwd: PathBuf,
    /// Variables that the manifest sets; the driver adds the fixed ones.
    pub environment: BTreeMap<String, EnvValue>,
    /// Names of variables that are inherited from lcm's own environment, where they are set.
    pub inherit: BTreeSet<String>,
    pub log: LogPolicy,
    pub pid_file: Option<PidFile>,
    /// Absolute path of a file that holds the pid of the first process while that runs.
    pub writes_pid: Option<PathBuf>,
    pub limits: ProcessLimits,
}

/// Limits of a process that the manifest sets; all others are those that lcm has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLimits {
    /// Limits of the kernel, by Docker's names.
    pub ulimits: BTreeMap<String, ProcessUlimit>,
    /// Scheduling priority, from -20 (first) to 19 (last).
    pub nice: Option<i32>,
}

/// Soft and hard limit of the kernel; `None`: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessUlimit {
    pub soft: Option<u64>,
    pub hard: Option<u64>,
}

impl ProcessLimits {
    /// Returns true if the manifest sets no limit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ulimits.is_empty() && self.nice.is_none()
    }
}

/// Command line of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandSpec {
    /// Program and arguments, executed directly; never empty.
    Exec(Vec<String>),
    /// `shell -c line`.
    Shell { shell: String, line: String },
}

impl CommandSpec {
    /// Returns the program and its arguments.
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
    /// Rotated copies that are kept beside the current log.
    pub files: u32,
}

/// Pid file of a process that another program started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PidFile {
    /// Path, absolute.
    pub path: PathBuf,
    /// Text that the process's arguments must contain.
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
