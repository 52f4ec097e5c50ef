//! Commands of lcm, one file each, and their dispatch. None imports another.
//!
//! In: parsed arguments and the session.
//! Out: data on stdout and an exit code.
//! Not here: the cycle, which is `reconcile`'s, and rendering, which is `report`'s.

mod adopt;
mod apply;
pub(super) mod completions;
mod disown;
mod doctor;
mod down;
mod explain;
mod help;
mod history;
mod init;
mod logs;
mod maintain;
mod man;
mod modes;
mod observe;
pub(super) mod oneshot;
mod plan;
mod report;
mod resume;
mod rollback;
mod schema;
mod show;
mod status;
mod suspend;
mod switch;
mod terminate;
mod validate;
mod wait;

use std::ops::ControlFlow;

use clap::{Parser, Subcommand};

use crate::cli::exit::Exit;
use crate::cli::status_look::StatusArgs;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::{OutputArgs, Session};
use crate::cli::version;
use crate::model::plan::Purpose;

/// Decide which AI services run on your GPUs: plan, then apply
#[derive(Debug, Parser)]
#[command(name = "lcm", disable_help_subcommand = true, version = version::SHORT, long_version = version::long(), arg_required_else_help = true)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Command with its arguments.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Plan(plan::Args),
    Show(show::Args),
    Apply(apply::Args),
    Switch(switch::Args),
    Rollback(rollback::Args),
    Status(StatusArgs),
    Modes(modes::Args),
    Wait(wait::Args),
    Validate(validate::Args),
    Schema(schema::Args),
    Explain(explain::Args),
    Doctor(doctor::Args),
    Help(help::Args),
    Down(down::Args),
    /// Start services and their dependencies
    ///
    /// Starts them in any mode, by the same rules as an apply; the next apply may stop what the mode doesn't want.
    Start(oneshot::Args),
    /// Stop services and their dependents
    ///
    /// Stops them in any mode, by the same rules as an apply; the next apply may start what the mode wants.
    Stop(oneshot::Args),
    /// Stop services and start them again
    Restart(oneshot::Args),
    Maintain(maintain::Args),
    Suspend(suspend::Args),
    Resume(resume::Args),
    Report(report::Args),
    Terminate(terminate::Args),
    Logs(logs::Args),
    History(history::Args),
    Observe(observe::Args),
    Adopt(adopt::Args),
    Disown(disown::Args),
    Init(init::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Worker threads: one for the work, and one that handles signals while the other plans.
const WORKERS: usize = 2;

/// Runs a command that reads no machine, and so needs no async runtime; returns any other command.
fn run_at_once(
    session: &Session,
    command: Command,
    root: fn() -> clap::Command,
) -> ControlFlow<Result<Exit, EarlyExit>, Command> {
    ControlFlow::Break(match command {
        Command::Validate(args) => validate::run(session, &args),
        Command::Schema(args) => schema::run(&args),
        Command::Explain(args) => explain::run(session, &args),
        Command::Help(args) => help::run(session, &args, root()),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(session, &args, root()),
        other @ (Command::Plan(_)
        | Command::Show(_)
        | Command::Doctor(_)
        | Command::Apply(_)
        | Command::Status(_)
        | Command::Modes(_)
        | Command::Wait(_)
        | Command::Switch(_)
        | Command::Rollback(_)
        | Command::Down(_)
        | Command::Start(_)
        | Command::Stop(_)
        | Command::Restart(_)
        | Command::Maintain(_)
        | Command::Suspend(_)
        | Command::Resume(_)
        | Command::Report(_)
        | Command::Terminate(_)
        | Command::Logs(_)
        | Command::Observe(_)
        | Command::Adopt(_)
        | Command::Disown(_)
        | Command::Init(_)
        | Command::History(_)) => return ControlFlow::Continue(other),
    })
}

/// Runs a command. `root` builds the description of the command line, for the manual pages.
pub(super) fn run(session: &Session, command: Command, root: fn() -> clap::Command) -> Result<Exit, EarlyExit> {
    let command = match run_at_once(session, command, root) {
        ControlFlow::Break(ended) => return ended,
        ControlFlow::Continue(command) => command,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|error| EarlyExit::refused(Code::System, format!("can't start worker threads: {error}")))?;
    let ended = runtime.block_on(dispatch(session, command, root));
    // An unanswered question occupies a thread; the process ends all the same.
    runtime.shutdown_background();
    ended
}

/// Runs a command within the async runtime.
async fn dispatch(session: &Session, command: Command, root: fn() -> clap::Command) -> Result<Exit, EarlyExit> {
    match command {
        Command::Plan(args) => plan::run(session, &args).await,
        Command::Show(args) => show::run(session, &args).await,
        Command::Apply(args) => apply::run(session, args).await,
        Command::Modes(args) => modes::run(session, args).await,
        Command::Status(args) => status::run(session, &args).await,
        Command::Wait(args) => wait::run(session, &args).await,
        Command::Switch(args) => switch::run(session, args).await,
        Command::Rollback(args) => rollback::run(session, args).await,
        Command::Down(args) => down::run(session, args).await,
        Command::Start(args) => oneshot::run(session, args, Purpose::Start).await,
        Command::Stop(args) => oneshot::run(session, args, Purpose::Stop).await,
        Command::Restart(args) => oneshot::run(session, args, Purpose::Restart).await,
        Command::Maintain(args) => maintain::run(session, &args).await,
        Command::Suspend(args) => suspend::run(session, &args).await,
        Command::Resume(args) => resume::run(session, &args).await,
        Command::Report(args) => report::run(session, &args).await,
        Command::Terminate(args) => terminate::run(session, args).await,
        Command::Logs(args) => logs::run(session, &args).await,
        Command::Observe(args) => observe::run(session, &args).await,
        Command::Adopt(args) => adopt::run(session, &args).await,
        Command::Disown(args) => disown::run(session, &args).await,
        Command::Init(args) => init::run(session, &args).await,
        Command::Validate(args) => validate::run(session, &args),
        Command::Schema(args) => schema::run(&args),
        Command::Explain(args) => explain::run(session, &args),
        Command::Doctor(args) => doctor::run(session, &args).await,
        Command::History(args) => history::run(session, &args).await,
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(session, &args, root()),
        Command::Help(args) => help::run(session, &args, root()),
    }
}
