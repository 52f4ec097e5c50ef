//! `lcm terminate`: stores the hold, then stops the services, by the same lock, plan and apply as any other command.

use std::collections::BTreeMap;

use crate::cli::args::operator::HoldArgs;
use crate::cli::args::{ExecutionArgs, FORCE_STOP, NarrowArgs, OutputFormat, PlanningArgs};
use crate::cli::execute;
use crate::cli::exit::Exit;
use crate::cli::holds::{self, HoldCommand, change};
use crate::cli::job::ApplyJob;
use crate::cli::refusal;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::manifest::ModeSelection;
use crate::model::holds::{Hold, HoldRecord};
use crate::model::names::ServiceName;
use crate::model::observed::REMOVED_BY_STOP;
use crate::model::plan::Purpose;
use crate::plan::judge_commands::held_dependent;
use crate::reconcile::Project;

/// Stop services at once, without asking, and keep them off
///
/// The hold lasts until `lcm resume`.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("yes", |arg| arg.help("Has no effect: this command never requires confirmation")),
    mut_arg("force", |arg| arg.help(FORCE_STOP))
)]
pub(crate) struct Args {
    #[command(flatten)]
    hold: HoldArgs,
    #[command(flatten)]
    execution: ExecutionArgs,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Exit, EarlyExit> {
    let Args { hold, execution } = args;
    let stored = store_holds(session, &hold, &execution).await;
    let (opened, running, holds) =
        match stored.inspect_err(|stop| execute::report_refused(session, &execution, stop))? {
            Termination::Done => return Ok(Exit::Done),
            Termination::ToStop(opened, running, holds) => (*opened, running, holds),
        };
    let narrow = NarrowArgs { targets: running, excludes: Vec::new() };
    let choice = ModeSelection { mode_optional: true, ..ModeSelection::default() };
    // The command itself confirms the stop.
    let execution = execution.confirmed();
    let job = ApplyJob {
        world: hold.world,
        planning: PlanningArgs { narrow, ..PlanningArgs::default() },
        opened: Some(opened),
        holds,
        ..ApplyJob::new("lcm terminate", Purpose::Stop, hold.manifest, choice, execution)
    };
    let ended = execute::run(session, job).await;
    ended.map_err(|stop| match stop.exit {
        Exit::Locked => stop.and("the hold is stored, and the next `lcm apply` stops the service"),
        Exit::Usage
        | Exit::Refused
        | Exit::Stale
        | Exit::Terminated
        | Exit::Interrupted
        | Exit::Failed
        | Exit::Blocked
        | Exit::Changes
        | Exit::Done => stop,
    })
}

/// Work that is left once the holds are stored.
enum Termination {
    Done,
    /// Services to stop, and the holds.
    ToStop(Box<Project>, Vec<ServiceName>, BTreeMap<ServiceName, HoldRecord>),
}

async fn store_holds(session: &Session, hold: &HoldArgs, execution: &ExecutionArgs) -> Result<Termination, EarlyExit> {
    let opened = holds::open(session, hold).await?;
    let (running, holds) = {
        let mut command = HoldCommand::of(session, hold, &opened, execution.dry_run).await?;
        let running = terminate(&mut command).await?;
        match (execution.format, running.is_empty()) {
            (OutputFormat::Text, true) => return command.end().await.map(|()| Termination::Done),
            (OutputFormat::Text, false) => command.print()?,
            // The events are the output, also where nothing has to be stopped.
            (OutputFormat::Json, _) => {}
        }
        let named = command.named.iter().filter(|name| running.is_empty() || running.contains(name));
        let named: Vec<ServiceName> = named.cloned().collect();
        let holds = named.iter().map(|name| (name.clone(), command.record_of(Hold::Terminate))).collect();
        (named, holds)
    };
    Ok(Termination::ToStop(Box::new(opened), running, holds))
}

/// Stores the holds, and returns the services that still have to be stopped.
async fn terminate(command: &mut HoldCommand<'_>) -> Result<Vec<ServiceName>, EarlyExit> {
    let routes = command.judge(Hold::Terminate)?;
    let named: Vec<ServiceName> = routes.iter().map(|(name, _)| name.clone()).collect();
    if let Some(held) = held_dependent(&command.opened.desired, &command.observed, &named) {
        return Err(refusal::held(&held));
    }
    for name in &named {
        let seen = command.seen(name)?;
        if seen.holds_capacity && seen.is_removed_by_stop {
            let message = format!(
                "{name} can't be terminated: {REMOVED_BY_STOP}; allow it with `auto_remove: accept` beside \
                 `container:`, or leave the service alone with `lcm maintain`"
            );
            return Err(EarlyExit::refused(Code::Illegal, message));
        }
    }
    let mut running = Vec::new();
    for (name, route) in routes {
        let (change, runs) = command.seen(&name).map(|seen| (change(seen, &route), seen.holds_capacity))?;
        command.set_hold(&name, Hold::Terminate).await?;
        if runs {
            running.push(name);
            continue;
        }
        command.record(&name, &route, "lcm terminate").await;
        command.tell(&format!("{name}: {change}; kept off until `lcm resume {name}`"));
    }
    for name in &running {
        command.tell(&format!("{name}: stopping now; kept off until `lcm resume {name}`"));
    }
    Ok(running)
}
