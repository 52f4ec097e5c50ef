//! One owner per project and host: other users' commands are refused by name, and root continues as the owner before it
//! reads or runs any file of the owner.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use jiff::Timestamp;
use rustix::process::geteuid;

use crate::files::user_text;
use crate::model::desired::Desired;
use crate::model::names::ProjectName;
use crate::model::safe_text;
use crate::reconcile::caller::Caller;
use crate::reconcile::error::ReconcileError;
use crate::reconcile::wire;
use crate::shared;
use crate::shared::owner::{OwnerNote, Owners, ProjectOwner};

/// Group of a user of whom only the number is known: `nogroup` has no rights.
const NO_GROUP: u32 = 65_534;

/// Right that a command claims over a project with an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnerAccess {
    /// Only the owner may continue.
    AsOwner,
    /// `--take-over`: root becomes the owner.
    TakeOver,
}

/// Replaces this process by one of the owner's if root would work on another user's project. The manifest is read for
/// the project's name alone: everything else is the owner's to read. Does not return in that case.
pub(crate) fn continue_as_owner(
    caller: &dyn Caller,
    manifest: &Path,
    claim: OwnerAccess,
) -> Result<(), ReconcileError> {
    let owners = owners(caller);
    // A stream can be read only once: `admit` refuses it where it is another user's.
    let is_file = fs::metadata(manifest).is_ok_and(|metadata| metadata.is_file());
    if !geteuid().is_root() || claim == OwnerAccess::TakeOver || !owners.are_any() || !is_file {
        return Ok(());
    }
    let Some(project) = wire::project_name(manifest, caller.environment()) else { return Ok(()) };
    let Some(owner) = read(&owners, &project)?.filter(|owner| owner.uid != 0) else { return Ok(()) };
    Err(caller.continue_as(&project, &owner))
}

/// Admits the command by the labels of the project's containers, where no file names the owner.
pub(crate) fn admit_by_labels(
    caller: &dyn Caller,
    desired: &Desired,
    uids: &BTreeSet<u32>,
    claim: OwnerAccess,
) -> Result<(), ReconcileError> {
    let (me, project) = (geteuid(), &desired.project);
    let Some(uid) = uids.first().copied().filter(|_| !uids.contains(&me.as_raw())) else { return Ok(()) };
    match claim {
        OwnerAccess::TakeOver if me.is_root() => Ok(()),
        // The stream has been read already, and the owner's lcm would find it empty.
        OwnerAccess::AsOwner if me.is_root() && desired.is_streamed => Err(needs_file(project, uid)),
        OwnerAccess::AsOwner if me.is_root() => {
            Err(caller.continue_as(project, &ProjectOwner { uid, gid: NO_GROUP, note: OwnerNote::default() }))
        }
        OwnerAccess::AsOwner | OwnerAccess::TakeOver => Err(owned(project, uid)),
    }
}

/// Returns the user whose services the present owner takes over, while some of them may be left.
pub(crate) fn previous(owner: &ProjectOwner) -> Option<u32> {
    if owner.uid == geteuid().as_raw() { owner.note.previous } else { Some(owner.uid) }
}

/// Records that nothing of the previous owner is left.
pub(crate) fn forget_previous(caller: &dyn Caller, project: &ProjectName) -> Result<(), ReconcileError> {
    let owners = owners(caller);
    match read(&owners, project)?.filter(|owner| owner.uid == geteuid().as_raw() && owner.note.previous.is_some()) {
        Some(owner) => owners
            .replace(project.as_str(), &OwnerNote { previous: None, ..owner.note })
            .map_err(|error| unknown(project, &error)),
        None => Ok(()),
    }
}

/// Returns the owner of a project that this command may work on, or refuses the command and names the owner.
pub(crate) fn admit(
    caller: &dyn Caller,
    project: &ProjectName,
    claim: OwnerAccess,
) -> Result<Option<ProjectOwner>, ReconcileError> {
    let me = geteuid();
    match read(&owners(caller), project)? {
        Some(owner) if owner.uid == me.as_raw() => {
            if claim == OwnerAccess::AsOwner {
                refuse_other_store(caller, project, &owner)?;
            }
            Ok(Some(owner))
        }
        Some(owner) if me.is_root() && claim == OwnerAccess::TakeOver => Ok(Some(owner)),
        Some(owner) if me.is_root() => Err(needs_file(project, owner.uid)),
        Some(owner) => Err(owned(project, owner.uid)),
        None => Ok(None),
    }
}

/// Refuses a store that is not the one in which the present user keeps this project.
pub(crate) fn require_store(caller: &dyn Caller, project: &ProjectName) -> Result<(), ReconcileError> {
    match read(&owners(caller), project)? {
        Some(owner) if owner.uid == geteuid().as_raw() => refuse_other_store(caller, project, &owner),
        Some(_) | None => Ok(()),
    }
}

/// Holds and history of a project are in one store: another store would lack its terminated services.
fn refuse_other_store(caller: &dyn Caller, project: &ProjectName, owner: &ProjectOwner) -> Result<(), ReconcileError> {
    let mine = wire::state_folder(caller.environment());
    let Some(noted) = &owner.note.store else { return Ok(()) };
    // Where the other store is gone, nothing is left to be read there.
    let is_there = fs::symlink_metadata(wire::store_file(noted)).is_ok();
    if *noted == mine || is_same_file(noted, &mine) || !is_there {
        return Ok(());
    }
    let noted = safe_text::line(&noted.display().to_string());
    let message = format!(
        "project {project} keeps its holds and history in {noted}, and this command would use {}; set \
         LCM_STATE_DIR={noted}, or take the project down with that store first",
        mine.display()
    );
    Err(ReconcileError::Owned(message))
}

