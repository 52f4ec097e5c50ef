//! The model server as a static binary, which runs as a process and in an image that contains nothing else. It is built
//! once per content, also by test programs that run in parallel.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/model_server.rs");

/// Modules of the server.
const PARTS: [&str; 3] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/examples/model_server/memory.rs"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/examples/model_server/options.rs"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/examples/simulated_gpu/world.rs"),
];

const FLAGS: [&str; 7] = ["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols"];

/// Returns the server's path, which ends in `model_server`.
pub(crate) fn static_server() -> &'static Path {
    static SERVER: OnceLock<PathBuf> = OnceLock::new();
    SERVER.get_or_init(|| built("model_server", SOURCE, &FLAGS, &hash()))
}

/// Builds a program or a library by one `rustc` call, once per content; returns its path.
pub(crate) fn built(name: &str, source: &str, flags: &[&str], hash: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("server-{hash}"));
    let built = folder.join(name);
    if !built.exists() {
        fs::create_dir_all(&folder).expect("a folder");
        // Built under another name and renamed, so that no incomplete file is used.
        let draft = folder.join(format!("draft-{}", std::process::id()));
        let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let output = Command::new(&compiler).args(flags).arg("-o").arg(&draft).arg(source).output();
        let output = output.unwrap_or_else(|error| panic!("{compiler}: {error}"));
        assert!(output.status.success(), "{compiler} {source}: {}", String::from_utf8_lossy(&output.stderr));
        fs::rename(&draft, &built).expect("it in its place");
    }
    built
}

/// Hash of the sources and the compiler's flags.
pub(crate) fn hash() -> String {
    hash_of([SOURCE].iter().chain(&PARTS), &FLAGS)
}

pub(crate) fn hash_of<'a>(sources: impl IntoIterator<Item = &'a &'a str>, flags: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for source in sources {
        hasher.update(fs::read(source).expect("a readable source"));
    }
    hasher.update(flags.join(" "));
    hasher.finalize().iter().take(6).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
