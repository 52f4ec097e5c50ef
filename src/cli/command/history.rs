//! `lcm history`. Reads no engine, and the manifest only for the project's name and services.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::cli::answer::data;
use crate::cli::args::moment::{self, Moment};
use crate::cli::args::state;
use crate::cli::exit::Exit;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::cli::{open_runs, opened};
use crate::manifest::ModeSelection;
use crate::model::lifecycle::State;
use crate::model::names::{ProjectName, ServiceName};
use crate::reconcile::owner::{self, OwnerAccess};
use crate::reconcile::wire;
use crate::report::history::{self, CallLine, History, RunLine, StatsLine, TransitionLine, UnchangedRuns};
use crate::report::json;
use crate::store::query::HistoryQuery;
use crate::store::sqlite::Sqlite;
use crate::store::{Called, RunRecord, StoreError, Transition, stats};

/// Maximum number of entries in the store.
const LIMIT_MAX: i64 = 100_000;

/// Show what changed, when, why and by whom
#[derive(Debug, clap::Args)]
#[command(after_help = DEFINITIONS)]
pub(crate) struct Args {
    /// Services to show [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<ServiceName>,
    /// Service to show; may be given several times
    #[arg(long = "service", value_name = "SERVICE")]
    more: Vec<ServiceName>,
    /// Manifest to take the project's name from
    #[arg(short, long, default_value = "lcm.yaml", value_name = "MANIFEST")]
    manifest: PathBuf,
    /// Project to show, if the manifest is missing or invalid
    #[arg(long, value_name = "NAME", conflicts_with = "manifest")]
    project: Option<ProjectName>,
    /// Show only changes to this lifecycle state, such as online or failed; may be given several times
    #[arg(long = "state", value_name = "STATE", value_parser = state::state)]
    states: Vec<State>,
    /// Show entries from this time on: 2026-11-20, 2026-11-20T08:00, 2026-11-20T08:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    since: Option<Moment>,
    /// Show entries before this time, in the same forms
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    until: Option<Moment>,
    /// Show only entries whose author's name contains this text
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// Show only entries of this run
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// List runs instead
    #[arg(long, conflicts_with_all = ["services", "more", "states"])]
    runs: bool,
    /// Show statistics instead: time in each state, starts, failures, time until ready
    #[arg(long, conflicts_with_all = ["runs", "states", "by", "run", "limit"])]
    stats: bool,
    /// Show the newest N entries
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=LIMIT_MAX))]
    limit: u32,
    /// Output format
    #[arg(long, value_enum, default_value_t = HistoryFormat::Text, value_name = "FORMAT")]
    format: HistoryFormat,
}

const DEFINITIONS: &str = "\
Statistics cover all changes that lcm made or observed from --since (included) until --until (excluded):
  time in a state: from a change to it until the next change, or until the end of the range;
    a service has no time before its first change
  starts: changes to starting
  failures: changes to error, failed or timeout from a state other than these
  ready: starts directly followed by a change to online, busy or idle, where lcm made both;
    median: of the times from the start to ready; for an even number of them, the larger of the two in the middle
    95 %: 95th percentile of the same times: 95 % of these starts took this long or less";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum HistoryFormat {
    Text,
    Json,
    Csv,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let (now, zone) = (Timestamp::now(), TimeZone::system());
    let store = Sqlite::at(&wire::state_folder(&session.environment));
    let (project, in_manifest) = project(session, args)?;
    let asked = asked(args, project, now, &zone)?;
    let unreadable = |error: StoreError| EarlyExit::refused(Code::Store, error.to_string());
    refuse_unknown(&store, &asked, &in_manifest).await.map_err(unreadable)??;
    let found = if args.runs {
        runs(&store, &asked).await.map_err(unreadable)?
    } else if args.stats {
        statistics(&store, &asked, now).await.map_err(unreadable)?
    } else {
        changes(&store, &asked).await.map_err(unreadable)?
    };
    data(&match args.format {
        HistoryFormat::Json => json::document(&found),
        HistoryFormat::Csv => history::csv(&found),
        HistoryFormat::Text => history::text(&found, &zone, session.verbose, session.stdout),
    })?;
    Ok(Exit::Done)
}

/// Returns the project, and the services of its manifest.
fn project(session: &Session, args: &Args) -> Result<(ProjectName, BTreeSet<ServiceName>), EarlyExit> {
    if let Some(project) = &args.project {
        return Ok((project.clone(), BTreeSet::new()));
    }
    let choice = ModeSelection { mode_optional: true, ..ModeSelection::default() };
    owner::continue_as_owner(session, &args.manifest, OwnerAccess::AsOwner)?;
    let desired = opened::load(session, &args.manifest, &choice)?;
    owner::require_store(session, &desired.project)?;
    Ok((desired.project, desired.services.into_keys().collect()))
}

