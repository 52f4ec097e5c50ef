//! Census of living processes, with the proof by which each belongs to a service: it descends from a verified shim, it
//! was recorded, or, for an owner other than root, it carries the marks in its own environment.
//!
//! A process that carries marks without proof is a claim: it belongs to no service, and its marks are not used.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use jiff::Timestamp;

use crate::host::ports::ServiceProcesses;
use crate::host::proc::{self, EnvironmentMarks, Marked, Stat};
use crate::model::claim::{CLAIMS_MAX, ClaimFact, Claimant};
use crate::model::facts::{Marks, ProcessFact};
use crate::model::names::{ProjectName, ServiceName};
use crate::runtime::process::drive::folder::Folder;
use crate::runtime::process::drive::members::{self, Recorded};
use crate::runtime::process::drive::members_note::MembersNote;
use crate::runtime::process::drive::verified::{self, ProjectNames, Trust, VerificationError};
use crate::runtime::process::facts::LostShim;

/// Bound for a chain of parents: none is longer on a working machine, and it ends a cycle that a race could show.
const ANCESTORS_MAX: usize = 10_000;

/// Project and service.
pub(crate) type Key = (String, String);

/// All living processes at one time, with the proofs of their services.
#[derive(Debug, Default)]
pub(crate) struct Census {
    owners: BTreeSet<u32>,
    stats: BTreeMap<i32, Stat>,
    shims: BTreeMap<i32, TreeStart>,
    recorded: Recorded,
    /// Starts of the records, in their order.
    recorded_starts: Vec<TreeStart>,
    /// Starts by pid, for processes that carry marks in their own environment.
    marked: BTreeMap<i32, TreeStart>,
    rejected: BTreeMap<i32, (Key, VerificationError)>,
    without_memory: BTreeSet<i32>,
}

/// One start of a service, and the user who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TreeStart {
    pub(crate) uid: u32,
    /// Under the project's present name.
    pub(crate) marks: Marks,
    /// Project name in the marks, if that is a former one.
    former_project: Option<String>,
    pub(crate) started_at: Option<Timestamp>,
    /// Pid of the shim; `None`: unknown.
    shim: Option<i32>,
}

impl TreeStart {
    pub(crate) fn key(&self) -> Key {
        (self.marks.project.clone(), self.marks.service.clone())
    }
}

/// Process that carries marks, before verification. Marks are read again once they count: thousands of processes may
/// carry long ones.
#[derive(Debug)]
struct Candidate {
    key: Key,
    /// True if the command line is a shim's.
    is_shim: bool,
}

/// One living tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    /// User who started it.
    pub(crate) uid: u32,
    pub(crate) marks: Marks,
    pub(crate) started_at: Option<Timestamp>,
    /// Its shims, the youngest start's first. Two starts of one service should not live at once.
    pub(crate) shims: Vec<ProcessFact>,
    pub(crate) lost_shim: Option<LostShim>,
    pub(crate) former_project: Option<String>,
    /// Living processes by pid, without the shims.
    pub(crate) members: Vec<ProcessFact>,
    pub(crate) suspended: bool,
}

impl ServiceProcesses for Census {
    fn service_of(&self, pid: i32) -> Option<(ProjectName, ServiceName)> {
        let marks = &self.start_of(pid)?.marks;
        Some((ProjectName::new(&marks.project), ServiceName::new(&marks.service)))
    }
}

impl Census {
    /// Takes a census. If no process carries marks and none was recorded, nothing else is read.
    pub(crate) fn take(trust: &Trust) -> io::Result<Self> {
        let mut census = Self { owners: trust.owners.clone(), ..Self::default() };
        let (mut seen, mut candidates) = (BTreeSet::new(), BTreeMap::new());
        for pid in proc::pids()? {
            seen.insert(pid);
            candidates.extend(census.candidate(pid).map(|candidate| (pid, candidate)));
        }
        let notes: Vec<MembersNote> =
            Folder::all(&trust.state_dir).iter().filter_map(|(_, _, folder)| folder.members()).collect();
        if !candidates.is_empty() || !notes.is_empty() {
            candidates.extend(census.read_stats(&seen)?);
        }
        census.prove(candidates, notes, trust);
        Ok(census)
    }

