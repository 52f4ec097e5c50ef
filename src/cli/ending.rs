//! The end of a run: what is kept of it, what is told, and how it reads.

use std::sync::Arc;

use jiff::Timestamp;

use crate::apply::{Interrupt, Outcome};
use crate::cli::execute::Began;
use crate::cli::exit::Exit;
use crate::cli::job::Job;
use crate::cli::opened::Opened;
use crate::cli::terminal::interrupt::exit_of;
use crate::cli::terminal::session::Session;
use crate::cli::terminal::tally;
use crate::cli::terminal::teller::Teller;
use crate::cli::{run_events, wire};
use crate::model::converged::Converged;
use crate::model::desired::Desired;
use crate::model::event::{Event, EventKind};
use crate::model::plan::Purpose;
use crate::report::output::Output;
use crate::report::sheet::Sheet;
use crate::report::style::Style;
use crate::report::table::spoken;
use crate::store::sqlite::Sqlite;
use crate::store::{Author, Run, RunEnd, Store as _, StoreError};

/// How it went.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) exit: Exit,
    pub(super) message: String,
    /// Those of the plan that was shown.
    pub(super) warnings: Vec<String>,
    /// What the next apply would undo of it.
    pub(super) undone: Vec<String>,
}

/// What is kept and told of a run that has ended.
pub(super) async fn finish(
    session: &Session,
    opened: &Opened,
    teller: &Teller,
    ended: &Ended,
    began: Began<'_>,
    tell_of_store: &dyn Fn(&StoreError),
) {
    let Began { job, author, .. } = began;
    keep_converged(job, opened, ended, author).unwrap_or_else(|error| tell_of_store(&error));
    tell(opened, teller, ended, began, tell_of_store);
    let told = run_events::tell(opened, &|line| session.warn(line)).await;
    told.unwrap_or_else(|error| tell_of_store(&error));
}

/// Records the end of a run that a second signal ends at once. It is done beside the run, by a connection of its own.
pub(super) fn record_cut_off(
    session: &Session,
    opened: &Opened,
    began: Began<'_>,
) -> impl Fn(Interrupt) + Send + use<> {
    let store = Sqlite::at(&wire::state_folder(&session.environment));
    let run = run_of(opened, began);
    move |interrupt| {
        let (end, exit_code) = (end_of(Some(interrupt)), exit_of(interrupt).code());
        let run = Run { ended: Timestamp::now(), end, exit_code, ..run.clone() };
        // One that can't be recorded is recorded by the next run, as killed.
        drop(store.record_run(&run, &[]));
    }
}

/// The run as it is recorded, before anything is known of its end.
fn run_of(opened: &Opened, began: Began<'_>) -> Run {
    let Began { job, author, at } = began;
    Run {
        id: author.run.clone(),
        manifest: opened.desired.entry.display().to_string(),
        project: opened.desired.project.clone(),
        command: job.command.to_owned(),
        by: author.by.clone(),
        began: at,
        ended: at,
        end: RunEnd::Interrupted,
        exit_code: Exit::Interrupted.code(),
        changed: true,
        first_error: None,
    }
}

fn end_of(interrupt: Option<Interrupt>) -> RunEnd {
    match interrupt {
        None => RunEnd::Completed,
        Some(Interrupt::Interrupted) => RunEnd::Interrupted,
        Some(Interrupt::Terminated) => RunEnd::Terminated,
        Some(Interrupt::HungUp) => RunEnd::HungUp,
    }
}

fn first_error(outcome: &Outcome) -> Option<String> {
    let failure = outcome.failures.first();
    let error = failure.map(|failure| format!("{}: {}", spoken(&failure.step), failure.error));
    error.or_else(|| outcome.refused.clone())
}

/// The last event, and the history.
fn tell(opened: &Opened, teller: &Teller, ended: &Ended, began: Began<'_>, tell_of_store: impl Fn(&StoreError)) {
    let Ended { outcome, exit, message, warnings, undone } = ended;
    for line in warnings.iter().chain(undone) {
        teller.record(&Event::new(opened.driver().now(), EventKind::Warning { message: line.clone() }));
    }
    teller.still();
    let at = opened.driver().now();
    teller.end(at, *exit, outcome, message);
    let run = Run {
        ended: at,
        end: end_of(outcome.interrupted),
        exit_code: exit.code(),
        changed: outcome.changed,
        first_error: first_error(outcome),
        ..run_of(opened, began)
    };
    let notices = run_events::of_end(began.job, opened, &run, *exit).unwrap_or_else(|error| {
        tell_of_store(&error);
        Vec::new()
    });
    if let Err(error) = opened.store().record_run(&run, &notices) {
        tell_of_store(&error);
    }
}

/// Keeps the manifest of a run after which all was as it said, for `lcm rollback`.
fn keep_converged(job: &Job, opened: &Opened, ended: &Ended, author: &Author) -> Result<(), StoreError> {
    let Desired { mode, own_mode, goals_requested, entry, files, .. } = &opened.desired;
    let narrow = &job.planning.narrow;
    let is_whole = job.purpose == Purpose::Apply && narrow.targets.is_empty() && narrow.excludes.is_empty();
    let is_converged = matches!(ended.exit, Exit::Done | Exit::Changes);
    if !is_whole || !is_converged || files.is_empty() || opened.is_simulated() {
        return Ok(());
    }
    let converged = Converged {
        run: author.run.clone(),
        at: opened.driver().now(),
        mode: mode.clone(),
        own_mode: own_mode.clone(),
        goals: goals_requested.clone(),
        entry: entry.clone(),
        files: Arc::clone(files),
    };
    opened.store().keep_converged(&opened.desired.project, &converged)
}

/// How it ended, for people; nothing where the plan said it all.
pub(super) fn words(job: &Job, ended: &Ended, style: Style) -> Output {
    let Ended { outcome, exit, message, undone, .. } = ended;
    if message == "nothing to do" {
        return Sheet::new().block(0, undone).output(style);
    }
    let done = match job.purpose {
        Purpose::Apply => "Applied",
        Purpose::Down => "Down",
        Purpose::Start => "Started",
        Purpose::Stop => "Stopped",
        Purpose::Restart => "Restarted",
    };
    let head = match exit {
        Exit::Done | Exit::Changes | Exit::Blocked => done,
        Exit::Interrupted => "Interrupted",
        Exit::Terminated => "Terminated",
        Exit::Failed | Exit::Refused => "Not all done",
        Exit::Usage | Exit::Locked | Exit::Stale => "Not done",
    };
    let mut sheet = Sheet::new();
    sheet.gap().line(format!("{head}: {message}."));
    if let Some(refused) = &outcome.refused {
        sheet.line(format!("It went no further: {refused}"));
    }
    for failure in &outcome.failures {
        sheet.line(format!("  {} failed: {}", spoken(&failure.step), failure.error));
    }
    for blocked in tally::blocked(outcome) {
        sheet.line(format!("  {} is blocked: {}", blocked.service, blocked.reason.message));
    }
    for left in outcome.last_plan.iter().flat_map(|plan| &plan.left) {
        sheet.line(format!("  {} is left running: {}", left.service, left.message));
    }
    sheet.block(0, undone);
    if matches!(exit, Exit::Interrupted | Exit::Terminated) {
        sheet.own("Nothing is lost: run it again, and it goes on from what is there.");
    }
    sheet.output(style)
}
