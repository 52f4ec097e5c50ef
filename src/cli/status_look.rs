//! Services, GPUs and goals as observed once, for `lcm status`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::cli::args::manifest::{MANIFEST, is_file};
use crate::cli::args::state::state;
use crate::cli::args::{ChooseArgs, NarrowArgs, READ_WORLD, duration, names};
use crate::cli::exit::Exit;
use crate::cli::open_runs;
use crate::cli::opened;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::model::budget::Budget;
use crate::model::desired::Desired;
use crate::model::lifecycle::State;
use crate::model::names::ServiceName;
use crate::model::observed::{Observed, ObservedService};
use crate::model::plan::Request;
use crate::model::rules::Case;
use crate::model::snapshot::Planner as _;
use crate::plan::judge_commands::{DependentBlock, blocked_dependent, legal_commands};
use crate::reconcile::Project;
use crate::reconcile::wanted;
use crate::report::output::Output;
use crate::report::status::{self, LastRun, Outlook, Outlooks, Status};
use crate::report::style::Style;

/// Show services, GPUs, goals and the last run
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("world", |arg| arg.help(READ_WORLD)),
    mut_arg("targets", |arg| arg.help("Show only this service; may be given several times")),
    mut_arg("excludes", |arg| arg.help("Don't show this service; may be given several times"))
)]
pub(crate) struct StatusArgs {
    /// Manifest to read, and services to show; `-v` adds the possible next states and commands of each named service
    #[arg(value_name = "MANIFEST|SERVICE")]
    names: Vec<String>,
    /// Manifest to read; every other argument is then a service [default: lcm.yaml]
    #[arg(short, long, value_name = "MANIFEST")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    choose: ChooseArgs,
    #[command(flatten)]
    narrow: NarrowArgs,
    /// Refresh the status until interrupted; with `--format json`, print one line each time
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Time between two refreshes of `--watch`, from 250ms to 1h
    #[arg(long, value_name = "TIME", default_value = "2s", requires = "watch", value_parser = duration::parse_interval)]
    pub(crate) interval: Duration,
    /// Show only services in this lifecycle state, such as online or failed; may be given several times
    #[arg(long = "state", value_name = "STATE", value_parser = state)]
    states: Vec<State>,
    /// Exit 3 unless every wanted service (or every named one) is up and healthy, or held by an operator
    #[arg(long, conflicts_with = "watch")]
    pub(crate) exit_code: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = StatusFormat::Text, value_name = "FORMAT")]
    pub(crate) format: StatusFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusFormat {
    Text,
    Json,
    /// Metrics, for the textfile collector of Prometheus' node exporter
    Prometheus,
}

/// Request to show services.
struct StatusRequest<'a> {
    opened: Project,
    /// Empty: all services.
    named: BTreeSet<ServiceName>,
    args: &'a StatusArgs,
}

/// Result of one observation.
pub(crate) struct StatusReport {
    pub(crate) status: Status,
    /// Outlooks of named services, with `-v`.
    outlooks: Outlooks,
    pub(crate) wanted: BTreeSet<ServiceName>,
    /// True if a wanted or named service is neither operational, nor a job that is done, nor held.
    pub(crate) is_unhealthy: bool,
    /// Refusal where the state of every wanted service is unknown.
    pub(crate) known: Result<(), EarlyExit>,
}

/// Reads the manifest, and observes its services once.
pub(crate) async fn seen(session: &Session, args: &StatusArgs) -> Result<StatusReport, EarlyExit> {
    let (manifest, services) = split_names(args)?;
    let opened = opened::open_to_look(session, &manifest, &args.choose).await?;
    let named: BTreeSet<ServiceName> = services.iter().chain(&args.narrow.targets).cloned().collect();
    let given = services.iter().chain(&args.narrow.targets).chain(&args.narrow.excludes);
    names::check("service", given, opened.desired.services.keys())?;
    observe(session, &StatusRequest { opened, named, args }).await
}

