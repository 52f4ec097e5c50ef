//! Contract of the journal.

use std::collections::BTreeMap;

use super::factory::{Factory, at};
use crate::model::converged::{Converged, FileText};
use crate::model::hooks::{FORMAT, HookPayload, Point, RunEvent, RunPayload};
use crate::model::lifecycle::State;
use crate::model::names::ProjectName;
use crate::model::pending::{Due, PendingCall, TRIES_MAX};
use crate::store::journal::{CONVERGED_MAX, JournalEntry, PENDING_MAX, PendingChange};
use crate::store::{
    Author, FencingToken, Measure, Measured, NotifiedMode, RunBegun, RunEnd, RunNotice, RunRecord, StoreError,
    Transition,
};

/// Token of the run that holds the lock.
const TOKEN: FencingToken = FencingToken(7);

fn begun(id: &str, second: i64) -> RunBegun {
    RunBegun {
        id: id.to_owned(),
        manifest: "/x/lcm.yaml".to_owned(),
        project: "studio".into(),
        command: "lcm apply".to_owned(),
        by: "kim".to_owned(),
        began: at(second),
        mode: Some("video".into()),
    }
}

/// A run that ended one second after its begin.
fn run(id: &str, second: i64) -> RunRecord {
    let RunBegun { id, manifest, project, command, by, began, mode: _ } = begun(id, second);
    RunRecord {
        id,
        manifest,
        project,
        command,
        by,
        began,
        ended: at(second + 1),
        end: RunEnd::HungUp,
        exit_code: 143,
        changed: true,
        first_error: None,
    }
}

fn notice(hook: RunEvent, second: i64) -> RunNotice {
    let payload = RunPayload {
        format: FORMAT.to_owned(),
        at: at(second),
        hook,
        project: "studio".into(),
        mode: Some("voice".into()),
        modes: vec!["voice".into()],
        from_mode: None,
        command: "lcm apply".to_owned(),
        by: "kim".to_owned(),
        run: "r1".to_owned(),
        exit_code: 3,
        error: None,
    };
    RunNotice { id: 0, notifier: "v1:aa".to_owned(), payload, tries: 0 }
}

pub(super) async fn pending_calls_are_kept_until_they_are_made(factory: &impl Factory) {
    let (writer, reader) = (factory.open(), factory.open());
    let project = ProjectName::from("studio");
    let call = |hook: Point, due: Due, second: i64| PendingCall {
        id: 0,
        due,
        digest: "v1:aa".to_owned(),
        call: "./warm.sh".to_owned(),
        payload: HookPayload {
            format: FORMAT.to_owned(),
            at: at(second),
            hook,
            project: project.clone(),
            service: "a".into(),
            from: State::Starting,
            to: State::Online,
            reason: "mode video wants it".to_owned(),
            code: None,
            made: true,
            by: "kim".to_owned(),
            run: "r1".to_owned(),
            gpus: Vec::new(),
            instance: None,
        },
        tries: 0,
    };
    let write = async |pending: PendingChange<'_>| {
        writer.write(&JournalEntry { pending, ..JournalEntry::of(&project) }).await.expect("written")
    };
    let due = async || {
        let pending = reader.pending(&project).await.expect("read");
        pending.iter().map(|call| (call.payload.at, call.due, call.tries)).collect::<Vec<_>>()
    };
    let reached = Due::Reached(State::Online);
    let calls = [
        call(Point::PostStart, reached, 1),
        call(Point::NotifyAfter, Due::Now, 2),
        call(Point::PreStop, Due::Acknowledged, 3),
    ];
    let ids = write(PendingChange { add: &calls, ..PendingChange::default() }).await;
    assert_eq!(due().await, [(at(1), reached, 0), (at(2), Due::Now, 0), (at(3), Due::Acknowledged, 0)]);
    let expected = PendingCall { id: ids[0], ..calls[0].clone() };
    assert_eq!(reader.pending(&project).await.expect("read")[0], expected);
    write(PendingChange { due: &ids[..1], done: &ids[2..], tried: &ids[1..2], ..PendingChange::default() }).await;
    assert_eq!(due().await, [(at(1), Due::Now, 0), (at(2), Due::Now, 1)]);
    for _ in 1..TRIES_MAX {
        write(PendingChange { tried: &ids[1..2], ..PendingChange::default() }).await;
    }
    assert_eq!(due().await, [(at(1), Due::Now, 0)], "tried often enough");
    write(PendingChange { done: &ids, ..PendingChange::default() }).await;
    assert_eq!(due().await, []);
    let many: Vec<PendingCall> = (0..=PENDING_MAX).map(|_| calls[1].clone()).collect();
    write(PendingChange { add: &many, ..PendingChange::default() }).await;
    assert_eq!(due().await.len(), PENDING_MAX);
}

