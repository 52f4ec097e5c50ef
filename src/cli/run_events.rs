//! Events of whole runs, told to the notifiers that ask for them once a run has ended.
//!
//! A mode is told to each notifier until it takes it: what is kept is the mode that it was last told of, so that a run
//! which was killed in between is made up for by the next one.

use crate::cli::execute::Job;
use crate::cli::exit::Exit;
use crate::cli::opened::Opened;
use crate::driver::Errand;
use crate::model::hooks::{FORMAT, Notifier, Payload, Point, RunEvent, RunPayload};
use crate::model::pending;
use crate::model::plan::Purpose;
use crate::store::{Author, KILLED_EXIT_CODE, RunBegun, ToldMode};

/// How a run ended, as far as notifiers are told.
pub(super) struct EndedRun<'a> {
    pub(super) author: &'a Author,
    pub(super) exit: Exit,
    pub(super) changed: bool,
    pub(super) first_error: Option<&'a str>,
    /// Runs that this one found without an end.
    pub(super) killed: &'a [RunBegun],
}

/// Tells all of them, one after the other, each within its own time.
pub(super) async fn tell(job: &Job, opened: &Opened, ended: &EndedRun<'_>, warn: &dyn Fn(&str)) {
    let EndedRun { author, exit, first_error, killed, .. } = *ended;
    let this = RunPayload {
        format: FORMAT.to_owned(),
        at: opened.driver().now(),
        hook: RunEvent::RunFailed,
        project: opened.desired.project.clone(),
        mode: opened.desired.mode.clone(),
        from_mode: None,
        command: job.command.to_owned(),
        by: author.by.clone(),
        run: author.run.clone(),
        exit_code: exit.code(),
        error: first_error.map(str::to_owned),
    };
    for notifier in opened.desired.notify.iter().filter(|notifier| !notifier.events.is_empty()) {
        if notifier.events.contains(&RunEvent::RunFailed) {
            for run in killed {
                let (command, by, run) = (run.command.clone(), run.by.clone(), run.id.clone());
                let error = Some("it was killed before its end".to_owned());
                let payload = RunPayload { command, by, run, error, exit_code: KILLED_EXIT_CODE, ..this.clone() };
                deliver(opened, notifier, &payload, warn).await;
            }
            if exit == Exit::Failed {
                deliver(opened, notifier, &this, warn).await;
            }
        }
        let is_whole = job.purpose == Purpose::Apply && job.planning.narrow.targets.is_empty();
        let is_over = matches!(exit, Exit::Done | Exit::Changes | Exit::Failed | Exit::Blocked);
        if notifier.events.contains(&RunEvent::ModeChanged) && is_whole && is_over {
            tell_mode(opened, notifier, &this, ended.changed, warn).await;
        }
    }
}

/// Tells a notifier of a mode that it does not know of yet.
async fn tell_mode(opened: &Opened, notifier: &Notifier, this: &RunPayload, changed: bool, warn: &dyn Fn(&str)) {
    let (store, project) = (opened.store(), &opened.desired.project);
    let digest = pending::digest(&opened.desired.masker(), Point::NotifyAfter, &notifier.call, &notifier.cwd);
    let told = match store.told_mode(project, &digest) {
        Ok(told) => told,
        Err(error) => return warn(&format!("which mode a notifier was last told of is not known: {error}")),
    };
    if told.as_ref().is_some_and(|ToldMode(told)| *told == this.mode) {
        return;
    }
    // One that is new is not told of what was so before it, nor of no mode at all.
    let is_news = told.is_some() || (changed && this.mode.is_some());
    let from_mode = told.and_then(|ToldMode(told)| told);
    let payload = RunPayload { hook: RunEvent::ModeChanged, from_mode: from_mode.clone(), error: None, ..this.clone() };
    let is_taken = !is_news || deliver(opened, notifier, &payload, warn).await;
    // What was not taken is news to the next run too.
    let known = if is_taken { this.mode.as_ref() } else { from_mode.as_ref() };
    if let Err(error) = store.set_told_mode(project, &digest, known) {
        warn(&format!("the mode that a notifier was told of is not kept, so it is told again: {error}"));
    }
}

/// Whether it took the event.
async fn deliver(opened: &Opened, notifier: &Notifier, payload: &RunPayload, warn: &dyn Fn(&str)) -> bool {
    let Notifier { call, cwd, timeout, source, .. } = notifier;
    let errand = Errand { call, cwd, timeout: *timeout, payload: Payload::Run(payload) };
    let answer = opened.driver().call(&errand).await;
    let Some(error) = answer.error else { return true };
    let masker = opened.desired.masker();
    let called = masker.mask(&call.to_string());
    warn(&format!("{} was not told to {called} ({source}): {}", payload.hook.as_str(), masker.mask(&error)));
    false
}
