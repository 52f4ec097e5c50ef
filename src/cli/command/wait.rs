//! `lcm wait`: waits until services are in a state, or until a timeout.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cli::answer::data;
use crate::cli::args::{ChooseArgs, READ_WORLD, duration, names};
use crate::cli::exit::Exit;
use crate::cli::opened;
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::interrupt::Interrupts;
use crate::cli::terminal::session::Session;
use crate::model::lifecycle::{Class, State};
use crate::model::names::ServiceName;
use crate::model::observed::ObservedService;
use crate::reconcile::Project;
use crate::report::sheet::Sheet;

/// Bounds of the time between two observations, which is, as with health, a twentieth of the time waited so far.
const INTERVAL_MIN: Duration = Duration::from_millis(50);
const INTERVAL_MAX: Duration = Duration::from_secs(2);
const INTERVAL_SHARE: u32 = 20;

/// Wait until services are up, or in another given state
///
/// Exits 0 once all of them are in that state, or 3 if `--timeout` passes first.
#[derive(Debug, clap::Args)]
#[command(mut_arg("world", |arg| arg.help(READ_WORLD)))]
pub(crate) struct Args {
    /// Services to wait for
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<ServiceName>,
    /// State to wait for: `operational` (online, busy or idle), `available` (online or idle), `down` (not running), or
    /// a lifecycle state (registered, deploying, deployed, starting, online, busy, idle, stopping, updating, scaling,
    /// error, failed, timeout, maintenance, suspended, offline, terminated, deleted); may be given several times to
    /// accept any of them
    #[arg(long = "for", value_name = "STATE", default_value = "operational", value_parser = target)]
    states: Vec<WaitTarget>,
    /// Maximum wait; 0s checks once
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration::parse)]
    timeout: Duration,
    /// Manifest to read
    #[arg(short, long, default_value = "lcm.yaml", value_name = "MANIFEST")]
    manifest: PathBuf,
    #[command(flatten)]
    choose: ChooseArgs,
}

/// State or class of states to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitTarget {
    State(State),
    Class(Class),
}

/// Classes of states by their names on the command line.
const CLASSES: [(&str, Class); 3] =
    [("operational", Class::Operational), ("available", Class::Available), ("down", Class::NotRunning)];

fn target(word: &str) -> Result<WaitTarget, String> {
    if let Some((_, class)) = CLASSES.iter().find(|(name, _)| *name == word) {
        return Ok(WaitTarget::Class(*class));
    }
    let found = State::ALL.into_iter().find(|state| state.as_str() == word);
    found.map(WaitTarget::State).ok_or_else(|| {
        let words: Vec<&str> = State::ALL.into_iter().map(State::as_str).collect();
        format!("the states are {}, {}", CLASSES.map(|(name, _)| name).join(", "), words.join(", "))
    })
}

impl WaitTarget {
    fn is_met_by(self, seen: &ObservedService) -> bool {
        seen.unknown.is_none()
            && match self {
                Self::State(state) => seen.state == state,
                Self::Class(class) => class.contains(seen.state),
            }
    }
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let opened = opened::open_to_look(session, &args.manifest, &args.choose).await?;
    names::check("service", &args.services, opened.desired.services.keys())?;
    let mut interrupts = Interrupts::of_a_run()?;
    tokio::select! {
        exit = interrupts.exit() => Ok(exit),
        ended = wait(session, &opened, args) => ended,
    }
}

async fn wait(session: &Session, opened: &Project, args: &Args) -> Result<Exit, EarlyExit> {
    // Notes of repeated observations are shown once, those of the last.
    let aside = session.aside();
    let began = Instant::now();
    loop {
        let seen = opened.snapshot(&aside).await?.observed.services;
        let notes = aside.kept();
        let is_met = |name: &ServiceName| {
            seen.get(name).is_some_and(|seen| args.states.iter().any(|target| target.is_met_by(seen)))
        };
        let waited = began.elapsed();
        let is_done = args.services.iter().all(is_met);
        if is_done || waited >= args.timeout {
            for note in notes {
                session.show_unless_quiet(note);
            }
            tell(session, args, &seen, waited, is_met)?;
            return Ok(if is_done { Exit::Done } else { Exit::Failed });
        }
        let interval = (waited / INTERVAL_SHARE).clamp(INTERVAL_MIN, INTERVAL_MAX);
        sleep(interval.min(args.timeout.saturating_sub(waited))).await;
    }
}

/// Prints a line for each service: its state, and why that is not the one to wait for.
fn tell(
    session: &Session,
    args: &Args,
    seen: &BTreeMap<ServiceName, ObservedService>,
    waited: Duration,
    is_met: impl Fn(&ServiceName) -> bool,
) -> Result<(), EarlyExit> {
    let mut sheet = Sheet::new();
    let seconds = waited.as_secs_f64();
    for name in &args.services {
        let Some(found) = seen.get(name) else { continue };
        let state = found.state.label();
        match (is_met(name), &found.unknown) {
            (true, _) => sheet.line(format!("{name} is {state}")),
            (false, Some(why)) => sheet.line(format!("the state of {name} is unknown after {seconds:.1} s: {why}")),
            (false, None) => sheet.line(format!("{name} is {state} after {seconds:.1} s: {}", found.detail)),
        };
    }
    data(&sheet.output(session.stdout))
}
