//! `lcm resume`: releases holds, unpauses services, and resets spent restart budgets.

use crate::cli::args::operator::HoldArgs;
use crate::cli::exit::Exit;
use crate::cli::holds::{self, HoldCommand};
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::model::budget::Budget;
use crate::model::holds::Hold;
use crate::model::lifecycle::State;
use crate::model::names::ServiceName;
use crate::model::observed::ObservedService;
use crate::model::rules::{Case, Legality};
use crate::plan::judge_commands::resume_route;
use crate::reconcile::Project;
use crate::runtime::RunState;

/// Release holds: lcm manages the services again
///
/// Paused services continue, restart budgets are reset, and failure reports are withdrawn; the next apply may start the
/// services again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    hold: HoldArgs,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Parts of one service that can be resumed.
struct Resumable {
    name: ServiceName,
    hold: Option<Hold>,
    /// True if the service is paused, by a hold or by hand.
    paused: bool,
    /// True if lcm tried to start the service without lasting success.
    tried: bool,
    /// True if an outside observer reported a failure.
    reported: bool,
    /// States that the service passes, from the one that the hold gave it.
    route: Vec<State>,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let opened = holds::open(session, &args.hold).await?;
    let (hold, orphaned) = split_orphans(&opened, &args.hold).await?;
    let mut command = HoldCommand::of(session, &hold, &opened, args.dry_run).await?;
    for name in &orphaned {
        command.release(name).await?;
        command.tell(&format!(
            "{name}: hold released; the manifest has no such service, and `lcm apply --prune` stops what is left of it"
        ));
    }
    let mut all = Vec::new();
    for name in &command.named {
        all.push(held(&command, name).await?);
    }
    let mut exit = Exit::Done;
    for held in all {
        exit = Exit::first([exit, resume(session, &mut command, &held).await?]);
    }
    command.end().await?;
    Ok(exit)
}

/// Returns the named services of the manifest, and those that have a hold but are not in it any more.
async fn split_orphans(opened: &Project, hold: &HoldArgs) -> Result<(HoldArgs, Vec<ServiceName>), EarlyExit> {
    let stored = opened.store().holds(&opened.desired.project).await;
    let stored = stored.map_err(|error| EarlyExit::refused(Code::Store, error.to_string()))?.services;
    let is_orphaned = |name: &ServiceName| !opened.desired.services.contains_key(name) && stored.contains_key(name);
    let (orphaned, services) = hold.services.iter().cloned().partition(is_orphaned);
    Ok((HoldArgs { services, ..hold.clone() }, orphaned))
}

async fn held(command: &HoldCommand<'_>, name: &ServiceName) -> Result<Resumable, EarlyExit> {
    let seen = command.seen(name)?;
    let hold = seen.hold.as_ref().map(|record| record.kind);
    if let (Some(why), Some(Hold::Suspend) | None) = (&seen.unknown, hold) {
        return Err(EarlyExit::refused(Code::Illegal, format!("{name} can't be resumed: its state is unknown: {why}")));
    }
    let paused = seen.state == State::Suspended || is_frozen(command, name, seen).await;
    let route = resume_route(seen, paused);
    let now = command.opened.driver().now();
    let desired = &command.opened.desired;
    let case = Case { service: name, mode: desired.mode.as_ref(), at: now };
    if let Some(Legality::Denied(denial)) = desired.rules.judge_route(&case, &route) {
        return Err(EarlyExit::refused(Code::Illegal, format!("{name} can't be resumed: {denial}")));
    }
    let is_held = command.service(name).is_some_and(|service| Budget::of(service, seen, now) != Budget::Open);
    let tried = is_held || seen.attempts.is_some();
    Ok(Resumable { name: name.clone(), hold, paused, tried, reported: seen.is_reported, route })
}

/// Returns true if a service in maintenance is paused, which only an inspection shows.
async fn is_frozen(command: &HoldCommand<'_>, name: &ServiceName, seen: &ObservedService) -> bool {
    let maintained = seen.state == State::Maintenance && seen.instance.is_some();
    let Some(service) = command.service(name).filter(|_| maintained) else { return false };
    let inspection = command.opened.driver().inspect(&command.opened.desired.project, service).await;
    inspection.is_ok_and(|found| found.run_state == RunState::Suspended && found.instance == seen.instance)
}

/// Resumes a service. It is unpaused before the hold is released, so that a second resume repairs a crash in between.
async fn resume(session: &Session, command: &mut HoldCommand<'_>, held: &Resumable) -> Result<Exit, EarlyExit> {
    let Resumable { name, hold, paused, tried, reported, route } = held;
    if *reported {
        command.set_report(name, None).await?;
    }
    if hold.is_none() && !paused && !tried && !reported {
        command.tell(&format!("{name}: nothing to resume"));
        return Ok(Exit::Done);
    }
    if *paused && let Err(error) = command.set_paused(name, false).await {
        session.warn(&format!("failed to unpause {name}: {error}"));
        return Ok(Exit::Failed);
    }
    if hold.is_some() {
        command.release(name).await?;
    }
    if *tried {
        command.reset_attempts(name).await?;
    }
    command.record(name, route, "lcm resume").await;
    let changed = route.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(" → ");
    let mut results: Vec<String> = match hold {
        None if route.is_empty() => Vec::new(),
        None => vec![changed],
        // The hold was never carried out.
        Some(_) if route.is_empty() => vec!["hold released".to_owned()],
        Some(Hold::Terminate) => {
            vec!["hold released; it is off, and the next `lcm apply` may start it".to_owned()]
        }
        Some(Hold::Maintain) => vec![format!("hold released ({changed}); lcm manages it again")],
        Some(Hold::Suspend) => vec![format!("hold released ({changed})")],
    };
    if *reported {
        results.push("its failure report is withdrawn".to_owned());
    }
    if *tried {
        results.push("its restart budget is reset".to_owned());
    }
    command.tell(&format!("{name}: {}", results.join("; ")));
    Ok(Exit::Done)
}
