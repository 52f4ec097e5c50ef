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
/// Until `lcm resume` lets them go on.
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
    let mut exit = Exit::Done;
    for (name, route) in holds_command.judge(Hold::Suspend)? {
        let from = holds_command.seen(&name)?.state;
        holds_command.keep(&name, Hold::Suspend).await?;
        if from == State::Suspended {
            holds_command.tell(&format!("{name} is paused already, and stays so until `lcm resume {name}`"));
            continue;
        }
        if route.is_empty() {
            let then = if holds_command.seen(&name)?.holds_capacity {
                "the next `lcm apply` pauses it, once it can be, and it stays so until"
            } else {
                "once it runs it is paused, and it is not started until"
            };
            let change = change(holds_command.seen(&name)?, &route);
            holds_command.tell(&format!("{name}: {change}; {then} `lcm resume {name}`"));
            continue;
        }
        match holds_command.freeze(&name, true).await {
            Ok(()) => {
                holds_command.record(&name, &route, "lcm suspend").await;
                holds_command
                    .tell(&format!("{name}: {from} → suspended; it keeps its memory until `lcm resume {name}`"));
            }
            Err(error) => {
                exit = Exit::Failed;
                session.warn(&format!("{name} could not be paused: {error}"));
                holds_command
                    .tell(&format!("{name}: the word is kept, and the next `lcm apply` tries again to pause it"));
            }
        }
    }
    holds_command.end().await?;
    Ok(exit)
}
