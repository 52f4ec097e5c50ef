//! `lcm status`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::args::{ChooseArgs, Format, NarrowArgs};
use crate::cli::exit::Exit;
use crate::cli::interrupt::{self, Interrupts};
use crate::cli::names;
use crate::cli::opened::{self, Opened};
use crate::cli::plan::data;
use crate::cli::session::Session;
use crate::cli::stop::{Code, Stop};
use crate::model::lifecycle::State;
use crate::model::names::ServiceName;
use crate::model::plan::Request;
use crate::report::json;
use crate::report::status::{self, LastRun, Outlook, Outlooks, Status};

/// Quick enough to watch a start, slow enough not to be a load.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Read where no other is named.
const MANIFEST: &str = "lcm.yaml";

/// Home, and clear to the end: what stood there does not flicker.
const REDRAW: &str = "\u{1b}[H\u{1b}[J";

/// Show services, GPUs, goals and the last run
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Manifest to read, and services to show; `-v` tells of each what may follow
    #[arg(value_name = "MANIFEST|SERVICE")]
    names: Vec<String>,
    /// Manifest to read; all else that is named is a service then [default: lcm.yaml]
    #[arg(short, long, value_name = "MANIFEST")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    choose: ChooseArgs,
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

/// What to show.
struct View<'a> {
    opened: Opened,
    /// None named: all.
    named: BTreeSet<ServiceName>,
    args: &'a Args,
}

/// What was seen.
struct Look {
    status: Status,
    /// Of services that were named, where more is to be said.
    outlooks: Outlooks,
    /// The refusal, where nothing is known of anything wanted.
    known: Result<(), Stop>,
}

pub(super) async fn run(session: &Session, args: &Args) -> Result<Exit, Stop> {
    let (manifest, services) = told_apart(args)?;
    let opened = opened::open_to_look(session, &manifest, &args.choose)?;
    let named: BTreeSet<ServiceName> = services.iter().chain(&args.narrow.targets).cloned().collect();
    let given = services.iter().chain(&args.narrow.targets).chain(&args.narrow.excludes);
    names::check("service", given, opened.desired.services.keys())?;
    let view = View { opened, named, args };
    if args.watch {
        return watch(session, &view).await;
    }
    let look = look(session, &view).await;
    let text = match args.format {
        Format::Json => json::document(&look.status),
        Format::Text => shown(session, &look),
    };
    data(&text)?;
    look.known.map(|()| Exit::Done)
}

/// The manifest and the services among what was named. What looks like a file is the manifest, unless that is named
/// otherwise.
fn told_apart(args: &Args) -> Result<(PathBuf, Vec<ServiceName>), Stop> {
    let (files, services): (Vec<&String>, Vec<&String>) =
        args.names.iter().partition(|name| args.manifest.is_none() && is_file(name));
    if let [one, other, ..] = files.as_slice() {
        let message =
            format!("{one} and {other} both look like a manifest; -m FILE names it, and all else are services");
        return Err(Stop::new(Exit::Usage, Code::Usage, message));
    }
    let manifest = args.manifest.clone().or_else(|| files.first().map(PathBuf::from));
    let services = services.into_iter().map(|name| ServiceName::from(name.as_str())).collect();
    Ok((manifest.unwrap_or_else(|| PathBuf::from(MANIFEST)), services))
}

fn is_file(name: &str) -> bool {
    let path = Path::new(name);
    let of_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    of_yaml || name.contains(std::path::is_separator) || path.is_file()
}

fn shown(session: &Session, look: &Look) -> String {
    status::text(&look.status, &look.outlooks, session.verbose, session.stdout)
}

async fn watch(session: &Session, view: &View<'_>) -> Result<Exit, Stop> {
    let mut interrupts = Interrupts::listen(|_, _| ())?;
    interrupts.begin_run();
    let screen = std::io::IsTerminal::is_terminal(&std::io::stdout());
    loop {
        let look = look(session, view).await;
        let text = match view.args.format {
            Format::Json => json::line(&look.status),
            Format::Text if screen => format!("{REDRAW}{}", shown(session, &look)),
            Format::Text => format!("{}\n", shown(session, &look)),
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

/// What is there.
async fn look(session: &Session, view: &View<'_>) -> Look {
    let View { opened, named, args } = view;
    let facts = opened.facts(session).await;
    let known = opened.refuse_if_all_unknown(&facts, &Request::default());
    let last_run = opened.store().last_run(&opened.desired.project).unwrap_or_default().map(|run| LastRun {
        command: run.command,
        by: run.by,
        ended_at: run.ended,
        exit_code: run.exit_code,
        first_error: run.first_error,
    });
    let room = opened.room(&facts, &Request::default());
    let observed = opened.observed(&facts);
    let mut status = Status::of(&opened.desired, &observed, &room, last_run)
        .switched_by(opened.switched.as_ref())
        .only(&args.states);
    status.services.retain(|line| {
        let is_named = named.is_empty() || named.contains(&line.name);
        is_named && !args.narrow.excludes.contains(&line.name)
    });
    // Of all services at once it would be more than anybody reads.
    let told = named.iter().filter(|_| session.verbose);
    let outlooks = told.filter_map(|name| Some((name.clone(), Outlook::of(&opened.desired, &observed, name)?)));
    Look { status, outlooks: outlooks.collect(), known }
}

pub(super) fn state(word: &str) -> Result<State, String> {
    let found = State::ALL.into_iter().find(|state| state.as_str() == word);
    found.ok_or_else(|| {
        let words: Vec<&str> = State::ALL.into_iter().map(State::as_str).collect();
        format!("the states are {}", words.join(", "))
    })
}
