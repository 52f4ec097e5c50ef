//! Checkout on the host, and job containers in which lcm works on it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::sandbox::{Ran, Running, Sandbox, run};
use crate::{image, job};

const SOCKET: &str = "/var/run/docker.sock";

/// Checkout with a manifest.
pub(crate) struct Runner {
    pub(crate) sandbox: Sandbox,
}

/// Paths and options of the host that a job container gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given<'a> {
    /// The engine's socket and the checkout.
    Checkout,
    /// The same, with store and lock.
    StoreAndLock,
    /// The same as `StoreAndLock`, with these options.
    Options(&'a [&'a str]),
}

impl Runner {
    /// Creates a checkout; `@IMAGE@` in the manifest becomes the model server's image, `@NAME@` the project.
    pub(crate) fn new(manifest: &str) -> Self {
        let mut sandbox = Sandbox::new("job");
        // The lock is shared through its folder, as in /run/lock.
        let lock = sandbox.path("lock/lcm.lock");
        std::fs::create_dir(sandbox.path("lock")).expect("a folder");
        std::fs::create_dir(sandbox.path("state")).expect("a folder");
        sandbox.set("LCM_LOCK", lock.display().to_string());
        let runner = Self { sandbox };
        runner.write("lcm.yaml", manifest);
        runner
    }

    /// Writes a file of the checkout.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        self.sandbox.write(&format!("checkout/{name}"), &text.replace("@IMAGE@", image::model_server()))
    }

    /// Path of the checkout in the container, which the host does not have.
    pub(crate) fn inside(&self) -> PathBuf {
        PathBuf::from("/builds").join(&self.sandbox.name)
    }

    /// Returns the `docker run` of a command in a new job container.
    pub(crate) fn command(&self, given: Given<'_>, words: &[&str]) -> Command {
        let (folder, inside) = (self.sandbox.path("checkout"), self.inside());
        let (lock, state) = (self.sandbox.path("lock"), self.sandbox.path("state"));
        let mut command = Command::new("docker");
        command.args(["run", "--rm", "--volume", &format!("{SOCKET}:{SOCKET}")]).args(job::mount_lcm());
        command.arg("--volume").arg(format!("{}:{}", folder.display(), inside.display()));
        command.arg("--workdir").arg(&inside);
        for (name, value) in [("LCM_LOCK", lock.join("lcm.lock")), ("LCM_STATE_DIR", state.clone())] {
            command.arg("--env").arg(format!("{name}={}", value.display()));
        }
        command.args(["--env", "LCM_NVML_LIB="]);
        if given != Given::Checkout {
            for folder in [lock, state] {
                command.arg("--volume").arg(format!("{0}:{0}", folder.display()));
            }
        }
        if let Given::Options(options) = given {
            command.args(options);
        }
        command.arg(job::image()).args(words).stdin(Stdio::null());
        command
    }

    /// Runs lcm to its end in a new job container.
    #[track_caller]
    pub(crate) fn lcm(&self, given: Given<'_>, words: &[&str]) -> Ran {
        run(self.command(given, &[&["lcm"], words].concat()), &format!("docker run lcm {}", words.join(" ")))
    }

    pub(crate) fn start(&self, given: Given<'_>, words: &[&str]) -> Running {
        Running::start(self.command(given, &[&["lcm"], words].concat()), &format!("docker run lcm {}", words.join(" ")))
    }

    /// Runs lcm to its end on the host.
    #[track_caller]
    pub(crate) fn on_host(&self, words: &[&str]) -> Ran {
        let mut command = self.sandbox.command(words);
        command.current_dir(self.sandbox.path("checkout"));
        run(command, &format!("lcm {}", words.join(" ")))
    }

    /// Returns a field of the service's container; empty if there is no container.
    pub(crate) fn inspect(&self, service: &str, field: &str) -> String {
        let name = format!("{}-{service}", self.sandbox.name);
        let output = Command::new("docker").args(["inspect", "--format", field, &name]).output().expect("docker");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let mut down = self.sandbox.command(&["down", "--yes"]);
        down.current_dir(self.sandbox.path("checkout")).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = down.status();
    }
}
