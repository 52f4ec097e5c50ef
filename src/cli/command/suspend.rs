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
    let mut spoken = HoldCommand::of(session, &args.words, &opened, args.dry_run).await?;
    let mut exit = Exit::Done;
    for (name, route) in spoken.judge(Hold::Suspend)? {
        let from = spoken.seen(&name)?.state;
        spoken.keep(&name, Hold::Suspend).await?;
        if from == State::Suspended {
            spoken.tell(&format!("{name} is paused already, and stays so until `lcm resume {name}`"));
            continue;
        }
        if route.is_empty() {
            let then = if spoken.seen(&name)?.holds_room {
                "the next `lcm apply` pauses it, once it can be, and it stays so until"
            } else {
                "once it runs it is paused, and it is not started until"
            };
            let change = change(spoken.seen(&name)?, &route);
            spoken.tell(&format!("{name}: {change}; {then} `lcm resume {name}`"));
            continue;
        }
        match spoken.freeze(&name, true).await {
            Ok(()) => {
                spoken.record(&name, &route, "lcm suspend").await;
                spoken.tell(&format!("{name}: {from} → suspended; it keeps its memory until `lcm resume {name}`"));
            }
            Err(error) => {
                exit = Exit::Failed;
                session.warn(&format!("{name} could not be paused: {error}"));
                spoken.tell(&format!("{name}: the word is kept, and the next `lcm apply` tries again to pause it"));
            }
        }
    }
    spoken.end().await?;
    Ok(exit)
}
