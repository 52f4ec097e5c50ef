//! The chapter on a machine in use, as written: a Compose project with a restart policy, a stopped container, a server
//! started by hand in a terminal, a desktop that holds GPU memory. Real containers and processes, and a simulated GPU.
//! The chapter's commands must touch none of them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use regex_lite::Regex;

use crate::gpus::Gpus;
use crate::image;
use crate::sandbox::{Sandbox, answers, free_port, run, wait_until};
use crate::server::static_server;
use crate::studio::Foreign;
use crate::world::{Gpu, VARIABLE, World};
use crate::{Shown, redact};

/// Ports in the chapter.
const PORTS: [&str; 3] = ["11434", "3000", "8880"];
const FOLDER: &str = "box";

/// A machine used by others.
struct InUse {
    // In the order in which they are removed.
    containers: Vec<Foreign>,
    programs: Vec<Child>,
    sandbox: Sandbox,
    gpus: Gpus,
    ports: [u16; 3],
}

pub(crate) fn chapter(commands: Vec<Shown>) {
    assert!(!commands.is_empty(), "the chapter has commands");
    let machine = InUse::new();
    let before = machine.state();
    for command in commands {
        machine.run(&command);
        assert_eq!(
            machine.state(),
            before,
            "{}:{}: `{}` changed something",
            command.document,
            command.line,
            command.command
        );
    }
    let draft = fs::read_to_string(machine.sandbox.path(FOLDER).join("lcm.yaml")).expect("a draft");
    assert!(!draft.contains("s3cr3t"), "a secret was copied:\n{draft}");
    // The draft's proposal for the server that was started by hand is valid as it is.
    let uncommented = draft.lines().map(|line| {
        line.strip_prefix("  # ").filter(|rest| is_proposal(rest)).map_or(line.to_owned(), |rest| format!("  {rest}"))
    });
    let uncommented: Vec<String> = uncommented.collect();
    let path = machine.sandbox.write("uncommented.yaml", &uncommented.join("\n"));
    assert!(uncommented.iter().any(|line| line == "  model_server:"), "{draft}");
    machine.sandbox.lcm(&[Path::new("validate"), &path]).exits(0).says("4 services");
}

/// Returns true for a line of a service that is a comment in the draft.
fn is_proposal(line: &str) -> bool {
    line == "model_server:" || (line.starts_with("  ") && !line.trim_start().starts_with('#'))
}

impl InUse {
    fn new() -> Self {
        let mut sandbox = Sandbox::new("in-use");
        let gpu = Gpu {
            uuid: format!("GPU-{}", sandbox.name),
            parent: None,
            total_mib: 24_564,
            reserved_mib: 100,
            name: "NVIDIA GeForce RTX 4090".to_owned(),
        };
        let gpus = Gpus::of(&World { driver: "550.54.14".to_owned(), gpus: vec![gpu], ..World::default() });
        sandbox.set("LCM_NVML_LIB", gpus.library().display().to_string());
        fs::create_dir(sandbox.path(FOLDER)).expect("a folder");
        let ports = [free_port(), free_port(), free_port()];
        let mut machine = Self { containers: Vec::new(), programs: Vec::new(), sandbox, gpus, ports };
        machine.compose("ollama", &["--restart", "unless-stopped"], &["--vram", "6200MB"]);
        machine.compose("webui", &["--label", "com.docker.compose.depends_on=ollama:service_started:false"], &[]);
        let name = machine.comfyui();
        let created = ["--name", &name, "--gpus", "all", "--env", "HF_TOKEN=hf_s3cr3t0123", image::model_server()];
        machine.containers.push(Foreign::create(&created));
        machine.desktop();
        machine.by_hand();
        for port in machine.ports {
            wait_until("everything answers", || answers(port));
        }
        machine
    }

    fn comfyui(&self) -> String {
        format!("comfyui-{}", self.sandbox.name)
    }

