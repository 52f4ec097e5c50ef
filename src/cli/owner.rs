//! One owner per project and host: another user's commands are refused by name, and root goes on as the owner before it
//! reads or runs anything of the owner's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::process::geteuid;

use crate::cli::stop::{Code, Stop};
use crate::cli::terminal::session::Session;
use crate::cli::wire;
use crate::files::user_text;
use crate::model::desired::Desired;
use crate::model::harmless;
use crate::model::names::ProjectName;
use crate::shared::owner::{Owner, OwnerNote, Owners};
use crate::shared::{self, User};

/// What a login of the owner's would have too. All else of root's session stays with root: its secrets are not the
/// owner's, and its paths are not where the owner's things are.
const KEPT: [&str; 14] = [
    "CI",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLORTERM",
    "COLUMNS",
    "DOCKER_HOST",
    "GITHUB_ACTIONS",
    "LANG",
    "LINES",
    "NO_COLOR",
    "SSH_CONNECTION",
    "SUDO_USER",
    "TERM",
    "TZ",
];

/// And what begins so: lcm's own settings, and the locale's.
const KEPT_PREFIXES: [&str; 2] = ["LCM_", "LC_"];

/// Of a user of whom nothing but the number is known: `nogroup` has no rights.
const NO_GROUP: u32 = 65_534;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether a command may take a project over from its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// The owner alone may go on.
    AsOwner,
    /// `--take-over`: root becomes the owner.
    TakeOver,
}

/// Replaces this process by one of the owner's where root is about to work on another user's project. The manifest is read
/// for the project's name alone: all else is the owner's to read. Does not return in that case.
pub(super) fn go_on_as_owner(session: &Session, manifest: &Path, claim: Claim) -> Result<(), Stop> {
    let owners = owners(session);
    // What comes through a pipe can be read once: `admit` refuses it where it is another user's.
    let is_file = fs::metadata(manifest).is_ok_and(|metadata| metadata.is_file());
    if !geteuid().is_root() || claim == Claim::TakeOver || !owners.are_any() || !is_file {
        return Ok(());
    }
    let Some(project) = wire::project_name(manifest, &session.environment) else { return Ok(()) };
    let Some(owner) = read(&owners, &project)?.filter(|owner| owner.uid != 0) else { return Ok(()) };
    go_on_as(session, &project, &owner)
}

fn go_on_as(session: &Session, project: &ProjectName, owner: &Owner) -> ! {
    session.say(&format!("project {project} is owned by {}: going on as that user", user_text(owner.uid)));
    let user = shared::user(owner.uid);
    let groups = user.as_ref().map(|user| shared::groups_of(&user.name)).unwrap_or_default();
    let gid = user.as_ref().map_or(owner.gid, |user| user.gid);
    let environment = environment_of(&session.environment, owner, user.as_ref());
    let error = wire::continue_as((owner.uid, gid, groups), &environment);
    // This thread may be the owner's by now: nothing may go on here.
    session.say(&format!("error: can't go on as {}: {error}", user_text(owner.uid)));
    std::process::exit(1)
}

/// The same by the labels of the project's containers, where no file names its owner.
pub(super) fn admit_by_labels(
    session: &Session,
    desired: &Desired,
    uids: &BTreeSet<u32>,
    claim: Claim,
) -> Result<(), Stop> {
    let (me, project) = (geteuid(), &desired.project);
    let Some(uid) = uids.first().copied().filter(|_| !uids.contains(&me.as_raw())) else { return Ok(()) };
    match claim {
        Claim::TakeOver if me.is_root() => Ok(()),
        // What a stream gave is read, and the owner's lcm would find nothing.
        Claim::AsOwner if me.is_root() && desired.is_streamed => Err(needs_file(project, uid)),
        Claim::AsOwner if me.is_root() => {
            go_on_as(session, project, &Owner { uid, gid: NO_GROUP, note: OwnerNote::default() })
        }
        Claim::AsOwner | Claim::TakeOver => Err(owned(project, uid)),
    }
}

