//! `lcm doctor`.

use std::path::Path;

use clap::ValueEnum;

use crate::cli::answer::data;
use crate::cli::args::FileArgs;
use crate::cli::exit::Exit;
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::log;
use crate::cli::terminal::session::Session;
use crate::cli::wire;
use crate::manifest::ModeSelection;
use crate::model::desired::Desired;
use crate::model::doctor::{MachineCheck, shell_word};
use crate::report::doctor::{self, DoctorReport};
use crate::report::json;
use crate::report::table::counted;
use crate::syntax::problem::Severity;

/// Check what this machine lets lcm do, and how to repair it
///
/// Checks the container engine, GPU drivers, whether processes outlive lcm, the lock, the state folder and the clock.
/// With a manifest, it also checks what its services need. Changes and starts nothing. Exits 1 if a check fails.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    manifest: FileArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t = DoctorFormat::Text, value_name = "FORMAT")]
    format: DoctorFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DoctorFormat {
    Text,
    Json,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let found = manifest(session, args);
    match found.desired.as_ref() {
        Some(desired) => log::hide_secrets_of(desired),
        None => log::no_secrets(),
    }
    let mut checks = wire::examined(found.desired.as_ref(), &session.environment).await;
    if let Some(desired) = &found.desired {
        // An error of an engine may quote its address, and that a secret.
        let masker = desired.masker();
        for check in &mut checks {
            masker.mask_in_place(&mut check.found);
            check.help.iter_mut().for_each(|help| masker.mask_in_place(help));
        }
    }
    checks.splice(0..0, found.check);
    let report = DoctorReport::new(found.path, checks);
    data(&match args.format {
        DoctorFormat::Text => doctor::text(&report, session.stdout),
        DoctorFormat::Json => json::document(&report),
    })?;
    Ok(if report.passed { Exit::Done } else { Exit::Refused })
}

/// Manifest whose demands are checked.
#[derive(Default)]
struct FoundManifest {
    path: Option<String>,
    desired: Option<Desired>,
    /// Line on the manifest itself.
    check: Option<MachineCheck>,
}

/// Reads the manifest that the command line names, or the nearest one; a missing one is no error then.
fn manifest(session: &Session, args: &Args) -> FoundManifest {
    const CHECK: &str = "manifest";
    let (path, is_named) = match args.manifest.given() {
        Some(path) => (path, true),
        None => match crate::reconcile::wire::nearest_manifest() {
            Some(path) => (path, false),
            None => return FoundManifest::default(),
        },
    };
    let choice = ModeSelection { mode_optional: true, ..ModeSelection::default() };
    let name = path.display().to_string();
    match crate::reconcile::wire::load(&path, &session.environment, &choice) {
        Ok(desired) => {
            let services = counted(desired.services.len(), "service", "services");
            let check = MachineCheck::ok(CHECK, format!("{name} is valid ({services})"));
            FoundManifest { path: Some(name), desired: Some(desired), check: Some(check) }
        }
        Err(problems) => {
            let first = problems.0.iter().find(|problem| problem.severity == Severity::Error);
            let message = first.map_or("it can't be read", |problem| &problem.message);
            let check = MachineCheck::fail(CHECK, format!("{name}: {message}"));
            let check = first.and_then(|first| first.help.as_deref()).into_iter().fold(check, MachineCheck::help);
            let check = check.help(help(&path, is_named)).help("the checks below don't count what its services need");
            FoundManifest { path: None, desired: None, check: Some(check) }
        }
    }
}

fn help(path: &Path, is_named: bool) -> String {
    let named = if is_named { format!(" {}", shell_word(path)) } else { String::new() };
    format!("`lcm validate{named}` shows all its problems")
}
