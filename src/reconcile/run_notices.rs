//! Events of whole runs, for the notifiers that ask for them. They are recorded with the end of the run that they are
//! about, and told once that is on record, by this run or a later one: until they are taken, or three runs have tried.

use crate::host::calls::HookCall;
use crate::model::hooks::{FORMAT, Notifier, Payload, Point, RunEvent, RunPayload};
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
        from_mode: None,
        command: run.command.clone(),
        by: run.by.clone(),
        run: run.id.clone(),
        exit_code: run.exit_code,
        error: None,
    };
    let is_whole = request.purpose == Purpose::Apply && request.targets.is_empty();
    let mut notices = Vec::new();
    for (notifier, digest) in asking(project) {
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

/// The event of a mode that a notifier does not know of yet.
async fn mode_changed(
    project: &Project,
    run: &RunRecord,
    digest: &str,
    payload: RunPayload,
) -> Result<Option<RunPayload>, StoreError> {
    let store = project.store();
    let told = store.told_mode(&run.project, digest).await?;
    if told.as_ref().is_some_and(|NotifiedMode(told)| *told == payload.mode) {
        return Ok(None);
    }
    // One that is new is not told of what was so before it, nor of no mode at all.
    if told.is_none() && (!run.changed || payload.mode.is_none()) {
        store.set_told_mode(&run.project, digest, payload.mode.as_ref()).await?;
        return Ok(None);
    }
    Ok(Some(RunPayload { from_mode: told.and_then(|NotifiedMode(told)| told), ..payload }))
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
            from_mode: None,
            command: killed.command.clone(),
            by: killed.by.clone(),
            run: killed.id.clone(),
            exit_code: KILLED_EXIT_CODE,
            error: Some("it was killed before its end".to_owned()),
        };
        notice(&digest, payload)
    };
    asking(project).filter(|(notifier, _)| notifier.events.contains(&RunEvent::RunFailed)).map(of).collect()
}

fn notice(digest: &str, payload: RunPayload) -> RunNotice {
    RunNotice { id: 0, notifier: digest.to_owned(), payload, tries: 0 }
}

/// Notifiers that ask for any, each with the digest of its call.
fn asking(project: &Project) -> impl Iterator<Item = (&Notifier, String)> {
    let masker = project.desired.masker();
    let asking = project.desired.notify.iter().filter(|notifier| !notifier.events.is_empty());
    asking.map(move |notifier| (notifier, pending::digest(&masker, Point::NotifyAfter, &notifier.call, &notifier.cwd)))
}

/// Tells notifiers of all that is on record for them, one after the other, each within its own time.
pub(crate) async fn tell(project: &Project, warn: &dyn Fn(&str)) -> Result<(), StoreError> {
    let (store, name) = (project.store(), &project.desired.project);
    let notifiers: Vec<(&Notifier, String)> = asking(project).collect();
    let (mut done, mut tried) = (Vec::new(), Vec::new());
    for notice in store.run_notices(name).await? {
        let found = notifiers.iter().find(|(_, digest)| *digest == notice.notifier);
        let Some((notifier, _)) = found else {
            warn(&format!(
                "{} of run {} is told to none: the manifest has its notifier no more",
                named(&notice),
                notice.payload.run
            ));
            done.push(notice.id);
            continue;
        };
        match deliver(project, notifier, &notice.payload).await {
            None => done.push(notice.id),
            Some(error) => {
                let then = if notice.tries + 1 >= TRIES_MAX { "it is dropped" } else { "the next run tells it" };
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

/// `None`: it took the event.
async fn deliver(project: &Project, notifier: &Notifier, payload: &RunPayload) -> Option<String> {
    let Notifier { call, cwd, timeout, source, .. } = notifier;
    let hook_call = HookCall { call, cwd, timeout: *timeout, payload: Payload::Run(payload) };
    let error = project.driver().call(&hook_call).await.error?;
    let masker = project.desired.masker();
    let called = masker.mask(&call.to_string());
    Some(format!("was not told to {called} ({source}): {}", masker.mask(&error)))
}