/// User whose things the present owner takes over, where something of that user's may be left.
pub(super) fn previous(owner: &Owner) -> Option<u32> {
    if owner.uid == geteuid().as_raw() { owner.note.previous } else { Some(owner.uid) }
}

/// Takes note that nothing of the previous owner's is left.
pub(super) fn forget_previous(session: &Session, project: &ProjectName) -> Result<(), Stop> {
    let owners = owners(session);
    match read(&owners, project)?.filter(|owner| owner.uid == geteuid().as_raw() && owner.note.previous.is_some()) {
        Some(owner) => owners
            .replace(project.as_str(), &OwnerNote { previous: None, ..owner.note })
            .map_err(|error| unknown(project, &error)),
        None => Ok(()),
    }
}

/// Returns the owner of a project that this command may work on, or refuses it by the owner's name.
pub(super) fn admit(session: &Session, project: &ProjectName, claim: Claim) -> Result<Option<Owner>, Stop> {
    let me = geteuid();
    match read(&owners(session), project)? {
        Some(owner) if owner.uid == me.as_raw() => {
            if claim == Claim::AsOwner {
                refuse_other_store(session, project, &owner)?;
            }
            Ok(Some(owner))
        }
        Some(owner) if me.is_root() && claim == Claim::TakeOver => Ok(Some(owner)),
        Some(owner) if me.is_root() => Err(needs_file(project, owner.uid)),
        Some(owner) => Err(owned(project, owner.uid)),
        None => Ok(None),
    }
}

/// Refuses a store that is not the one in which the present user keeps this project.
pub(super) fn require_store(session: &Session, project: &ProjectName) -> Result<(), Stop> {
    match read(&owners(session), project)? {
        Some(owner) if owner.uid == geteuid().as_raw() => refuse_other_store(session, project, &owner),
        Some(_) | None => Ok(()),
    }
}

/// Holds and history of a project are in one store: another one would know nothing of what was terminated.
fn refuse_other_store(session: &Session, project: &ProjectName, owner: &Owner) -> Result<(), Stop> {
    let mine = wire::state_folder(&session.environment);
    let Some(noted) = &owner.note.store else { return Ok(()) };
    // Where it is gone, nothing is left to be asked there.
    let is_there = fs::symlink_metadata(wire::store_file(noted)).is_ok();
    if *noted == mine || is_same_file(noted, &mine) || !is_there {
        return Ok(());
    }
    let noted = harmless::line(&noted.display().to_string());
    let message = format!(
        "project {project} keeps its holds and history in {noted}, and this command would use {}; set \
         LCM_STATE_DIR={noted}, or take the project down with that store first",
        mine.display()
    );
    Err(Stop::refused(Code::Owned, message))
}

/// Makes the caller the owner before its first change, and notes the manifest that manages the project from now on.
/// `before`: the owner that the command found.
pub(super) fn claim(
    session: &Session,
    desired: &Desired,
    (claim, before): (Claim, Option<&Owner>),
    now: Timestamp,
) -> Result<(), Stop> {
    let (project, me) = (&desired.project, geteuid().as_raw());
    let failed = |error: io::Error| unknown(project, &error);
    let owners = owners(session);
    let note = note(session, desired, now);
    let owner = match claim {
        Claim::AsOwner => owners.claim(project.as_str(), &note).map_err(failed)?,
        Claim::TakeOver => match read(&owners, project)? {
            Some(owner) => owner,
            None => owners.claim(project.as_str(), &note).map_err(failed)?,
        },
    };
    let previous = previous(&owner);
    if owner.uid != me && (claim == Claim::AsOwner || before.is_none_or(|before| before.uid != owner.uid)) {
        return Err(owned(project, owner.uid));
    }
    // A stream does not take the place of the file that manages the project.
    let is_kept = claim == Claim::AsOwner && is_named_in_stream(desired) && owner.note.manifest.is_some();
    let is_current = is_kept || owner.note.manifest.as_deref() == Some(desired.named_in.as_path());
    let moves = claim == Claim::TakeOver || other_checkout(Some(&owner), desired).is_none();
    if owner.uid == me && (is_current || !moves) && owner.note.store == note.store {
        return Ok(());
    }
    let manifest = if moves && !is_kept { note.manifest.clone() } else { owner.note.manifest };
    let since = if owner.uid == me { owner.note.since.or(note.since) } else { note.since };
    owners.replace(project.as_str(), &OwnerNote { manifest, since, previous, ..note }).map_err(failed)
}

