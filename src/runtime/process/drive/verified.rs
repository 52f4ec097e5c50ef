//! Verification of shims: the proof that lcm started a process tree as a service for a certain user.
//!
//! A command line and an environment are claims, since every process chooses its own. A shim is verified by properties
//! that no other user can forge: all its user ids, the host's namespaces, no container's control group, and a kernel
//! lock on the lock file of a service's folder that belongs to the same user. Neither the program nor the folder's
//! present path counts: a replaced binary or a deleted state folder changes nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::files::kernel;
use crate::host::proc::{self, Stat};
use crate::runtime::process::drive::folder;

/// Bound for the descriptors searched for the lock. A shim opens about ten files, its lock among the first.
const DESCRIPTORS_MAX: usize = 256;

/// Conditions under which a process counts as part of a service.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    /// Users whose shims belong to the project: its owner, and the previous one while a run takes the project over.
    pub(crate) owners: BTreeSet<u32>,
    /// The owner's store, where members are recorded.
    pub(crate) state_dir: PathBuf,
    pub(crate) names: ProjectNames,
}

/// Present and former names of the project.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProjectNames {
    pub(crate) present: String,
    /// Former names, by `renamed_from`.
    pub(crate) former: BTreeSet<String>,
}

impl ProjectNames {
    /// Maps the project name in a start's marks: a former name becomes the present one, and is returned as well.
    pub(crate) fn of(&self, project: &str) -> (String, Option<String>) {
        if self.former.contains(project) {
            (self.present.clone(), Some(project.to_owned()))
        } else {
            (project.to_owned(), None)
        }
    }
}

impl Trust {
    /// Returns true if marks in the environment of this user's processes count. Never root's: too many programs that
    /// run as root take their environment from other users.
    pub(crate) fn trusts_marks_of(&self, uid: u32) -> bool {
        uid != 0 && self.owners.contains(&uid)
    }
}

/// Reason why a process with lcm's marks is not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VerificationError {
    /// The process ended during the inspection.
    Ended,
    /// The process changes users, as a program with a setuid bit does.
    MixedUsers,
    OtherUser(u32),
    Namespace,
    Container(String),
    /// The process holds no lock of a service's folder. A shim that is starting holds none yet.
    Unlocked,
    /// The process has no marks, or others than its command line shows.
    Unmarked,
    /// Only the environment of the process names the service.
    MarksAlone,
}

impl fmt::Display for VerificationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => formatter.write_str("it has ended"),
            Self::MixedUsers => formatter.write_str("its user ids differ"),
            Self::OtherUser(uid) => write!(formatter, "user {uid}, who is not the owner, started it"),
            Self::Namespace => formatter.write_str("it runs in a pid or user namespace of its own"),
            Self::Container(id) => write!(formatter, "it runs in container {}", id.get(..12).unwrap_or(id)),
            Self::Unlocked => formatter.write_str("it holds no lock of a service's folder, as a shim does"),
            Self::Unmarked => formatter.write_str("its environment does not match its command line"),
            Self::MarksAlone => {
                formatter.write_str("no shim of the owner started it, and an environment alone proves nothing")
            }
        }
    }
}

/// Returns the user of a process that runs on the host itself, under one user id.
pub(crate) fn user_on_host(pid: i32) -> Result<u32, VerificationError> {
    let [real, others @ ..] = proc::uids(pid).ok_or(VerificationError::Ended)?;
    if others.iter().any(|uid| *uid != real) {
        return Err(VerificationError::MixedUsers);
    }
    let own = geteuid();
    if !own.is_root() && own.as_raw() != real {
        // The namespaces of another user's process can't be read.
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

/// Returns the user of a shim, for a process whose command line shows this project and service. Only `owners` may have
/// a shim that is starting, and holds no lock yet.
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
    // Proves that all of this was read from one process, not from a later one with the same pid.
    let same = proc::stat(stat.pid).is_some_and(|now| now.start_ticks == stat.start_ticks && now.is_alive());
    if same { Ok(uid) } else { Err(VerificationError::Ended) }
}

fn holds_lock(pid: i32, uid: u32, path_end: &Path) -> bool {
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let Ok(descriptors) = kernel::names(&folder) else { return false };
    descriptors.take(DESCRIPTORS_MAX).any(|number| {
        let descriptor = folder.join(&number);
        let is_lock_file = fs::read_link(&descriptor).is_ok_and(|path| has_end(&path, path_end));
        // Through the descriptor, which works for a deleted file, too.
        let is_owned = || {
            let metadata = fs::metadata(&descriptor);
            metadata.is_ok_and(|metadata| metadata.is_file() && metadata.uid() == uid)
        };
        let info = || kernel::table(Path::new(&format!("/proc/{pid}/fdinfo")).join(&number)).unwrap_or_default();
        is_lock_file && is_owned() && is_locked(&info())
    })
}

/// Returns true if a path ends with `path_end`; the kernel appends ` (deleted)` to the path of a deleted file.
fn has_end(path: &Path, path_end: &Path) -> bool {
    let name = path.to_str().map(|text| text.strip_suffix(" (deleted)").unwrap_or(text));
    name.is_some_and(|name| Path::new(name).ends_with(path_end))
}

/// Returns true if a descriptor's info has a write lock: `lock:\t1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF`.
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

    use super::{has_end, is_locked, shim};
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
            assert!(has_end(Path::new(path), &end), "{path}");
        }
        for path in [
            "/tmp/projects/shop/web/lock",
            "/tmp/xprojects/shop/api/lock",
            "/tmp/projects/shop/api/lock.1",
            "/tmp/projects/shop/api/lock (deleted) (deleted)",
            "projects/shop/api/log",
        ] {
            assert!(!has_end(Path::new(path), &end), "{path}");
        }
    }

    #[test]
    fn a_process_without_the_lock_is_not_a_shim() {
        let stat = proc::stat(i32::try_from(std::process::id()).expect("a pid")).expect("it lives");
        assert!(shim(&stat, "shop", "api", &BTreeSet::new()).is_err());
    }
}
