//! Survey of a machine without a manifest: the running programs and containers from which `lcm init` drafts one.
//!
//! Never in here: environments. Command lines are kept as found and may hold secrets, which must be removed before they
//! are written down. So a survey is neither serialized nor kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::model::facts::Facts;
use crate::model::names::GpuId;
use crate::model::size::Mebibytes;

/// Readings of a machine, taken without a manifest.
#[derive(Clone, Debug)]
pub struct MachineSurvey {
    /// Containers, lcm's own process trees and GPUs. Nothing was probed.
    pub facts: Facts,
    /// Empty for a recorded snapshot.
    pub discovered: Discovered,
}

/// Readings beside the facts, which no plan needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovered {
    /// Details of containers that the facts lack, by the container's id.
    pub containers: BTreeMap<String, FoundContainer>,
    /// Programs that hold GPU memory outside of containers and of lcm.
    pub programs: Vec<FoundProgram>,
}

impl Extend<Self> for Discovered {
    fn extend<I: IntoIterator<Item = Self>>(&mut self, others: I) {
        for other in others {
            self.containers.extend(other.containers);
            self.programs.extend(other.programs);
        }
    }
}

/// Details of one container beside the facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundContainer {
    /// Name of its service in Compose.
    pub compose_service: Option<String>,
    /// Other services of its Compose project that it depends on.
    pub depends_on: BTreeSet<String>,
    /// `always`, `unless-stopped`, `on-failure`.
    pub restart_policy: Option<String>,
    /// TCP ports of the host that it publishes, also while it is stopped, with the address to reach each by.
    pub ports: BTreeMap<u16, String>,
    /// Ports among them that accept connections now.
    pub answering: BTreeSet<u16>,
    /// The container was created with access to a GPU.
    pub requests_gpu: bool,
}

/// Processes that belong together, under one leader, and hold GPU memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundProgram {
    /// Pid of the leader, which started the others.
    pub pid: i32,
    /// Name of the process that holds the most.
    pub program: String,
    /// Command line of the leader, word by word; empty where it can't be read.
    pub command: Vec<String>,
    pub cwd: Option<PathBuf>,
    /// It is, or was, attached to a terminal.
    pub terminal: bool,
    /// The systemd unit that it belongs to.
    pub unit: Option<String>,
    /// TCP ports that it listens on.
    pub ports: BTreeSet<u16>,
    /// Memory that it holds on each GPU; `None`: the driver does not report it.
    pub memory: BTreeMap<GpuId, Option<Mebibytes>>,
}
