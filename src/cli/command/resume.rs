//! `lcm resume`: takes an operator's word back, lets what is paused go on, and gives a spent budget anew.

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

/// Take an operator's word back: services are lcm's again
///
/// What is paused goes on, and what a spent budget holds is tried again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    words: HoldArgs,
    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// What there is to resume of one service.
struct Resumable {
    name: ServiceName,
    hold: Option<Hold>,
    /// It is paused, by a word or by hand.
    paused: bool,
    /// It was tried to bring it up, without lasting success.
    tried: bool,
    /// An outside observer reported that it fails.
    reported: bool,
    /// As it is taken up again, from the state that the word gave it.
    route: Vec<State>,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let opened = holds::open(session, &args.words).await?;
    let (words, orphaned) = told_apart(&opened, &args.words).await?;
    let mut holds_command = HoldCommand::of(session, &words, &opened, args.dry_run).await?;
    for name in &orphaned {
        holds_command.forget(name).await?;
        holds_command.tell(&format!(
            "{name}: the word is taken back; the manifest has no such service, and `lcm apply --prune` stops what is left of it"
        ));
    }
    let mut all = Vec::new();
    for name in &holds_command.named {
        all.push(held(&holds_command, name).await?);
    }
    let mut exit = Exit::Done;
    for held in all {
        exit = Exit::first([exit, take_back(session, &mut holds_command, &held).await?]);
    }
    holds_command.end().await?;
    Ok(exit)
}

/// What is named that the manifest has, and holds on what it has no more.
async fn told_apart(opened: &Project, words: &HoldArgs) -> Result<(HoldArgs, Vec<ServiceName>), EarlyExit> {
    let kept = opened.store().holds(&opened.desired.project).await;
    let kept = kept.map_err(|error| EarlyExit::refused(Code::Store, error.to_string()))?.services;
    let is_orphaned = |name: &ServiceName| !opened.desired.services.contains_key(name) && kept.contains_key(name);
    let (orphaned, services) = words.services.iter().cloned().partition(is_orphaned);
    Ok((HoldArgs { services, ..words.clone() }, orphaned))
}

async fn held(holds_command: &HoldCommand<'_>, name: &ServiceName) -> Result<Resumable, EarlyExit> {
    let seen = holds_command.seen(name)?;
    let hold = seen.hold.as_ref().map(|said| said.kind);
    if let (Some(why), Some(Hold::Suspend) | None) = (&seen.unknown, hold) {
        return Err(EarlyExit::refused(Code::Illegal, format!("what becomes of {name} can't be judged: {why}")));
    }
    let paused = seen.state == State::Suspended || is_frozen(holds_command, name, seen).await;
    let route = resume_route(seen, paused);
    let now = holds_command.opened.driver().now();
    let desired = &holds_command.opened.desired;
    let case = Case { service: name, mode: desired.mode.as_ref(), at: now };
    if let Some(Legality::Denied(denial)) = desired.rules.judge_route(&case, &route) {
        return Err(EarlyExit::refused(Code::Illegal, format!("{name} can't be resumed: {denial}")));
    }
    let is_held = holds_command.service(name).is_some_and(|service| Budget::of(service, seen, now) != Budget::Open);
    let tried = is_held || seen.attempts.is_some();
    Ok(Resumable { name: name.clone(), hold, paused, tried, reported: seen.is_reported, route })
}

/// What is maintained shows by a look alone whether it is paused.
async fn is_frozen(holds_command: &HoldCommand<'_>, name: &ServiceName, seen: &ObservedService) -> bool {
    let maintained = seen.state == State::Maintenance && seen.instance.is_some();
    let Some(service) = holds_command.service(name).filter(|_| maintained) else { return false };
    let look = holds_command.opened.driver().look(&holds_command.opened.desired.project, service).await;
    look.is_ok_and(|look| look.life == RunState::Suspended && look.instance == seen.instance)
}

/// What is paused goes on before the word goes: what crashes in between is resumed once more.
async fn take_back(
    session: &Session,
    holds_command: &mut HoldCommand<'_>,
    held: &Resumable,
) -> Result<Exit, EarlyExit> {
    let Resumable { name, hold, paused, tried, reported, route } = held;
    if *reported {
        holds_command.set_report(name, None).await?;
    }
    if hold.is_none() && !paused && !tried && !reported {
        holds_command.tell(&format!("{name}: there is nothing to resume"));
        return Ok(Exit::Done);
    }
    if *paused && let Err(error) = holds_command.freeze(name, false).await {
        session.warn(&format!("{name} could not be let go on: {error}"));
        return Ok(Exit::Failed);
    }
    if hold.is_some() {
        holds_command.forget(name).await?;
    }
    if *tried {
        holds_command.reset_attempts(name).await?;
    }
    holds_command.record(name, route, "lcm resume").await;
    let changed: Vec<&str> = route.iter().map(|state| state.as_str()).collect();
    let mut told: Vec<String> = (!changed.is_empty()).then(|| changed.join(" → ")).into_iter().collect();
    match hold {
        // It was never carried out.
        Some(_) if route.is_empty() => told.push("the word is taken back".to_owned()),
        Some(Hold::Terminate) => told.push("the next `lcm apply` may start it".to_owned()),
        Some(Hold::Maintain) => told.push("it is lcm's again".to_owned()),
        Some(Hold::Suspend) | None => {}
    }
    if *reported {
        told.push("what was reported of it does not count any more".to_owned());
    }
    if *tried {
        told.push("it has its whole budget again".to_owned());
    }
    holds_command.tell(&format!("{name}: {}", told.join("; ")));
    Ok(Exit::Done)
}
