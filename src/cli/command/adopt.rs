//! `lcm adopt`.

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
use crate::runtime::contract::Adoption;

/// Adopt a running process as a service
///
/// The process must run the service's command, and listen on one of the service's ports if it has any. From then on the
/// service counts as running; `lcm disown` ends that.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Service that the process becomes
    service: ServiceName,
    /// Process to adopt, with its descendants
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(2..))]
    pid: i32,
    /// Adopt the process even if its program or its ports are not those of the service
    #[arg(long)]
    force: bool,
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
    if desired.services.get(service).is_some_and(|service| service.object().is_some()) {
        let advice = "name the container in the manifest with `docker: { container: .. }`";
        return Err(EarlyExit::refused(
            Code::Adopt,
            format!("{service} is a container, so no process can be adopted as {service}: {advice}"),
        ));
    }
    let refused = |error: DriverError| EarlyExit::refused(Code::Adopt, desired.masker().mask(&error.to_string()));
    let adoption = Adoption { desired, service, pid: args.pid, is_forced: args.force };
    if args.dry_run {
        adoption::refuse_held(&opened, service).await?;
        let process = wire::adoptable(&session.environment, &adoption).map_err(refused)?;
        session.note(&format!("process {} ({}) can be adopted as {service}; {DRY_RUN}", process.pid, process.program));
        return Ok(Exit::Done);
    }
    // A running apply reads what an adoption changes.
    let _lock = lock::take(session, "lcm adopt", &opened, args.lock_timeout).await?;
    opened.own(session)?;
    adoption::refuse_held(&opened, service).await?;
    opened.ensure_writable(Purpose::Apply, |_| ()).await?;
    let before = OwnershipState::of(session, &opened, service).await?;
    let adopted = wire::adopt(&session.environment, &adoption).map_err(refused)?;
    session.note(&format!("{service}: adopted process {} ({}) with its descendants", adopted.pid, adopted.program));
    let after = OwnershipState::of(session, &opened, service).await?;
    let what = format!("adopted process {} ({}) by `lcm adopt`", adopted.pid, adopted.program);
    adoption::record(session, &opened, (service, &args.operator), (&before, &after), &what).await;
    adoption::warn_of_overcommit(session, service, (&before, &after));
    Ok(Exit::Done)
}
