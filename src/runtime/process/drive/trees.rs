//! The living processes at one time, and the proof by which each belongs to a service: it descends from a verified
//! shim, it was recorded, or, for an owner other than root, it carries the marks in its own environment.
//!
//! What carries marks without proof is a claim. It belongs to nothing, and nothing written in it counts.

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

/// No chain of parents is longer on any machine that still works; it ends a circle that a race could show.
const ANCESTORS_MAX: usize = 10_000;

/// Project and service.
pub(crate) type Key = (String, String);

/// All living processes at one time, with what proves whose they are.
#[derive(Debug, Default)]
pub(crate) struct Census {
    owners: BTreeSet<u32>,
    stats: BTreeMap<i32, Stat>,
    shims: BTreeMap<i32, TreeStart>,
    recorded: Recorded,
    /// Starts of the records, in their order.
    begun: Vec<TreeStart>,
    /// By their own environment.
    marked: BTreeMap<i32, TreeStart>,
    flawed: BTreeMap<i32, (Key, VerificationError)>,
    without_memory: BTreeSet<i32>,
}

/// One start of a service, and the user who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TreeStart {
    pub(crate) uid: u32,
    /// Under the project's present name.
    pub(crate) marks: Marks,
    /// The name that its marks have, where it is a former one.
    former_project: Option<String>,
    pub(crate) started_at: Option<Timestamp>,
    /// The pid of its shim; `None`: not known.
    shim: Option<i32>,
}

impl TreeStart {
    pub(crate) fn key(&self) -> Key {
        (self.marks.project.clone(), self.marks.service.clone())
    }
}

/// A process that carries marks, before anything is proven. Marks are read again once they count: thousands of
/// processes may carry long ones.
#[derive(Debug)]
struct Candidate {
    key: Key,
    /// Its command line is a shim's.
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
    /// By pid, without the shims.
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
    /// Looks for marks first: where no process carries one and none was recorded, nothing else is read.
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

    /// With every process, marked or not.
    pub(crate) fn take_whole(trust: &Trust) -> io::Result<Self> {
        let mut census = Self::take(trust)?;
        if census.stats.is_empty() {
            census.read_stats(&BTreeSet::new())?;
        }
        Ok(census)
    }

