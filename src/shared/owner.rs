//! Owner of a project on this host: the user who owns the file with the project's name. That user's first changing
//! command creates the file; `lcm down` removes it.
//!
//! The file's owner, as the kernel reports it, decides. Its content is that user's claim: lcm uses it only as that
//! user, or once root has become that user.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files::shared::{SharedFile, SharedFolder};
use crate::shared::segment;

const FORMAT: &str = "lcm.owner/1";

/// Bound for three paths of 4 KiB each, the longest that the kernel takes, and some words.
const BYTES_MAX: u64 = 16 << 10;

/// Attempts at a claim: one fails only if the project is released between two system calls, and operators release
/// projects a few times at most.
const CLAIM_TRIES: u32 = 3;

/// Owner of one project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectOwner {
    pub uid: u32,
    pub gid: u32,
    /// Empty if it can't be read.
    pub note: OwnerNote,
}

/// Paths of the owner's lcm, as that lcm recorded them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerNote {
    pub format: String,
    /// The state folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<PathBuf>,
    /// The home folder, for a user who is not in /etc/passwd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<PathBuf>,
    /// The manifest file that names the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Uid of the previous owner, until no service of that user is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<u32>,
}

impl OwnerNote {
    /// Creates a note of the current format.
    #[must_use]
    pub fn new(store: PathBuf, home: PathBuf, manifest: Option<PathBuf>, since: Timestamp) -> Self {
        let format = FORMAT.to_owned();
        Self { format, store: Some(store), home: Some(home), manifest, since: Some(since), previous: None }
    }

    /// Drops paths that are not absolute: they would depend on the folder in which lcm is called.
    fn sanitized(self) -> Self {
        let absolute = |path: Option<PathBuf>| path.filter(|path| path.is_absolute());
        let Self { format, store, home, manifest, since, previous } = self;
        Self { format, store: absolute(store), home: absolute(home), manifest: absolute(manifest), since, previous }
    }
}

/// Owners of all projects of this host.
#[derive(Clone, Debug)]
pub struct Owners {
    folder: PathBuf,
}

impl Owners {
    /// Returns the owners' folder beside the lock. Nothing is read yet.
    #[must_use]
    pub fn beside(lock: &Path) -> Self {
        Self { folder: lock.with_extension("owners") }
    }

    /// Returns true if the owners' folder exists.
    #[must_use]
    pub fn are_any(&self) -> bool {
        std::fs::symlink_metadata(&self.folder).is_ok()
    }

    /// Reads the owner of a project; `None`: the project has none.
    pub fn read(&self, project: &str) -> io::Result<Option<ProjectOwner>> {
        let Some(folder) = SharedFolder::open(&self.folder)? else { return Ok(None) };
        Ok(folder.read(&segment(project), BYTES_MAX)?.map(owner))
    }

    /// Makes the current user the owner, unless there is one; returns the owner.
    pub fn claim(&self, project: &str, note: &OwnerNote) -> io::Result<ProjectOwner> {
        let folder = SharedFolder::make(&self.folder)?;
        let name = segment(project);
        for _ in 0..CLAIM_TRIES {
            match folder.create(&name, &bytes(note)?) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            if let Some(file) = folder.read(&name, BYTES_MAX)? {
                return Ok(owner(file));
            }
        }
        Err(io::Error::other(format!("{} is removed each time lcm creates it", folder.path_of(&name).display())))
    }

    /// Makes the current user the owner in place of any other. The caller is root or the owner, and holds the host
    /// lock.
    pub fn replace(&self, project: &str, note: &OwnerNote) -> io::Result<()> {
        SharedFolder::make(&self.folder)?.replace(&segment(project), &bytes(note)?)
    }

    /// Leaves the project without an owner. The caller holds the host lock.
    pub fn release(&self, project: &str) -> io::Result<()> {
        match SharedFolder::open(&self.folder)? {
            Some(folder) => folder.remove(&segment(project)),
            None => Ok(()),
        }
    }
}

fn owner(file: SharedFile) -> ProjectOwner {
    let SharedFile { uid, gid, bytes } = file;
    let note: OwnerNote = serde_json::from_slice(&bytes).unwrap_or_default();
    ProjectOwner { uid, gid, note: if note.format == FORMAT { note.sanitized() } else { OwnerNote::default() } }
}

fn bytes(note: &OwnerNote) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(note)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::{OwnerNote, Owners};

    fn note(store: &str) -> OwnerNote {
        let since = "2026-11-01T10:00:00Z".parse().expect("a time");
        OwnerNote::new(PathBuf::from(store), PathBuf::from("/home/kim"), None, since)
    }

    #[test]
    fn the_first_user_owns_a_project_until_its_release() {
        let folder = tempfile::tempdir().expect("a folder");
        let owners = Owners::beside(&folder.path().join("lcm.lock"));
        assert!(!owners.are_any());
        assert_eq!(owners.read("shop").expect("read"), None);
        let first = owners.claim("shop", &note("/s")).expect("claimed");
        assert_eq!((first.uid, &first.note), (rustix::process::geteuid().as_raw(), &note("/s")));
        assert_eq!(owners.claim("shop", &note("/other")).expect("claimed before"), first);
        assert!(owners.are_any());
        owners.replace("shop", &note("/other")).expect("replaced");
        assert_eq!(owners.read("shop").expect("read").expect("there").note.store, Some(PathBuf::from("/other")));
        owners.release("shop").expect("released");
        owners.release("shop").expect("released before");
        assert_eq!(owners.read("shop").expect("read"), None);
    }

    #[test]
    fn a_name_with_slashes_stays_in_its_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let owners = Owners::beside(&folder.path().join("lcm.lock"));
        owners.claim("../../shop", &note("/s")).expect("claimed");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
        assert!(folder.path().join("lcm.owners/%2e.%2f..%2fshop").is_file());
    }

    #[test]
    fn a_file_with_invalid_content_still_names_its_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let owners = Owners::beside(&folder.path().join("lcm.lock"));
        owners.claim("shop", &note("/s")).expect("claimed");
        let texts = ["", "\u{1b}[31m", "[]", r#"{"format":"lcm.owner/9","store":"/x"}"#];
        for text in texts {
            fs::write(folder.path().join("lcm.owners/shop"), text).expect("written");
            assert_eq!(owners.read("shop").expect("read").expect("there").note, OwnerNote::default(), "{text}");
        }
        let relative = r#"{"format":"lcm.owner/1","store":"state","home":"../x"}"#;
        fs::write(folder.path().join("lcm.owners/shop"), relative).expect("written");
        let note = owners.read("shop").expect("read").expect("there").note;
        assert_eq!((note.store, note.home), (None, None));
        fs::write(folder.path().join("lcm.owners/shop"), "x".repeat(1 << 20)).expect("written");
        assert!(owners.read("shop").is_err());
    }
}
