//! Verified shims: the proof that a process tree is a service that lcm started for a certain user.
//!
//! A command line and an environment are claims, since every process chooses its own. A shim is verified by what no
//! other user can forge: all its user ids, the host's namespaces, no container's control group, and a kernel lock held
//! on the lock file of a service's folder that belongs to the same user. Neither the program nor the folder's present
//! place counts: a binary that was replaced and a state folder that was deleted change nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::files::kernel;
use crate::host::proc::{self, Stat};
use crate::runtime::process::drive::folder;

/// Descriptors searched for the lock. A shim opens about ten files, its lock among the first.
const DESCRIPTORS_MAX: usize = 256;

/// Conditions under which a process counts as part of a service.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    /// Users whose shims are the project's: its owner, and the previous one while a run takes the project over.
    pub(crate) owners: BTreeSet<u32>,
    /// The owner's store, where members are recorded.
    pub(crate) state_dir: PathBuf,
    pub(crate) names: ProjectNames,
}

/// Names of the project.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProjectNames {
    pub(crate) present: String,
    /// By `renamed_from`.
    pub(crate) former: BTreeSet<String>,
}

impl ProjectNames {
    /// The names under which a start counts: that of its project, and where this is a former one of ours, both.
    pub(crate) fn of(&self, project: &str) -> (String, Option<String>) {
        if self.former.contains(project) {
            (self.present.clone(), Some(project.to_owned()))
        } else {
            (project.to_owned(), None)
        }
    }
}

impl Trust {
    /// Whether marks in the environment of this user's process count. Never root's: too many programs that run as root
    /// take their environment from other users.
    pub(crate) fn believes_marks_of(&self, uid: u32) -> bool {
        uid != 0 && self.owners.contains(&uid)
    }
}

/// Missing proof of a process with lcm's marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VerificationError {
    /// It ended while it was inspected.
    Ended,
    /// It changes users, as a program with a setuid bit does.
    MixedUsers,
    OtherUser(u32),
    Namespace,
    Container(String),
    /// It holds no lock of a service's folder. A shim that just begins holds none yet.
    Unlocked,
    /// It has no marks, or others than its command line shows.
    Unmarked,
    /// Nothing but its environment names the service.
    MarksAlone,
}

impl fmt::Display for VerificationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => formatter.write_str("it has ended"),
            Self::MixedUsers => formatter.write_str("its user ids differ from each other"),
            Self::OtherUser(uid) => write!(formatter, "user {uid} started it, who is not the owner"),
            Self::Namespace => formatter.write_str("it runs in a pid or user namespace of its own"),
            Self::Container(id) => write!(formatter, "it runs in container {}", id.get(..12).unwrap_or(id)),
            Self::Unlocked => formatter.write_str("it holds no lock of a service's folder, as a shim does"),
            Self::Unmarked => formatter.write_str("its environment does not fit its command line"),
            Self::MarksAlone => {
                formatter.write_str("no shim of the owner started it, and an environment proves nothing")
            }
        }
    }
}

/// The user of a process that runs on the host itself, under one user id.
pub(crate) fn user_on_host(pid: i32) -> Result<u32, VerificationError> {
    let [real, others @ ..] = proc::uids(pid).ok_or(VerificationError::Ended)?;
    if others.iter().any(|uid| *uid != real) {
        return Err(VerificationError::MixedUsers);
    }
    let own = geteuid();
    if !own.is_root() && own.as_raw() != real {
        // Its namespaces can't be read.
        return Err(VerificationError::OtherUser(real));
    }
    if ["pid", "user"].iter().any(|kind| proc::namespace(pid, kind) != proc::namespace("self", kind)) {
        return Err(VerificationError::Namespace);
    }
    match proc::container(pid) {
        Some(id) if proc::own_container().as_ref() != Some(&id) => Err(VerificationError::Container(id)),
        Some(_) | None => Ok(real),
    }
}

