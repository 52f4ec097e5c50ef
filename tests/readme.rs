//! The README and the topics of `lcm help` are correct: every `console` block is run with the real binary, in order, and
//! prints the shown output; every command of lcm in an `sh` block is one that lcm takes.
//!
//! A block has lines of `$ command`, each followed by lines that its output must contain, in this order. Times, the
//! host, the user and the engine differ from one machine to the next and are not compared. Blocks in other languages are
//! not run, but whole manifests among them are validated.

use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use regex_lite::Regex;

#[path = "readme/documents.rs"]
mod documents;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/gpus.rs"]
mod gpus;
#[path = "support/image.rs"]
mod image;
#[path = "readme/in_use.rs"]
mod in_use;
#[path = "readme/picture.rs"]
mod picture;
#[path = "support/require.rs"]
mod require;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "support/server.rs"]
mod server;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/studio.rs"]
mod studio;
#[expect(dead_code, reason = "the library and the server use the rest")]
#[path = "../examples/simulated_gpu/world.rs"]
mod world;

use documents::{Block, blocks};
use sandbox::{Ran, Sandbox, free_port, run};
use studio::{Studio, engine_missing};

fn main() -> ExitCode {
    let missing = engine_missing();
    let required = require::required("docker");
    let no_engine = missing.map(|reason| format!("no Docker engine: {reason}"));
    let with_engine = |name: &str, test: fn()| {
        let why = no_engine.clone();
        let engine = Trial::test(name, move || match why {
            Some(reason) => Err(Failed::from(reason)),
            None => passed(test),
        });
        match no_engine {
            Some(_) if !required => engine.with_kind("no Docker engine answers").with_ignored_flag(true),
            Some(_) | None => engine,
        }
    };
    let trials = vec![
        with_engine("blocks_that_need_an_engine", blocks_that_need_an_engine),
        with_engine("a_machine_that_is_in_use", || in_use::chapter(of_kind(Kind::InUse))),
        Trial::test("blocks_that_need_no_engine", || passed(blocks_that_need_no_engine)),
        Trial::test("commands_of_shell_blocks_exist", || passed(commands_of_shell_blocks_exist)),
        Trial::test("the_shown_manifest_is_the_quickstarts", || passed(the_shown_manifest_is_the_quickstarts)),
        Trial::test("the_picture_is_current", || passed(picture::is_current)),
        Trial::test("manifests_are_valid", || passed(manifests_are_valid)),
        Trial::test("the_pipeline_runs_the_command_for_the_tests", || passed(the_pipeline_runs_the_tests)),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

#[expect(clippy::unnecessary_wraps, reason = "what a trial returns")]
fn passed(test: fn()) -> Result<(), Failed> {
    test();
    Ok(())
}

fn blocks_that_need_no_engine() {
    let mut sandbox = Sandbox::new("readme");
    quickstart(&mut sandbox);
    for command in of_kind(Kind::Plain) {
        command.run(&sandbox, "quickstart");
    }
}

/// Prepares the quickstart under a name, a GPU and ports of this sandbox's own, and returns its manifest.
fn quickstart(sandbox: &mut Sandbox) -> &'static str {
    let name = sandbox.name.clone();
    sandbox.set("QUICKSTART_GPU", format!("GPU-{name}"));
    sandbox.set("QUICKSTART_NAME", name);
    // The other chapters have containers, which a plan would list as inspected.
    sandbox.set("DOCKER_HOST", "unix:///nowhere/docker.sock");
    for port in ["ENCODER_PORT", "PAINTER_PORT", "WRITER_PORT"] {
        sandbox.set(port, free_port().to_string());
    }
    sandbox.take_down(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart/lcm.yaml"));
    "examples/quickstart/lcm.yaml"
}

fn blocks_that_need_an_engine() {
    let studio = Studio::new();
    studio.prepare(&["--undo"]).exits(0);
    // It builds the server, as for a newcomer, but in this test's own folder.
    for command in of_kind(Kind::Studio) {
        command.run(&studio.sandbox, "studio");
    }
}

fn manifests_are_valid() {
    let sandbox = Sandbox::new("readme");
    let manifests: Vec<String> =
        blocks("yaml").into_iter().map(|block| block.text).filter(|text| text.starts_with("version:")).collect();
    assert!(manifests.len() > 3, "the documents show manifests");
    for text in manifests {
        let path = sandbox.write("lcm.yaml", &text);
        sandbox.lcm(&[Path::new("validate"), &path]).exits(0);
    }
}

fn the_pipeline_runs_the_tests() {
    let pipeline = include_str!("../.ci/run");
    let named = blocks("sh").into_iter().filter(|block| block.document == "README.md").map(|block| block.text);
    let tests = named.filter(|text| text.starts_with("cargo test")).collect::<String>();
    assert!(!tests.is_empty(), "README.md names the command for the tests");
    assert!(pipeline.lines().any(|line| line == tests.trim()), ".ci/run does not run `{}`", tests.trim());
}

/// Lines that begin with `lcm`, as far as clap checks them: their commands and options exist.
fn commands_of_shell_blocks_exist() {
    let sandbox = Sandbox::new("readme");
    let mut checked = 0;
    for Block { document, line, text } in blocks("sh") {
        for (index, command) in text.lines().enumerate().filter(|(_, command)| command.starts_with("lcm ")) {
            let command = command.split([';', '|', '#', '>']).next().unwrap_or_default();
            let what = format!("{document}:{}: {command}", line + index);
            in_repository(&sandbox, &format!("{command} --help"), &what).exits(0);
            checked += 1;
        }
    }
    assert!(checked > 5, "{checked}");
}

/// The manifest in README.md is the quickstart's, but for ports and health checks.
fn the_shown_manifest_is_the_quickstarts() {
    let shown = blocks("yaml").into_iter().find(|block| block.text.contains("name: quickstart"));
    let shown = shown.expect("README.md shows the quickstart").text;
    let sandbox = Sandbox::new("readme");
    let path = sandbox.write("lcm.yaml", &shown);
    let what = |manifest: &Path| {
        let environment = std::collections::BTreeMap::new();
        let desired = lcm::manifest::load(manifest, &environment, &lcm::manifest::ModeSelection::default());
        let desired = desired.expect("a valid manifest");
        let services = desired.services.values().map(|service| {
            let bases: Vec<String> = service.depends_on.keys().map(ToString::to_string).collect();
            format!("{} {} {} {bases:?}", service.name, service.vram_total(), service.priority)
        });
        (services.collect::<Vec<_>>(), desired.modes, desired.mode)
    };
    assert_eq!(what(&path), what(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart/lcm.yaml"))));
}

/// One command of a `console` block, with its shown output.
struct Shown {
    document: &'static str,
    line: usize,
    command: String,
    output: Vec<String>,
    kind: Kind,
}

/// Requirements of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// The studio, with an engine.
    Studio,
    /// A machine with containers and programs of others.
    InUse,
}

impl Shown {
    fn run(&self, sandbox: &Sandbox, project: &str) {
        let what = format!("{}:{}: {}", self.document, self.line, self.command);
        let ran = in_repository(sandbox, &self.command.replace("target/debug/lcm", "lcm"), &what).exits(0);
        let said = ran.stdout.replace(&sandbox.name, project);
        let mut said = said.lines().map(redact);
        for line in &self.output {
            let wanted = redact(line);
            assert!(said.any(|line| line == wanted), "{what}\nmissing in the output, at its place:\n{line}\n{ran}");
        }
    }
}

/// Runs a line of shell in the repository, with `lcm` on the PATH.
fn in_repository(sandbox: &Sandbox, command: &str, what: &str) -> Ran {
    let bin = sandbox.path("bin");
    if !bin.exists() {
        std::fs::create_dir(&bin).expect("a folder");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lcm"), bin.join("lcm")).expect("a link");
    }
    let mut script = Command::new("bash");
    script.args(["-c", &format!("exec 2>&1; {command}")]).current_dir(env!("CARGO_MANIFEST_DIR"));
    for (name, value) in sandbox.command::<&str>(&[]).get_envs() {
        // The quickstart is run with the server that its command has built, and cargo needs its home.
        if let Some(value) = value.filter(|_| name != "MODEL_SERVER" && name != "HOME") {
            script.env(name, value);
        }
    }
    script.env("PATH", format!("{}:{}", bin.display(), sandbox.get("PATH")));
    run(script, what)
}

fn of_kind(kind: Kind) -> Vec<Shown> {
    commands().filter(|command| command.kind == kind).collect()
}

fn commands() -> impl Iterator<Item = Shown> {
    // A chapter begins with the command that makes its manifest.
    let mut in_use = false;
    blocks("console").into_iter().flat_map(move |Block { document, line: first_line, text }| {
        in_use = text.contains("lcm init --only") || (in_use && !text.contains("examples/"));
        let kind = match text.contains("examples/studio") {
            _ if in_use => Kind::InUse,
            true => Kind::Studio,
            false => Kind::Plain,
        };
        let mut shown: Vec<Shown> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            match (line.strip_prefix("$ "), shown.last_mut()) {
                (Some(command), _) => {
                    let (line, command) = (first_line + index, command.to_owned());
                    shown.push(Shown { document, line, command, output: Vec::new(), kind });
                }
                (None, Some(last)) if !line.trim().is_empty() => last.output.push(line.to_owned()),
                (None, Some(_)) => {}
                (None, None) => panic!("{document}:{}: output without a command", first_line + index),
            }
        }
        shown
    })
}

/// Replaces the parts of a line that differ between machines and runs, and removes trailing space.
fn redact(line: &str) -> String {
    let mut line = line.trim_end().to_owned();
    for (pattern, instead) in [
        (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\dZ?", "WHEN"),
        (r"\broot\b|\buid \d+", "WHO"),
        (r"\d+(\.\d+)? ?(ms|s|min)\b", "TIME"),
        (r"host [^ ]+", "host HOST"),
        (r"engine [^ ]+ [^ ]+", "engine ENGINE"),
        (r"\d+ (containers?|process trees?)", "SOME"),
        (r" +", " "),
    ] {
        line = Regex::new(pattern).expect("a pattern").replace_all(&line, instead).into_owned();
    }
    line
}
