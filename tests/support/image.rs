//! Container image without a registry: a tar with the static model server alone, imported into the engine.
//!
//! The image is built once per content. The lock belongs to the machine, not to the checkout: importing a name twice
//! would change its meaning while another user's tests run.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::server::{hash, static_server};

/// Path of the server within the image.
pub(crate) const SERVER: &str = "/model_server";

/// Returns the image's name; builds the image if it does not exist yet.
pub(crate) fn model_server() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = format!("lcm-test/model-server:{}", hash());
        let path = std::env::temp_dir().join(format!("lcm-test-image-{}.lock", rustix::process::getuid().as_raw()));
        let lock = File::create(&path).expect("a lock file");
        lock.lock().expect("the lock");
        if !is_there(&name) {
            import(static_server(), &name);
        }
        name
    })
}

fn is_there(name: &str) -> bool {
    let mut inspect = Command::new("docker");
    inspect.args(["image", "inspect", name]).stdout(Stdio::null()).stderr(Stdio::null());
    inspect.status().expect("the docker command").success()
}

/// Imports a tar with the server alone.
fn import(server: &Path, name: &str) {
    let folder = server.parent().expect("it has one");
    let tar = folder.join(format!("{}.tar", std::process::id()));
    run(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(folder).arg("model_server"));
    let entrypoint = format!("ENTRYPOINT [\"{SERVER}\"]");
    run(Command::new("docker").args(["import", "--change", &entrypoint]).arg(&tar).arg(name));
    fs::remove_file(&tar).expect("the tar");
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