pub(super) async fn a_run_without_an_end_is_recorded_as_killed(factory: &impl Factory) {
    let (writer, reader) = (factory.open(), factory.open());
    let project = ProjectName::from("studio");
    writer.begin_run(TOKEN, &begun("r1", 1)).await.expect("written");
    assert_eq!(reader.runs_begun(&project).await.expect("read"), [begun("r1", 1)]);
    let run = run("r1", 1);
    writer.record_run(TOKEN, &run, &[]).await.expect("written");
    assert_eq!(
        (reader.runs_begun(&project).await.expect("read"), reader.last_run(&project).await.expect("read")),
        (vec![], Some(run))
    );
    writer.begin_run(TOKEN, &begun("r2", 3)).await.expect("written");
    writer.close_killed(TOKEN, &project, &[]).await.expect("written");
    assert_eq!(reader.runs_begun(&project).await.expect("read"), []);
    let last = reader.last_run(&project).await.expect("read").expect("it is listed");
    assert_eq!((last.id.as_str(), last.end, last.exit_code, last.changed), ("r2", RunEnd::Killed, 137, false));
}

pub(super) async fn a_record_under_an_older_token_is_refused(factory: &impl Factory) {
    let (late, newer) = (factory.open(), factory.open());
    let project = ProjectName::from("studio");
    assert_eq!(late.newest_token().await.expect("read"), FencingToken::default());
    late.begin_run(TOKEN, &begun("r1", 1)).await.expect("written");
    newer.begin_run(FencingToken(8), &begun("r2", 2)).await.expect("it took the lock since");
    assert_eq!(late.newest_token().await.expect("read"), FencingToken(8));
    let refused = |written: Result<(), StoreError>| {
        let error = written.expect_err("its lock was lost");
        assert!(matches!(error, StoreError::Fenced { token: TOKEN, newest: FencingToken(8) }), "{error}");
        assert!(error.to_string().contains("its token is 7, and a run with token 8 is on record since"), "{error}");
    };
    refused(late.begin_run(TOKEN, &begun("r3", 3)).await);
    refused(late.record_run(TOKEN, &run("r1", 1), &[notice(RunEvent::RunFailed, 2)]).await);
    refused(late.close_killed(TOKEN, &project, &[notice(RunEvent::RunFailed, 2)]).await);
    assert_eq!(
        newer.runs_begun(&project).await.expect("read"),
        [begun("r1", 1), begun("r2", 2)],
        "nothing was changed"
    );
    assert_eq!(newer.last_run(&project).await.expect("read"), None);
    assert_eq!(newer.run_notices(&project).await.expect("read"), []);
    newer.record_run(FencingToken(8), &run("r2", 2), &[]).await.expect("it holds the lock");
    newer.close_killed(FencingToken(9), &project, &[]).await.expect("so does the next one");
    assert_eq!(newer.runs_begun(&project).await.expect("read"), []);
    assert_eq!(newer.newest_token().await.expect("read"), FencingToken(9));
}

