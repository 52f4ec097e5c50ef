//! `lcm maintain`.

use crate::cli::args::operator::HoldArgs;
use crate::cli::exit::Exit;
use crate::cli::holds::{self, HoldCommand, change};
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::model::holds::Hold;

/// Leave services alone, as they are
///
/// The hold lasts until `lcm resume`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    hold: HoldArgs,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let opened = holds::open(session, &args.hold).await?;
    let mut command = HoldCommand::of(session, &args.hold, &opened, args.dry_run).await?;
    for (name, route) in command.judge(Hold::Maintain)? {
        let change = change(command.seen(&name)?, &route);
        command.set_hold(&name, Hold::Maintain).await?;
        command.record(&name, &route, "lcm maintain").await;
        command.tell(&format!("{name}: {change}; left as it is until `lcm resume {name}`"));
    }
    command.end().await?;
    Ok(Exit::Done)
}