/// The user whose shim this is, for a process whose command line shows this project and service. Only a user of these
/// may have one that is about to begin.
pub(crate) fn shim(
    stat: &Stat,
    project: &str,
    service: &str,
    owners: &BTreeSet<u32>,
) -> Result<u32, VerificationError> {
    let uid = user_on_host(stat.pid)?;
    if !holds_lock(stat.pid, uid, &folder::lock_path_end(project, service)) {
        return Err(if owners.contains(&uid) {
            VerificationError::Unlocked
        } else {
            VerificationError::OtherUser(uid)
        });
    }
    // All of that was read from one process, not from its successor under the same pid.
    let same = proc::stat(stat.pid).is_some_and(|now| now.start_ticks == stat.start_ticks && now.is_alive());
    if same { Ok(uid) } else { Err(VerificationError::Ended) }
}

fn holds_lock(pid: i32, uid: u32, path_end: &Path) -> bool {
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let Ok(descriptors) = kernel::names(&folder) else { return false };
    descriptors.take(DESCRIPTORS_MAX).any(|number| {
        let descriptor = folder.join(&number);
        let is_lock_file = fs::read_link(&descriptor).is_ok_and(|path| ends_so(&path, path_end));
        // Through the descriptor: also of a file that was deleted.
        let is_owned = || {
            let metadata = fs::metadata(&descriptor);
            metadata.is_ok_and(|metadata| metadata.is_file() && metadata.uid() == uid)
        };
        let info = || kernel::table(Path::new(&format!("/proc/{pid}/fdinfo")).join(&number)).unwrap_or_default();
        is_lock_file && is_owned() && is_locked(&info())
    })
}

/// The kernel writes ` (deleted)` behind the last path of a deleted file.
fn ends_so(path: &Path, path_end: &Path) -> bool {
    let name = path.to_str().map(|text| text.strip_suffix(" (deleted)").unwrap_or(text));
    name.is_some_and(|name| Path::new(name).ends_with(path_end))
}

/// `lock:\t1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF`
fn is_locked(info: &str) -> bool {
    info.lines().filter_map(|line| line.strip_prefix("lock:")).any(|lock| {
        let words: Vec<&str> = lock.split_ascii_whitespace().collect();
        words.contains(&"FLOCK") && words.contains(&"WRITE")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::{ends_so, is_locked, shim};
    use crate::host::proc;
    use crate::runtime::process::drive::folder;

    #[test]
    fn a_lock_is_read_as_the_kernel_writes_it() {
        let held =
            "pos:\t0\nflags:\t02100001\nmnt_id:\t29\nino:\t7\nlock:\t1: FLOCK  ADVISORY  WRITE 4711 08:01:7 0 EOF\n";
        assert!(is_locked(held));
        assert!(!is_locked("pos:\t0\nflags:\t02100001\n"));
        assert!(!is_locked("lock:\t1: FLOCK  ADVISORY  READ 4711 08:01:7 0 EOF\n"));
        assert!(!is_locked("lock:\t1: POSIX  ADVISORY  WRITE 4711 08:01:7 0 EOF\n"));
    }

    #[test]
    fn a_lock_file_is_known_by_the_end_of_its_path() {
        let end = folder::lock_path_end("shop", "api");
        for path in ["/var/lib/lcm/projects/shop/api/lock", "/tmp/x/projects/shop/api/lock (deleted)"] {
            assert!(ends_so(Path::new(path), &end), "{path}");
        }
        for path in [
            "/tmp/projects/shop/web/lock",
            "/tmp/xprojects/shop/api/lock",
            "/tmp/projects/shop/api/lock.1",
            "/tmp/projects/shop/api/lock (deleted) (deleted)",
            "projects/shop/api/log",
        ] {
            assert!(!ends_so(Path::new(path), &end), "{path}");
        }
    }

    #[test]
    fn a_process_without_the_lock_is_no_shim() {
        let stat = proc::stat(i32::try_from(std::process::id()).expect("a pid")).expect("it lives");
        assert!(shim(&stat, "shop", "api", &BTreeSet::new()).is_err());
    }
}
