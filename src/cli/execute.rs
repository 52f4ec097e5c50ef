//! Execution of a job, for `lcm apply`, `lcm down` and others: prepare, propose, show, confirm, carry out, report.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::apply::Interrupt;
use crate::cli::args::{ExecutionArgs, OutputFormat};
use crate::cli::exit::Exit;
use crate::cli::job::ApplyJob;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::interrupt::Interrupts;
use crate::cli::terminal::session::Session;
use crate::cli::terminal::teller::EventReporter;
use crate::cli::{consent, dry_run, ending, outputs, prepare};
use crate::files::{named, output};
use crate::model::event::{Event, EventKind};
use crate::model::plan::Purpose;
use crate::reconcile::{self, CutOff, Cycle, RunCommand, RunListener, RunReport, RunStatus, owner, trusted, wire};
use crate::report::print;
use crate::report::progress::{Progress, Show};

/// Carries out a job. Its events report every end, also one before a manifest was read.
pub(super) async fn run(session: &Session, job: ApplyJob) -> Result<Exit, EarlyExit> {
    // Reading a stream may wait: an interrupt ends lcm meanwhile.
    if named::is_stream(&job.manifest) {
        let _ = wire::manifest_files(&job.manifest, &session.environment);
    }
    // Root continues as the project's owner from here on, before a file of events is created: it must be the owner's.
    if job.opened.is_none() && job.world.is_none() {
        owner::continue_as_owner(session, &job.manifest, job.claim)?;
    }
    if job.execution.dry_run {
        return dry_run::run(session, job).await;
    }
    let mut files = job.execution.json_into.iter();
    let checked = files.try_for_each(|file| outputs::check(session, &job.manifest, file));
    let (copy, refused) = match checked.and_then(|()| copy(&job.execution)) {
        Ok(copy) => (copy, None),
        Err(stop) => (None, Some(stop)),
    };
    let teller = Arc::new(EventReporter::new(Progress::new(show(session, &job.execution), session.stderr, copy)));
    let ended = match refused {
        // Boxed: the future is as large as everything that it awaits.
        None => Box::pin(work(session, job, &teller)).await,
        Some(stop) => Err(stop),
    };
    teller.clear_progress();
    if let Err(stop) = &ended {
        teller.end_early(stop);
    }
    ended
}

/// Reports the end of a command that fails before it has a job.
pub(super) fn report_refused(session: &Session, execution: &ExecutionArgs, stop: &EarlyExit) {
    // A file of events that can't be opened has no reader.
    let copy = copy(execution).unwrap_or_default();
    EventReporter::new(Progress::new(show(session, execution), session.stderr, copy)).end_early(stop);
}

async fn work(session: &Session, mut job: ApplyJob, teller: &Arc<EventReporter>) -> Result<Exit, EarlyExit> {
    let reporter = Arc::clone(teller);
    let interrupts = Interrupts::listen(move |interrupt, heard| reporter.on_signal(interrupt, heard))?;
    let (project, saved) = prepare::open(session, &mut job).await?;
    let job = &job;
    if job.purpose == Purpose::Apply && !project.is_simulated() {
        trusted::warn_root(session, &project.desired, &job.manifest);
    }
    let request = prepare::request(job, &project, saved.as_ref())?;
    let cycle = Cycle { caller: session, project: &project, request: &request, saved: saved.as_ref() };
    let detailed = job.planning.detailed_exitcode;
    let options = job.execution.options();
    let command = RunCommand {
        name: job.command,
        lock_timeout: job.execution.lock_timeout,
        options: &options,
        exit_code: if detailed { detailed_exit_code } else { exit_code },
    };
    let run = reconcile::begin(cycle, command).await?;
    let approval = consent::reach(session, job, &run).await?;
    let listener = TerminalRun { teller, interrupts: &interrupts, detailed };
    let report = reconcile::carry_out(&run, &approval, &listener).await?;
    let exit = Exit::of_status(report.status, detailed);
    let message = ending::message(teller, &report);
    if job.execution.format == OutputFormat::Text
        && let Err(error) = print::data(&ending::text(job.purpose, &report, (exit, &message), session.stdout))
    {
        // The changes are made all the same, and the exit code must report them.
        session.warn(&format!("can't write to stdout: {error}"));
    }
    Ok(exit)
}

fn exit_code(status: RunStatus) -> u8 {
    Exit::of_status(status, false).code()
}

fn detailed_exit_code(status: RunStatus) -> u8 {
    Exit::of_status(status, true).code()
}

/// Run at a terminal.
struct TerminalRun<'a> {
    teller: &'a EventReporter,
    interrupts: &'a Interrupts,
    detailed: bool,
}

impl RunListener for TerminalRun<'_> {
    fn interrupt(&self) -> &watch::Receiver<Option<Interrupt>> {
        &self.interrupts.heard
    }

    fn begins(&self) {
        self.interrupts.begin_run();
    }

    fn on_cut_off(&self, record: CutOff) {
        self.interrupts.before_the_end(record);
    }

    fn event(&self, event: Event) {
        self.teller.report(&event);
    }

    fn ended(&self, report: &RunReport) {
        let undone = report.undone.iter().map(ending::undone);
        for message in report.warnings.iter().cloned().chain(undone) {
            self.teller.record(&Event::new(report.ended, EventKind::Warning { message }));
        }
        self.teller.clear_progress();
        let message = ending::message(self.teller, report);
        self.teller.end(report.ended, Exit::of_status(report.status, self.detailed), &report.outcome, &message);
    }
}

/// Opens the file for a copy of the events, before anything else is tried: it must report how that ended.
fn copy(execution: &ExecutionArgs) -> Result<Option<File>, EarlyExit> {
    let stream = |path: &PathBuf| {
        let cannot =
            |error| EarlyExit::refused(Code::File, format!("can't write events to {}: {error}", path.display()));
        output::stream(path).map_err(cannot)
    };
    execution.json_into.as_ref().map(stream).transpose()
}

fn show(session: &Session, execution: &ExecutionArgs) -> Show {
    match execution.format {
        OutputFormat::Json => Show::Json,
        OutputFormat::Text if session.quiet => Show::Nothing,
        OutputFormat::Text if io::stderr().is_terminal() && session.may_redraw() => Show::Bars,
        OutputFormat::Text => Show::Lines,
    }
}
