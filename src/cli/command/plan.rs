//! `lcm plan`.

use std::path::PathBuf;

use crate::cli::answer::data;
use crate::cli::args::{ManifestArgs, PlanFormat, PlanningArgs, READ_WORLD};
use crate::cli::exit::Exit;
use crate::cli::plan_view::{request, shown};
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::cli::{opened, outputs};
use crate::files::output;
use crate::report::json;
use crate::report::view::{InspectedCounts, PlanView};

/// Show what would change, and why, without changing anything
#[derive(Debug, clap::Args)]
#[command(mut_arg("world", |arg| arg.help(READ_WORLD)))]
pub(crate) struct Args {
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    planning: PlanningArgs,
    /// Also write the plan to this file, for `lcm apply --plan`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = PlanFormat::Text, value_name = "FORMAT")]
    format: PlanFormat,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let (manifest, choose) = (&args.manifest.path(), &args.manifest.choose);
    args.out.iter().try_for_each(|file| outputs::check(session, manifest, file))?;
    let opened = opened::open(session, manifest, &choose.choice(), choose.world.as_deref()).await?;
    let request = request(&opened, &args.planning)?;
    let snapshot = opened.snapshot(session).await?;
    opened.refuse_if_all_unknown(&snapshot, &request)?;
    let plan = opened.plan(&snapshot, &request)?;
    if let Some(path) = &args.out {
        output::replace(path, &json::document(&plan)).map_err(|error| {
            EarlyExit::refused(Code::File, format!("can't write the plan to {}: {error}", path.display()))
        })?;
    }
    let inspected = InspectedCounts::at(&snapshot.facts);
    let view = PlanView { plan: &plan, purpose: request.purpose, origin: opened::origin(&opened, &inspected) };
    data(&shown(session, view, args.format))?;
    Ok(Exit::of_plan(&plan, args.planning.detailed_exitcode))
}
