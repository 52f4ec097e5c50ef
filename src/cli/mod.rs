//! The command line: one file a command. The only room that knows all others.
//!
//! How the stages are put together is in `wire` alone; which exit code means what, in [`exit`].

mod agreement;
mod args;
mod command;
mod dry_run;
mod ending;
mod execute;
pub mod exit;
mod files;
mod help;
mod locked;
mod open_runs;
mod opened;
mod outputs;
mod owner;
mod run_events;
mod saved;
mod stop;
mod terminal;
mod trusted;
mod wanted;
mod wire;

use std::io::{self, IsTerminal as _};

use clap::{FromArgMatches as _, Parser, Subcommand};

use crate::cli::command::{
    adopt, apply, completions, down, explain, history, init, logs, maintain, man, observe, oneshot, plan, report,
    resume, rollback, schema, show, status, suspend, switch, terminate, validate, version, wait,
};
use crate::cli::terminal::session::{OutputArgs, Session};
use crate::cli::terminal::{color, session};
use crate::model::harmless;
use crate::model::plan::Purpose;
use crate::report::print;
use crate::report::sheet::Sheet;
use crate::report::style::Style;
use exit::Exit;
use stop::{Code, Stop};

/// Plan and apply for AI services that share a GPU
#[derive(Debug, Parser)]
#[command(name = "lcm", version = version::SHORT, long_version = version::long(), arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Plan(plan::Args),
    Show(show::Args),
    Apply(apply::Args),
    Switch(switch::Args),
    Rollback(rollback::Args),
    Status(status::Args),
    Wait(wait::Args),
    Validate(validate::Args),
    Schema(schema::Args),
    Explain(explain::Args),
    Down(down::Args),
    /// Start services and what they depend on
    ///
    /// Whatever the mode says, by the same rules as an apply; the next apply may differ.
    Start(oneshot::Args),
    /// Stop services and what depends on them
    ///
    /// Whatever the mode says, by the same rules as an apply; the next apply may differ.
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
    Init(init::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Two threads: one for the work, and one that hears an interrupt while the other thinks.
const WORKERS: usize = 2;

/// The whole program.
#[must_use]
pub fn main() -> Exit {
    print::still_on_panic();
    if let Some(exit) = completions::answer(help::command) {
        return exit;
    }
    let parsed = help::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(answer) => return told(&answer),
    };
    let session = Session::new(&cli.output);
    run(&session, cli.command).unwrap_or_else(|stop| {
        print::note(&stop.text(session.stderr));
        stop.exit
    })
}

/// What clap says in place of a command: help to stdout, what is wrong with the command line to stderr.
fn told(answer: &clap::Error) -> Exit {
    let is_terminal = if answer.use_stderr() { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
    let is_painted = color::is_colored(color::asked(std::env::args_os()), &session::environment(), is_terminal);
    let style = Style { colored: is_painted, ..Style::PLAIN };
    // It quotes words of the command line, which may come from a file name or from another program.
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let quoted = words.filter(|word| !harmless::is_plain(word));
    let text =
        quoted.fold(answer.render().ansi().to_string(), |text, word| text.replace(&word, &harmless::line(&word)));
    let text = Sheet::new().laid_out(&text).unfolded(style);
    if answer.use_stderr() {
        print::note(&text.trimmed());
        return Exit::Usage;
    }
    print::data(&text).map_or(Exit::Refused, |()| Exit::Done)
}

fn run(session: &Session, command: Command) -> Result<Exit, Stop> {
    // What needs no machine needs no runtime.
    match command {
        Command::Validate(args) => return validate::run(session, &args),
        Command::Schema(args) => return schema::run(&args),
        Command::Explain(args) => return explain::run(session, &args),
        Command::History(args) => return history::run(session, &args),
        Command::Completions(args) => return completions::run(&args),
        Command::Man(args) => return man::run(session, &args),
        Command::Plan(_)
        | Command::Show(_)
        | Command::Apply(_)
        | Command::Status(_)
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
        | Command::Init(_) => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|error| Stop::refused(Code::System, format!("can't begin: {error}")))?;
    let ended = runtime.block_on(async {
        match command {
            Command::Plan(args) => plan::run(session, &args).await,
            Command::Show(args) => show::run(session, &args).await,
            Command::Apply(args) => apply::run(session, args).await,
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
            Command::Init(args) => init::run(session, &args).await,
            Command::Validate(args) => validate::run(session, &args),
            Command::Schema(args) => schema::run(&args),
            Command::Explain(args) => explain::run(session, &args),
            Command::History(args) => history::run(session, &args),
            Command::Completions(args) => completions::run(&args),
            Command::Man(args) => man::run(session, &args),
        }
    });
    // A question that nobody answered holds a thread; the process ends all the same.
    runtime.shutdown_background();
    ended
}
