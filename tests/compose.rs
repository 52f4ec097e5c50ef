//! lcm's merged model of Compose projects against docker-compose 1.29, on generated files: several files, services that
//! extend others, variables, env files. Without docker-compose the test is reported as `ignored`, with the reason; with
//! `LCM_TEST_REQUIRE=compose` its absence is a failure. `LCM_SOAK_COMPOSE` sets the number of projects.
//!
//! The generator leaves out what the specification defines otherwise than 1.29 does:
//! - null values over others (13-merge.md: "adding missing entries and merging the conflicting ones"; 1.29 removes);
//! - `group_add` in two files (13-merge.md: "a YAML sequence is merged by appending"; 1.29 replaces);
//! - `extends` in a later file (05-services.md: "another service within the same Compose file"; 1.29 looks in the first);
//! - `logging.options` and `deploy.resources.limits` of a service that another one of its file extends (05-services.md:
//!   the keys of the referenced service "are included as is"; 1.29 adds those of the other to it);
//! - two devices at one path (05-services.md: "mappings where key is the target path inside the container");
//! - nested variables and `${A:+b}` (12-interpolation.md: "Interpolation can also be nested"; 1.29 has neither);
//! - `!reset`, `!override`, `include` (13-merge.md, 14-include.md; newer than 1.29).

#[path = "compose/compared.rs"]
mod compared;
#[path = "compose/generated.rs"]
mod generated;
#[path = "support/require.rs"]
mod require;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use lcm::import::{Given, ImportContext, compose_model};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;

use compared::differences;
use generated::{Draw, GeneratedProject};

/// Projects in `cargo test`.
const PROJECTS: u64 = 40;
/// Python of the distribution, which has its docker-compose.
const PYTHON: &str = "/usr/bin/python3";

fn main() -> ExitCode {
    let absent = absent();
    let ignored = absent.is_some() && !require::required("compose");
    let kind = absent.clone().filter(|_| ignored).unwrap_or_default();
    let run = move || match absent {
        Some(reason) => Err(Failed::from(reason)),
        None => generated_projects_merge_as_in_docker_compose(),
    };
    let trial = Trial::test("generated_projects_merge_as_in_docker_compose", run).with_kind(kind);
    libtest_mimic::run(&Arguments::from_args(), vec![trial.with_ignored_flag(ignored)]).exit_code()
}

/// Returns the reason why docker-compose 1.29 can't run.
fn absent() -> Option<String> {
    let import = "import sys; from compose import __version__ as v; sys.exit(not v.startswith('1.29'))";
    match Command::new(PYTHON).args(["-c", import]).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => None,
        Ok(_) => Some("docker-compose 1.29 is not installed".to_owned()),
        Err(error) => Some(format!("{PYTHON}: {error}")),
    }
}

fn generated_projects_merge_as_in_docker_compose() -> Result<(), Failed> {
    let count = std::env::var("LCM_SOAK_COMPOSE").ok().and_then(|count| count.parse().ok()).unwrap_or(PROJECTS);
    let first = std::env::var("LCM_SOAK_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let folder = TempDir::with_prefix("lcm-compose-").map_err(|error| error.to_string())?;
    let projects: Vec<(u64, GeneratedProject)> =
        (first..first + count).map(|seed| (seed, GeneratedProject::new(&mut Draw::new(seed)))).collect();
    let mut cases = Vec::new();
    for (seed, project) in &projects {
        let at = folder.path().join(seed.to_string());
        for (path, text) in &project.files {
            let path = at.join(path);
            fs::create_dir_all(path.parent().unwrap_or(&at)).map_err(|error| error.to_string())?;
            fs::write(&path, text).map_err(|error| error.to_string())?;
        }
        // Folders to build from must exist.
        for folder in ["dir", "x", "lib/dir", "lib/x"] {
            fs::create_dir_all(at.join(folder)).map_err(|error| error.to_string())?;
        }
        cases.push(json!({ "folder": at, "files": project.given, "environment": project.environment }));
    }
    let answers = answers(&Value::Array(cases))?;
    let (mut faults, mut refused) = (Vec::new(), 0);
    for ((seed, project), answer) in projects.iter().zip(answers) {
        let at = folder.path().join(seed.to_string());
        let shown =
            || project.files.iter().map(|(path, text)| format!("--- {path}\n{text}")).collect::<Vec<_>>().concat();
        match (answer.get("config"), model(&at, project)) {
            (Some(config), Ok(model)) => {
                let found = differences(&at, project, &model, config);
                if !found.is_empty() {
                    let found = found.join("\n");
                    faults.push(format!("seed {seed}, {:?}:\n{found}\n{}", project.environment, shown()));
                }
            }
            (None, Err(_)) => refused += 1,
            (None, Ok(_)) => faults.push(format!("seed {seed}: docker-compose refuses: {answer}\n{}", shown())),
            (Some(_), Err(problems)) => faults.push(format!("seed {seed}: lcm refuses: {problems}\n{}", shown())),
        }
    }
    // Refusals compare nothing.
    if refused * 10 > count {
        faults.push(format!("both refuse {refused} of {count} projects"));
    }
    if faults.is_empty() {
        return Ok(());
    }
    // Of each fault the differences, and of the first one the files.
    let brief = |fault: &String| fault.split("--- .env").next().unwrap_or_default().to_owned();
    let briefs: Vec<String> = faults.iter().map(brief).collect();
    Err(format!("{} faults:\n{}\n{}", faults.len(), briefs.join("\n"), faults[0]).into())
}

/// Returns docker-compose's output for each case.
fn answers(cases: &Value) -> Result<Vec<Value>, Failed> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose/oracle.py");
    let mut child = Command::new(PYTHON)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(cases.to_string().as_bytes()));
    written.transpose().map_err(|error| error.to_string())?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|error| Failed::from(format!("{}: {error}", output.status)))
}

/// Returns lcm's merged model.
fn model(at: &Path, project: &GeneratedProject) -> Result<Value, String> {
    let given = project.given.iter().map(|name| {
        let path = at.join(name);
        fs::read_to_string(&path).map(|text| Given { path, text }).map_err(|error| error.to_string())
    });
    let given = given.collect::<Result<Vec<_>, _>>()?;
    let setting = ImportContext {
        name: "p".to_owned(),
        variables: project.dotenv.clone(),
        environment: project.environment.clone(),
        base: "".into(),
    };
    let read = |path: &Path| match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    };
    compose_model(&given, &setting, &read).map_err(|problems| problems.to_string())
}

/// Variables, as maps of names and values.
pub(crate) type Variables = BTreeMap<String, String>;
