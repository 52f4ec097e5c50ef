//! `lcm switch`: sets the mode of all runs that name none, and applies it.

use std::path::{Path, PathBuf};

use crate::cli::answer::data;
use crate::cli::args::operator::{DRY_RUN, OperatorArgs};
use crate::cli::args::{ExecutionArgs, PlanningArgs};
use crate::cli::exit::Exit;
use crate::cli::job::ApplyJob;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::cli::{execute, opened};
use crate::files::named;
use crate::manifest::ModeSelection;
use crate::model::mode_set::ModeSet;
use crate::model::names::GoalName;
use crate::model::plan::Purpose;
use crate::report::sheet::Sheet;

/// Switch to one or several modes from now on, and apply them
///
/// The switch lasts until `--clear`, or until the `mode:` of the manifest changes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Mode to use; several are active together
    #[arg(required_unless_present = "clear", value_name = "MODE")]
    modes: Vec<String>,
    /// Manifest to read; `-` is standard input [default: lcm.yaml]
    #[arg(short, long, value_name = "MANIFEST")]
    manifest: Option<PathBuf>,
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
    let Args { mut modes, manifest, clear, operator, goals, world, planning, execution } = args;
    // With `--clear`, an argument can only be the manifest.
    let is_manifest = |last: &mut String| clear || is_path(last);
    let manifest = manifest.or_else(|| modes.pop_if(is_manifest).map(PathBuf::from));
    let manifest = manifest.unwrap_or_else(|| PathBuf::from("lcm.yaml"));
    let mode = ModeSet::union(modes.iter().map(|mode| ModeSet::parse(mode)));
    let usage = |message| EarlyExit::new(Exit::Usage, Code::Usage, message);
    match (&mode, clear) {
        (None, true) => return clear_switch(session, &manifest, world.as_deref(), execution.dry_run).await,
        (Some(_), true) => return Err(usage("--clear removes the switch, and takes no mode")),
        (None, false) => return Err(usage("name the mode to switch to, or clear the switch with `--clear`")),
        (Some(_), false) => {}
    }
    let choice = ModeSelection { mode, goals: goals.into_iter().collect(), ..ModeSelection::default() };
    let job = ApplyJob {
        world,
        planning,
        switch: Some(operator),
        ..ApplyJob::new("lcm switch", Purpose::Apply, manifest, choice, execution)
    };
    execute::run(session, job).await
}

/// Returns true if an argument names a manifest rather than a mode.
fn is_path(argument: &str) -> bool {
    let is_yaml = Path::new(argument).extension().is_some_and(|end| end == "yaml" || end == "yml");
    argument == "-" || argument.contains('/') || is_yaml
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
