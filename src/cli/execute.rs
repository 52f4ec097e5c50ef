//! Carrying out: `lcm apply` and `lcm down` are this, with another purpose. Lock, look, plan, show, ask, do, tell.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;

use crate::apply::{self, Context, Outcome};
use crate::cli::agreement::Agreement;
use crate::cli::args::{ExecutionArgs, Format};
use crate::cli::command::oneshot;
use crate::cli::ending::{self, Ended};
use crate::cli::exit::Exit;
use crate::cli::job::Job;
use crate::cli::opened::{self, Opened};
use crate::cli::stop::{Code, Stop};
use crate::cli::terminal::interrupt::Interrupts;
use crate::cli::terminal::session::Session;
use crate::cli::terminal::teller::Teller;
use crate::cli::{dry_run, locked, mode_override, outputs, owner, plan_view, run_events, saved, trusted, wire};
use crate::files::{named, output};
use crate::model::event::{Event, EventKind};
use crate::model::observed::Observed;
use crate::model::plan::{Plan, Purpose, Request};
use crate::model::snapshot::{Proposal, Snapshot};
use crate::report::print;
use crate::report::progress::{Progress, Show};
use crate::store::lock::HostLock;
use crate::store::{Author, RunBegun, StoreError};

/// Whoever reads the events is told of every end, also of one before there is a manifest.
pub(super) async fn run(session: &Session, job: Job) -> Result<Exit, Stop> {
    // Reading a stream may wait: an interrupt ends lcm meanwhile.
    if named::is_stream(&job.manifest) {
        let _ = wire::manifest_files(&job.manifest, &session.environment);
    }
    // Root leaves here where the project is another user's: before a file of events is made, which is that user's to make.
    if job.opened.is_none() && job.world.is_none() {
        owner::go_on_as_owner(session, &job.manifest, job.claim)?;
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
    let teller = Arc::new(Teller::new(Progress::new(show(session, &job.execution), session.stderr, copy)));
    let ended = match refused {
        // As large as all that it waits for.
        None => Box::pin(work(session, job, &teller)).await,
        Some(stop) => Err(stop),
    };
    teller.still();
    if let Err(stop) = &ended {
        teller.end_early(stop);
    }
    ended
}

/// The same for a command that ends before it knows what is to be carried out.
pub(super) fn tell_refused(session: &Session, execution: &ExecutionArgs, stop: &Stop) {
    // Where it can't be opened, there is nobody to tell.
    let copy = copy(execution).unwrap_or_default();
    Teller::new(Progress::new(show(session, execution), session.stderr, copy)).end_early(stop);
}

async fn work(session: &Session, mut job: Job, teller: &Arc<Teller>) -> Result<Exit, Stop> {
    let hearing = Arc::clone(teller);
    let interrupts = Interrupts::listen(move |interrupt, heard| hearing.hear(interrupt, heard))?;
    let (opened, saved) = open(session, &mut job)?;
    let job = &job;
    if job.purpose == Purpose::Apply && !opened.is_simulated() {
        trusted::warn_root(session, &opened.desired, &job.manifest);
    }
    let request = request(job, &opened, saved.as_ref())?;
    let began = opened.driver().now();
    let author = Author { by: locked::who(&session.environment), run: run_id(began) };
    let lock = take_lock(session, job, &opened).await?;
    let store_told = AtomicBool::new(false);
    let tell_of_store = |error: &StoreError| {
        if !store_told.swap(true, Ordering::Relaxed) {
            session.warn(&format!("the history is not kept in this run: {error}"));
        }
    };
    opened.ensure_writable(job.purpose, tell_of_store)?;
    opened.rename_former().unwrap_or_else(|error| tell_of_store(&error));
    close_killed(&opened, &tell_of_store);

    let agreement = Agreement {
        session,
        job,
        opened: &opened,
        request: &request,
        saved: saved.as_ref(),
        author: &author,
        tell_of_store: &tell_of_store,
    };
    let Proposal { snapshot: Snapshot { observed, .. }, plan } = agreement.reach().await?;
    keep_agreed(session, job, &opened, &request, &plan)?;
    opened.driver().record(&opened.desired.project).await;
    let began = Began { job, author: &author, at: began };
    let mut ended = if plan.steps.is_empty() && plan.settled().next().is_none() {
        forget(session, &opened, &plan);
        nothing_to_do(&opened, &plan, teller)
    } else {
        interrupts.begin_run();
        begin(&opened, began).unwrap_or_else(|error| tell_of_store(&error));
        if !opened.is_simulated() {
            interrupts.before_the_end(ending::record_cut_off(session, &opened, began));
        }
        let agreed = Agreed {
            opened: &opened,
            request: &request,
            plan: &plan,
            observed: &observed,
            author: &author,
            store_told: &store_told,
            lock: lock.as_ref(),
        };
        carry_out(job, &agreed, teller, &interrupts).await
    };
    settle_owner(session, job, &opened, &ended.outcome)?;
    ended.undone = oneshot::undone(session, &opened, &request, &plan).await;
    // Before the last event: a world that can't be written back has not changed.
    opened.close()?;
    ending::finish(session, &opened, teller, &ended, began, &tell_of_store).await;
    if job.execution.format == Format::Text
        && let Err(error) = print::data(&ending::words(job, &ended, session.stdout))
    {
        // It is done all the same, and the exit code must say so.
        session.warn(&format!("can't write to stdout: {error}"));
    }
    Ok(ended.exit)
}

/// Keeps what was agreed to, before it is carried out: who owns the project, its mode, and what was resumed.
fn keep_agreed(session: &Session, job: &Job, opened: &Opened, request: &Request, plan: &Plan) -> Result<(), Stop> {
    if !plan.steps.is_empty() || job.purpose != Purpose::Down {
        opened.own(session)?;
    }
    keep_mode(job, opened)?;
    oneshot::keep_resumed(opened, request)
}

/// What is asked of the planner. What was agreed to in a saved plan is what is done, forced or not.
pub(super) fn request(job: &Job, opened: &Opened, saved: Option<&Plan>) -> Result<Request, Stop> {
    let force = job.execution.force && saved.is_none();
    Ok(Request { purpose: job.purpose, force, ..plan_view::request(opened, &job.planning)? })
}

/// Takes note of what is left: nothing of the previous owner's, or nothing at all.
fn settle_owner(session: &Session, job: &Job, opened: &Opened, outcome: &Outcome) -> Result<(), Stop> {
    let Some(plan) = &outcome.last_plan else { return Ok(()) };
    if outcome.failures.is_empty() && plan.steps.is_empty() {
        opened.forget_previous(session)?;
    }
    if job.purpose == Purpose::Down && is_all_gone(plan) { opened.disown(session) } else { Ok(()) }
}

/// After a down: nothing is left to be stopped, removed or reported.
fn is_all_gone(plan: &Plan) -> bool {
    plan.steps.is_empty() && plan.blocked.is_empty() && plan.held.is_empty() && plan.orphans.is_empty()
}

/// The manifest in the mode that this job is about, and the saved plan where it is one's.
pub(super) fn open(session: &Session, job: &mut Job) -> Result<(Opened, Option<Plan>), Stop> {
    let saved = job.saved.as_deref().map(saved::read).transpose()?;
    if let Some(saved) = &saved {
        saved::choose(saved, &mut job.choice)?;
        saved::narrow(saved, &mut job.planning)?;
    }
    let mut opened = match job.opened.take() {
        Some(opened) => opened,
        None => opened::open_to(session, &job.manifest, &job.choice, job.world.as_deref(), job.claim)?,
    };
    if job.purpose == Purpose::Down {
        // All goes, well or not: a probe that can't be made must not keep it.
        opened.desired.services.values_mut().for_each(|service| service.health.probe = None);
    }
    if let (Some(voice), Some(mode)) = (&job.switch, opened.desired.mode.clone()) {
        mode_override::refuse_choice(&opened.desired, &mode)?;
        let switched = mode_override::switched(session, &opened, voice, mode);
        opened.switch(switched);
    }
    Ok((opened, saved))
}

/// Attempts that do not count any more; where there is something to do, the run itself forgets them.
fn forget(session: &Session, opened: &Opened, plan: &Plan) {
    for service in &plan.recovered {
        if let Err(error) = opened.store().set_attempts(&plan.project, service, None) {
            session.warn(&format!("{error}; what was tried of {service} goes on counting"));
        }
    }
}

/// Once the plan is agreed to, and before it is carried out: a switch that fails half way is gone on with.
fn keep_mode(job: &Job, opened: &Opened) -> Result<(), Stop> {
    match (&job.switch, job.purpose) {
        (Some(_), _) => opened.keep_switch(),
        (None, Purpose::Apply) => opened.forget_outlived(),
        (None, Purpose::Down | Purpose::Start | Purpose::Stop | Purpose::Restart) => Ok(()),
    }
}

fn nothing_to_do(opened: &Opened, plan: &Plan, teller: &Teller) -> Ended {
    let (project, mode) = (plan.project.clone(), plan.mode.clone());
    teller.tell(&Event::new(opened.driver().now(), EventKind::Run { project, mode }));
    let outcome = Outcome {
        changed: false,
        done: 0,
        skipped: 0,
        settled: 0,
        failures: Vec::new(),
        interrupted: None,
        refused: None,
        lock_lost: false,
        last_plan: Some(plan.clone()),
    };
    let exit = Exit::of_outcome(&outcome, false);
    Ended { outcome, exit, message: "nothing to do".to_owned(), warnings: plan.warnings.clone(), undone: Vec::new() }
}

/// What was shown, and made from what.
struct Agreed<'a> {
    opened: &'a Opened,
    request: &'a Request,
    plan: &'a Plan,
    observed: &'a Observed,
    author: &'a Author,
    store_told: &'a AtomicBool,
    /// `None`: the world is a file of the caller's own.
    lock: Option<&'a HostLock>,
}

