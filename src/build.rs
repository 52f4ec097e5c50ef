//! The build script: says from which commit a release is made. It lies here since the top level holds nothing but what
//! the house names; it is no part of the library.
//!
//! A debug build is not told: each commit would build it anew, for a line that nobody reads there.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// So many digits are one commit's for any history of this size.
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

/// `1a2b3c4d5 2026-11-20`; nothing where there is no git, or where the repository is not this package's: an unpacked
/// archive may lie in somebody else's.
fn commit(package: &Path) -> Option<String> {
    let top = PathBuf::from(git(package, &["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != package.canonicalize().ok()? {
        return None;
    }
    let commit = git(package, &["log", "-1", ABBREVIATION, "--format=%h %cs"])?;
    let is_changed = !git(package, &["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    // HEAD names the branch, and its log grows with each commit, also where branches are packed or this is a worktree.
    // Sources too, since they decide whether the commit is all of it.
    for path in ["HEAD", "logs/HEAD"] {
        let path = package.join(git(package, &["rev-parse", "--git-path", path])?);
        // Of one that is not there cargo would think that it changes all the time.
        if path.exists() {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
    for path in ["src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    Some(if is_changed { format!("{commit}, changed") } else { commit })
}

/// What git answers; it takes no lock, and writes nothing.
fn git(package: &Path, words: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("--no-optional-locks").args(words).current_dir(package).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
