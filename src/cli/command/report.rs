//! `lcm report`: a report by an outside observer that a service fails, though its own probe may pass.

use crate::cli::args::operator::{self, HoldArgs};
use crate::cli::exit::Exit;
use crate::cli::holds::{self, HoldCommand};
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::model::facts::FailureReport;
use crate::model::lifecycle::State;
use crate::model::names::ServiceName;

/// Report services as failing, as observed outside lcm
///
/// A reported service counts as failing its health probe, so the next apply restarts it, within its restart budget. The
/// report lasts until the service's next start, `--clear`, or `lcm resume`.
#[derive(Debug, clap::Args)]
#[command(mut_arg("reason", |arg| arg.help("Reason for the report, to record in the history")))]
pub(crate) struct Args {
    #[command(flatten)]
    hold: HoldArgs,
    /// Failure that was observed, in one line
    #[arg(long, value_name = "TEXT", required_unless_present = "clear", conflicts_with = "clear", value_parser = operator::text)]
    error: Option<String>,
    /// Withdraw the report instead
    #[arg(long)]
    clear: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let opened = holds::open(session, &args.hold).await?;
    let mut command = HoldCommand::of(session, &args.hold, &opened, args.dry_run).await?;
    if let Some(error) = &args.error {
        // All named services are checked before any is changed.
        for name in &command.named {
            refuse_unless_up(&command, name)?;
        }
        let error = opened.desired.masker().mask(error);
        for name in command.named.clone() {
            let report =
                FailureReport { error: error.clone(), by: command.operator.by(session), at: opened.driver().now() };
            let from = command.seen(&name)?.state;
            command.set_report(&name, Some(&report)).await?;
            command.record_seen(&name, from, State::Error, &format!("reported: {error}")).await;
            command.tell(&format!("{name}: {from} → error; the next `lcm apply` restarts it, within its budget"));
        }
    } else {
        for name in command.named.clone() {
            command.set_report(&name, None).await?;
            command.tell(&format!("{name}: no failure report is active"));
        }
    }
    command.end().await?;
    Ok(Exit::Done)
}

fn refuse_unless_up(command: &HoldCommand<'_>, name: &ServiceName) -> Result<(), EarlyExit> {
    let seen = command.seen(name)?;
    let refused = |message: String| Err(EarlyExit::refused(Code::Illegal, message));
    match &seen.unknown {
        Some(why) => refused(format!("the state of {name} is unknown, so no failure can be reported: {why}")),
        None if !seen.state.is_operational() && seen.state != State::Error => refused(format!(
            "{name} is {}, and only a service that is up can be reported; `lcm status {name}` shows more",
            seen.state.label()
        )),
        None => Ok(()),
    }
}
