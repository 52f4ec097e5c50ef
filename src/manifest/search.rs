//! Search for the manifest where none is named: `lcm.yaml` in this folder, or the nearest one above it.
//!
//! A file above may belong to another user, who could so have the caller run anything: only a file of the caller or of
//! root counts there, in a folder that no one else can write, on the same file system.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::files::trust::{Writable, itself_writable_by_others};

/// Name of the manifest file.
pub(super) const DEFAULT_FILE: &str = "lcm.yaml";
/// Most folders searched: deeper trees are not made by hand.
const FOLDERS_MAX: usize = 64;

/// Result of the search for a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ManifestSearch {
    /// Path from the current folder: `lcm.yaml`, `../lcm.yaml`.
    At(PathBuf),
    /// The nearest file is not used, because others can write it.
    Skipped(String),
    Nowhere,
}

/// Searches for the manifest from the current folder upward.
pub(super) fn nearest() -> ManifestSearch {
    let Ok(here) = std::env::current_dir() else { return ManifestSearch::Nowhere };
    nearest_from(&here).unwrap_or(ManifestSearch::Nowhere)
}

/// Returns the path of the manifest that is read where none is named; `None`: there is none. A file that is skipped is
/// returned by its default name, which fails with the reason.
#[must_use]
pub fn nearest_file() -> Option<PathBuf> {
    match nearest() {
        ManifestSearch::At(path) => Some(path),
        ManifestSearch::Skipped(_) => Some(PathBuf::from(DEFAULT_FILE)),
        ManifestSearch::Nowhere => None,
    }
}

fn nearest_from(here: &Path) -> io::Result<ManifestSearch> {
    let device = here.metadata()?.dev();
    let mut shown = PathBuf::new();
    for (depth, folder) in here.ancestors().take(FOLDERS_MAX).enumerate() {
        let path = folder.join(DEFAULT_FILE);
        if depth == 0 {
            if path.symlink_metadata().is_ok() {
                return Ok(ManifestSearch::At(PathBuf::from(DEFAULT_FILE)));
            }
            continue;
        }
        shown.push("..");
        if folder.metadata()?.dev() != device {
            break;
        }
        if path.symlink_metadata().is_err() {
            continue;
        }
        let skipped = |writable: Writable| {
            ManifestSearch::Skipped(format!("{} is skipped because others can write {writable}", path.display()))
        };
        if let Some(writable) = itself_writable_by_others(folder)? {
            return Ok(skipped(writable));
        }
        // No one else can write the folder, so a link in it is as trusted as the folder; its target is checked.
        return Ok(match itself_writable_by_others(&path)? {
            Some(writable) => skipped(writable),
            None => ManifestSearch::At(shown.join(DEFAULT_FILE)),
        });
    }
    Ok(ManifestSearch::Nowhere)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::{ManifestSearch, nearest_from};

    #[test]
    fn the_nearest_file_counts_where_no_one_else_can_write_it() {
        let root = tempfile::tempdir().expect("a folder");
        let deep = root.path().join("a/b");
        fs::create_dir_all(&deep).expect("made");
        let file = root.path().join("lcm.yaml");
        fs::write(&file, "").expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("set");
        let nearest = || nearest_from(&deep).expect("looked");
        assert_eq!(nearest(), ManifestSearch::At(PathBuf::from("../../lcm.yaml")));
        fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("set");
        assert!(matches!(nearest(), ManifestSearch::Skipped(why) if why.contains("mode 0666")));
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("set");
        fs::set_permissions(root.path(), Permissions::from_mode(0o1777)).expect("set");
        assert!(matches!(nearest(), ManifestSearch::Skipped(why) if why.contains("mode 1777")));
        fs::write(deep.join("lcm.yaml"), "").expect("written");
        fs::set_permissions(deep.join("lcm.yaml"), Permissions::from_mode(0o666)).expect("set");
        assert_eq!(nearest(), ManifestSearch::At(PathBuf::from("lcm.yaml")), "the caller went there");
    }
}
