//! `lcm report`: an outside observer's word that a service fails, though its own probe may pass.

use crate::cli::args::operator::{self, HoldArgs};
use crate::cli::exit::Exit;
use crate::cli::holds::{self, HoldCommand};
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::model::facts::FailureReport;
use crate::model::lifecycle::State;
use crate::model::names::ServiceName;

/// Report that services fail, as seen from outside
///
/// Each counts as failing its health probe until it is started anew: the next apply restarts it, within its budget.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    words: HoldArgs,
    /// What fails, in one line
    #[arg(long, value_name = "TEXT", required_unless_present = "clear", conflicts_with = "clear", value_parser = operator::text)]
    error: Option<String>,
    /// Take the report back
    #[arg(long)]
    clear: bool,
    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let opened = holds::open(session, &args.words).await?;
    let mut holds_command = HoldCommand::of(session, &args.words, &opened, args.dry_run).await?;
    if let Some(error) = &args.error {
        // All that are named are judged before any is touched.
        for name in &holds_command.named {
            refuse_unless_up(&holds_command, name)?;
        }
        let error = opened.desired.masker().mask(error);
        for name in holds_command.named.clone() {
            let report =
                FailureReport { error: error.clone(), by: holds_command.voice.by(session), at: opened.driver().now() };
            let from = holds_command.seen(&name)?.state;
            holds_command.set_report(&name, Some(&report)).await?;
            holds_command.record_seen(&name, from, State::Error, &format!("reported: {error}")).await;
            holds_command.tell(&format!("{name}: {from} → error; the next `lcm apply` restarts it, within its budget"));
        }
    } else {
        for name in holds_command.named.clone() {
            holds_command.set_report(&name, None).await?;
            holds_command.tell(&format!("{name}: no report counts any more"));
        }
    }
    holds_command.end().await?;
    Ok(Exit::Done)
}

fn refuse_unless_up(holds_command: &HoldCommand<'_>, name: &ServiceName) -> Result<(), EarlyExit> {
    let seen = holds_command.seen(name)?;
    let refused = |message: String| Err(EarlyExit::refused(Code::Illegal, message));
    match &seen.unknown {
        Some(why) => refused(format!("whether {name} runs is not known, so nothing can be reported of it: {why}")),
        None if !seen.state.is_operational() && seen.state != State::Error => refused(format!(
            "{name} is {}: a report is about a service that is up; `lcm status {name}` says more",
            seen.state.holds_command()
        )),
        None => Ok(()),
    }
}