/// Returns why running services are left as they are: a manifest of the same project in another folder manages them, and is
/// still there.
pub(super) fn other_checkout(owner: Option<&Owner>, desired: &Desired) -> Option<String> {
    let (mine, other) = (&desired.named_in, owner?.note.manifest.as_ref()?);
    // A stream is read as a file of the current folder would be.
    if is_named_in_stream(desired) && mine.parent() == other.parent() {
        return None;
    }
    if desired.newest_checkout || mine == other || is_same_file(mine, other) || !fs::metadata(other).ok()?.is_file() {
        return None;
    }
    // The folder may be there for another project by now.
    let named = wire::project_name(other, &BTreeMap::new())?;
    if named != desired.project {
        return None;
    }
    Some(format!(
        "other_checkout: {} manages project {}, and this is {}; what runs is left as it is (`lcm apply --take-over` makes this \
         one manage it)",
        harmless::line(&other.display().to_string()),
        desired.project,
        mine.display()
    ))
}

/// The stream itself names the project, rather than a file that it includes.
fn is_named_in_stream(desired: &Desired) -> bool {
    desired.is_streamed && desired.named_in == desired.entry
}

/// One file by two paths.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    id(one).is_some_and(|found| Some(found) == id(other))
}

/// Leaves the project without an owner once nothing of it is left.
pub(super) fn release(session: &Session, project: &ProjectName) -> Result<(), Stop> {
    owners(session).release(project.as_str()).map_err(|error| unknown(project, &error))
}

fn note(session: &Session, desired: &Desired, now: Timestamp) -> OwnerNote {
    let home = wire::home(&session.environment);
    OwnerNote::new(wire::state_folder(&session.environment), home, Some(desired.named_in.clone()), now)
}

fn owners(session: &Session) -> Owners {
    Owners::beside(&shared::lock(&session.environment))
}

fn read(owners: &Owners, project: &ProjectName) -> Result<Option<Owner>, Stop> {
    owners.read(project.as_str()).map_err(|error| unknown(project, &error))
}

/// Without the owner's name nothing of the project may be touched.
fn unknown(project: &ProjectName, error: &io::Error) -> Stop {
    Stop::refused(Code::Owned, format!("can't read the owner of project {project} on this host: {error}"))
}

/// Root reads no stream for another user.
fn needs_file(project: &ProjectName, uid: u32) -> Stop {
    let message = format!(
        "project {project} is owned by {}, and root goes on as that user only with a manifest that is a regular file and \
         keeps its name",
        user_text(uid)
    );
    Stop::refused(Code::Owned, message)
}

fn owned(project: &ProjectName, uid: u32) -> Stop {
    let user = match (uid, shared::user(uid)) {
        (0, _) => "root".to_owned(),
        (_, Some(user)) => format!("{} or as root", user.name),
        (_, None) => format!("uid {uid} or as root"),
    };
    Stop::refused(
        Code::Owned,
        format!(
            "project {project} is owned by {} on this host; run lcm as {user}, or give this project another `name`",
            user_text(uid)
        ),
    )
}

