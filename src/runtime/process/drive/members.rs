//! Recorded members: the processes of a service, recorded while its shim lives, so that the whole service is known
//! after the shim's death. A record counts only for the process with the same pid and start time in the same boot.
//!
//! The record also names the pipe that the service writes to. No process outside of the service has that pipe as its
//! output, so that processes forked between the last record and the shim's death count as well.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::files::kernel;
use crate::host::proc::{self, Stat};
use crate::host::program::leaks;
use crate::model::facts::Marks;
use crate::runtime::process::drive::members_note::{MEMBERS_MAX, Member, MembersNote};
use crate::runtime::process::drive::verified;

impl MembersNote {
    /// Creates the record of a start; `None` if the id of this boot can't be read.
    pub(crate) fn new(
        marks: &Marks,
        started_at: Timestamp,
        output: Option<u64>,
        shim: &Stat,
        members: &[Stat],
    ) -> Option<Self> {
        let mut members: Vec<Member> = members.iter().take(MEMBERS_MAX).map(|stat| Member::of(stat, shim)).collect();
        members.sort_unstable();
        let marks = Marks { config: String::new(), ..marks.clone() };
        Some(Self { boot: proc::boot_id()?, marks, started_at, shim: Member::of(shim, shim), output, members })
    }
}

/// Lists the living descendants of the shim of this service, the nearest first, without the trees of other services'
/// shims.
pub(crate) fn below(shim: i32, marks: &Marks) -> Vec<Stat> {
    let children = children_of();
    let mut found: Vec<Stat> = Vec::new();
    let mut seen = BTreeSet::from([shim]);
    let mut queue = VecDeque::from([shim]);
    while let Some(parent) = queue.pop_front() {
        for child in children(parent) {
            if found.len() >= MEMBERS_MAX || !seen.insert(child) {
                continue;
            }
            let Some(stat) = proc::stat(child) else { continue };
            let other = proc::shim_line(child).is_some_and(|(project, service)| {
                // Between fork and exec a child still looks like its own shim.
                (&project, &service) != (&marks.project, &marks.service)
                    && verified::shim(&stat, &project, &service, &BTreeSet::new()).is_ok()
            });
            if !other {
                queue.push_back(child);
                if stat.is_alive() {
                    found.push(stat);
                }
            }
        }
    }
    found
}

/// Returns a function that lists the children of a process: from the kernel's own list if there is one, else by the
/// parents of all processes.
fn children_of() -> Box<dyn Fn(i32) -> Vec<i32>> {
    let own = std::process::id();
    if fs::exists(format!("/proc/self/task/{own}/children")).unwrap_or(false) {
        return Box::new(proc::listed_children);
    }
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for stat in proc::pids().into_iter().flatten().filter_map(proc::stat) {
        children.entry(stat.parent).or_default().push(stat.pid);
    }
    Box::new(move |pid| children.get(&pid).cloned().unwrap_or_default())
}

/// Returns true if a process has the pipe with this inode open for writing as its standard output or error.
pub(crate) fn writes_to(pid: i32, inode: u64) -> bool {
    /// Mask of the access mode in the flags of a descriptor, which `/proc` shows in octal.
    const ACCESS: u32 = 0o3;
    let name = PathBuf::from(format!("pipe:[{inode}]"));
    let is_writable = |info: String| leaks::flags_of(&info).is_some_and(|flags| flags & ACCESS != 0);
    [1, 2].iter().any(|number| {
        fs::read_link(format!("/proc/{pid}/fd/{number}")).is_ok_and(|target| target == name)
            && kernel::table(format!("/proc/{pid}/fdinfo/{number}")).is_ok_and(is_writable)
    })
}

/// Living processes that belong to a record: by pid and start time, or by a session created within a tree.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) notes: Vec<MembersNote>,
    processes: BTreeMap<i32, usize>,
    sessions: BTreeMap<i32, usize>,
}

impl Recorded {
    /// Matches records of this boot with the living processes. `writes(pid, inode)` is true if the process writes to
    /// that pipe.
    pub(crate) fn living(
        notes: Vec<MembersNote>,
        stats: &BTreeMap<i32, Stat>,
        writes: &dyn Fn(i32, u64) -> bool,
    ) -> Self {
        let mut recorded = Self { notes, ..Self::default() };
        for (number, note) in recorded.notes.iter().enumerate() {
            if let Some(output) = note.output {
                let writers = stats.values().filter(|stat| stat.is_alive() && writes(stat.pid, output));
                recorded.processes.extend(writers.map(|stat| (stat.pid, number)));
            }
            for member in note.members.iter().take(MEMBERS_MAX) {
                let Some(stat) = stats.get(&member.pid).filter(|stat| member.is(stat)) else { continue };
                recorded.processes.insert(member.pid, number);
                // A process can leave its session, but not join an existing one: a member still in it proves the
                // session.
                if member.session == Some(stat.session) && stat.session > 1 {
                    recorded.sessions.insert(stat.session, number);
                }
            }
        }
        recorded
    }

    /// Returns the index of the record to which a process belongs.
    pub(crate) fn number_of(&self, stat: &Stat) -> Option<usize> {
        self.processes.get(&stat.pid).or_else(|| self.sessions.get(&stat.session)).copied()
    }
}
