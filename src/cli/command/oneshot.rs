//! `lcm start`, `lcm stop` and `lcm restart`: the rules of an apply for the named services. A run also reports what the
//! next apply reverts.

use std::path::PathBuf;

use crate::cli::args::{ChooseArgs, ExecutionArgs, FORCE_STOP, NarrowArgs, PlanningArgs};
use crate::cli::execute;
use crate::cli::exit::Exit;
use crate::cli::job::ApplyJob;
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;

use crate::model::names::ServiceName;

use crate::model::plan::Purpose;

/// Arguments of a one-shot; the help of each is at its command.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("mode", |arg| arg.help("Use the rules and goals of this mode instead of the active mode's")),
    mut_arg("force", |arg| arg.help(FORCE_STOP))
)]
pub(crate) struct Args {
    /// Services to act on
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<ServiceName>,
    /// Manifest to read
    #[arg(short, long, default_value = "lcm.yaml", value_name = "MANIFEST")]
    manifest: PathBuf,
    #[command(flatten)]
    choose: ChooseArgs,
    #[command(flatten)]
    execution: ExecutionArgs,
}

pub(crate) async fn run(session: &Session, args: Args, purpose: Purpose) -> Result<Exit, EarlyExit> {
    let Args { services, manifest, choose, execution } = args;
    let narrow = NarrowArgs { targets: services, excludes: Vec::new() };
    let command = match purpose {
        Purpose::Apply => "lcm apply",
        Purpose::Down => "lcm down",
        Purpose::Start => "lcm start",
        Purpose::Stop => "lcm stop",
        Purpose::Restart => "lcm restart",
    };
    let choice = choose.choice_if_any();
    let job = ApplyJob {
        world: choose.world,
        planning: PlanningArgs { narrow, ..PlanningArgs::default() },
        ..ApplyJob::new(command, purpose, manifest, choice, execution)
    };
    execute::run(session, job).await
}
