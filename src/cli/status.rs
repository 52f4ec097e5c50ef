//! `lcm status`.

use std::time::Duration;

use crate::cli::args::{Format, ManifestArgs, NarrowArgs};
use crate::cli::exit::Exit;
use crate::cli::interrupt::{self, Interrupts};
use crate::cli::names;
use crate::cli::opened::{self, Opened};
use crate::cli::plan::data;
use crate::cli::session::Session;
use crate::cli::stop::Stop;
use crate::model::lifecycle::State;
use crate::model::plan::Request;
use crate::report::json;
use crate::report::status::{self, LastRun, Status};

/// Quick enough to watch a start, slow enough not to be a load.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Home, and clear to the end: what stood there does not flicker.
const REDRAW: &str = "\u{1b}[H\u{1b}[J";

/// Show services, GPUs, goals and the last run
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    narrow: NarrowArgs,
    /// Show it again and again, until interrupted
    #[arg(long)]
    watch: bool,
    /// Only services in this state; may be given several times
    #[arg(long = "state", value_name = "STATE", value_parser = state)]
    states: Vec<State>,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
}

pub(super) async fn run(session: &Session, args: &Args) -> Result<Exit, Stop> {
    let opened = opened::open_to_look(session, &args.manifest.manifest, &args.manifest.choose)?;
    names::check("service", args.narrow.targets.iter().chain(&args.narrow.excludes), opened.desired.services.keys())?;
    if args.watch {
        return watch(session, args, &opened).await;
    }
    let (status, known) = look(session, args, &opened).await;
    let text = match args.format {
        Format::Json => json::document(&status),
        Format::Text => status::text(&status, session.verbose, session.stdout),
    };
    data(&text)?;
    known.map(|()| Exit::Done)
}

async fn watch(session: &Session, args: &Args, opened: &Opened) -> Result<Exit, Stop> {
    let mut interrupts = Interrupts::listen()?;
    interrupts.begin_run();
    let screen = std::io::IsTerminal::is_terminal(&std::io::stdout());
    loop {
        let (status, _) = look(session, args, opened).await;
        let text = match args.format {
            Format::Json => json::line(&status),
            Format::Text if screen => format!("{REDRAW}{}", status::text(&status, session.verbose, session.stdout)),
            Format::Text => format!("{}\n", status::text(&status, session.verbose, session.stdout)),
        };
        data(&text)?;
        tokio::select! {
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
            heard = interrupts.heard.wait_for(Option::is_some) => {
                let heard = heard.ok().and_then(|heard| *heard);
                return Ok(heard.map_or(Exit::Done, interrupt::exit_of));
            }
        }
    }
}

/// What is there; and the refusal, where nothing is known of anything wanted.
async fn look(session: &Session, args: &Args, opened: &Opened) -> (Status, Result<(), Stop>) {
    let facts = opened.facts(session).await;
    let known = opened.refuse_if_all_unknown(&facts, &Request::default());
    let last_run = opened.store().last_run(&opened.desired.project).unwrap_or_default().map(|run| LastRun {
        command: run.command,
        by: run.by,
        ended_at: run.ended,
        exit_code: run.exit_code,
        first_error: run.first_error,
    });
    let NarrowArgs { targets, excludes } = &args.narrow;
    let room = opened.room(&facts, &Request::default());
    let mut status = Status::of(&opened.desired, &opened.observed(&facts), &room, last_run)
        .switched_by(opened.switched.as_ref())
        .only(&args.states);
    status.services.retain(|line| {
        let named = targets.is_empty() || targets.contains(&line.name);
        named && !excludes.contains(&line.name)
    });
    (status, known)
}

pub(super) fn state(word: &str) -> Result<State, String> {
    let found = State::ALL.into_iter().find(|state| state.as_str() == word);
    found.ok_or_else(|| {
        let words: Vec<&str> = State::ALL.into_iter().map(State::as_str).collect();
        format!("the states are {}", words.join(", "))
    })
}
