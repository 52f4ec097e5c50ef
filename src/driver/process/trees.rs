//! Which living processes are lcm's, by what they carry rather than by what was written down about them.
//!
//! A process belongs to the service that its own environment names, else to that of its nearest marked ancestor: some
//! programs overwrite their environment, and some start others with an empty one. Nothing here reads lcm's own notes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use jiff::Timestamp;

use crate::driver::process::proc::{self, Bearing, Marked, Stat};
use crate::model::facts::{Marks, ProcessFact};

/// No chain of parents is longer on any machine that still works; it ends a circle that a race could show.
const ANCESTORS_MAX: usize = 10_000;

/// All living processes at one time, and the marks that they carry.
#[derive(Debug, Default)]
pub(crate) struct Census {
    marked: BTreeMap<i32, Marked>,
    stats: BTreeMap<i32, Stat>,
    hollow: BTreeSet<i32>,
}

/// One living tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) marks: Marks,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) shim: Option<ProcessFact>,
    /// By pid, without the shim; for an adopted tree its root first.
    pub(crate) members: Vec<ProcessFact>,
    pub(crate) suspended: bool,
}

impl Census {
    /// Reads environments first: where none carries a mark, nothing else is read.
    pub(crate) fn take() -> io::Result<Self> {
        let mut census = Self::default();
        let mut seen = BTreeSet::new();
        for pid in proc::pids()? {
            seen.insert(pid);
            census.note_marks(pid);
        }
        if !census.marked.is_empty() {
            census.read_stats(&seen)?;
        }
        Ok(census)
    }

    /// With every process, marked or not.
    pub(crate) fn take_whole() -> io::Result<Self> {
        let mut census = Self::default();
        census.read_stats(&BTreeSet::new())?;
        Ok(census)
    }

    /// What was forked since the environments were read is looked at here: a tree must not slip through in between.
    fn read_stats(&mut self, seen: &BTreeSet<i32>) -> io::Result<()> {
        for pid in proc::pids()? {
            if !seen.contains(&pid) {
                self.note_marks(pid);
            }
            if self.hollow.contains(&pid) {
                continue;
            }
            if let Some(stat) = proc::stat(pid) {
                self.stats.insert(pid, stat);
            }
        }
        Ok(())
    }

    fn note_marks(&mut self, pid: i32) {
        match proc::bearing(pid) {
            Bearing::Marked(marked) => drop(self.marked.insert(pid, *marked)),
            Bearing::Hollow => drop(self.hollow.insert(pid)),
            Bearing::Unmarked => {}
        }
    }

    /// The marks that a process lives under: its own or its nearest marked ancestor's.
    pub(crate) fn owner(&self, pid: i32) -> Option<&Marked> {
        let mut pid = pid;
        for _ in 0..ANCESTORS_MAX {
            if let Some(marked) = self.marked.get(&pid) {
                return Some(marked);
            }
            pid = self.stats.get(&pid)?.parent;
        }
        None
    }

    /// All living trees, by project and service.
    pub(crate) fn trees(&self) -> BTreeMap<(String, String), Tree> {
        let mut trees = BTreeMap::new();
        for stat in self.stats.values().filter(|stat| stat.is_alive()) {
            let Some(owner) = self.owner(stat.pid) else { continue };
            let key = (owner.marks.project.clone(), owner.marks.service.clone());
            let tree = trees.entry(key).or_insert_with(|| Tree {
                marks: owner.marks.clone(),
                started_at: owner.started_at,
                shim: None,
                members: Vec::new(),
                suspended: true,
            });
            // Two starts of one service should not live at once; if they do, the younger speaks for both.
            if (owner.started_at, &owner.marks.salt) > (tree.started_at, &tree.marks.salt) {
                (tree.marks, tree.started_at) = (owner.marks.clone(), owner.started_at);
            }
            if self.is_shim(stat) {
                tree.shim = Some(stat.fact());
            } else {
                tree.members.push(stat.fact());
                tree.suspended &= stat.is_suspended();
            }
        }
        for tree in trees.values_mut() {
            tree.suspended &= !tree.members.is_empty();
        }
        trees
    }

    /// What a shim has forked and not yet executed still looks like the shim.
    fn is_shim(&self, stat: &Stat) -> bool {
        let Some(own) = self.marked.get(&stat.pid).filter(|marked| marked.shim) else { return false };
        let parent = self.marked.get(&stat.parent);
        !parent.is_some_and(|parent| parent.shim && parent.marks.salt == own.marks.salt)
    }

