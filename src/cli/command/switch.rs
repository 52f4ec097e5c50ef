//! `lcm switch`: sets the mode of all runs that name none, and applies it.

use std::path::{Path, PathBuf};

use crate::cli::answer::data;
use crate::cli::args::operator::{DRY_RUN, OperatorArgs};
use crate::cli::args::{ExecutionArgs, FileArgs, PlanningArgs};
use crate::cli::exit::Exit;
use crate::cli::job::ApplyJob;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::cli::{execute, opened};
use crate::files::named;
use crate::manifest::ModeSelection;
use crate::model::names::{GoalName, ModeName};
use crate::model::plan::Purpose;
use crate::report::sheet::Sheet;

/// Switch to a mode from now on, and apply it
///
/// The switch lasts until `--clear`, or until the `mode:` of the manifest changes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Mode to use
    #[arg(required_unless_present = "clear", value_name = "MODE")]
    mode: Option<String>,
    #[command(flatten)]
    file: FileArgs,
    /// Clear the switch, and return to the manifest's own mode; applies nothing
    #[arg(long)]
    clear: bool,
    #[command(flatten)]
    operator: OperatorArgs,
    /// Also activate this goal, for this command only; may be given several times
    #[arg(long = "goal", value_name = "GOAL")]
    goals: Vec<GoalName>,
    /// Use this snapshot, made by `lcm observe`, instead of the machine; changes are simulated and written to it
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
    #[command(flatten)]
    planning: PlanningArgs,
    #[command(flatten)]
    execution: ExecutionArgs,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Exit, EarlyExit> {
    let Args { mode, file, clear, operator, goals, world, planning, execution } = args;
    let manifest = file.given();
    let default = || PathBuf::from("lcm.yaml");
    let mode = match (mode, clear) {
        // With `--clear`, the first argument is the manifest.
        (mode, true) if mode.is_none() || manifest.is_none() => {
            let manifest = mode.map(PathBuf::from).or(manifest).unwrap_or_else(default);
            return clear_switch(session, &manifest, world.as_deref(), execution.dry_run).await;
        }
        (Some(mode), false) => ModeName::new(mode),
        (_, _) => {
            return Err(EarlyExit::new(Exit::Usage, Code::Usage, "--clear removes the switch, and takes no mode"));
        }
    };
    let manifest = manifest.unwrap_or_else(default);
    let choice = ModeSelection { mode: Some(mode), goals: goals.into_iter().collect(), ..ModeSelection::default() };
    let job = ApplyJob {
        world,
        planning,
        switch: Some(operator),
        ..ApplyJob::new("lcm switch", Purpose::Apply, manifest, choice, execution)
    };
    execute::run(session, job).await
}

async fn clear_switch(
    session: &Session,
    manifest: &Path,
    world: Option<&Path>,
    is_dry_run: bool,
) -> Result<Exit, EarlyExit> {
    let opened = opened::open_without_mode(session, manifest, world).await?;
    let unusable = |error: crate::store::StoreError| EarlyExit::refused(Code::Store, error.to_string());
    let project = &opened.desired.project;
    if !is_dry_run {
        opened.rename_former().await.map_err(unusable)?;
    }
    let holds = opened.store().holds(project).await.map_err(unusable)?;
    let own = match &opened.desired.own_mode {
        Some(own) => format!("the mode is {own}, by {}", named::shown(manifest).display()),
        None => format!("{} names no mode", named::shown(manifest).display()),
    };
    let Some(switched) = holds.mode else {
        data(&Sheet::new().line(format!("no switch to clear: {own}")).output(session.stdout))?;
        return Ok(Exit::Done);
    };
    if !is_dry_run {
        opened.own(session)?;
        opened.store().set_mode_override(project, None).await.map_err(unusable)?;
        opened.close(session).await?;
    }
    let then =
        if opened.desired.own_mode.is_some() { "; `lcm apply` applies it" } else { "; choose one with `--mode`" };
    let cleared = format!("cleared the switch to mode {} ({}); {own}{then}", switched.mode, switched.attribution());
    let mut sheet = Sheet::new();
    sheet.line(cleared);
    if is_dry_run {
        sheet.line(DRY_RUN);
    }
    data(&sheet.output(session.stdout))?;
    Ok(Exit::Done)
}
