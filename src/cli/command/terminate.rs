//! `lcm terminate`: the word first, then the stop, by the same lock, plan and apply as everything else.

use std::collections::BTreeMap;

use crate::cli::args::operator::HoldArgs;
use crate::cli::args::{ExecutionArgs, NarrowArgs, OutputFormat, PlanningArgs};
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

/// Stop services, and keep them off; asks nobody
///
/// Until `lcm resume` gives them back.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    words: HoldArgs,
    #[command(flatten)]
    execution: ExecutionArgs,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Exit, EarlyExit> {
    let Args { words, execution } = args;
    let said = said(session, &words, &execution).await;
    let (opened, running, holds) = match said.inspect_err(|stop| execute::tell_refused(session, &execution, stop))? {
        Termination::Done => return Ok(Exit::Done),
        Termination::ToStop(opened, running, holds) => (*opened, running, holds),
    };
    let narrow = NarrowArgs { targets: running, excludes: Vec::new() };
    let choice = ModeSelection { mode_optional: true, ..ModeSelection::default() };
    // The word is the order.
    let execution = execution.unasked();
    let job = ApplyJob {
        world: words.world,
        planning: PlanningArgs { narrow, ..PlanningArgs::default() },
        opened: Some(opened),
        holds,
        ..ApplyJob::new("lcm terminate", Purpose::Stop, words.manifest, choice, execution)
    };
    let ended = execute::run(session, job).await;
    ended.map_err(|stop| match stop.exit {
        Exit::Locked => stop.and("the word is kept: the next `lcm apply` stops it"),
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

/// What is left to be done once the words are kept.
enum Termination {
    Done,
    /// With the services that are to be stopped, and the holds.
    ToStop(Box<Project>, Vec<ServiceName>, BTreeMap<ServiceName, HoldRecord>),
}

async fn said(session: &Session, words: &HoldArgs, execution: &ExecutionArgs) -> Result<Termination, EarlyExit> {
    let opened = holds::open(session, words).await?;
    let (running, holds) = {
        let mut holds_command = HoldCommand::of(session, words, &opened, execution.dry_run).await?;
        let running = say(&mut holds_command).await?;
        match (execution.format, running.is_empty()) {
            (OutputFormat::Text, true) => return holds_command.end().await.map(|()| Termination::Done),
            (OutputFormat::Text, false) => holds_command.answer()?,
            // Its events are the answer, also where nothing has to be stopped.
            (OutputFormat::Json, _) => {}
        }
        let named = holds_command.named.iter().filter(|name| running.is_empty() || running.contains(name));
        let named: Vec<ServiceName> = named.cloned().collect();
        let holds = named.iter().map(|name| (name.clone(), holds_command.said(Hold::Terminate))).collect();
        (named, holds)
    };
    Ok(Termination::ToStop(Box::new(opened), running, holds))
}

/// Keeps the words, and returns what still has to be stopped for them.
async fn say(holds_command: &mut HoldCommand<'_>) -> Result<Vec<ServiceName>, EarlyExit> {
    let said = holds_command.judge(Hold::Terminate)?;
    let named: Vec<ServiceName> = said.iter().map(|(name, _)| name.clone()).collect();
    if let Some(held) = held_dependent(&holds_command.opened.desired, &holds_command.observed, &named) {
        return Err(refusal::held(&held));
    }
    for name in &named {
        let seen = holds_command.seen(name)?;
        if seen.holds_capacity && seen.is_removed_by_stop {
            let message = format!(
                "{name} can't be terminated: {REMOVED_BY_STOP}; `auto_remove: accept` beside `container:` allows that, \
                 and `lcm maintain` keeps lcm from it"
            );
            return Err(EarlyExit::refused(Code::Illegal, message));
        }
    }
    let mut running = Vec::new();
    for (name, route) in said {
        let (change, runs) = holds_command.seen(&name).map(|seen| (change(seen, &route), seen.holds_capacity))?;
        holds_command.keep(&name, Hold::Terminate).await?;
        if runs {
            running.push(name);
            continue;
        }
        holds_command.record(&name, &route, "lcm terminate").await;
        holds_command.tell(&format!("{name}: {change}; it is kept off until `lcm resume {name}`"));
    }
    for name in &running {
        holds_command.tell(&format!("{name}: it is stopped now, and kept off until `lcm resume {name}`"));
    }
    Ok(running)
}