/// Makes the caller the owner before its first change, and records the manifest that manages the project from now on.
/// `before`: the owner that the command found.
pub(crate) fn claim(
    caller: &dyn Caller,
    desired: &Desired,
    (claim, before): (OwnerAccess, Option<&ProjectOwner>),
    now: Timestamp,
) -> Result<(), ReconcileError> {
    let (project, me) = (&desired.project, geteuid().as_raw());
    let failed = |error: io::Error| unknown(project, &error);
    let owners = owners(caller);
    let note = note(caller, desired, now);
    let owner = match claim {
        OwnerAccess::AsOwner => owners.claim(project.as_str(), &note).map_err(failed)?,
        OwnerAccess::TakeOver => match read(&owners, project)? {
            Some(owner) => owner,
            None => owners.claim(project.as_str(), &note).map_err(failed)?,
        },
    };
    let previous = previous(&owner);
    if owner.uid != me && (claim == OwnerAccess::AsOwner || before.is_none_or(|before| before.uid != owner.uid)) {
        return Err(owned(project, owner.uid));
    }
    // A stream does not replace the file that manages the project.
    let is_kept = claim == OwnerAccess::AsOwner && is_named_in_stream(desired) && owner.note.manifest.is_some();
    let is_current = is_kept || owner.note.manifest.as_deref() == Some(desired.named_in.as_path());
    let moves = claim == OwnerAccess::TakeOver || other_checkout(Some(&owner), desired).is_none();
    if owner.uid == me && (is_current || !moves) && owner.note.store == note.store {
        return Ok(());
    }
    let manifest = if moves && !is_kept { note.manifest.clone() } else { owner.note.manifest };
    let since = if owner.uid == me { owner.note.since.or(note.since) } else { note.since };
    owners.replace(project.as_str(), &OwnerNote { manifest, since, previous, ..note }).map_err(failed)
}

/// Returns the reason to leave running services as they are: a manifest of the same project in another folder manages
/// them, and still exists.
pub(crate) fn other_checkout(owner: Option<&ProjectOwner>, desired: &Desired) -> Option<String> {
    let (mine, other) = (&desired.named_in, owner?.note.manifest.as_ref()?);
    // A stream is read as a file of the current folder would be.
    if is_named_in_stream(desired) && mine.parent() == other.parent() {
        return None;
    }
    if desired.newest_checkout || mine == other || is_same_file(mine, other) || !fs::metadata(other).ok()?.is_file() {
        return None;
    }
    // The folder may hold another project by now.
    let named = wire::project_name(other, &BTreeMap::new())?;
    if named != desired.project {
        return None;
    }
    Some(format!(
        "other_checkout: {} manages project {}, and this is {}; running services are left as \
         they are (`lcm apply --take-over` makes this manifest manage them)",
        safe_text::line(&other.display().to_string()),
        desired.project,
        mine.display()
    ))
}

/// Returns true if the stream itself names the project, rather than a file that it includes.
fn is_named_in_stream(desired: &Desired) -> bool {
    desired.is_streamed && desired.named_in == desired.entry
}

/// Returns true if both paths are of one file.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    id(one).is_some_and(|found| Some(found) == id(other))
}

/// Leaves the project without an owner once nothing of it is left.
pub(crate) fn release(caller: &dyn Caller, project: &ProjectName) -> Result<(), ReconcileError> {
    owners(caller).release(project.as_str()).map_err(|error| unknown(project, &error))
}

fn note(caller: &dyn Caller, desired: &Desired, now: Timestamp) -> OwnerNote {
    let home = wire::home(caller.environment());
    OwnerNote::new(wire::state_folder(caller.environment()), home, Some(desired.named_in.clone()), now)
}

fn owners(caller: &dyn Caller) -> Owners {
    Owners::beside(&shared::lock(caller.environment()))
}

fn read(owners: &Owners, project: &ProjectName) -> Result<Option<ProjectOwner>, ReconcileError> {
    owners.read(project.as_str()).map_err(|error| unknown(project, &error))
}

/// Returns the refusal of a project whose owner can't be read: nothing of it may be touched.
fn unknown(project: &ProjectName, error: &io::Error) -> ReconcileError {
    ReconcileError::Owned(format!("can't read the owner of project {project} on this host: {error}"))
}

/// Returns the refusal of a stream: root reads none for another user.
fn needs_file(project: &ProjectName, uid: u32) -> ReconcileError {
    let message = format!(
        "project {project} is owned by {}, and root continues as that user only with a manifest that is a regular file \
         and keeps its name",
        user_text(uid)
    );
    ReconcileError::Owned(message)
}

fn owned(project: &ProjectName, uid: u32) -> ReconcileError {
    let user = match (uid, shared::user(uid)) {
        (0, _) => "root".to_owned(),
        (_, Some(user)) => format!("{} or as root", user.name),
        (_, None) => format!("uid {uid} or as root"),
    };
    ReconcileError::Owned(format!(
        "project {project} is owned by {} on this host; run lcm as {user}, or give this project another `name`",
        user_text(uid)
    ))
}
