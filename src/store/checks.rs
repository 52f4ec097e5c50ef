//! What every store owes its users, asked of each of them. `reader` is opened beside `writer`, or is the same.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Entry, PENDING_MAX, PendingChange, Run, RunBegun, RunEnd, Store};
use crate::model::facts::Attempts;
use crate::model::hooks::{FORMAT, HookPayload, Point};
use crate::model::lifecycle::State;
use crate::model::names::ProjectName;
use crate::model::pending::{Due, PendingCall, TRIES_MAX};
use crate::model::words::{Said, Switched, Word, Words};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).expect("in range")
}

pub(super) fn words(writer: &dyn Store, reader: &dyn Store) {
    let project = ProjectName::from("studio");
    let said = |word, second| Said {
        word,
        by: "kim".to_owned(),
        since: at(second),
        reason: (word == Word::Maintain).then(|| "a new driver".to_owned()),
        metadata: BTreeMap::from([("ticket".to_owned(), "42".to_owned())]),
    };
    let switched = |entry: &str, mode: &str| Switched {
        mode: mode.into(),
        entry: entry.to_owned(),
        own_mode: (mode == "video").then(|| "voice".into()),
        by: "kim".to_owned(),
        since: at(3),
        reason: None,
    };
    assert_eq!(reader.words(&project).expect("read"), Words::default());
    writer.say(&project, &"a".into(), Some(&said(Word::Suspend, 1))).expect("said");
    writer.say(&project, &"b".into(), Some(&said(Word::Terminate, 1))).expect("said");
    writer.say(&project, &"a".into(), Some(&said(Word::Maintain, 2))).expect("said");
    for (entry, mode) in [("/y/lcm.yaml", "chat"), ("/x/lcm.yaml", "video")] {
        writer.switch(&project, Some(&switched(entry, mode))).expect("said");
    }
    let words = reader.words(&project).expect("read");
    let services = [("a".into(), said(Word::Maintain, 2)), ("b".into(), said(Word::Terminate, 1))].into();
    let mode = Some(switched("/x/lcm.yaml", "video"));
    assert_eq!(words, Words { services, mode }, "the newest word takes the place of an earlier one");

    writer.say(&project, &"a".into(), None).expect("taken back");
    writer.say(&project, &"never".into(), None).expect("nothing to take back");
    writer.switch(&project, None).expect("taken back");
    let words = reader.words(&project).expect("read");
    let services = [("b".into(), said(Word::Terminate, 1))].into();
    assert_eq!(words, Words { services, mode: None });
}

pub(super) fn attempts(writer: &dyn Store, reader: &dyn Store) {
    let project = ProjectName::from("studio");
    let tried = |count| Attempts { count, last_at: at(i64::from(count)), spec: "v1:aa".to_owned() };
    let known = || {
        let known = reader.last_known(&project).expect("read");
        known.into_iter().map(|(service, fact)| (service, fact.attempts)).collect::<Vec<_>>()
    };
    writer.set_attempts(&project, &"a".into(), Some(&tried(1))).expect("kept");
    writer.set_attempts(&project, &"b".into(), Some(&tried(1))).expect("kept");
    writer.set_attempts(&"other".into(), &"a".into(), Some(&tried(7))).expect("kept");
    writer.set_attempts(&project, &"a".into(), Some(&tried(2))).expect("kept");
    assert_eq!(known(), [("a".into(), Some(tried(2))), ("b".into(), Some(tried(1)))]);
    writer.set_attempts(&project, &"a".into(), None).expect("forgotten");
    assert_eq!(known(), [("b".into(), Some(tried(1)))]);
}

pub(super) fn pending(writer: &dyn Store, reader: &dyn Store) {
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
    let write = |pending: PendingChange<'_>| writer.write(&Entry { pending, ..Entry::of(&project) }).expect("written");
    let due = || {
        let pending = reader.pending(&project).expect("read");
        pending.iter().map(|call| (call.payload.at, call.due, call.tries)).collect::<Vec<_>>()
    };
    let reached = Due::Reached(State::Online);
    let calls = [
        call(Point::PostStart, reached, 1),
        call(Point::NotifyAfter, Due::Now, 2),
        call(Point::PreStop, Due::Acknowledged, 3),
    ];
    let ids = write(PendingChange { add: &calls, ..PendingChange::default() });
    assert_eq!(due(), [(at(1), reached, 0), (at(2), Due::Now, 0), (at(3), Due::Acknowledged, 0)]);
    let expected = PendingCall { id: ids[0], ..calls[0].clone() };
    assert_eq!(reader.pending(&project).expect("read")[0], expected);
    write(PendingChange { due: &ids[..1], done: &ids[2..], tried: &ids[1..2], ..PendingChange::default() });
    assert_eq!(due(), [(at(1), Due::Now, 0), (at(2), Due::Now, 1)]);
    for _ in 1..TRIES_MAX {
        write(PendingChange { tried: &ids[1..2], ..PendingChange::default() });
    }
    assert_eq!(due(), [(at(1), Due::Now, 0)], "tried often enough");
    write(PendingChange { done: &ids, ..PendingChange::default() });
    assert_eq!(due(), []);
    let many: Vec<PendingCall> = (0..=PENDING_MAX).map(|_| calls[1].clone()).collect();
    write(PendingChange { add: &many, ..PendingChange::default() });
    assert_eq!(due().len(), PENDING_MAX);
}

pub(super) fn runs_begun(writer: &dyn Store, reader: &dyn Store) {
    let project = ProjectName::from("studio");
    let begun = |id: &str, second| RunBegun {
        id: id.to_owned(),
        manifest: "/x/lcm.yaml".to_owned(),
        project: project.clone(),
        command: "lcm apply".to_owned(),
        by: "kim".to_owned(),
        began: at(second),
        mode: Some("video".into()),
    };
    writer.begin_run(&begun("r1", 1)).expect("written");
    assert_eq!(reader.runs_begun(&project).expect("read"), [begun("r1", 1)]);
    let RunBegun { id, manifest, project: of, command, by, began, mode: _ } = begun("r1", 1);
    let run = Run {
        id,
        manifest,
        project: of,
        command,
        by,
        began,
        ended: at(2),
        end: RunEnd::HungUp,
        exit_code: 143,
        changed: true,
        first_error: None,
    };
    writer.record_run(&run, &[]).expect("written");
    assert_eq!(
        (reader.runs_begun(&project).expect("read"), reader.last_run(&project).expect("read")),
        (vec![], Some(run))
    );
    writer.begin_run(&begun("r2", 3)).expect("written");
    writer.close_killed(&project, &|_| Vec::new()).expect("written");
    assert_eq!(reader.runs_begun(&project).expect("read"), []);
    let last = reader.last_run(&project).expect("read").expect("it is listed");
    assert_eq!((last.id.as_str(), last.end, last.exit_code, last.changed), ("r2", RunEnd::Killed, 137, false));
}
