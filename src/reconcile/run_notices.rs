//! Events of whole runs, for the notifiers that request them. Each is recorded with the end of its run, and delivered
//! once that is on record, by this run or a later one: until it is accepted, or three runs have tried.

use crate::host::calls::HookCall;
use crate::model::hooks::{FORMAT, Notifier, Payload, Point, RunEvent, RunPayload};
use crate::model::mode_set::ModeSet;
use crate::model::pending::{self, TRIES_MAX};
use crate::model::plan::{Purpose, Request};
use crate::reconcile::project::Project;
use crate::reconcile::report::RunStatus;
use crate::store::{KILLED_EXIT_CODE, NotifiedMode, RunBegun, RunNotice, RunRecord, StoreError};

/// Returns the notices of a run that has ended.
pub(crate) async fn of_end(
    project: &Project,
    request: &Request,
    run: &RunRecord,
    status: RunStatus,
) -> Result<Vec<RunNotice>, StoreError> {
    let payload = |hook| RunPayload {
        format: FORMAT.to_owned(),
        at: run.ended,
        hook,
        project: run.project.clone(),
        mode: project.desired.mode.clone(),
        modes: ModeSet::names(project.desired.mode.as_ref()),
        from_mode: None,
        command: run.command.clone(),
        by: run.by.clone(),
        run: run.id.clone(),
        exit_code: run.exit_code,
        error: None,
    };
    let is_whole = request.purpose == Purpose::Apply && request.targets.is_empty();
    let mut notices = Vec::new();
    for (notifier, digest) in requesting(project) {
        if status == RunStatus::Failed && notifier.events.contains(&RunEvent::RunFailed) {
            let payload = RunPayload { error: run.first_error.clone(), ..payload(RunEvent::RunFailed) };
            notices.push(notice(&digest, payload));
        }
        if is_whole && status.is_over() && notifier.events.contains(&RunEvent::ModeChanged) {
            let changed = mode_changed(project, run, &digest, payload(RunEvent::ModeChanged)).await?;
            notices.extend(changed.map(|payload| notice(&digest, payload)));
        }
    }
    Ok(notices)
}

/// Returns the event of a mode that a notifier was not informed of yet.
async fn mode_changed(
    project: &Project,
    run: &RunRecord,
    digest: &str,
    payload: RunPayload,
) -> Result<Option<RunPayload>, StoreError> {
    let store = project.store();
    let notified = store.notified_mode(&run.project, digest).await?;
    if notified.as_ref().is_some_and(|NotifiedMode(mode)| *mode == payload.mode) {
        return Ok(None);
    }
    // A new notifier is informed neither of a mode from before it, nor of having none.
    if notified.is_none() && (!run.changed || payload.mode.is_none()) {
        store.set_notified_mode(&run.project, digest, payload.mode.as_ref()).await?;
        return Ok(None);
    }
    Ok(Some(RunPayload { from_mode: notified.and_then(|NotifiedMode(mode)| mode), ..payload }))
}

/// Returns the notices of a run that was killed.
pub(crate) fn of_killed(project: &Project, killed: &RunBegun) -> Vec<RunNotice> {
    let of = |(_, digest): (&Notifier, String)| {
        let payload = RunPayload {
            format: FORMAT.to_owned(),
            at: project.driver().now(),
            hook: RunEvent::RunFailed,
            project: killed.project.clone(),
            mode: killed.mode.clone(),
            modes: ModeSet::names(killed.mode.as_ref()),
            from_mode: None,
            command: killed.command.clone(),
            by: killed.by.clone(),
            run: killed.id.clone(),
            exit_code: KILLED_EXIT_CODE,
            error: Some("the run was killed before it ended".to_owned()),
        };
        notice(&digest, payload)
    };
    requesting(project).filter(|(notifier, _)| notifier.events.contains(&RunEvent::RunFailed)).map(of).collect()
}

fn notice(digest: &str, payload: RunPayload) -> RunNotice {
    RunNotice { id: 0, notifier: digest.to_owned(), payload, tries: 0 }
}

/// Returns the notifiers that request any event of a run, each with the digest of its call.
fn requesting(project: &Project) -> impl Iterator<Item = (&Notifier, String)> {
    let masker = project.desired.masker();
    let requesting = project.desired.notify.iter().filter(|notifier| !notifier.events.is_empty());
    requesting
        .map(move |notifier| (notifier, pending::digest(&masker, Point::NotifyAfter, &notifier.call, &notifier.cwd)))
}

/// Delivers all recorded notices to their notifiers, one after the other, each within its own time-out.
pub(crate) async fn deliver_all(project: &Project, warn: &dyn Fn(&str)) -> Result<(), StoreError> {
    let (store, name) = (project.store(), &project.desired.project);
    let notifiers: Vec<(&Notifier, String)> = requesting(project).collect();
    let (mut done, mut tried) = (Vec::new(), Vec::new());
    for notice in store.run_notices(name).await? {
        let found = notifiers.iter().find(|(_, digest)| *digest == notice.notifier);
        let Some((notifier, _)) = found else {
            warn(&format!(
                "{} of run {} is dropped: the manifest no longer has its notifier",
                named(&notice),
                notice.payload.run
            ));
            done.push(notice.id);
            continue;
        };
        match deliver(project, notifier, &notice.payload).await {
            None => done.push(notice.id),
            Some(error) => {
                let then = if notice.tries + 1 >= TRIES_MAX { "it is dropped" } else { "the next run tries again" };
                warn(&format!("{} of run {} {error}; {then}", named(&notice), notice.payload.run));
                tried.push(notice.id);
            }
        }
    }
    if done.is_empty() && tried.is_empty() {
        return Ok(());
    }
    store.settle_run_notices(name, &done, &tried).await
}

fn named(notice: &RunNotice) -> &'static str {
    notice.payload.hook.as_str()
}

/// Delivers an event, and returns the error; `None`: it was accepted.
async fn deliver(project: &Project, notifier: &Notifier, payload: &RunPayload) -> Option<String> {
    let Notifier { call, cwd, timeout, source, .. } = notifier;
    let hook_call = HookCall { call, cwd, timeout: *timeout, payload: Payload::Run(payload) };
    let error = project.driver().call(&hook_call).await.error?;
    let masker = project.desired.masker();
    let called = masker.mask(&call.to_string());
    Some(format!("was not delivered to {called} ({source}): {}", masker.mask(&error)))
}
