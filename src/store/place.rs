//! Where lcm keeps what it keeps: one rule for the store, the processes' logs and the lock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The lock is the host's, whoever runs lcm, since the GPU is.
const LOCK: &str = "/run/lock/lcm.lock";

/// The state folder: `LCM_STATE_DIR`, else `/var/lib/lcm` for root, else `$XDG_STATE_HOME/lcm`, else
/// `~/.local/state/lcm`. `None`: none of them can be told.
#[must_use]
pub fn state_folder(environment: &BTreeMap<String, String>, is_root: bool) -> Option<PathBuf> {
    let named = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = named("LCM_STATE_DIR") {
        return Some(folder);
    }
    if is_root {
        return Some(PathBuf::from("/var/lib/lcm"));
    }
    // The XDG rules say that a relative path is to be ignored.
    let state_home = named("XDG_STATE_HOME").filter(|folder| folder.is_absolute());
    state_home.or_else(|| named("HOME").map(|home| home.join(".local/state"))).map(|folder| folder.join("lcm"))
}

/// The host lock's file; `LCM_LOCK` moves it.
#[must_use]
pub fn lock_file(environment: &BTreeMap<String, String>) -> PathBuf {
    let moved = environment.get("LCM_LOCK").filter(|value| !value.is_empty());
    moved.map_or_else(|| Path::new(LOCK).to_owned(), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::{lock_file, state_folder};

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_state_folder_follows_its_rule() {
        let folder = |pairs, root| state_folder(&environment(pairs), root);
        let all = [("LCM_STATE_DIR", "/s"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(folder(&all, true), Some(PathBuf::from("/s")));
        assert_eq!(folder(&all[1..], true), Some(PathBuf::from("/var/lib/lcm")));
        assert_eq!(folder(&all[1..], false), Some(PathBuf::from("/x/lcm")));
        assert_eq!(folder(&[("XDG_STATE_HOME", "x"), ("HOME", "/h")], false), Some("/h/.local/state/lcm".into()));
        assert_eq!(folder(&[("LCM_STATE_DIR", "")], false), None);
    }

    #[test]
    fn the_lock_is_the_hosts_unless_moved() {
        assert_eq!(lock_file(&environment(&[])), PathBuf::from("/run/lock/lcm.lock"));
        assert_eq!(lock_file(&environment(&[("LCM_LOCK", "/t/l")])), PathBuf::from("/t/l"));
    }
}
