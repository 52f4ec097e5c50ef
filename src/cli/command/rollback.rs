//! `lcm rollback`: applies the manifest and mode of the last converged run that differ from the current files and mode.

use std::path::Path;
use std::sync::Arc;

use crate::cli::args::{ExecutionArgs, FileArgs};
use crate::cli::exit::Exit;
use crate::cli::job::ApplyJob;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::cli::{execute, opened};
use crate::manifest::ModeSelection;
use crate::model::converged::Converged;
use crate::model::holds::ModeOverride;
use crate::model::mode_set::ModeSet;
use crate::model::names::ProjectName;
use crate::model::plan::Purpose;
use crate::reconcile::files;
use crate::reconcile::owner::{self, OwnerAccess};
use crate::reconcile::wire;
use crate::store::sqlite::Sqlite;
use crate::store::{HoldStore, Journal as _, StoreError};

const CURRENT: &str = "Current manifest of the project; all but its `name:` may be invalid [default: lcm.yaml]";

/// Roll back to the manifest and mode of the last converged run
///
/// Rolls back to the most recent run that ended with every service matching the manifest, and that used a different
/// manifest or mode from the current one. Your manifest files are not changed: unless you revert them too, the next
/// apply follows them again.
#[derive(Debug, clap::Args)]
#[command(mut_arg("positional", |arg| arg.help(CURRENT)))]
pub(crate) struct Args {
    #[command(flatten)]
    manifest: FileArgs,
    /// Roll back to this run, an id from `lcm history --runs`
    #[arg(long, value_name = "RUN")]
    to: Option<String>,
    #[command(flatten)]
    execution: ExecutionArgs,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Exit, EarlyExit> {
    let Args { manifest, to, execution } = args;
    let manifest = manifest.path();
    owner::continue_as_owner(session, &manifest, OwnerAccess::AsOwner)?;
    let project = project_of(session, &manifest)?;
    owner::admit(session, &project, OwnerAccess::AsOwner)?;
    let store = Sqlite::at(&wire::state_folder(&session.environment));
    let unusable = |error: StoreError| EarlyExit::refused(Code::Store, error.to_string());
    let kept = store.converged(&project).await.map_err(unusable)?;
    let switched = store.holds(&project).await.map_err(unusable)?.mode;
    let now = mode_now(session, &manifest, switched.as_ref());
    let found = kept.iter().find(|converged| match &to {
        Some(run) => converged.run == *run,
        None => differs(converged, now.as_ref()),
    });
    let converged = found.cloned().ok_or_else(|| nothing_to_roll_back_to(&project, to.as_deref(), &kept))?;
    let mode = converged.mode.as_ref().map(|mode| format!(", mode {mode}")).unwrap_or_default();
    session.note(&format!(
        "rolling back to run {} of {:.0}{mode}; your files are not changed, and the next apply follows them again",
        converged.run, converged.at
    ));
    if let (Some(switched), Some(mode)) = (&switched, &converged.mode)
        && switched.mode != *mode
    {
        let whom = switched.attribution();
        session.note(&format!("this also reverts the switch to mode {} ({whom})", switched.mode));
    }
    let choice = ModeSelection {
        mode: converged.mode.clone(),
        goals: converged.goals.clone(),
        files: Some(Arc::new(converged.texts())),
        ..ModeSelection::default()
    };
    let job = ApplyJob::new("lcm rollback", Purpose::Apply, converged.entry.clone(), choice, execution);
    let is_dry_run = job.execution.dry_run;
    let exit = execute::run(session, job).await?;
    if is_dry_run {
        return Ok(exit);
    }
    follow(&store, &project, &converged, switched).await.map_err(unusable)?;
    Ok(exit)
}

/// Returns the project's name, also from a manifest that is no valid YAML: by its first line `name:`.
fn project_of(session: &Session, manifest: &Path) -> Result<ProjectName, EarlyExit> {
    if let Some(project) = wire::project_name(manifest, &session.environment) {
        return Ok(project);
    }
    let refused = |message: String| EarlyExit::refused(Code::File, message);
    let text = files::read(manifest).map_err(|error| refused(format!("can't read {}: {error}", manifest.display())))?;
    let is_plain = |name: &&str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    let name = text.lines().find_map(|line| line.strip_prefix("name:"));
    let name = name.map(|name| name.trim().trim_matches(['"', '\''])).filter(is_plain);
    name.map(ProjectName::from).ok_or_else(|| {
        refused(format!("{} has no line `name: PROJECT`, so its runs can't be found", manifest.display()))
    })
}

/// Returns the active mode; `None`: none, or the manifest can't be read.
fn mode_now(session: &Session, manifest: &Path, switched: Option<&ModeOverride>) -> Option<ModeSet> {
    let choice = ModeSelection { mode_optional: true, ..ModeSelection::default() };
    let desired = opened::load(&session.aside(), manifest, &choice).ok()?;
    let holds = |switched: &&ModeOverride| !desired.entry_is_choice && switched.own_mode == desired.own_mode;
    switched.filter(holds).map(|switched| switched.mode.clone()).or(desired.mode)
}

/// Returns true if the manifest or the mode of a run differs from the present one.
fn differs(converged: &Converged, mode: Option<&ModeSet>) -> bool {
    let is_as_read = |path: &Path, text: &str| files::read(path).is_ok_and(|found| found == text);
    converged.mode.as_ref() != mode || !converged.files.iter().all(|file| is_as_read(&file.path, &file.text))
}

fn nothing_to_roll_back_to(project: &ProjectName, to: Option<&str>, kept: &[Converged]) -> EarlyExit {
    let runs: Vec<&str> = kept.iter().map(|converged| converged.run.as_str()).collect();
    let message = match to {
        Some(run) if runs.is_empty() => format!("no converged run {run} of project {project} is stored, nor any other"),
        Some(run) => {
            format!(
                "no converged run {run} of project {project} is stored; stored are, newest first, {}",
                runs.join(", ")
            )
        }
        None => format!(
            "nothing to roll back to: no converged run of project {project} is stored whose manifest or mode differs \
             from the current one"
        ),
    };
    EarlyExit::refused(Code::File, message)
}

/// Updates a mode override that differs from the mode of the run, so that the next apply keeps that mode.
async fn follow(
    store: &dyn HoldStore,
    project: &ProjectName,
    converged: &Converged,
    switched: Option<ModeOverride>,
) -> Result<(), StoreError> {
    match (switched, &converged.mode) {
        (Some(switched), Some(mode)) if switched.mode != *mode => {
            let is_own = converged.own_mode.as_ref() == Some(mode) && switched.own_mode == converged.own_mode;
            let back = ModeOverride { mode: mode.clone(), ..switched };
            store.set_mode_override(project, (!is_own).then_some(&back)).await
        }
        (Some(_) | None, _) => Ok(()),
    }
}