/// The environment of a login of the owner's, with lcm's own settings.
fn environment_of(caller: &BTreeMap<String, String>, owner: &Owner, user: Option<&User>) -> BTreeMap<String, String> {
    let is_kept = |name: &str| KEPT.contains(&name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let mut environment: BTreeMap<String, String> =
        caller.iter().filter(|(name, _)| is_kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
    let text = |path: &PathBuf| path.to_str().map(str::to_owned);
    let home = user.map(|user| user.home.clone()).or_else(|| owner.note.home.clone());
    let mut put = |name: &str, value: String| drop(environment.insert(name.to_owned(), value));
    put("HOME", home.as_ref().and_then(text).unwrap_or_else(|| "/".to_owned()));
    put("PATH", PATH.to_owned());
    put("SHELL", user.map_or_else(|| "/bin/sh".to_owned(), |user| user.shell.clone()));
    if let Some(user) = user {
        put("USER", user.name.clone());
        put("LOGNAME", user.name.clone());
    }
    // For the history: who called.
    if !caller.contains_key("SUDO_USER") {
        put("SUDO_USER", "root".to_owned());
    }
    // The caller's own store is not the owner's, whatever root's session says.
    if let Some(store) = owner.note.store.as_ref().and_then(text) {
        put("LCM_STATE_DIR", store);
    }
    // Where a rootless engine of the owner's listens.
    let runtime = format!("/run/user/{}", owner.uid);
    if fs::symlink_metadata(&runtime).is_ok_and(|folder| folder.is_dir() && folder.uid() == owner.uid) {
        put("XDG_RUNTIME_DIR", runtime);
    }
    environment
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::environment_of;
    use crate::shared::User;
    use crate::shared::owner::{Owner, OwnerNote};

    fn caller(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn owner() -> Owner {
        let since = "2026-11-01T10:00:00Z".parse().expect("a time");
        let note = OwnerNote::new(PathBuf::from("/home/kim/state"), PathBuf::from("/srv/kim"), None, since);
        Owner { uid: 61001, gid: 61001, note }
    }

    #[test]
    fn nothing_of_roots_session_goes_on_but_how_to_write_and_lcms_own_settings() {
        let root = caller(&[
            ("HOME", "/root"),
            ("USER", "root"),
            ("LOGNAME", "root"),
            ("PATH", "/root/bin"),
            ("XDG_STATE_HOME", "/root/.local/state"),
            ("XDG_RUNTIME_DIR", "/run/user/0"),
            ("DOCKER_CONFIG", "/root/.docker"),
            ("HF_TOKEN", "roots"),
            ("LD_PRELOAD", "/root/x.so"),
            ("BASH_ENV", "/root/rc"),
            ("TERM", "xterm"),
            ("LCM_LOCK", "/t/lock"),
        ]);
        let kim = User {
            name: "kim".to_owned(),
            uid: 61001,
            gid: 100,
            home: PathBuf::from("/home/kim"),
            shell: "/bin/bash".to_owned(),
        };
        let with = environment_of(&root, &owner(), Some(&kim));
        let expected = [
            ("HOME", "/home/kim"),
            ("LCM_LOCK", "/t/lock"),
            ("LCM_STATE_DIR", "/home/kim/state"),
            ("LOGNAME", "kim"),
            ("PATH", super::PATH),
            ("SHELL", "/bin/bash"),
            ("SUDO_USER", "root"),
            ("TERM", "xterm"),
            ("USER", "kim"),
        ];
        assert_eq!(with, caller(&expected));
    }

    #[test]
    fn a_user_without_an_entry_has_the_home_and_the_store_of_the_own_note() {
        let root = caller(&[("LCM_STATE_DIR", "/t/state"), ("SUDO_USER", "pat")]);
        let without = environment_of(&root, &owner(), None);
        assert_eq!(without["HOME"], "/srv/kim");
        assert_eq!(without["LCM_STATE_DIR"], "/home/kim/state");
        assert_eq!(without["SUDO_USER"], "pat");
        assert!(!without.contains_key("USER"));
    }
}