async fn carry_out(job: &Job, agreed: &Agreed<'_>, teller: &Teller, interrupts: &Interrupts) -> Ended {
    let Agreed { opened, request, plan, observed, author, store_told, lock } = *agreed;
    let events = |event: Event| teller.tell(&event);
    let began = opened.driver().now();
    let earlier = opened.store().pending(&opened.desired.project).unwrap_or_default();
    let options = job.execution.options();
    let planner = opened.planner();
    let orphans = observed.orphans.iter().map(|orphan| (orphan.service.clone(), orphan.stop.clone())).collect();
    let context = Context {
        driver: opened.driver(),
        store: opened.store(),
        store_told,
        author,
        desired: &opened.desired,
        request,
        approved: job.saved.as_ref().map(|_| plan),
        planner: &planner,
        earlier: &earlier,
        orphans: &orphans,
        options: &options,
        events: &events,
        interrupt: &interrupts.heard,
        check_lock: &|| locked::check(lock),
    };
    let outcome = apply::apply(context, plan).await;
    let took = opened.driver().now().duration_since(began).as_millis();
    let message = teller.sentence(&outcome, u64::try_from(took).unwrap_or_default());
    let exit = Exit::of_outcome(&outcome, job.planning.detailed_exitcode);
    Ended { outcome, exit, message, warnings: plan.warnings.clone(), undone: Vec::new() }
}

