//! `lcm adopt`.

use std::path::PathBuf;

use crate::cli::exit::Exit;
use crate::cli::opened;
use crate::cli::session::Session;
use crate::cli::stop::Stop;
use crate::cli::{names, wire};
use crate::manifest::Choice;
use crate::model::names::{ModeName, ServiceName};

/// Take over a process that somebody else started, as this service
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Service that it is
    service: ServiceName,
    /// Process to take over, with all that it started
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(2..))]
    pid: i32,
    /// Manifest to read
    #[arg(short, long, default_value = "lcm.yaml", value_name = "MANIFEST")]
    manifest: PathBuf,
    /// Use this mode to read the manifest by
    #[arg(long, value_name = "MODE")]
    mode: Option<ModeName>,
}

pub(super) async fn run(session: &Session, args: &Args) -> Result<Exit, Stop> {
    let choice = Choice { mode: args.mode.clone(), ..Choice::default() };
    let desired = opened::load(session, &args.manifest, &choice)?;
    names::check("service", [&args.service], desired.services.keys())?;
    let adopted = wire::adopt(&desired, &session.environment, &args.service, args.pid).await?;
    session.note(&adopted);
    Ok(Exit::Done)
}