    /// Takes a census with every process, marked or not.
    pub(crate) fn take_whole(trust: &Trust) -> io::Result<Self> {
        let mut census = Self::take(trust)?;
        if census.stats.is_empty() {
            census.read_stats(&BTreeSet::new())?;
        }
        Ok(census)
    }

    /// Reads the stats of all processes. Processes forked since marks were read are checked for marks here, so that no
    /// tree is missed.
    fn read_stats(&mut self, seen: &BTreeSet<i32>) -> io::Result<BTreeMap<i32, Candidate>> {
        let mut candidates = BTreeMap::new();
        for pid in proc::pids()? {
            if !seen.contains(&pid) {
                candidates.extend(self.candidate(pid).map(|candidate| (pid, candidate)));
            }
            if self.without_memory.contains(&pid) {
                continue;
            }
            if let Some(stat) = proc::stat(pid) {
                self.stats.insert(pid, stat);
            }
        }
        Ok(candidates)
    }

    fn candidate(&mut self, pid: i32) -> Option<Candidate> {
        let marked = match proc::bearing(pid, &self.owners) {
            EnvironmentMarks::Marked(environ) => environ.names(),
            EnvironmentMarks::NoAddressSpace => {
                self.without_memory.insert(pid);
                return None;
            }
            EnvironmentMarks::Unmarked => None,
        };
        let shim_of = proc::shim_line(pid);
        let is_shim = shim_of.is_some();
        shim_of.or(marked).map(|key| Candidate { key, is_shim })
    }

    fn prove(&mut self, candidates: BTreeMap<i32, Candidate>, notes: Vec<MembersNote>, trust: &Trust) {
        for (pid, candidate) in candidates {
            let Some(stat) = self.stats.get(&pid).filter(|stat| stat.is_alive()) else { continue };
            match verify(stat, &candidate, trust) {
                Ok(start) if start.shim.is_some() => drop(self.shims.insert(pid, start)),
                Ok(start) => drop(self.marked.insert(pid, start)),
                Err(error) => drop(self.rejected.insert(pid, (candidate.key, error))),
            }
        }
        // A start whose shim lives needs no record.
        let lives = |note: &MembersNote| {
            self.shims.get(&note.shim.pid).is_some_and(|start| start.marks.salt == note.marks.salt)
        };
        let notes: Vec<MembersNote> = notes.into_iter().filter(|note| !lives(note)).collect();
        self.recorded = Recorded::living(notes, &self.stats, &members::writes_to);
        let uid = rustix::process::geteuid().as_raw();
        self.recorded_starts = self.recorded.notes.iter().map(|note| start_of_note(note, uid, &trust.names)).collect();
    }

    /// Returns the start to which a process belongs: that of the nearest verified shim or recorded member among its
    /// ancestors and itself; else, where marks count, that of the nearest marked one.
    pub(crate) fn start_of(&self, pid: i32) -> Option<&TreeStart> {
        let recorded = |stat: &Stat| self.recorded.number_of(stat).and_then(|number| self.recorded_starts.get(number));
        let proven = |stat: &Stat| self.shims.get(&stat.pid).or_else(|| recorded(stat));
        let marked = || self.ancestors(pid).find_map(|stat| self.marked.get(&stat.pid));
        self.ancestors(pid).find_map(proven).or_else(marked)
    }

    /// Lists the process itself, its parent, and so on up.
    fn ancestors(&self, pid: i32) -> impl Iterator<Item = &Stat> {
        let parent = |stat: &&Stat| self.stats.get(&stat.parent);
        std::iter::successors(self.stats.get(&pid), parent).take(ANCESTORS_MAX)
    }

    /// Returns the living trees of the owners, by project and service.
    pub(crate) fn trees(&self) -> BTreeMap<Key, Tree> {
        self.grouped(|start| self.owners.contains(&start.uid)).into_iter().map(|((_, key), tree)| (key, tree)).collect()
    }