    /// Starts a container with Compose's marks.
    fn compose(&mut self, service: &str, words: &[&str], server: &[&str]) {
        let project = self.sandbox.name.clone();
        let port = self.ports[self.containers.len()];
        let name = format!("{project}-{service}-1");
        let marks = [format!("com.docker.compose.project={project}"), format!("com.docker.compose.service={service}")];
        let published = format!("127.0.0.1:{port}:8000");
        let (folder, world) = (self.gpus.folder().display(), format!("{VARIABLE}={}", self.gpus.path().display()));
        let volume = format!("{folder}:{folder}");
        let common = [
            "--name",
            &name,
            "--label",
            &marks[0],
            "--label",
            &marks[1],
            "--publish",
            &published,
            "--volume",
            &volume,
            "--env",
            &world,
            "--env",
            "WEBUI_SECRET_KEY=s3cr3t",
        ];
        let serve = [image::model_server(), "--host", "0.0.0.0", "--port", "8000"];
        self.containers.push(Foreign::run(&[&common[..], words, &serve[..], server].concat()));
    }

    /// Starts a desktop program that holds GPU memory.
    fn desktop(&mut self) {
        let program = self.sandbox.path("Xorg");
        fs::copy(static_server(), &program).expect("a copy of the server");
        let mut command = Command::new(program);
        command.args(["--hold", "397MB"]).env(VARIABLE, self.gpus.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its output");
        assert_eq!(line, "holding\n");
        self.programs.push(child);
    }

    /// Starts a server in a terminal.
    fn by_hand(&mut self) {
        let server = self.sandbox.path("model_server");
        let typed = format!("exec {} --port {} --vram 2GB", server.display(), self.ports[2]);
        let mut terminal = Command::new("script");
        terminal.args(["--quiet", "--command", &typed, "/dev/null"]).current_dir(self.sandbox.path("home"));
        terminal.env(VARIABLE, self.gpus.path()).env("API_KEY", "s3cr3t");
        self.programs.push(terminal.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a terminal"));
    }

    /// Returns a text that differs once any of these was changed.
    fn state(&self) -> String {
        let mut state: Vec<String> = self.containers.iter().map(Foreign::state).collect();
        state.extend(self.sandbox.servers().iter().map(|(pid, words)| format!("{pid} {words}")));
        state.push(format!("{:?}", self.gpus.world().used_mib(&format!("GPU-{}", self.sandbox.name))));
        state.join("\n")
    }

    fn run(&self, shown: &Shown) {
        let what = format!("README.md:{}: {}", shown.line, shown.command);
        let bin = self.sandbox.path("bin");
        if !bin.exists() {
            fs::create_dir(&bin).expect("a folder");
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lcm"), bin.join("lcm")).expect("a link");
        }
        let command = shown
            .command
            .replace("comfyui", &self.comfyui())
            .replace("--only chat", &format!("--only {}", self.sandbox.name));
        let mut script = Command::new("bash");
        script.args(["-c", &format!("exec 2>&1; {command}")]).current_dir(self.sandbox.path(FOLDER)).env_clear();
        for (name, value) in self.sandbox.command::<&str>(&[]).get_envs() {
            if let Some(value) = value {
                script.env(name, value);
            }
        }
        script.env("PATH", format!("{}:{}", bin.display(), self.sandbox.get("PATH")));
        let ran = run(script, &what).exits(0);
        let said = self.with_chapter_names(&ran.stdout);
        let mut lines = said.lines().map(|line| redact(&self.with_chapter_names(line)));
        for line in &shown.output {
            let wanted = redact(&self.with_chapter_names(line));
            assert!(
                lines.any(|line| line == wanted),
                "{what}\nmissing in the output, at its place:\n{line}\nbut:\n{said}"
            );
        }
    }

    /// Replaces this test's names by the chapter's.
    fn with_chapter_names(&self, text: &str) -> String {
        let mut text = text
            .replace(&format!("GPU-{}", self.sandbox.name), "GPU-8f1e2a34")
            .replace(&self.comfyui(), "comfyui")
            .replace(&self.sandbox.path("home").display().to_string(), "/home/ada")
            .replace(&self.sandbox.path("model_server").display().to_string(), "/srv/model_server")
            .replace(&self.sandbox.name, "chat");
        for (port, shown) in self.ports.iter().zip(PORTS) {
            text = text.replace(&port.to_string(), shown);
        }
        for (pattern, instead) in [(r"pid:? \d+", "pid 4711"), (r"programs on [^ ]+\.", "programs on box.")] {
            text = Regex::new(pattern).expect("a pattern").replace_all(&text, instead).into_owned();
        }
        text
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}
