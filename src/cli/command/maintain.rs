//! `lcm maintain`.

use crate::cli::args::operator::HoldArgs;
use crate::cli::exit::Exit;
use crate::cli::holds::{self, HoldCommand, change};
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::model::holds::Hold;

/// Keep lcm's hands off services; they are left as they are
///
/// Until `lcm resume` takes it back.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    words: HoldArgs,
    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let opened = holds::open(session, &args.words).await?;
    let mut holds_command = HoldCommand::of(session, &args.words, &opened, args.dry_run).await?;
    for (name, route) in holds_command.judge(Hold::Maintain)? {
        let change = change(holds_command.seen(&name)?, &route);
        holds_command.keep(&name, Hold::Maintain).await?;
        holds_command.record(&name, &route, "lcm maintain").await;
        holds_command.tell(&format!("{name}: {change}; it is left as it is until `lcm resume {name}`"));
    }
    holds_command.end().await?;
    Ok(Exit::Done)
}
