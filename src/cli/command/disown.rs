//! `lcm disown`.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::adoption::{self, OwnershipState};
use crate::cli::args::duration;
use crate::cli::args::operator::{DRY_RUN, OperatorArgs};
use crate::cli::exit::Exit;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::cli::wire;
use crate::model::names::ServiceName;
use crate::model::plan::Purpose;
use crate::reconcile::lock;
use crate::runtime::DriverError;

/// Give back a process adopted with `lcm adopt`; it keeps running
///
/// The process is foreign from then on: lcm counts its memory, and never stops it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Service to give back
    service: ServiceName,
    /// Manifest to read
    #[arg(short, long, default_value = "lcm.yaml", value_name = "MANIFEST")]
    manifest: PathBuf,
    #[command(flatten)]
    operator: OperatorArgs,
    /// Maximum wait for another lcm to finish
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration::parse)]
    lock_timeout: Duration,
    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let service = &args.service;
    let opened = adoption::open(session, &args.manifest, service).await?;
    let desired = &opened.desired;
    let refused = |error: DriverError| EarlyExit::refused(Code::Adopt, desired.masker().mask(&error.to_string()));
    if args.dry_run {
        adoption::refuse_held(&opened, service).await?;
        let process = wire::disownable(&session.environment, desired, service).map_err(refused)?;
        session.note(&format!("{service}: process {} ({}) can be given back; {DRY_RUN}", process.pid, process.program));
        return Ok(Exit::Done);
    }
    // A running apply reads what the end of an adoption changes.
    let _lock = lock::take(session, "lcm disown", &opened, args.lock_timeout).await?;
    opened.own(session)?;
    adoption::refuse_held(&opened, service).await?;
    opened.ensure_writable(Purpose::Apply, |_| ()).await?;
    let before = OwnershipState::of(session, &opened, service).await?;
    let process = wire::disown(&session.environment, desired, service).map_err(refused)?;
    let (pid, program) = (process.pid, process.program);
    session.note(&format!("{service}: gave back process {pid} ({program}); it keeps running, and lcm leaves it alone"));
    let after = OwnershipState::of(session, &opened, service).await?;
    let what = format!("gave back process {pid} ({program}) by `lcm disown`");
    adoption::record(session, &opened, (service, &args.operator), (&before, &after), &what).await;
    Ok(Exit::Done)
}
