//! What runs on a machine of which no manifest speaks yet, for one to be drafted from.
//!
//! No environment is ever in here. Command lines come as they are found, and may hold secrets: who writes them down
//! takes those out first. So this is neither serialized nor kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::model::facts::Facts;
use crate::model::names::GpuId;
use crate::model::size::Mebibytes;

/// A machine, looked at without a manifest.
#[derive(Clone, Debug)]
pub struct MachineSurvey {
    /// Containers, lcm's own trees and GPUs. Nothing was probed.
    pub facts: Facts,
    /// Empty for a recorded world.
    pub discovered: Discovered,
}

/// Readings beside the facts, which no manifest's plan needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovered {
    /// What the facts do not tell of containers, by the container's id.
    pub containers: BTreeMap<String, FoundContainer>,
    /// Who holds GPU memory outside of containers and of lcm, by the pid of its leader.
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

/// What a look at one container adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundContainer {
    /// Compose's name for it.
    pub compose_service: Option<String>,
    /// Other services of its Compose project that it needs.
    pub depends_on: BTreeSet<String>,
    /// `always`, `unless-stopped`, `on-failure`.
    pub restart_policy: Option<String>,
    /// TCP ports of the host that it publishes, also while it is stopped, with the address to reach each by.
    pub ports: BTreeMap<u16, String>,
    /// Those of them that take connections now.
    pub answering: BTreeSet<u16>,
    /// It was made to see a GPU.
    pub asks_for_gpu: bool,
}

/// Processes that belong together and hold GPU memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundProgram {
    /// The one that the others were started by.
    pub pid: i32,
    /// The name of the one that holds most.
    pub program: String,
    /// The leader's command line, word by word; empty where it can't be read.
    pub command: Vec<String>,
    pub cwd: Option<PathBuf>,
    /// Somebody sits, or sat, before it.
    pub terminal: bool,
    /// The systemd unit that keeps it.
    pub unit: Option<String>,
    /// TCP ports that it listens on.
    pub ports: BTreeSet<u16>,
    /// What it holds on each GPU; `None`: the driver does not tell.
    pub memory: BTreeMap<GpuId, Option<Mebibytes>>,
}
