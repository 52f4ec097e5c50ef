//! `lcm apply`.

use std::path::PathBuf;

use crate::cli::args::{ExecutionArgs, ManifestArgs, PlanningArgs};
use crate::cli::execute;
use crate::cli::exit::Exit;
use crate::cli::job::ApplyJob;
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::model::plan::Purpose;
use crate::reconcile::owner::OwnerAccess;

/// Plan, then stop and start services in the order of the plan
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    planning: PlanningArgs,
    #[command(flatten)]
    execution: ExecutionArgs,
    /// Apply this saved plan, if a plan made now is the same
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Take the project over. Root can take it from another user; its owner can take it from a manifest in another
    /// folder, or from lcm on another machine that uses the same engine
    #[arg(long)]
    take_over: bool,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Exit, EarlyExit> {
    let Args { manifest, planning, execution, plan, take_over } = args;
    let (path, choice) = (manifest.path(), manifest.choose.choice());
    let job = ApplyJob {
        world: manifest.choose.world,
        planning,
        saved: plan,
        claim: if take_over { OwnerAccess::TakeOver } else { OwnerAccess::AsOwner },
        ..ApplyJob::new("lcm apply", Purpose::Apply, path, choice, execution)
    };
    execute::run(session, job).await
}
