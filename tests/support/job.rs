//! Job container with the real binary: an image of this machine's own libraries and a shell, with lcm mounted into it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

/// Programs beside lcm.
const PROGRAMS: [&str; 3] = ["sh", "sleep", "cat"];
const LCM: &str = env!("CARGO_BIN_EXE_lcm");

/// Returns the image's name; builds the image if it does not exist yet.
pub(crate) fn image() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let files = files();
        let name = format!("lcm-test/job:{}", hash(&files));
        // Importing a name twice would change its meaning while other tests run.
        let path = std::env::temp_dir().join(format!("lcm-test-job-{}.lock", rustix::process::getuid().as_raw()));
        let lock = File::create(path).expect("a lock file");
        lock.lock().expect("the lock");
        let mut inspect = Command::new("docker");
        inspect.args(["image", "inspect", &name]).stdout(Stdio::null()).stderr(Stdio::null());
        if !inspect.status().expect("the docker command").success() {
            import(&files, &name);
        }
        name
    })
}

/// Returns options of `docker run` that mount this build's lcm on the image's PATH.
pub(crate) fn mount_lcm() -> [String; 2] {
    ["--volume".to_owned(), format!("{LCM}:/usr/bin/lcm:ro")]
}

/// Returns the programs, and the libraries that they and lcm load.
fn files() -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let programs = PROGRAMS.iter().map(|program| Path::new("/bin").join(program));
    for path in programs.chain([PathBuf::from(LCM)]) {
        let listed = Command::new("ldd").arg(&path).output().map(|output| output.stdout).unwrap_or_default();
        let listed = String::from_utf8_lossy(&listed).into_owned();
        files.extend(listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
        if path != Path::new(LCM) {
            files.insert(path);
        }
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
    // Links are followed, so that the members are where the loader searches for them.
    run(Command::new("tar").arg("-chf").arg(tar.path()).args(["-C", "/"]).args(members));
    let path = "ENV PATH=/usr/bin:/bin";
    run(Command::new("docker").args(["import", "--change", path]).arg(tar.path()).arg(name));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
