//! Files that all users of one host share: project owners and memory reservations, beside the host lock.
//!
//! In: records of this user. Out: the records of all users, and the path of the lock.
//! Each user may write there, so a file proves its owner only: its content is that user's claim.
//! Not here: locking, which is `store`'s; access to the folders, which is `files::shared`'s.

pub mod owner;
pub mod reservation;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::files::kernel;

/// Path of the lock: one per host for all users, since they share the GPUs.
const LOCK: &str = "/run/lock/lcm.lock";

/// Returns the path of the host lock; `LCM_LOCK` moves it, and the files beside it.
#[must_use]
pub fn lock(environment: &BTreeMap<String, String>) -> PathBuf {
    let moved = environment.get("LCM_LOCK").filter(|value| !value.is_empty());
    moved.map_or_else(|| PathBuf::from(LOCK), PathBuf::from)
}

/// Encodes any name as one component of a path: no name leaves its folder, and no two names share a component.
#[must_use]
pub fn segment(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for (position, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && position > 0);
        if plain {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02x}");
        }
    }
    text
}

/// User of this host, as in /etc/passwd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    pub home: PathBuf,
    pub shell: String,
}

/// Returns the user with this uid; `None`: /etc/passwd has none.
#[must_use]
pub fn user(uid: u32) -> Option<User> {
    find_user(&table("/etc/passwd"), uid)
}

fn find_user(passwd: &str, uid: u32) -> Option<User> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, id, gid, _, home, shell] = fields[..] else { return None };
        let shell = if shell.is_empty() { "/bin/sh" } else { shell };
        let found = User {
            name: name.to_owned(),
            uid: id.parse().ok()?,
            gid: gid.parse().ok()?,
            home: PathBuf::from(home),
            shell: shell.to_owned(),
        };
        (found.uid == uid).then_some(found)
    })
}

/// Returns the groups that have this user among their members, by /etc/group.
#[must_use]
pub fn groups_of(user: &str) -> Vec<u32> {
    find_groups(&table("/etc/group"), user)
}

fn find_groups(group: &str, user: &str) -> Vec<u32> {
    let gid_of = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, gid, members] = fields[..] else { return None };
        members.split(',').any(|member| member == user).then(|| gid.parse().ok())?
    };
    group.lines().filter_map(gid_of).collect()
}

fn table(path: &str) -> String {
    kernel::table(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::{find_groups, find_user, lock, segment};

    #[test]
    fn the_lock_is_the_hosts_unless_moved() {
        assert_eq!(lock(&BTreeMap::new()), Path::new("/run/lock/lcm.lock"));
        assert_eq!(lock(&BTreeMap::from([("LCM_LOCK".to_owned(), "/t/l".to_owned())])), Path::new("/t/l"));
    }

    #[test]
    fn no_name_leaves_its_folder() {
        assert_eq!(segment("comfy-ui_2.1"), "comfy-ui_2.1");
        assert_eq!(segment(".."), "%2e.");
        assert_eq!(segment("../a b"), "%2e.%2fa%20b");
        assert_ne!(segment("a/b"), segment("a%2fb"));
    }

    #[test]
    fn users_and_groups_are_read_from_their_tables() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbroken\nkim:x:61001:61001::/home/kim:\n";
        let kim = find_user(passwd, 61001).expect("there");
        assert_eq!((kim.name.as_str(), kim.gid, kim.shell.as_str()), ("kim", 61001, "/bin/sh"));
        assert_eq!(find_user(passwd, 61002), None);
        let group = "root:x:0:\ndocker:x:999:pat,kim\nkimono:x:7:kimberly\nvideo:x:44:kim\n";
        assert_eq!(find_groups(group, "kim"), [999, 44]);
    }
}
