//! Container image with a shell and a few programs, built from this machine's own files, without a registry.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

/// Programs of an attacker in a container.
const PROGRAMS: [&str; 8] = ["sh", "sleep", "env", "id", "cat", "touch", "ln", "mkdir"];

/// Returns the name of the image, which is built if missing. Its entry point is `/bin/sh`.
pub(crate) fn image() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let files = files();
        let name = format!("lcm-test/attack-shell:{}", hash(&files));
        // A second import would move the name to another image while other tests run.
        let lock = File::create(std::env::temp_dir().join("lcm-test-attack-shell.lock")).expect("a lock file");
        lock.lock().expect("the lock");
        let mut inspect = Command::new("docker");
        inspect.args(["image", "inspect", &name]).stdout(Stdio::null()).stderr(Stdio::null());
        if !inspect.status().expect("the docker command").success() {
            import(&files, &name);
        }
        name
    })
}

/// Returns the programs, and the libraries that they load.
fn files() -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for program in PROGRAMS {
        let path = Path::new("/bin").join(program);
        let listed = Command::new("ldd").arg(&path).output().map(|output| output.stdout).unwrap_or_default();
        let listed = String::from_utf8_lossy(&listed).into_owned();
        files.extend(listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
        files.insert(path);
    }
    files
}

fn hash(files: &BTreeSet<PathBuf>) -> String {
    let mut hasher = Sha256::new();
    for file in files {
        hasher.update(file.to_string_lossy().as_bytes());
        hasher.update(fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())));
    }
    hasher.finalize().iter().take(6).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn import(files: &BTreeSet<PathBuf>, name: &str) {
    let tar = tempfile::NamedTempFile::new().expect("a file");
    let members = files.iter().map(|file| file.strip_prefix("/").expect("an absolute path"));
    // Links are followed, so that the members are at the paths that the loader searches.
    run(Command::new("tar").arg("-chf").arg(tar.path()).args(["-C", "/"]).args(members));
    run(Command::new("docker").args(["import", "--change", "ENTRYPOINT [\"/bin/sh\"]"]).arg(tar.path()).arg(name));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
