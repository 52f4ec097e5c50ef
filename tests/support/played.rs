//! The studio on one simulated GPU of 24 GiB: real processes and a real container that take its memory, which lcm reads
//! through the real `nvml-wrapper`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::gpus::Gpus;
use crate::sandbox::{Ran, Sandbox, copy_program, free_port};
use crate::server::static_server;
use crate::studio::{Studio, remove_labelled};
use crate::world::{Gpu, VARIABLE, World};

/// Capacity that a card of 24 GiB reports.
const CAPACITY_MIB: u64 = 24_564;

/// Deviations of this studio from one whose services start at once and are healthy.
#[derive(Default)]
pub(crate) struct Manners<'a> {
    /// Additional arguments for the server of a service: `--load 2s --leak`.
    pub(crate) words: BTreeMap<&'a str, &'a str>,
    /// Manifest keys of the language model, each in YAML's flow style.
    pub(crate) ollama: &'a [&'a str],
}

/// Key that evicts the language model.
pub(crate) const EVICT: &str = "evict: { http: { method: POST, url: \"http://127.0.0.1:@OLLAMA@/api/generate\", \
                                json: { model: \"qwen2.5:32b\", keep_alive: 0s } }, resident: 1GiB }";
/// Key that probes the language model for work.
pub(crate) const BUSY: &str =
    "busy: { http: \"http://127.0.0.1:@OLLAMA@/prompt\", pointer: /exec_info/queue_remaining }";

pub(crate) struct Played {
    // Dropped in this order: the processes, the image of the container, the GPU that they hold.
    pub(crate) sandbox: Sandbox,
    studio: Option<Studio>,
    pub(crate) gpus: Gpus,
    ports: BTreeMap<&'static str, u16>,
}

impl Played {
    /// Creates a studio with the language model in a created container.
    pub(crate) fn new(manners: &Manners<'_>) -> Self {
        Self::of(Some(Studio::new()), manners)
    }

    /// Creates a studio with the language model in a container from this studio's image; `None`: as a process.
    pub(crate) fn of(studio: Option<Studio>, manners: &Manners<'_>) -> Self {
        let mut sandbox = Sandbox::new("played");
        // Other projects' services count by the GPU of their marks: each test has its own.
        let gpu = Gpu {
            uuid: format!("GPU-{}", sandbox.name),
            parent: None,
            total_mib: CAPACITY_MIB,
            reserved_mib: 100,
            name: "Simulated GPU".to_owned(),
        };
        let gpus = Gpus::of(&World { driver: "550.54.14".to_owned(), gpus: vec![gpu], ..World::default() });
        sandbox.set("LCM_NVML_LIB", gpus.library().display().to_string());
        let ports = ["comfyui", "vidi", "ollama"].map(|service| (service, free_port())).into();
        let mut played = Self { sandbox, studio, gpus, ports };
        played.write(manners);
        let manifest = played.sandbox.path("lcm.yaml");
        played.sandbox.take_down(manifest);
        played
    }

    pub(crate) fn write(&self, manners: &Manners<'_>) {
        let world = self.gpus.path().display().to_string();
        let words = |service: &str, memory: &str| {
            let more = manners.words.get(service).copied().unwrap_or_default();
            let words: Vec<String> =
                format!("--vram {memory} {more}").split_whitespace().map(|word| format!("\"{word}\"")).collect();
            words.join(", ")
        };
        let process = |service: &str, memory: &str| {
            let (port, words) = (self.ports[service], words(service, memory));
            format!(
                "process: {{ command: [\"@SERVER@\", --port, \"{port}\", {words}], environment: {{ {VARIABLE}: \"{world}\" }} }}"
            )
        };
        let folder = self.gpus.folder().display();
        let ollama = match &self.studio {
            None => process("ollama", "18GB"),
            Some(studio) => format!(
                "docker: {{ image: \"{}\", pull_policy: never, gpu_access: environment, ports: [\"127.0.0.1:{}:8000\"], \
                 command: [--host, 0.0.0.0, --port, \"8000\", {}], environment: {{ {VARIABLE}: \"{world}\" }}, \
                 volumes: [\"{folder}:{folder}\"] }}",
                studio.image(),
                self.ports["ollama"],
                words("ollama", "18GB")
            ),
        };
        let more = [&[""], manners.ollama].concat().join("\n    ");
        let text = format!(
            "version: 1
name: \"@NAME@\"
mode: chat
gpus: {{ reserve: 512MiB }}
services:
  comfyui:
    {}
    vram: 20GB
    priority: 100
    health: {{ http: \"http://127.0.0.1:{}/health\", timeout: 60s }}
  vidi:
    {}
    vram: 4GB
    priority: 40
    health: {{ http: \"http://127.0.0.1:{}/health\", timeout: 60s }}
  ollama:
    {ollama}
    vram: 18GB
    priority: 10
    stop: {{ grace: 60s }}
    health: {{ http: \"http://127.0.0.1:{}/health\", timeout: 60s }}{more}
modes:
  video: {{ services: [comfyui, vidi], stop: [ollama] }}
  beside: {{ services: [comfyui], others: keep }}
  painting: {{ services: [comfyui] }}
  chat: {{ services: [ollama] }}
",
            process("comfyui", "20GB"),
            self.ports["comfyui"],
            process("vidi", "4GB"),
            self.ports["vidi"],
            self.ports["ollama"],
        );
        self.sandbox.write("lcm.yaml", &text.replace("@OLLAMA@", &self.ports["ollama"].to_string()));
    }

    /// Runs `lcm` with this studio's manifest.
    #[track_caller]
    pub(crate) fn lcm(&self, mode: &str, words: &[&str]) -> Ran {
        self.sandbox.lcm(&[words, &["--mode", mode]].concat())
    }

    /// Returns true if the language model runs in a container.
    pub(crate) fn is_contained(&self) -> bool {
        self.studio.is_some()
    }

    pub(crate) fn port(&self, service: &str) -> u16 {
        self.ports[service]
    }

    /// Sends a request to a service's server, with no body.
    #[track_caller]
    pub(crate) fn post(&self, service: &str, path: &str) {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port(service))).expect("it listens");
        write!(stream, "POST {path} HTTP/1.1\r\ncontent-length: 0\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("a response");
        assert!(answer.starts_with("HTTP/1.1 20"), "{path}: {answer}");
    }

    /// Returns the memory in use, in MiB.
    pub(crate) fn used_mib(&self) -> u64 {
        self.gpus.world().used_mib(&format!("GPU-{}", self.sandbox.name))
    }

    /// Asserts that no process ever tried to exceed the capacity.
    #[track_caller]
    pub(crate) fn was_never_overcommitted(&self) {
        assert_eq!(self.gpus.world().overcommitted, Vec::<String>::new());
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        // Containers must be gone before their image.
        remove_labelled(&format!("lcm.project={}", self.sandbox.name));
    }
}

/// Foreign program on the GPU; dropping it ends the process.
pub(crate) struct Foreign(Child);

impl Foreign {
    /// Starts a program of this name that holds this much memory.
    pub(crate) fn new(played: &Played, name: &str, size: &str) -> Self {
        let program = played.sandbox.path(name);
        copy_program(static_server(), &program);
        let mut command = Command::new(program);
        command.args(["--hold", size]).env(VARIABLE, played.gpus.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its output");
        assert_eq!(line, "holding\n");
        Self(child)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
