//! `lcm down`.

use crate::cli::args::{ExecutionArgs, FORCE_STOP, ManifestArgs};
use crate::cli::execute;
use crate::cli::exit::Exit;
use crate::cli::job::ApplyJob;
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::model::plan::Purpose;

/// Stop everything, and remove the containers that lcm created
///
/// Covers the whole project, orphans included. Existing containers that the manifest adopts with `container:` are
/// stopped but not removed, and all volumes are kept.
#[derive(Debug, clap::Args)]
#[command(mut_arg("force", |arg| arg.help(FORCE_STOP)))]
pub(crate) struct Args {
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    execution: ExecutionArgs,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Exit, EarlyExit> {
    let Args { manifest, execution } = args;
    let (path, choice) = (manifest.path(), manifest.choose.choice_if_any());
    let job =
        ApplyJob { world: manifest.choose.world, ..ApplyJob::new("lcm down", Purpose::Down, path, choice, execution) };
    execute::run(session, job).await
}