    /// Returns the living trees of other users, as far as this user can read them.
    pub(crate) fn trees_of_others(&self) -> BTreeMap<(u32, Key), Tree> {
        self.grouped(|start| !self.owners.contains(&start.uid))
    }

    /// Groups the living processes into trees by user and service; all owners count as one user.
    fn grouped(&self, counts: impl Fn(&TreeStart) -> bool) -> BTreeMap<(u32, Key), Tree> {
        let mut trees = BTreeMap::new();
        for stat in self.stats.values().filter(|stat| stat.is_alive()) {
            let Some(start) = self.start_of(stat.pid).filter(|start| counts(start)) else { continue };
            let user = if self.owners.contains(&start.uid) { 0 } else { start.uid };
            let tree = trees.entry((user, start.key())).or_insert_with(|| Tree {
                uid: start.uid,
                marks: start.marks.clone(),
                started_at: start.started_at,
                shims: Vec::new(),
                lost_shim: None,
                former_project: start.former_project.clone(),
                members: Vec::new(),
                suspended: true,
            });
            // Two starts of one service should not live at once; if they do, the younger one describes both.
            let is_younger = (start.started_at, &start.marks.salt) > (tree.started_at, &tree.marks.salt);
            if is_younger {
                (tree.uid, tree.marks, tree.started_at) = (start.uid, start.marks.clone(), start.started_at);
                tree.former_project.clone_from(&start.former_project);
            }
            if self.is_shim(stat) {
                let at = if is_younger { 0 } else { tree.shims.len() };
                tree.shims.insert(at, stat.fact());
            } else {
                tree.members.push(stat.fact());
                tree.suspended &= stat.is_suspended();
                if !start.shim.is_some_and(|shim| self.shims.contains_key(&shim)) {
                    tree.lost_shim = Some(LostShim { pid: start.shim });
                }
            }
        }
        for tree in trees.values_mut() {
            tree.suspended &= !tree.members.is_empty();
            tree.lost_shim = tree.lost_shim.filter(|_| tree.shims.is_empty());
        }
        trees
    }

    /// Returns true if a process is a shim; a child that a shim has forked and not yet executed looks like one, but is
    /// not.
    fn is_shim(&self, stat: &Stat) -> bool {
        let Some(own) = self.shims.get(&stat.pid) else { return false };
        self.shims.get(&stat.parent).is_none_or(|parent| parent.marks.salt != own.marks.salt)
    }

    /// Lists shims that may be starting: all is proven but the lock, which a shim takes in its first moments.
    pub(crate) fn starting_shims(&self) -> impl Iterator<Item = &Key> {
        let unlocked = self.rejected.values().filter(|(_, error)| *error == VerificationError::Unlocked);
        unlocked.map(|(key, _)| key)
    }

    /// Creates the records of a project's living starts with a verified shim.
    pub(crate) fn records(&self, project: &str, output: impl Fn(&Marks) -> Option<u64>) -> Vec<MembersNote> {
        let trees = self.trees().into_iter().filter(|(key, _)| key.0 == project);
        let record = |tree: Tree| {
            let shim = self.stats.get(&tree.shims.first()?.pid)?;
            let members: Vec<Stat> =
                tree.members.iter().filter_map(|member| self.stats.get(&member.pid)).cloned().collect();
            MembersNote::new(&tree.marks, tree.started_at?, output(&tree.marks), shim, &members)
        };
        trees.filter_map(|(_, tree)| record(tree)).collect()
    }

    /// Lists the claims on a project: processes that carry its marks without proof, and other users' trees of that
    /// name, each by its topmost process.
    pub(crate) fn claims(&self, project: &str) -> Vec<ClaimFact> {
        let claims = self.unverified(project).filter_map(|(pid, key, error)| self.claim(pid, key, &error));
        claims.take(CLAIMS_MAX).collect()
    }

