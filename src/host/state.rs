//! Paths in the current user's state folder: the store, and one folder per service. None of them needs to exist.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::host::program::environment;
use crate::shared::segment;

/// Returns the state folder: `LCM_STATE_DIR`, else `/var/lib/lcm` for root, else `$XDG_STATE_HOME/lcm` or
/// `~/.local/state/lcm`. Relative paths count from the working directory.
#[must_use]
pub fn state_dir(environment: &BTreeMap<String, String>) -> PathBuf {
    resolve(environment, geteuid().is_root(), &environment::home(environment))
}

/// Returns a service's folder in the state folder.
pub(crate) fn service_folder(state_dir: &Path, project: &str, service: &str) -> PathBuf {
    projects(state_dir).join(segment(project)).join(segment(service))
}

/// Returns the folder that holds one folder for each project.
pub(crate) fn projects(state_dir: &Path) -> PathBuf {
    state_dir.join("projects")
}

fn resolve(environment: &BTreeMap<String, String>, is_root: bool, home: &Path) -> PathBuf {
    let absolute = |name: &str| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(path) = environment.get("LCM_STATE_DIR").filter(|path| !path.is_empty()) {
        // Made absolute here, once: a helper has another working directory.
        return std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    }
    if is_root {
        return PathBuf::from("/var/lib/lcm");
    }
    absolute("XDG_STATE_HOME").unwrap_or_else(|| home.join(".local/state")).join("lcm")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::resolve;

    #[test]
    fn the_state_folder_follows_variable_user_and_home() {
        let home = Path::new("/home/u");
        let with = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let named = with(&[("LCM_STATE_DIR", "/tmp/x"), ("XDG_STATE_HOME", "/s")]);
        assert_eq!(resolve(&named, true, home), PathBuf::from("/tmp/x"));
        assert_eq!(resolve(&with(&[("XDG_STATE_HOME", "/s")]), true, home), PathBuf::from("/var/lib/lcm"));
        assert_eq!(resolve(&with(&[("XDG_STATE_HOME", "/s")]), false, home), PathBuf::from("/s/lcm"));
        let relative = with(&[("XDG_STATE_HOME", "s")]);
        assert_eq!(resolve(&relative, false, home), PathBuf::from("/home/u/.local/state/lcm"));
    }
}
