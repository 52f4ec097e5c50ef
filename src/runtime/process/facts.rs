//! Facts about process trees, as recorded in a snapshot.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::facts::{Attribution, ExitFact, Facts, InstanceCount, Marks, ProcessFact, Reading, RuntimeFacts};
use crate::model::instance::Instance;
use crate::model::names::{RuntimeName, ServiceName};
use crate::model::secret::Masker;
use crate::runtime::process::{self, NAME};

/// Version of [`ProcessFacts`].
pub const FORMAT: &str = "process/1";

/// Facts about this host's processes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessFacts {
    /// Process trees of services, running or ended: those that lcm started, and adopted ones.
    #[serde(default)]
    pub trees: Reading<Vec<TreeFact>>,
    /// Pid files that lcm does not trust, because another user could have written them: the reason, by service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pid_files: BTreeMap<ServiceName, String>,
}

impl RuntimeFacts for ProcessFacts {
    fn runtime(&self) -> RuntimeName {
        NAME
    }

    fn format(&self) -> &'static str {
        FORMAT
    }

    fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn unread(&self) -> Option<String> {
        Some(format!("processes can't be read, so what they hold is unknown: {}", self.trees.unknown()?))
    }

    fn count(&self) -> Option<InstanceCount> {
        Some(InstanceCount { count: self.trees.known()?.len(), one: "process tree", several: "process trees" })
    }

    fn owned(&self) -> Vec<Attribution> {
        self.trees.known().into_iter().flatten().map(owned).collect()
    }

    fn mask(&mut self, masker: &Masker) {
        // The reasons for pid files hold paths of the manifest, which are shown as they are.
        let Self { trees, pid_files: _ } = self;
        trees.mask_reason(masker);
        trees.known_mut().into_iter().flatten().for_each(|tree| tree.marks.mask(masker));
    }
}

/// Attributes all processes of a tree, its shim included, to its service.
pub(crate) fn owned(tree: &TreeFact) -> Attribution {
    let pids = tree.members.iter().chain(&tree.shim).map(|process| process.pid).collect();
    let owned = Attribution::of_service(&tree.marks.project, &tree.marks.service, pids);
    Attribution { instance: Some(tree.instance()), ..owned }
}

/// Access to the process trees in the facts about a machine.
pub trait ProcessReading {
    /// Returns the facts about processes; empty ones if processes were not read.
    fn processes(&self) -> &ProcessFacts;

    /// Returns the facts about processes for changes.
    fn processes_mut(&mut self) -> &mut ProcessFacts;
}

impl ProcessReading for Facts {
    fn processes(&self) -> &ProcessFacts {
        static NOT_ASKED: ProcessFacts = ProcessFacts { trees: Reading::NotAsked, pid_files: BTreeMap::new() };
        self.instances.get().unwrap_or(&NOT_ASKED)
    }

    fn processes_mut(&mut self) -> &mut ProcessFacts {
        self.instances.get_mut()
    }
}

/// Lists the known trees.
pub(crate) fn known_trees(facts: &Facts) -> impl Iterator<Item = &TreeFact> {
    facts.processes().trees.known().into_iter().flatten()
}

/// One process tree of one service, running or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TreeFact {
    pub marks: Marks,
    /// True if the tree was adopted, by a `pid_file` or `lcm adopt`: lcm did not start it.
    #[serde(default)]
    pub adopted: bool,
    /// The shim, while it is alive: the helper process that starts the service, supervises it, and records its exit.
    #[serde(default)]
    pub shim: Option<ProcessFact>,
    /// Living processes of the service, without the shim; empty if the service has ended.
    #[serde(default)]
    pub members: Vec<ProcessFact>,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// Exit of the first process, if its shim could record it.
    #[serde(default)]
    pub exit: Option<ExitFact>,
    /// True if every process of the service is paused by a STOP signal.
    #[serde(default)]
    pub suspended: bool,
    /// Uid of the service's first process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Shim that ended before the service; absent while the shim lives, and for adopted trees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_shim: Option<LostShim>,
    /// Working folder and program that the service was started with; the shim holds them open. Absent if an older
    /// version of lcm started the tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldFact>,
    /// Project name in the marks, if it is a former name of this project (`renamed_from`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_project: Option<String>,
}

impl TreeFact {
    /// Returns the tree's instance: identified by the salt of its start, or if it was adopted, by its first process.
    #[must_use]
    pub fn instance(&self) -> Instance {
        let id = match self.members.first() {
            Some(first) if self.adopted => format!("{}:{}", first.pid, first.start_ticks),
            Some(_) | None => self.marks.salt.clone(),
        };
        process::instance(id)
    }
}

/// Files that a shim holds open on behalf of its service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldFact {
    pub folder: HeldPath,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<HeldPath>,
}

/// File or folder that is held open, and the file or folder that is at its path now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldPath {
    pub path: String,
    /// Device and inode of the file that is held open, as `DEVICE:INODE`.
    pub id: String,
    /// Device and inode of the file at the path now, as `DEVICE:INODE`; `null` if there is no file now.
    #[serde(default)]
    pub now: Option<String>,
}

/// Shim that was killed: the exit of the service will not be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LostShim {
    /// Pid that the shim had; `null` if it was not recorded.
    pub pid: Option<i32>,
}

#[cfg(test)]
mod tests {
    use super::{TreeFact, owned};
    use crate::model::facts::{Marks, ProcessFact};

    #[test]
    fn members_and_the_shim_belong_to_the_service() {
        let process = |pid| ProcessFact { pid, start_ticks: 1, program: "python3".to_owned() };
        let tree = TreeFact {
            marks: Marks { project: "p".into(), service: "s".into(), ..Marks::default() },
            adopted: true,
            shim: Some(process(6)),
            members: vec![process(7), process(8)],
            started_at: None,
            exit: None,
            suspended: false,
            uid: None,
            lost_shim: None,
            held: None,
            former_project: None,
        };
        assert_eq!(owned(&tree).pids, [7, 8, 6]);
        assert_eq!(owned(&tree).instance.map(|instance| instance.id).as_deref(), Some("7:1"));
    }
}
