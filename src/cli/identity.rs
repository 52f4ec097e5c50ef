//! Identity that a command continues with: root works on another user's project as that user, with the environment of a
//! login of that user. A session is also the caller of a cycle.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::cli::terminal::log;
use crate::cli::terminal::session::Session;
use crate::cli::wire;
use crate::files::{output, user_text};
use crate::model::desired::Desired;
use crate::model::facts::Facts;
use crate::model::names::ProjectName;
use crate::reconcile::{Caller, ReconcileError};
use crate::report::json;
use crate::shared::owner::ProjectOwner;
use crate::shared::{self, User};
use crate::syntax::Environment;

/// Variables that a login of the owner has too. The rest of root's session stays with root: its secrets are not the
/// owner's, and its paths do not lead to the owner's files.
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

/// Prefixes of further variables: lcm's own settings, and the locale's.
const KEPT_PREFIXES: [&str; 2] = ["LCM_", "LC_"];

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Caller for Session {
    fn environment(&self) -> &Environment {
        &self.environment
    }

    fn report(&self, line: &str) {
        self.say(line);
    }

    fn note(&self, line: &str) {
        Self::note(self, line);
    }

    fn warn(&self, message: &str) {
        Self::warn(self, message);
    }

    fn continue_as(&self, project: &ProjectName, owner: &ProjectOwner) -> ReconcileError {
        continue_as(self, project, owner)
    }

    fn hide_secrets_of(&self, desired: &Desired) {
        log::hide_secrets_of(desired);
    }

    fn write_world(&self, path: &Path, facts: &Facts) -> io::Result<()> {
        output::replace(path, &json::document(facts))
    }
}

/// Continues as the owner of a project: replaces this process by one of the owner's.
fn continue_as(session: &Session, project: &ProjectName, owner: &ProjectOwner) -> ! {
    session.say(&format!("project {project} is owned by {}: continuing as that user", user_text(owner.uid)));
    let user = shared::user(owner.uid);
    let groups = user.as_ref().map(|user| shared::groups_of(&user.name)).unwrap_or_default();
    let gid = user.as_ref().map_or(owner.gid, |user| user.gid);
    let environment = environment_of(&session.environment, owner, user.as_ref());
    let error = wire::continue_as((owner.uid, gid, groups), &environment);
    // This thread may have the owner's identity already, so this process must end.
    session.say(&format!("error: can't continue as {}: {error}", user_text(owner.uid)));
    std::process::exit(1)
}

/// Returns the environment of a login of the owner, with lcm's own settings.
fn environment_of(
    caller: &BTreeMap<String, String>,
    owner: &ProjectOwner,
    user: Option<&User>,
) -> BTreeMap<String, String> {
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
    // The history names the caller.
    if !caller.contains_key("SUDO_USER") {
        put("SUDO_USER", "root".to_owned());
    }
    // The caller's store is not the owner's, even where root's session names one.
    if let Some(store) = owner.note.store.as_ref().and_then(text) {
        put("LCM_STATE_DIR", store);
    }
    // Folder of the socket of a rootless engine of the owner.
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
    use crate::shared::owner::{OwnerNote, ProjectOwner};

    fn caller(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn owner() -> ProjectOwner {
        let since = "2026-11-01T10:00:00Z".parse().expect("a time");
        let note = OwnerNote::new(PathBuf::from("/home/kim/state"), PathBuf::from("/srv/kim"), None, since);
        ProjectOwner { uid: 61001, gid: 61001, note }
    }

    #[test]
    fn of_roots_session_only_terminal_and_lcm_settings_are_kept() {
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
    fn a_user_without_a_passwd_entry_has_the_home_and_the_store_of_the_owner_note() {
        let root = caller(&[("LCM_STATE_DIR", "/t/state"), ("SUDO_USER", "pat")]);
        let without = environment_of(&root, &owner(), None);
        assert_eq!(without["HOME"], "/srv/kim");
        assert_eq!(without["LCM_STATE_DIR"], "/home/kim/state");
        assert_eq!(without["SUDO_USER"], "pat");
        assert!(!without.contains_key("USER"));
    }
}
