//! Check for files that other users can write: made as root before commands run that another user may have written, and
//! before the manifest search uses a file.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::process::geteuid;

use crate::files::{is_trusted, kernel, user_text};

/// Longest chain of links, as in the kernel.
const LINKS_MAX: usize = 40;
const STICKY: u32 = 0o1000;
/// Above the size of the user databases on a host with every user of a company.
const USERS_BYTES_MAX: u64 = 1 << 20;

/// A file or folder that another user can write, or replace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Writable {
    pub path: PathBuf,
    /// Owner.
    pub uid: u32,
    /// Permission bits.
    pub mode: u32,
}

impl fmt::Display for Writable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, uid, mode } = self;
        write!(formatter, "{} (owner {}, mode {mode:04o})", path.display(), user_text(*uid))
    }
}

/// Returns the first component of `path`, from the root of the file system on, that a user other than root and the
/// current one can write or replace: a folder, a link in it, or the file itself. `None`: there is none.
pub fn writable_by_others(path: &Path) -> io::Result<Option<Writable>> {
    let mut parts = parts_of(&std::path::absolute(path)?);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = parts.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        let found = std::fs::symlink_metadata(&next)?;
        if !found.is_symlink() {
            if let Some(writable) = writable(&next, &found) {
                return Ok(Some(writable));
            }
            at = next;
            continue;
        }
        if !is_trusted(found.uid()) {
            return Ok(Some(Writable { path: next, uid: found.uid(), mode: found.mode() & 0o7777 }));
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(io::Error::from(rustix::io::Errno::LOOP));
        }
        let target = std::fs::read_link(&next)?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        let mut longer = parts_of(&target);
        longer.append(&mut parts);
        parts = longer;
    }
    Ok(None)
}

/// Returns the file or folder itself if a user other than root and the current one can write it, regardless of the
/// sticky bit of a folder. Its parents are not checked.
pub fn itself_writable_by_others(path: &Path) -> io::Result<Option<Writable>> {
    let found = std::fs::metadata(path)?;
    Ok((!is_trusted(found.uid()) || lets_others_write(&found)).then(|| Writable {
        path: path.to_owned(),
        uid: found.uid(),
        mode: found.mode() & 0o7777,
    }))
}

fn writable(path: &Path, found: &Metadata) -> Option<Writable> {
    // In a sticky folder only the owner of an entry can replace it.
    let keeps_entries = found.is_dir() && found.mode() & STICKY != 0 && is_trusted(found.uid());
    let is_writable = !is_trusted(found.uid()) || !keeps_entries && lets_others_write(found);
    is_writable.then(|| Writable { path: path.to_owned(), uid: found.uid(), mode: found.mode() & 0o7777 })
}

fn lets_others_write(found: &Metadata) -> bool {
    found.mode() & 0o002 != 0 || found.mode() & 0o020 != 0 && !is_group_of_one(found.gid())
}

/// Returns true if a group has no members but root and the current user, as the private group that most systems give
/// each user.
fn is_group_of_one(gid: u32) -> bool {
    let text = |path: &str| kernel::read_text(Path::new(path), USERS_BYTES_MAX).unwrap_or_default();
    is_group_of_one_in(gid, geteuid().as_raw(), &text("/etc/passwd"), &text("/etc/group"))
}

fn is_group_of_one_in(gid: u32, uid: u32, users: &str, groups: &str) -> bool {
    let is_trusted = |id: Option<u32>| id == Some(0) || id == Some(uid);
    let mut trusted_names = Vec::new();
    for line in users.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, id, primary, ..] = fields[..] else { continue };
        if is_trusted(id.parse().ok()) {
            trusted_names.push(name);
        } else if primary.parse() == Ok(gid) {
            return false;
        }
    }
    let members = groups.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        (fields.next()?.parse() == Ok(gid)).then(|| fields.next().unwrap_or_default())
    });
    // The members of a group that is not in the file may be in a directory service.
    members.is_some_and(|members| {
        members.split(',').filter(|member| !member.is_empty()).all(|member| trusted_names.contains(&member))
    })
}

fn parts_of(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::{is_group_of_one_in, itself_writable_by_others, writable_by_others};

    #[test]
    fn the_first_component_that_others_can_write_is_named() {
        let root = tempfile::tempdir().expect("a folder");
        let (folder, file) = (root.path().join("a"), root.path().join("a/b"));
        fs::create_dir(&folder).expect("made");
        fs::write(&file, "").expect("written");
        symlink("a/b", root.path().join("link")).expect("linked");
        let link = root.path().join("link");
        assert_eq!(writable_by_others(&link).expect("checked"), None);
        fs::set_permissions(&file, Permissions::from_mode(0o646)).expect("set");
        assert_eq!(writable_by_others(&link).expect("checked").expect("named").path, file);
        fs::set_permissions(&folder, Permissions::from_mode(0o707)).expect("set");
        let named = writable_by_others(&link).expect("checked").expect("named");
        assert_eq!((&named.path, named.mode), (&folder, 0o707));
        fs::set_permissions(&folder, Permissions::from_mode(0o1777)).expect("set");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("set");
        assert_eq!(writable_by_others(&link).expect("checked"), None, "only its owner can replace it");
        assert!(itself_writable_by_others(&folder).expect("checked").is_some(), "others can create files there");
        assert_eq!(itself_writable_by_others(&file).expect("checked"), None);
    }

    #[test]
    fn a_private_group_gives_no_other_user_access() {
        let users = "root:x:0:0::/root:/bin/sh\nkim:x:1000:1000::/home/kim:/bin/sh\nlee:x:1001:1001::/:/bin/sh\n";
        let groups = "root:x:0:\nkim:x:1000:\nlee:x:1001:\nlab:x:50:kim,lee\nsolo:x:51:kim\n";
        let alone = |gid, uid| is_group_of_one_in(gid, uid, users, groups);
        assert!(alone(1000, 1000) && alone(51, 1000) && alone(0, 1000));
        assert!(!alone(50, 1000) && !alone(1001, 1000) && !alone(1000, 0) && !alone(77, 1000));
    }
}