fn asked(args: &Args, project: ProjectName, now: Timestamp, zone: &TimeZone) -> Result<HistoryQuery, EarlyExit> {
    let wrong = |reason: String| EarlyExit::refused(Code::Span, reason);
    let resolve = |moment: Option<Moment>| moment.map(|moment| moment.resolve(now, zone)).transpose().map_err(wrong);
    let (since, until) = (resolve(args.since)?, resolve(args.until)?);
    if let (Some(since), Some(until)) = (since, until)
        && since >= until
    {
        return Err(wrong(format!("--since {since:.0} is not before --until {until:.0}: the range is empty")));
    }
    Ok(HistoryQuery {
        project,
        services: args.services.iter().chain(&args.more).cloned().collect(),
        states: args.states.iter().copied().collect(),
        since,
        until,
        by: args.by.clone(),
        run: args.run.clone(),
        limit: (!args.stats).then_some(args.limit),
    })
}

/// Refuses a service that neither the manifest nor the history has: a typing error must not give an empty result.
async fn refuse_unknown(
    store: &Sqlite,
    asked: &HistoryQuery,
    in_manifest: &BTreeSet<ServiceName>,
) -> Result<Result<(), EarlyExit>, StoreError> {
    for service in asked.services.iter().filter(|service| !in_manifest.contains(*service)) {
        let all = HistoryQuery { limit: Some(1), ..HistoryQuery::all(asked.project.clone()) };
        if store.transitions(&HistoryQuery { services: [service.clone()].into(), ..all }).await?.is_empty() {
            let (project, where_else) = (&asked.project, if in_manifest.is_empty() { "" } else { "its manifest or " });
            let names = in_manifest.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", ");
            let has = if names.is_empty() { String::new() } else { format!("; the manifest has {names}") };
            return Ok(Err(EarlyExit::refused(
                Code::UnknownName,
                format!("no service named {service} is in {where_else}the history of {project}{has}"),
            )));
        }
    }
    Ok(Ok(()))
}

async fn changes(store: &Sqlite, asked: &HistoryQuery) -> Result<History, StoreError> {
    let found = store.transitions(asked).await?;
    // Where the limit cuts the list, only calls of the changes shown are read.
    let full = asked.limit.is_some_and(|limit| found.len() >= usize::try_from(limit).unwrap_or(usize::MAX));
    let since = found.first().map(|first| first.at).filter(|_| full).or(asked.since);
    let calls = store.calls(&HistoryQuery { since, ..asked.clone() }).await?;
    Ok(History {
        transitions: Some(found.into_iter().map(transition).collect()),
        calls: Some(calls.into_iter().map(call).collect()),
        ..History::of(asked.project.clone())
    })
}

async fn runs(store: &Sqlite, asked: &HistoryQuery) -> Result<History, StoreError> {
    let quiet = store.quiet_runs(&asked.project).await?.map(|(count, last_at)| UnchangedRuns { count, last_at });
    let found = store.runs(asked).await?.into_iter().map(run_line).collect();
    let open_runs = open_runs::open_runs(store, &asked.project).await?;
    Ok(History { runs: Some(found), open_runs, unchanged_runs: quiet, ..History::of(asked.project.clone()) })
}

async fn statistics(store: &Sqlite, asked: &HistoryQuery, now: Timestamp) -> Result<History, StoreError> {
    let (before, within) = (store.transitions_before(asked).await?, store.transitions(asked).await?);
    // Time in the future does not count.
    let end = asked.until.map_or(now, |until| until.min(now));
    let found = stats::stats(&before, &within, asked.since, end);
    let lines = found.into_iter().map(|(service, stats)| StatsLine {
        service,
        starts: stats.starts,
        failures: stats.failures,
        ready: u32::try_from(stats.ready_ms.len()).unwrap_or(u32::MAX),
        ready_median_ms: stats.ready_median_ms(),
        ready_p95_ms: stats.ready_p95_ms(),
        time_ms: stats.time_ms,
    });
    Ok(History { stats: Some(lines.collect()), ..History::of(asked.project.clone()) })
}

fn transition(made: Transition) -> TransitionLine {
    TransitionLine {
        at: made.at,
        service: made.service,
        from: made.from,
        to: made.to,
        reason: made.reason,
        by: made.author.by,
        run: made.author.run,
        made: made.made,
        metadata: made.metadata,
    }
}

fn call(called: Called) -> CallLine {
    CallLine {
        at: called.at,
        service: called.service,
        run: called.run,
        hook: called.hook,
        call: called.call,
        took_ms: called.took_ms,
        error: called.error,
        output: called.output,
    }
}

fn run_line(run: RunRecord) -> RunLine {
    RunLine {
        run: run.id,
        command: run.command,
        manifest: run.manifest,
        by: run.by,
        began_at: run.began,
        ended_at: run.ended,
        end: run.end.as_str().to_owned(),
        exit_code: run.exit_code,
        changed: run.changed,
        first_error: run.first_error,
    }
}