    fn unverified(&self, project: &str) -> impl Iterator<Item = (i32, Key, VerificationError)> {
        let rejected = self.rejected.iter().filter(|(pid, (key, _))| {
            let above = self.stats.get(pid).and_then(|stat| self.rejected.get(&stat.parent));
            above.is_none_or(|(other, _)| other != key) && self.start_of(**pid).is_none()
        });
        let rejected = rejected.map(|(pid, (key, error))| (*pid, key.clone(), error.clone()));
        let foreign = self.shims.iter().filter(|(_, start)| !self.owners.contains(&start.uid));
        let foreign = foreign.map(|(pid, start)| (*pid, start.key(), VerificationError::OtherUser(start.uid)));
        rejected.chain(foreign).filter(move |(_, key, _)| key.0 == project)
    }

    fn claim(&self, pid: i32, (project, service): Key, error: &VerificationError) -> Option<ClaimFact> {
        let program = self.stats.get(&pid)?.program.clone();
        let claimant = Claimant::Process { pid, uid: proc::uid(pid)?, program };
        Some(ClaimFact::new(&project, &service, claimant, error.to_string()))
    }

    /// Lists a process that lcm did not start, and its descendants without those that belong to a service.
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
        for stat in self.ancestors(pid) {
            if stat.pid == root.pid {
                return stat.start_ticks == root.start_ticks;
            }
            if self.shims.contains_key(&stat.pid) || self.marked.contains_key(&stat.pid) {
                return false;
            }
        }
        false
    }

    /// Returns true if a process is `ancestor` or descends from it, at any distance.
    pub(crate) fn descends_from(&self, pid: i32, ancestor: &ProcessFact) -> bool {
        self.ancestors(pid).any(|stat| stat.pid == ancestor.pid && stat.start_ticks == ancestor.start_ticks)
    }

    /// Returns true if all of these processes are stopped by a signal.
    pub(crate) fn are_suspended(&self, members: &[ProcessFact]) -> bool {
        !members.is_empty() && members.iter().all(|member| self.stats.get(&member.pid).is_some_and(Stat::is_suspended))
    }
}

/// Verifies a candidate, and returns its start.
fn verify(stat: &Stat, candidate: &Candidate, trust: &Trust) -> Result<TreeStart, VerificationError> {
    let (project, service) = &candidate.key;
    let (uid, shim) = if candidate.is_shim {
        (verified::shim(stat, project, service, &trust.owners)?, Some(stat.pid))
    } else {
        let uid = verified::user_on_host(stat.pid)?;
        if !trust.trusts_marks_of(uid) {
            return Err(if trust.owners.contains(&uid) {
                VerificationError::MarksAlone
            } else {
                VerificationError::OtherUser(uid)
            });
        }
        (uid, None)
    };
    match proc::bearing(stat.pid, &BTreeSet::from([uid])) {
        EnvironmentMarks::Marked(environ) => match environ.marks() {
            Some(marked) if (&marked.marks.project, &marked.marks.service) == (project, service) => {
                let names = if trust.owners.contains(&uid) { &trust.names } else { &ProjectNames::default() };
                Ok(tree_start(marked, uid, shim, names))
            }
            Some(_) | None => Err(VerificationError::Unmarked),
        },
        EnvironmentMarks::Unmarked => Err(VerificationError::Unmarked),
        EnvironmentMarks::NoAddressSpace => Err(VerificationError::Ended),
    }
}

fn tree_start(marked: Marked, uid: u32, shim: Option<i32>, names: &ProjectNames) -> TreeStart {
    let Marked { mut marks, started_at, shim: _ } = marked;
    let (present, former_project) = names.of(&marks.project);
    marks.project = present;
    TreeStart { uid, marks, former_project, started_at, shim }
}

fn start_of_note(note: &MembersNote, uid: u32, names: &ProjectNames) -> TreeStart {
    let marked = Marked { marks: note.marks.clone(), started_at: Some(note.started_at), shim: true };
    tree_start(marked, uid, Some(note.shim.pid), names)
}

#[cfg(test)]
mod tests;
