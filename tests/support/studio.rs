//! The studio of `examples/studio`, unchanged, under unique names and ports, with a real engine.

use std::path::PathBuf;
use std::process::Command;

use crate::sandbox::{Ran, Sandbox, answers, free_port, run};

/// Example studio, prepared by its own script.
pub(crate) struct Studio {
    pub(crate) sandbox: Sandbox,
}

const SERVICES: [&str; 4] = ["comfyui", "cosyvoice", "vidi", "ollama"];

impl Studio {
    pub(crate) fn new() -> Self {
        let mut sandbox = Sandbox::new("studio");
        let name = sandbox.name.clone();
        let server = sandbox.path("model_server").display().to_string();
        for (variable, value) in [
            ("STUDIO_SERVER", server),
            ("STUDIO_IMAGE", format!("lcm-test/{name}")),
            ("STUDIO_GPU", format!("GPU-{name}")),
            ("COSYVOICE_CONTAINER", format!("{name}-cosyvoice")),
            ("OLLAMA_CONTAINER", format!("{name}-ollama")),
            ("STUDIO_NAME", name),
        ] {
            sandbox.set(variable, value);
        }
        for service in SERVICES {
            sandbox.set(&port_variable(service), free_port().to_string());
        }
        sandbox.take_down(manifest("lcm.yaml"));
        let studio = Self { sandbox };
        studio.prepare(&[]).exits(0);
        studio
    }

    /// Runs `prepare.sh` in this studio's environment.
    #[track_caller]
    pub(crate) fn prepare(&self, words: &[&str]) -> Ran {
        let mut script = self.sandbox.command::<&str>(&[]);
        // The same environment, another program.
        let environment: Vec<_> =
            script.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        script = Command::new(manifest("prepare.sh"));
        script.args(words).env_clear().envs(environment);
        run(script, "prepare.sh")
    }

    /// Runs `lcm` with a manifest of the example: `video`, `voice`, `chat`, or `lcm`.
    #[track_caller]
    pub(crate) fn lcm(&self, mode: &str, words: &[&str]) -> Ran {
        let file = if mode == "lcm" { manifest("lcm.yaml") } else { manifest(&format!("modes/{mode}.yaml")) };
        self.sandbox.lcm(&[words, &[file.to_str().expect("UTF-8")]].concat())
    }

    pub(crate) fn port(&self, service: &str) -> u16 {
        self.sandbox.get(&port_variable(service)).parse().expect("a port")
    }

    /// Returns the services that answer now.
    pub(crate) fn up(&self) -> Vec<&'static str> {
        SERVICES.into_iter().filter(|service| answers(self.port(service))).collect()
    }

    pub(crate) fn container(&self, service: &str) -> String {
        self.sandbox.get(&format!("{}_CONTAINER", service.to_uppercase())).to_owned()
    }

    pub(crate) fn image(&self) -> &str {
        self.sandbox.get("STUDIO_IMAGE")
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        // Containers must be removed before their image; the sandbox takes the project down again, which does nothing.
        let _ = self.sandbox.lcm(&["down", "--yes", manifest("lcm.yaml").to_str().expect("UTF-8")]);
        remove_labelled(&format!("lcm.project={}", self.sandbox.name));
        let _ = self.prepare(&["--undo"]);
    }
}

/// Container that the test itself created; dropping it removes the container.
pub(crate) struct Foreign {
    pub(crate) id: String,
}

impl Foreign {
    /// Starts a container by `docker run --detach` with these words.
    #[track_caller]
    pub(crate) fn run(words: &[&str]) -> Self {
        Self { id: docker(&[&["run", "--detach"], words].concat()) }
    }

    #[track_caller]
    pub(crate) fn create(words: &[&str]) -> Self {
        Self { id: docker(&[&["create"], words].concat()) }
    }

    /// Returns a text that changes when the container is started, stopped or recreated.
    pub(crate) fn state(&self) -> String {
        docker(&["inspect", "--format", "{{.Id}} {{.State.Status}} {{.State.StartedAt}} {{.Name}}", &self.id])
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = docker_command(&["rm", "--force", &self.id]).output();
    }
}

/// Runs the engine's own client, and returns its output.
#[track_caller]
pub(crate) fn docker(words: &[&str]) -> String {
    let ran = run(docker_command(words), &format!("docker {}", words.join(" "))).exits(0);
    ran.stdout.trim().to_owned()
}

/// Returns true if the engine has such a container.
pub(crate) fn exists(container: &str) -> bool {
    docker_command(&["container", "inspect", container]).output().is_ok_and(|output| output.status.success())
}

/// Returns a container's status: `running`, `exited` and the like.
pub(crate) fn status(container: &str) -> String {
    docker(&["inspect", "--format", "{{.State.Status}}", container])
}

pub(crate) fn id(container: &str) -> String {
    docker(&["inspect", "--format", "{{.Id}}", container])
}

/// Reason why there is no engine to test with.
pub(crate) fn engine_missing() -> Option<String> {
    match docker_command(&["version", "--format", "{{.Server.Version}}"]).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("no docker client: {error}")),
    }
}

/// Removes all containers with this label, which must contain this test's own name.
pub(crate) fn remove_labelled(label: &str) {
    let found = docker_command(&["ps", "--all", "--quiet", "--filter", &format!("label={label}")]).output();
    for id in found.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default().lines() {
        let _ = docker_command(&["rm", "--force", id]).output();
    }
}

fn docker_command(words: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(words);
    command
}

fn manifest(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/studio").join(name)
}

fn port_variable(service: &str) -> String {
    format!("{}_PORT", service.to_uppercase())
}
