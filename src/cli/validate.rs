//! `lcm validate`.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::cli::exit::Exit;
use crate::cli::plan::data;
use crate::cli::session::Session;
use crate::cli::stop::Stop;
use crate::cli::{github, wire};
use crate::manifest::{Choice, Place, Problem, Problems, Severity};
use crate::model::desired::Desired;
use crate::report::json::document;
use crate::report::style::Paint;
use crate::report::table::counted;

/// The version of what `--format json` says.
const FORMAT: &str = "lcm.problems/1";

/// Check manifests offline, and show all that is wrong with them
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Manifests to check
    #[arg(default_value = "lcm.yaml", value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// How to show what is wrong; `github` makes annotations of GitHub's runner
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Github,
}

pub(super) fn run(session: &Session, args: &Args) -> Result<Exit, Stop> {
    let checked: Vec<(&Path, Result<Desired, Problems>)> =
        args.manifests.iter().map(|path| (path.as_path(), check(session, path))).collect();
    let text: String = match args.format {
        Format::Text => checked.iter().map(|(path, found)| text(session, path, found)).collect(),
        Format::Github => checked.iter().map(|(path, found)| annotations(path, found)).collect(),
        Format::Json => {
            let files: Vec<Value> = checked.iter().map(|(path, found)| as_json(path, found)).collect();
            document(&json!({ "format": FORMAT, "files": files }))
        }
    };
    data(&text)?;
    let all_valid = checked.iter().all(|(_, found)| found.is_ok());
    Ok(if all_valid { Exit::Done } else { Exit::Refused })
}

fn check(session: &Session, path: &Path) -> Result<Desired, Problems> {
    wire::load(path, &session.environment, &Choice { mode_optional: true, ..Choice::default() })
}

fn text(session: &Session, path: &Path, found: &Result<Desired, Problems>) -> String {
    match found {
        Ok(desired) => {
            let ok = session.stdout.paint(Paint::Good, "ok");
            let counts = [
                counted(desired.services.len(), "service", "services"),
                counted(desired.modes.len(), "mode", "modes"),
                counted(desired.goals.len(), "goal", "goals"),
            ];
            let ok = format!("{}: {ok} ({})\n", path.display(), counts.join(", "));
            let warning = |warning: &String| format!("{}: warning: {warning}\n", path.display());
            desired.warnings.iter().map(warning).chain([ok]).collect()
        }
        Err(problems) => {
            let errors = problems.0.iter().filter(|problem| problem.severity == Severity::Error).count();
            let errors = session.stdout.paint(Paint::Bad, &counted(errors, "error", "errors"));
            format!("{}\n{}: {errors}\n", wire::render(problems, session.stdout, session.width()), path.display())
        }
    }
}

fn annotations(path: &Path, found: &Result<Desired, Problems>) -> String {
    match found {
        Ok(desired) => desired.warnings.iter().map(|warning| github::warning(path, warning)).collect(),
        Err(problems) => problems.0.iter().map(|problem| github::annotation(path, problem)).collect(),
    }
}

fn as_json(path: &Path, found: &Result<Desired, Problems>) -> Value {
    let (warnings, problems) = match found {
        Ok(desired) => (desired.warnings.clone(), Vec::new()),
        Err(problems) => (Vec::new(), problems.0.iter().map(problem_json).collect()),
    };
    json!({ "file": path, "valid": found.is_ok(), "problems": problems, "warnings": warnings })
}

fn problem_json(problem: &Problem) -> Value {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = |place: &Place| json!({ "file": place.file, "line": place.line, "column": place.column });
    let related: Vec<Value> =
        problem.related.iter().map(|(at, label)| json!({ "place": place(at), "label": label })).collect();
    json!({
        "severity": severity,
        "code": problem.code,
        "message": problem.message,
        "label": problem.label,
        "help": problem.help,
        "place": problem.place.as_ref().map(place),
        "related": related,
    })
}
