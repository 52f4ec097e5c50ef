//! Root going on as another user: the same lcm with the same arguments, executed anew with that user's groups, ids and
//! environment, so that nothing of root's session is left in it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::{getegid, geteuid, getgid, getgroups, getuid, umask};
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// User to go on as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, the primary one among them or not.
    pub groups: Vec<u32>,
}

/// As a login has it, and as services start.
const UMASK: u32 = 0o022;

/// Becomes `identity` and executes `program` with these arguments and this environment. Returns only where that fails;
/// the calling thread may have changed its identity by then, so the process must end.
#[must_use]
pub fn continue_as(
    identity: &Identity,
    program: &Path,
    arguments: impl Iterator<Item = OsString>,
    environment: &BTreeMap<String, String>,
) -> io::Error {
    if let Err(error) = assume(identity) {
        return error;
    }
    umask(rustix::fs::Mode::from_raw_mode(UMASK));
    let mut command = Command::new(program);
    command.arg0("lcm").args(arguments).env_clear().envs(environment);
    command.exec()
}

/// Gives up root for good, in the one thread that goes on: groups first, the uid last.
fn assume(identity: &Identity) -> io::Result<()> {
    if identity.uid == 0 || identity.gid == u32::MAX || identity.uid == u32::MAX {
        return Err(io::Error::other(format!("uid {} is no user to go on as", identity.uid)));
    }
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    set_thread_groups(&groups)?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    prove(identity)
}

/// Believes nothing: whatever the calls returned, no id of root's may be left, and none may come back.
fn prove(identity: &Identity) -> io::Result<()> {
    let uids = [getuid(), geteuid()].map(Uid::as_raw);
    let gids = [getgid(), getegid()].map(Gid::as_raw);
    let mut groups: Vec<u32> = getgroups()?.into_iter().map(Gid::as_raw).collect();
    let mut wanted = identity.groups.clone();
    for list in [&mut groups, &mut wanted] {
        list.sort_unstable();
        list.dedup();
    }
    let is_whole = uids == [identity.uid; 2] && gids == [identity.gid; 2] && groups == wanted;
    let regained = set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_ok()
        || set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).is_ok() && identity.gid != 0;
    if is_whole && !regained {
        return Ok(());
    }
    Err(io::Error::other(format!("the ids of uid {} could not be taken on whole", identity.uid)))
}