/// What a run began as.
#[derive(Clone, Copy)]
pub(super) struct Began<'a> {
    pub(super) job: &'a Job,
    pub(super) author: &'a Author,
    pub(super) at: Timestamp,
}

/// The simulated world is a file of the caller's own; the machine is everybody's.
async fn take_lock(session: &Session, job: &Job, opened: &Opened) -> Result<Option<HostLock>, Stop> {
    if opened.is_simulated() {
        return Ok(None);
    }
    locked::take(session, job.command, opened, job.execution.lock_timeout).await.map(Some)
}

/// Records runs that were killed: under the lock no other run of this host is under way.
fn close_killed(opened: &Opened, tell_of_store: &dyn Fn(&StoreError)) {
    let notices = |killed: &RunBegun| run_events::of_killed(opened, killed);
    let closed = opened.store().close_killed(&opened.desired.project, &notices);
    closed.unwrap_or_else(|error| tell_of_store(&error));
}

/// Records the run before its first effect.
fn begin(opened: &Opened, began: Began<'_>) -> Result<(), StoreError> {
    let Began { job, author, at } = began;
    opened.store().begin_run(&RunBegun {
        id: author.run.clone(),
        manifest: opened.desired.entry.display().to_string(),
        project: opened.desired.project.clone(),
        command: job.command.to_owned(),
        by: author.by.clone(),
        began: at,
        mode: opened.desired.mode.clone(),
    })
}

/// `20261121-153000-4711`: when it began, and the process. People read it, and in this order runs are sorted.
fn run_id(began: Timestamp) -> String {
    format!("{}-{}", began.strftime("%Y%m%d-%H%M%S"), std::process::id())
}

/// Where a copy of the events goes; made before anything else is tried, so that it can say how that ended.
fn copy(execution: &ExecutionArgs) -> Result<Option<File>, Stop> {
    let stream = |path: &PathBuf| {
        let cannot = |error| Stop::refused(Code::File, format!("can't write events to {}: {error}", path.display()));
        output::stream(path).map_err(cannot)
    };
    execution.json_into.as_ref().map(stream).transpose()
}

fn show(session: &Session, execution: &ExecutionArgs) -> Show {
    match execution.format {
        Format::Json => Show::Json,
        Format::Text if session.quiet => Show::Nothing,
        Format::Text if io::stderr().is_terminal() && session.may_redraw() => Show::Bars,
        Format::Text => Show::Lines,
    }
}
