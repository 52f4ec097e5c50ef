//! `lcm suspend`.

use crate::cli::args::operator::HoldArgs;
use crate::cli::exit::Exit;
use crate::cli::holds::{self, HoldCommand, change};
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::model::holds::Hold;
use crate::model::lifecycle::State;

/// Pause services; they keep their memory
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
    let mut exit = Exit::Done;
    for (name, route) in command.judge(Hold::Suspend)? {
        let from = command.seen(&name)?.state;
        command.set_hold(&name, Hold::Suspend).await?;
        if from == State::Suspended {
            command.tell(&format!("{name} is already paused, and stays paused until `lcm resume {name}`"));
            continue;
        }
        if route.is_empty() {
            let effect = if command.seen(&name)?.holds_capacity {
                "it is not paused yet: the next `lcm apply` that can pause it does so, and it then stays paused until"
            } else {
                "lcm does not start it, and pauses it if anything else starts it, until"
            };
            let change = change(command.seen(&name)?, &route);
            command.tell(&format!("{name}: {change}; {effect} `lcm resume {name}`"));
            continue;
        }
        match command.set_paused(&name, true).await {
            Ok(()) => {
                command.record(&name, &route, "lcm suspend").await;
                command.tell(&format!(
                    "{name}: {from} → suspended; it keeps its memory, and stays paused until `lcm resume {name}`"
                ));
            }
            Err(error) => {
                exit = Exit::Failed;
                session.warn(&format!("failed to pause {name}: {error}"));
                command.tell(&format!(
                    "{name}: the hold is stored, and the next `lcm apply` tries again to pause the service"
                ));
            }
        }
    }
    command.end().await?;
    Ok(exit)
}
