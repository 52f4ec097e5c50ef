//! `lcm validate`.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::cli::answer::data;
use crate::cli::exit::Exit;
use crate::cli::opened;
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::cli::wire;
use crate::files::named;
use crate::manifest::{CheckedManifest, ModeSelection};
use crate::report::github;
use crate::report::json::document;
use crate::report::output::Output;
use crate::report::problems::{self, CheckedFile, CheckedManifests};
use crate::report::sheet::Sheet;
use crate::report::style::Paint;
use crate::report::table::counted;
use crate::syntax::place::SourceLocation;
use crate::syntax::problem::{Problem, Severity};

/// Check manifests offline, and show all problems
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Manifests to check; `-` is standard input [default: lcm.yaml]
    #[arg(value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// Same as the argument MANIFEST; may be given several times
    #[arg(short = 'm', long = "manifest", value_name = "MANIFEST")]
    named: Vec<PathBuf>,
    /// Output format; `github` prints annotations for GitHub's runner
    #[arg(long, value_enum, default_value_t = ProblemFormat::Text, value_name = "FORMAT")]
    format: ProblemFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProblemFormat {
    Text,
    Json,
    Github,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let default = [PathBuf::from("lcm.yaml")];
    let is_default = args.manifests.is_empty() && args.named.is_empty();
    if is_default {
        opened::report_search(session, &default[0]);
    }
    let files = args.manifests.iter().chain(&args.named).chain(default.iter().filter(|_| is_default));
    let checked: Vec<(&Path, CheckedManifest)> = files.map(|path| (named::shown(path), check(session, path))).collect();
    let for_programs =
        || CheckedManifests::new(checked.iter().map(|(path, found)| for_programs(path, found)).collect());
    let text: Output = match args.format {
        ProblemFormat::Text => checked.iter().map(|(path, found)| text(session, path, found)).collect(),
        ProblemFormat::Github => github::annotations(&for_programs()),
        ProblemFormat::Json => document(&for_programs()),
    };
    data(&text)?;
    let all_valid = checked.iter().all(|(_, found)| found.desired.is_some());
    Ok(if all_valid { Exit::Done } else { Exit::Refused })
}

fn check(session: &Session, path: &Path) -> CheckedManifest {
    crate::reconcile::wire::check(
        path,
        &session.environment,
        &ModeSelection { mode_optional: true, ..ModeSelection::default() },
    )
}

fn text(session: &Session, path: &Path, found: &CheckedManifest) -> Output {
    let of = |severity: Severity| found.problems.0.iter().filter(|problem| problem.severity == severity).count();
    let mut sheet = Sheet::new();
    if !found.problems.0.is_empty() {
        sheet.gap();
    }
    let counts = found.desired.as_ref().map_or_else(
        || session.stdout.paint(Paint::Bad, &counted(of(Severity::Error), "error", "errors")),
        |desired| {
            let warnings = counted(of(Severity::Warning), "warning", "warnings");
            let counts = [
                counted(desired.services.len(), "service", "services"),
                counted(desired.modes.len(), "mode", "modes"),
                counted(desired.goals.len(), "goal", "goals"),
            ];
            let counts: Vec<String> =
                counts.into_iter().chain((of(Severity::Warning) > 0).then_some(warnings)).collect();
            format!("{} ({})", session.stdout.paint(Paint::Good, "ok"), counts.join(", "))
        },
    );
    sheet.line(format!("{}: {counts}", path.display()));
    let problems = wire::render(&found.problems, session.stdout, session.width());
    [problems, sheet.unfolded(session.stdout)].into_iter().collect()
}

fn for_programs(path: &Path, found: &CheckedManifest) -> CheckedFile {
    CheckedFile {
        file: path.display().to_string(),
        valid: found.desired.is_some(),
        problems: found.problems.0.iter().map(problem).collect(),
        warnings: found.desired.as_ref().map(|desired| desired.warnings.clone()).unwrap_or_default(),
    }
}

fn problem(problem: &Problem) -> problems::ProblemEntry {
    let place = |place: &SourceLocation| {
        let file = place.file.display().to_string();
        problems::ProblemLocation { file, line: place.line, column: place.column }
    };
    let related = |(at, label): &(SourceLocation, String)| problems::Related { place: place(at), label: label.clone() };
    problems::ProblemEntry {
        severity: match problem.severity {
            Severity::Error => problems::ProblemSeverity::Error,
            Severity::Warning => problems::ProblemSeverity::Warning,
        },
        code: problem.code.to_owned(),
        message: problem.message.clone(),
        label: problem.label.clone(),
        help: problem.help.clone(),
        place: problem.place.as_ref().map(place),
        related: problem.related.iter().map(related).collect(),
    }
}