    /// A process that somebody else started, and what it started, but for what carries marks of its own.
    pub(crate) fn below(&self, root: &ProcessFact) -> Vec<ProcessFact> {
        let mut members: Vec<ProcessFact> = self
            .stats
            .values()
            .filter(|stat| stat.is_alive() && self.descends(stat.pid, root))
            .map(Stat::fact)
            .collect();
        members.sort_by_key(|member| (member.pid != root.pid, member.pid));
        members
    }

    fn descends(&self, pid: i32, root: &ProcessFact) -> bool {
        let mut pid = pid;
        for _ in 0..ANCESTORS_MAX {
            let Some(stat) = self.stats.get(&pid) else { return false };
            if stat.pid == root.pid {
                return stat.start_ticks == root.start_ticks;
            }
            if self.marked.contains_key(&pid) {
                return false;
            }
            pid = stat.parent;
        }
        false
    }

    /// Whether a process is this one or comes from it, whatever marks are in between.
    pub(crate) fn comes_from(&self, pid: i32, ancestor: &ProcessFact) -> bool {
        let parent = |stat: &&Stat| self.stats.get(&stat.parent);
        let mut chain = std::iter::successors(self.stats.get(&pid), parent).take(ANCESTORS_MAX);
        chain.any(|stat| stat.pid == ancestor.pid && stat.start_ticks == ancestor.start_ticks)
    }

    /// Whether all of these are stopped by a signal.
    pub(crate) fn are_suspended(&self, members: &[ProcessFact]) -> bool {
        !members.is_empty() && members.iter().all(|member| self.stats.get(&member.pid).is_some_and(Stat::is_suspended))
    }
}

#[cfg(test)]
mod tests {
    use super::{Census, Marked, Stat};
    use crate::model::facts::Marks;

    fn process(census: &mut Census, pid: i32, parent: i32, state: char) {
        let stat = Stat { pid, parent, state, start_ticks: u64::from(pid.unsigned_abs()), program: format!("p{pid}") };
        census.stats.insert(pid, stat);
    }

    fn mark(census: &mut Census, pid: i32, service: &str, salt: &str, shim: bool) {
        let marks = Marks { project: "p".into(), service: service.into(), salt: salt.into(), ..Marks::default() };
        census.marked.insert(pid, Marked { marks, started_at: None, shim });
    }

    fn members(census: &Census, service: &str) -> (Option<i32>, Vec<i32>) {
        let trees = census.trees();
        let tree = &trees[&("p".to_owned(), service.to_owned())];
        (tree.shim.as_ref().map(|shim| shim.pid), tree.members.iter().map(|member| member.pid).collect())
    }

    #[test]
    fn a_tree_is_what_carries_its_marks_and_what_descends_from_that() {
        let mut census = Census::default();
        for (pid, parent, state) in
            [(1, 0, 'S'), (10, 1, 'S'), (11, 10, 'S'), (12, 11, 'R'), (13, 10, 'Z'), (14, 1, 'S'), (20, 1, 'S')]
        {
            process(&mut census, pid, parent, state);
        }
        mark(&mut census, 10, "a", "s1", true);
        mark(&mut census, 11, "a", "s1", false);
        mark(&mut census, 14, "a", "s1", false);
        // 12 has overwritten its environment, 13 is a zombie, 20 is a stranger.
        assert_eq!(members(&census, "a"), (Some(10), vec![11, 12, 14]));
        assert!(census.owner(20).is_none());
    }

    #[test]
    fn a_service_started_from_within_another_is_its_own() {
        let mut census = Census::default();
        for (pid, parent) in [(10, 1), (11, 10), (30, 10), (31, 30)] {
            process(&mut census, pid, parent, 'S');
        }
        mark(&mut census, 10, "a", "s1", true);
        mark(&mut census, 30, "b", "s2", true);
        assert_eq!(members(&census, "a"), (Some(10), vec![11]));
        assert_eq!(members(&census, "b"), (Some(30), vec![31]));
    }

    #[test]
    fn a_child_that_its_shim_has_not_executed_yet_is_no_second_shim() {
        let mut census = Census::default();
        process(&mut census, 10, 1, 'S');
        process(&mut census, 11, 10, 'R');
        mark(&mut census, 10, "a", "s1", true);
        mark(&mut census, 11, "a", "s1", true);
        assert_eq!(members(&census, "a"), (Some(10), vec![11]));
    }

    #[test]
    fn a_tree_is_suspended_when_all_of_it_is() {
        let mut census = Census::default();
        process(&mut census, 10, 1, 'T');
        process(&mut census, 11, 1, 'S');
        mark(&mut census, 10, "a", "s1", false);
        mark(&mut census, 11, "a", "s1", false);
        let suspended = |census: &Census| census.trees().values().next().map(|tree| tree.suspended);
        assert_eq!(suspended(&census), Some(false));
        process(&mut census, 11, 1, 'T');
        assert_eq!(suspended(&census), Some(true));
    }
}