    /// What was forked since marks were looked for is looked at here: a tree must not slip through in between.
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
            match proof(stat, &candidate, trust) {
                Ok(begun) if begun.shim.is_some() => drop(self.shims.insert(pid, begun)),
                Ok(begun) => drop(self.marked.insert(pid, begun)),
                Err(flaw) => drop(self.flawed.insert(pid, (candidate.key, flaw))),
            }
        }
        // A start whose shim lives is known by that.
        let lives = |note: &MembersNote| {
            self.shims.get(&note.shim.pid).is_some_and(|begun| begun.marks.salt == note.marks.salt)
        };
        let notes: Vec<MembersNote> = notes.into_iter().filter(|note| !lives(note)).collect();
        self.recorded = Recorded::living(notes, &self.stats, &members::writes_to);
        let uid = rustix::process::geteuid().as_raw();
        self.begun = self.recorded.notes.iter().map(|note| begun_of(note, uid, &trust.names)).collect();
    }

    /// The start to which a process belongs: that of the nearest verified shim or recorded member above it, or of its
    /// own environment or the nearest one above it, where that counts.
    pub(crate) fn start_of(&self, pid: i32) -> Option<&TreeStart> {
        let recorded = |stat: &Stat| self.recorded.number_of(stat).and_then(|number| self.begun.get(number));
        let proven = |stat: &Stat| self.shims.get(&stat.pid).or_else(|| recorded(stat));
        let marked = || self.ancestors(pid).find_map(|stat| self.marked.get(&stat.pid));
        self.ancestors(pid).find_map(proven).or_else(marked)
    }

    /// The process itself, its parent, and so on up.
    fn ancestors(&self, pid: i32) -> impl Iterator<Item = &Stat> {
        let parent = |stat: &&Stat| self.stats.get(&stat.parent);
        std::iter::successors(self.stats.get(&pid), parent).take(ANCESTORS_MAX)
    }

    /// Living trees of the owners, by project and service.
    pub(crate) fn trees(&self) -> BTreeMap<Key, Tree> {
        self.grouped(|begun| self.owners.contains(&begun.uid)).into_iter().map(|((_, key), tree)| (key, tree)).collect()
    }

    /// Living trees of other users, as far as this user may look into them.
    pub(crate) fn trees_of_others(&self) -> BTreeMap<(u32, Key), Tree> {
        self.grouped(|begun| !self.owners.contains(&begun.uid))
    }

    /// By user and service; all owners are one.
    fn grouped(&self, counts: impl Fn(&TreeStart) -> bool) -> BTreeMap<(u32, Key), Tree> {
        let mut trees = BTreeMap::new();
        for stat in self.stats.values().filter(|stat| stat.is_alive()) {
            let Some(begun) = self.start_of(stat.pid).filter(|begun| counts(begun)) else { continue };
            let user = if self.owners.contains(&begun.uid) { 0 } else { begun.uid };
            let tree = trees.entry((user, begun.key())).or_insert_with(|| Tree {
                uid: begun.uid,
                marks: begun.marks.clone(),
                started_at: begun.started_at,
                shims: Vec::new(),
                lost_shim: None,
                former_project: begun.former_project.clone(),
                members: Vec::new(),
                suspended: true,
            });
            // Two starts of one service should not live at once; if they do, the younger speaks for both.
            let is_younger = (begun.started_at, &begun.marks.salt) > (tree.started_at, &tree.marks.salt);
            if is_younger {
                (tree.uid, tree.marks, tree.started_at) = (begun.uid, begun.marks.clone(), begun.started_at);
                tree.former_project.clone_from(&begun.former_project);
            }
            if self.is_shim(stat) {
                let at = if is_younger { 0 } else { tree.shims.len() };
                tree.shims.insert(at, stat.fact());
            } else {
                tree.members.push(stat.fact());
                tree.suspended &= stat.is_suspended();
                if !begun.shim.is_some_and(|shim| self.shims.contains_key(&shim)) {
                    tree.lost_shim = Some(LostShim { pid: begun.shim });
                }
            }
        }
        for tree in trees.values_mut() {
            tree.suspended &= !tree.members.is_empty();
            tree.lost_shim = tree.lost_shim.filter(|_| tree.shims.is_empty());
        }
        trees
    }

    /// What a shim has forked and not yet executed still looks like the shim.
    fn is_shim(&self, stat: &Stat) -> bool {
        let Some(own) = self.shims.get(&stat.pid) else { return false };
        self.shims.get(&stat.parent).is_none_or(|parent| parent.marks.salt != own.marks.salt)
    }

    /// Shims that may be about to begin: all is proven but the lock, which they take in their first moments.
    pub(crate) fn beginning(&self) -> impl Iterator<Item = &Key> {
        let unlocked = self.flawed.values().filter(|(_, flaw)| *flaw == VerificationError::Unlocked);
        unlocked.map(|(key, _)| key)
    }

    /// The records of a project's living starts with a verified shim.
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

    /// Claims on a project: what carries its marks and belongs to nothing, and other users' trees of that name, each by
    /// its topmost process.
    pub(crate) fn claims(&self, project: &str) -> Vec<ClaimFact> {
        let claims = self.unproven(project).filter_map(|(pid, key, flaw)| self.claim(pid, key, &flaw));
        claims.take(CLAIMS_MAX).collect()
    }

    fn unproven(&self, project: &str) -> impl Iterator<Item = (i32, Key, VerificationError)> {
        let flawed = self.flawed.iter().filter(|(pid, (key, _))| {
            let above = self.stats.get(pid).and_then(|stat| self.flawed.get(&stat.parent));
            above.is_none_or(|(other, _)| other != key) && self.start_of(**pid).is_none()
        });
        let flawed = flawed.map(|(pid, (key, flaw))| (*pid, key.clone(), flaw.clone()));
        let of_others = self.shims.iter().filter(|(_, begun)| !self.owners.contains(&begun.uid));
        let of_others = of_others.map(|(pid, begun)| (*pid, begun.key(), VerificationError::OtherUser(begun.uid)));
        flawed.chain(of_others).filter(move |(_, key, _)| key.0 == project)
    }

    fn claim(&self, pid: i32, (project, service): Key, flaw: &VerificationError) -> Option<ClaimFact> {
        let program = self.stats.get(&pid)?.program.clone();
        let claimant = Claimant::Process { pid, uid: proc::uid(pid)?, program };
        Some(ClaimFact::new(&project, &service, claimant, flaw.to_string()))
    }

    /// A process that lcm did not start, and its descendants without those that belong to a service.
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

    /// Whether a process is this one or comes from it, whatever lies in between.
    pub(crate) fn comes_from(&self, pid: i32, ancestor: &ProcessFact) -> bool {
        self.ancestors(pid).any(|stat| stat.pid == ancestor.pid && stat.start_ticks == ancestor.start_ticks)
    }

    /// Whether all of these are stopped by a signal.
    pub(crate) fn are_suspended(&self, members: &[ProcessFact]) -> bool {
        !members.is_empty() && members.iter().all(|member| self.stats.get(&member.pid).is_some_and(Stat::is_suspended))
    }
}

/// The start that a process proves.
fn proof(stat: &Stat, candidate: &Candidate, trust: &Trust) -> Result<TreeStart, VerificationError> {
    let (project, service) = &candidate.key;
    let (uid, shim) = if candidate.is_shim {
        (verified::shim(stat, project, service, &trust.owners)?, Some(stat.pid))
    } else {
        let uid = verified::user_on_host(stat.pid)?;
        if !trust.believes_marks_of(uid) {
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
                Ok(begun(marked, uid, shim, names))
            }
            Some(_) | None => Err(VerificationError::Unmarked),
        },
        EnvironmentMarks::Unmarked => Err(VerificationError::Unmarked),
        EnvironmentMarks::NoAddressSpace => Err(VerificationError::Ended),
    }
}

fn begun(marked: Marked, uid: u32, shim: Option<i32>, names: &ProjectNames) -> TreeStart {
    let Marked { mut marks, started_at, shim: _ } = marked;
    let (present, former_project) = names.of(&marks.project);
    marks.project = present;
    TreeStart { uid, marks, former_project, started_at, shim }
}

fn begun_of(note: &MembersNote, uid: u32, names: &ProjectNames) -> TreeStart {
    let marked = Marked { marks: note.marks.clone(), started_at: Some(note.started_at), shim: true };
    begun(marked, uid, Some(note.shim.pid), names)
}

#[cfg(test)]
mod tests;
