//! Facts about process trees.

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

/// What was read of this host's processes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessFacts {
    /// Process trees that carry lcm's marks, and the ends of those that are gone.
    #[serde(default)]
    pub trees: Reading<Vec<TreeFact>>,
    /// Pid files that are not believed, by service, and why: another user could have written them.
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
        Some(format!("what processes hold is not known: {}", self.trees.unknown()?))
    }

    fn count(&self) -> Option<InstanceCount> {
        Some(InstanceCount { count: self.trees.known()?.len(), one: "process tree", several: "process trees" })
    }

    fn owned(&self) -> Vec<Attribution> {
        self.trees.known().into_iter().flatten().map(owned).collect()
    }

    fn mask(&mut self, masker: &Masker) {
        // The pid files' own texts are paths of the manifest, which are shown as they are.
        let Self { trees, pid_files: _ } = self;
        trees.mask_reason(masker);
        trees.known_mut().into_iter().flatten().for_each(|tree| tree.marks.mask(masker));
    }
}

/// Processes of one tree, its shim among them.
pub(crate) fn owned(tree: &TreeFact) -> Attribution {
    let pids = tree.members.iter().chain(&tree.shim).map(|process| process.pid).collect();
    let owned = Attribution::of_service(&tree.marks.project, &tree.marks.service, pids);
    Attribution { instance: Some(tree.instance()), ..owned }
}

/// The process trees' part of facts about a machine.
pub trait ProcessReading {
    /// Returns what was read of processes; nothing, where that was not asked for.
    fn processes(&self) -> &ProcessFacts;

    /// Returns it, to be changed.
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

/// Trees that are known.
pub(crate) fn known_trees(facts: &Facts) -> impl Iterator<Item = &TreeFact> {
    facts.processes().trees.known().into_iter().flatten()
}

/// One process tree of one service, alive or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TreeFact {
    pub marks: Marks,
    /// Named by `pid_file` or `lcm adopt`: not started by lcm.
    #[serde(default)]
    pub adopted: bool,
    /// The shim, while it lives.
    #[serde(default)]
    pub shim: Option<ProcessFact>,
    /// All living processes of the service, without the shim; empty: ended.
    #[serde(default)]
    pub members: Vec<ProcessFact>,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// How the first process ended, where its shim could record it.
    #[serde(default)]
    pub exit: Option<ExitFact>,
    /// Every member is stopped by a signal (STOP).
    #[serde(default)]
    pub suspended: bool,
    /// User of the first member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The shim that ended before the service; absent while it lives, and of adopted trees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_shim: Option<LostShim>,
    /// Working folder and program that its shim was given and holds open; absent where an earlier lcm started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldFact>,
    /// The project that its marks name, where that is a former name of this one (`renamed_from`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_project: Option<String>,
}

impl TreeFact {
    /// The instance that it is: by the salt of its start, or by its first process where it was adopted.
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

/// A file or folder that is held open, and what is at its path now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldPath {
    pub path: String,
    /// `DEVICE:INODE`.
    pub id: String,
    /// What is at its path now, as `DEVICE:INODE`; `None`: nothing.
    #[serde(default)]
    pub now: Option<String>,
}

/// A shim that was killed: how the service ends is not recorded any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LostShim {
    /// Its former pid, where it was recorded.
    pub pid: Option<i32>,
}

#[cfg(test)]
mod tests {
    use super::{TreeFact, owned};
    use crate::model::facts::{Marks, ProcessFact};

    #[test]
    fn members_and_the_shim_are_the_services() {
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
