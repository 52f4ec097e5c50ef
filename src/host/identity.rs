//! Switch from root to another user: the same lcm with the same arguments, executed again with that user's groups, ids
//! and environment, so that nothing of root's session is left in it.
//!
//! That user can inspect and change all of their own processes, including an lcm that root started. So everything of
//! root's stays behind: root's lcm becomes a *leader*, which waits and forwards signals, and lcm continues below it, in
//! a session without root's terminal, without any file that root's shell left open, and closed to that user's debugger.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use rustix::process::{
    DumpableBehavior, Pid, Signal, getegid, geteuid, getgid, getgroups, getuid, kill_process, set_dumpable_behavior,
    set_parent_process_death_signal, setsid, umask,
};
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::host::program::leaks;
use crate::host::program::scope::Launcher;

/// User that lcm continues as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserIdentity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, with or without the primary one.
    pub groups: Vec<u32>,
}

/// The hidden subcommand by which root's lcm becomes the leader.
pub(crate) const SUBCOMMAND: &str = "__as";
/// First stage: the leader. The second is the process below it that drops root.
const LEADER: &str = "leads";
const FOLLOWER: &str = "follows";
/// Variable in the environment of an lcm that has a leader.
const LED: &str = "LCM_LED";
/// Umask of a login, with which services start too.
const UMASK: u32 = 0o022;
/// Signals that the leader forwards: those that a terminal or an operator sends to lcm, which has no terminal any more.
const FORWARDED: [Signal; 6] = [Signal::INT, Signal::QUIT, Signal::TERM, Signal::HUP, Signal::USR1, Signal::WINCH];
/// Exit code if lcm itself did not run.
const NOT_LED_CODE: u8 = 1;

/// Executes `program` as the leader of an lcm that continues as `identity`, with these arguments and this environment.
/// Returns only if that fails.
#[must_use]
pub fn continue_as(
    identity: &UserIdentity,
    program: &Path,
    arguments: impl Iterator<Item = OsString>,
    environment: &BTreeMap<String, String>,
) -> io::Error {
    let groups: Vec<String> = identity.groups.iter().map(u32::to_string).collect();
    let ids = [identity.uid.to_string(), identity.gid.to_string(), groups.join(",")];
    let mut words: Vec<String> = [SUBCOMMAND, LEADER].map(str::to_owned).to_vec();
    words.extend(ids);
    for argument in arguments {
        let Ok(argument) = argument.into_string() else {
            return io::Error::new(io::ErrorKind::InvalidInput, "an argument is not valid UTF-8");
        };
        words.push(argument);
    }
    let launcher = Launcher { program: program.to_owned(), arguments: words, environment: BTreeMap::new() };
    let launcher = leaks::without(launcher, &leaks::inherited());
    let mut command = Command::new(&launcher.program);
    command.arg0("lcm").args(launcher.arguments).env_clear().envs(environment);
    command.exec()
}

/// Runs as the leader or the stage below it, and returns lcm's exit code. Meant for the hidden subcommand alone.
pub(crate) fn as_main(mut arguments: impl Iterator<Item = OsString>) -> u8 {
    let stage = arguments.next();
    let Some(stage) = stage.as_ref().and_then(|stage| stage.to_str()) else { return NOT_LED_CODE };
    let arguments: Vec<OsString> = arguments.collect();
    let led = match stage {
        LEADER => lead(&arguments),
        FOLLOWER => Err(follow(&arguments)),
        _ => return NOT_LED_CODE,
    };
    led.unwrap_or_else(|error| {
        // Neither stage has a reporter, and lcm has not run yet.
        eprintln!("error: can't continue as another user: {error}");
        NOT_LED_CODE
    })
}

