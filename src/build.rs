//! Build script: records the commit that a release is built from. It lies here since the files of the top level are a
//! fixed set; it is no part of the library.
//!
//! A debug build records no commit: each new commit would rebuild it, for a line without readers.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Length of an abbreviated commit: nine digits are unique in any history of this size.
const ABBREVIATION: &str = "--abbrev=9";

fn main() {
    println!("cargo:rerun-if-changed=src/build.rs");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let profile = variable("PROFILE");
    let from = match profile.as_str() {
        "release" => commit(Path::new(&variable("CARGO_MANIFEST_DIR"))).map(|commit| format!(" ({commit})")),
        profile => Some(format!(" ({profile})")),
    };
    println!("cargo:rustc-env=LCM_VERSION={}{}", variable("CARGO_PKG_VERSION"), from.unwrap_or_default());
    println!("cargo:rustc-env=LCM_BUILD={profile}, {}", variable("TARGET"));
}

/// Returns the commit and its date, as `1a2b3c4d5 2026-11-20`. `None` without git, or where the repository is not this
/// package's: an unpacked archive may lie in a foreign one.
fn commit(package: &Path) -> Option<String> {
    let top = PathBuf::from(git(package, &["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != package.canonicalize().ok()? {
        return None;
    }
    let commit = git(package, &["log", "-1", ABBREVIATION, "--format=%h %cs"])?;
    let is_changed = !git(package, &["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    // HEAD names the branch, and its log grows with each commit, also where branches are packed or this is a worktree.
    // The sources too: they decide whether the build has uncommitted changes.
    for path in ["HEAD", "logs/HEAD"] {
        let path = package.join(git(package, &["rev-parse", "--git-path", path])?);
        // Cargo takes a missing file for one that always changes.
        if path.exists() {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
    for path in ["src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    Some(if is_changed { format!("{commit}, changed") } else { commit })
}

/// Returns the output of git, which takes no lock here and writes nothing.
fn git(package: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("--no-optional-locks").args(arguments).current_dir(package).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
