//! `lcm down`.

use std::collections::BTreeMap;

use crate::cli::args::{ExecutionArgs, ManifestArgs, PlanningArgs};
use crate::cli::execute::{self, Job};
use crate::cli::exit::Exit;
use crate::cli::owner::Claim;
use crate::cli::session::Session;
use crate::cli::stop::Stop;
use crate::model::plan::Purpose;

/// Stop everything, and remove the containers that lcm created
///
/// All of the project, orphans too; containers that it only names are left stopped, and volumes stay.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    execution: ExecutionArgs,
}

pub(super) async fn run(session: &Session, args: Args) -> Result<Exit, Stop> {
    let Args { manifest, execution } = args;
    let job = Job {
        command: "lcm down",
        purpose: Purpose::Down,
        manifest: manifest.path(),
        choice: manifest.choose.choice_if_any(),
        world: manifest.choose.world,
        planning: PlanningArgs::default(),
        execution,
        saved: None,
        switch: None,
        claim: Claim::AsOwner,
        opened: None,
        holds: BTreeMap::new(),
    };
    execute::run(session, job).await
}
