//! A container image without a registry: the model server as a static binary, alone in a tar, imported.
//!
//! It is built once for each content. The lock is the machine's, not the checkout's: importing the same name twice
//! would give it another meaning while somebody else's tests run.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

/// Where the server lies within the image.
pub(crate) const SERVER: &str = "/model_server";

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/model_server.rs");

const FLAGS: [&str; 5] = ["--edition", "2024", "-O", "-C", "target-feature=+crt-static"];

/// The image's name; builds it where it is not there yet.
pub(crate) fn model_server() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let hash = hash();
        let name = format!("lcm-test/model-server:{hash}");
        let path = std::env::temp_dir().join(format!("lcm-test-image-{}.lock", rustix::process::getuid().as_raw()));
        let lock = File::create(&path).expect("a lock file");
        lock.lock().expect("the lock");
        if !is_there(&name) {
            import(&archive(&hash), &name);
        }
        name
    })
}

fn hash() -> String {
    let source = fs::read(SOURCE).expect("the server's source");
    let mut hasher = Sha256::new();
    hasher.update(&source);
    hasher.update(FLAGS.join(" "));
    hasher.finalize().iter().take(6).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn is_there(name: &str) -> bool {
    let mut inspect = Command::new("docker");
    inspect.args(["image", "inspect", name]).stdout(Stdio::null()).stderr(Stdio::null());
    inspect.status().expect("the docker command").success()
}

/// A tar that holds the server and nothing else.
fn archive(hash: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("image-{hash}"));
    let tar = folder.join("image.tar");
    if tar.exists() {
        return tar;
    }
    fs::create_dir_all(&folder).expect("a folder");
    // Written under other names and renamed: half a file is never taken for a whole one.
    let id = std::process::id();
    let (binary, draft) = (folder.join(format!("{id}/model_server")), folder.join(format!("{id}.tar")));
    fs::create_dir_all(binary.parent().expect("it has one")).expect("a folder");
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    run(Command::new(compiler).args(FLAGS).arg("-o").arg(&binary).arg(SOURCE));
    run(Command::new("tar")
        .arg("-cf")
        .arg(&draft)
        .arg("-C")
        .arg(binary.parent().expect("it has one"))
        .arg("model_server"));
    fs::rename(&draft, &tar).expect("the tar");
    tar
}

fn import(tar: &Path, name: &str) {
    let entrypoint = format!("ENTRYPOINT [\"{SERVER}\"]");
    run(Command::new("docker").args(["import", "--change", &entrypoint]).arg(tar).arg(name));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