pub(super) async fn no_killed_run_costs_no_write(factory: &impl Factory) {
    let (writer, reader) = (factory.open(), factory.open());
    let project = ProjectName::from("studio");
    writer.close_killed(TOKEN, &project, &[notice(RunEvent::RunFailed, 1)]).await.expect("nothing to close");
    assert_eq!(reader.run_notices(&project).await.expect("read"), []);
    assert_eq!(reader.newest_token().await.expect("read"), FencingToken::default());
}

pub(super) async fn notices_are_kept_until_they_are_delivered_or_tried_too_often(factory: &impl Factory) {
    let (writer, reader) = (factory.open(), factory.open());
    let project = ProjectName::from("studio");
    let notices = [notice(RunEvent::RunFailed, 1), notice(RunEvent::ModeChanged, 2)];
    writer.record_run(TOKEN, &run("r1", 1), &notices).await.expect("written");
    let notified = reader.notified_mode(&project, "v1:aa").await.expect("read");
    assert_eq!(notified, Some(NotifiedMode(Some("voice".into()))), "recorded with the notice");
    let kept = reader.run_notices(&project).await.expect("read");
    let payloads: Vec<RunPayload> = kept.iter().map(|notice| notice.payload.clone()).collect();
    assert_eq!(payloads, notices.map(|notice| notice.payload));
    writer.settle_run_notices(&project, &[kept[0].id], &[]).await.expect("written");
    for tries in 0..TRIES_MAX {
        let left = reader.run_notices(&project).await.expect("read");
        assert_eq!(left.iter().map(|notice| notice.tries).collect::<Vec<_>>(), [tries]);
        writer.settle_run_notices(&project, &[], &[kept[1].id]).await.expect("written");
    }
    assert_eq!(reader.run_notices(&project).await.expect("read"), []);
    writer.set_notified_mode(&project, "v1:aa", None).await.expect("written");
    assert_eq!(reader.notified_mode(&project, "v1:aa").await.expect("read"), Some(NotifiedMode(None)));
    assert_eq!(reader.notified_mode(&project, "v1:bb").await.expect("read"), None);
}

pub(super) async fn history_has_changes_and_measures(factory: &impl Factory) {
    let (writer, reader) = (factory.open(), factory.open());
    let project = ProjectName::from("studio");
    let change = |to, made, second| Transition {
        at: at(second),
        project: project.clone(),
        service: "a".into(),
        from: State::Starting,
        to,
        reason: "it answers".to_owned(),
        made,
        author: Author::default(),
        metadata: BTreeMap::new(),
    };
    writer.record(&change(State::Online, true, 1)).await.expect("written");
    writer.record(&change(State::Failed, false, 2)).await.expect("written");
    let what = Measured::Ready { took_ms: 9 };
    let measure = Measure { at: at(3), project: project.clone(), service: "b".into(), what };
    writer.record_measure(&measure).await.expect("written");
    let known = reader.last_known(&project).await.expect("read");
    assert_eq!((known[&"a".into()].state, known[&"a".into()].seen), (Some(State::Online), Some(State::Failed)));
    assert_eq!(known[&"b".into()].estimates.ready_ms, Some(9));
    assert_eq!(reader.last_known(&"other".into()).await.expect("read"), BTreeMap::new());
}

pub(super) async fn converged_runs_are_kept_newest_first_and_once(factory: &impl Factory) {
    let (writer, reader) = (factory.open(), factory.open());
    let project = ProjectName::from("studio");
    let converged = |number: usize| Converged {
        run: format!("r{number}"),
        at: at(1),
        mode: None,
        own_mode: None,
        goals: [].into(),
        entry: "/x/lcm.yaml".into(),
        files: [FileText { path: "/x/lcm.yaml".into(), text: format!("version: {number}") }].into(),
    };
    for number in (0..CONVERGED_MAX + 2).chain([5, 5]) {
        writer.keep_converged(&project, &converged(number)).await.expect("kept");
    }
    let kept = reader.converged(&project).await.expect("read");
    let kept: Vec<&str> = kept.iter().map(|one| one.run.as_str()).collect();
    assert_eq!(kept, ["r5", "r11", "r10", "r9", "r8", "r7", "r6", "r4", "r3", "r2"]);
}