/// Starts the second stage, forwards signals to it, and returns its exit code.
fn lead(arguments: &[OsString]) -> io::Result<u8> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let ended = runtime.block_on(async {
        let (send, mut received) = mpsc::unbounded_channel();
        for passed in FORWARDED {
            let (mut stream, send) = (signal(SignalKind::from_raw(passed.as_raw()))?, send.clone());
            tokio::spawn(async move { while stream.recv().await.is_some() && send.send(passed).is_ok() {} });
        }
        let mut command = tokio::process::Command::new(own_program());
        command.arg0("lcm").args([SUBCOMMAND, FOLLOWER]).args(arguments);
        let mut child = command.spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        loop {
            tokio::select! {
                ended = child.wait() => return ended,
                Some(passed) = received.recv() => drop(pid.map(|pid| kill_process(pid, passed))),
            }
        }
    })?;
    Ok(code(ended))
}

/// Returns the exit code by the convention of shells: `128 + n` if signal n ended the process.
fn code(ended: ExitStatus) -> u8 {
    let code = ended.code().or_else(|| ended.signal().map(|number| 128 + number));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(NOT_LED_CODE)
}

/// Drops root and its terminal, and executes lcm. Returns only if that fails.
fn follow(arguments: &[OsString]) -> io::Error {
    let Some((identity, arguments)) = parsed(arguments) else {
        return io::Error::new(io::ErrorKind::InvalidInput, "the user's ids are missing or malformed");
    };
    if let Err(error) = setsid().map_err(io::Error::from).and_then(|_| assume(&identity)) {
        return error;
    }
    umask(rustix::fs::Mode::from_raw_mode(UMASK));
    Command::new(own_program()).arg0("lcm").args(arguments).env(LED, "1").exec()
}

fn own_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

fn parsed(arguments: &[OsString]) -> Option<(UserIdentity, &[OsString])> {
    let [uid, gid, groups, rest @ ..] = arguments else { return None };
    let groups = groups.to_str()?.split(',').filter(|group| !group.is_empty());
    let groups: Option<Vec<u32>> = groups.map(|group| group.parse().ok()).collect();
    let number = |text: &OsString| text.to_str()?.parse().ok();
    Some((UserIdentity { uid: number(uid)?, gid: number(gid)?, groups: groups? }, rest))
}

/// Closes an lcm that has a leader to its user's debugger, since its standard streams are still root's, and binds its
/// end to the leader's. Must run first in every lcm.
pub fn close_if_led() {
    if std::env::var_os(LED).is_some() {
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        let _ = set_parent_process_death_signal(Some(Signal::TERM));
    }
}

/// Drops root permanently, in the one thread that continues: groups first, the uid last.
fn assume(identity: &UserIdentity) -> io::Result<()> {
    if identity.uid == 0 || identity.gid == u32::MAX || identity.uid == u32::MAX {
        return Err(io::Error::other(format!("uid {} is not a user to continue as", identity.uid)));
    }
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    set_thread_groups(&groups)?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    verify(identity)
}

/// Checks the result instead of the calls' return values: no id of root's may be left or be regained.
fn verify(identity: &UserIdentity) -> io::Result<()> {
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
    Err(io::Error::other(format!("the switch to uid {} is incomplete", identity.uid)))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{UserIdentity, parsed};

    #[test]
    fn ids_come_before_the_arguments() {
        let words = |words: &[&str]| -> Vec<OsString> { words.iter().map(OsString::from).collect() };
        let given = words(&["61001", "100", "100,27", "apply", "--yes"]);
        let identity = UserIdentity { uid: 61_001, gid: 100, groups: vec![100, 27] };
        assert_eq!(parsed(&given), Some((identity, &given[3..])));
        assert_eq!(parsed(&words(&["1", "2", ""])).expect("no groups").0.groups, Vec::<u32>::new());
        for wrong in [&["1", "2"][..], &["x", "2", ""], &["1", "-2", ""], &["1", "2", "3,x"]] {
            assert_eq!(parsed(&words(wrong)), None, "{wrong:?}");
        }
    }
}