/// Returns the manifest and the services among the arguments. One that looks like a file is the manifest, unless `-m`
/// names it.
fn split_names(args: &StatusArgs) -> Result<(PathBuf, Vec<ServiceName>), EarlyExit> {
    let (files, services): (Vec<&String>, Vec<&String>) =
        args.names.iter().partition(|name| args.manifest.is_none() && is_file(name));
    if let [one, other, ..] = files.as_slice() {
        let message = format!(
            "{one} and {other} both look like a manifest; give the manifest with `-m`; every other argument is then \
             a service"
        );
        return Err(EarlyExit::new(Exit::Usage, Code::Usage, message));
    }
    let manifest = args.manifest.clone().or_else(|| files.first().map(PathBuf::from));
    let services = services.into_iter().map(|name| ServiceName::from(name.as_str())).collect();
    Ok((manifest.unwrap_or_else(|| PathBuf::from(MANIFEST)), services))
}

pub(crate) fn shown(session: &Session, inspection: &StatusReport, style: Style) -> Output {
    status::text(&inspection.status, &inspection.outlooks, session.verbose, style)
}

/// Renders a report, shortened to `rows` lines.
pub(crate) fn shown_within(session: &Session, inspection: &StatusReport, style: Style, rows: usize) -> Output {
    status::within(&inspection.status, &inspection.outlooks, session.verbose, style, rows)
}

/// Observes the services of a request once.
async fn observe(session: &Session, view: &StatusRequest<'_>) -> Result<StatusReport, EarlyExit> {
    let StatusRequest { opened, named, args } = view;
    let snapshot = opened.snapshot(session).await?;
    let known = opened.refuse_if_all_unknown(&snapshot, &Request::default()).map_err(EarlyExit::from);
    let last_run = opened.store().last_run(&opened.desired.project).await.unwrap_or_default().map(|run| LastRun {
        command: run.command,
        by: run.by,
        ended_at: run.ended,
        end: run.end.as_str().to_owned(),
        exit_code: run.exit_code,
        first_error: run.first_error,
    });
    let open_runs = open_runs::open_runs(opened.store(), &opened.desired.project).await.unwrap_or_default();
    let capacity = opened.planner().capacity(&snapshot, &Request::default());
    let observed = snapshot.observed;
    let mut status = Status::of(&opened.desired, &observed, &capacity, last_run)
        .switched_by(opened.switched.as_ref())
        .only(&args.states);
    status.open_run = open_runs.into_iter().next_back();
    status.services.retain(|line| {
        let is_named = named.is_empty() || named.contains(&line.name);
        is_named && !args.narrow.excludes.contains(&line.name)
    });
    // The outlooks of all services at once would be too much to read.
    let shown = named.iter().filter(|_| session.verbose);
    let outlooks = shown.filter_map(|name| Some((name.clone(), outlook(&opened.desired, &observed, name)?)));
    // A manifest that has modes wants nothing until one is chosen.
    let none_chosen = opened.desired.mode.is_none() && !opened.desired.modes.is_empty();
    let wanted = wanted::wanted(&opened.desired, &Request::default());
    let wanted = if none_chosen { BTreeSet::new() } else { wanted };
    let asked = if named.is_empty() { &wanted } else { named };
    let stands = |seen: &ObservedService| seen.state.is_operational() || seen.is_done_job();
    let is_well = |seen: &ObservedService| seen.hold.is_some() || (seen.unknown.is_none() && stands(seen));
    let is_unhealthy = asked.iter().any(|name| !observed.services.get(name).is_some_and(is_well));
    Ok(StatusReport { status, outlooks: outlooks.collect(), wanted, is_unhealthy, known })
}

/// Returns the legal next changes and commands of a service; `None`: not in the manifest, or not observed.
fn outlook(desired: &Desired, observed: &Observed, name: &ServiceName) -> Option<Outlook> {
    let (service, seen) = (desired.services.get(name)?, observed.services.get(name)?);
    let now = observed.observed_at;
    let case = Case { service: name, mode: desired.mode.as_ref(), at: now };
    let mut commands = legal_commands(&desired.rules, &case, seen, Budget::of(service, seen, now));
    let block = blocked_dependent(desired, &observed.services, name, now).filter(|_| seen.holds_capacity);
    if block.is_some() {
        commands.retain(|command| !["stop", "restart", "terminate"].contains(command));
    }
    let needed = block.map(|block| match block {
        DependentBlock::Held { dependent, hold } => {
            format!("{dependent} depends on it, and is held by `lcm {}` ({})", hold.kind, hold.attribution())
        }
        DependentBlock::Illegal { dependent, refusal } => {
            format!("{dependent} depends on it, and can't be stopped either: {refusal}")
        }
    });
    Some(Outlook::new(&desired.rules, &case, seen.state, needed, &commands))
}
