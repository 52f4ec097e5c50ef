//! Tests of history queries, with each filter, and by many readers at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, params_from_iter};

use super::super::format::FORMAT;
use super::super::history::query;
use super::{FILE, Sqlite, TOKEN, at, call, now, run, transition};
use crate::model::lifecycle::State;
use crate::model::names::ProjectName;
use crate::store::query::HistoryQuery;
use crate::store::{Author, Called, Journal as _, RunRecord, Transition};

fn asked() -> HistoryQuery {
    HistoryQuery::all("studio".into())
}

/// Returns `service state second` of each change that is found.
fn found(store: &Sqlite, asked: &HistoryQuery) -> Vec<String> {
    let found = now(store.transitions(asked)).expect("read").into_iter();
    found.map(|one| format!("{} {} {}", one.service, one.to, one.at.as_second() - at(0).as_second())).collect()
}

fn filled(folder: &std::path::Path) -> Sqlite {
    let store = Sqlite::at(folder);
    let by = |by: &str, run: &str| Author { by: by.to_owned(), run: run.to_owned() };
    for change in [
        transition("a", State::Starting, 1),
        Transition { author: by("Kim as root", "r2"), ..transition("a", State::Online, 2) },
        Transition { made: false, author: by("root", "r3"), ..transition("b", State::Failed, 3) },
        transition("b", State::Online, 4),
        Transition { project: "other".into(), ..transition("a", State::Online, 5) },
    ] {
        now(store.record(&change)).expect("written");
    }
    store
}

#[test]
fn each_filter_narrows_and_the_newest_are_shown_oldest_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(folder.path());
    let all = ["a starting 1", "a online 2", "b failed 3", "b online 4"];
    assert_eq!(found(&store, &asked()), all);
    assert_eq!(found(&store, &HistoryQuery { limit: Some(2), ..asked() }), all[2..]);
    assert_eq!(found(&store, &HistoryQuery { services: ["b".into()].into(), ..asked() }), all[2..]);
    assert_eq!(found(&store, &HistoryQuery { services: ["a".into(), "b".into()].into(), ..asked() }), all);
    assert_eq!(
        found(&store, &HistoryQuery { states: [State::Failed, State::Starting].into(), ..asked() }),
        [all[0], all[2]]
    );
    assert_eq!(found(&store, &HistoryQuery { since: Some(at(2)), until: Some(at(4)), ..asked() }), all[1..3]);
    assert_eq!(found(&store, &HistoryQuery { by: Some("kim AS".to_owned()), ..asked() }), [all[1]]);
    assert_eq!(found(&store, &HistoryQuery { run: Some("r3".to_owned()), ..asked() }), [all[2]]);
    let narrow =
        HistoryQuery { services: ["b".into()].into(), states: [State::Online].into(), since: Some(at(4)), ..asked() };
    assert_eq!(found(&store, &narrow), [all[3]]);
    assert_eq!(found(&store, &HistoryQuery { until: Some(at(1)), ..asked() }), [""; 0]);

    let whole = Transition {
        made: false,
        metadata: BTreeMap::from([("ticket".to_owned(), "4 \"2\"".to_owned())]),
        author: Author { by: "kim".to_owned(), run: "r9".to_owned() },
        ..transition("c", State::Timeout, 9)
    };
    now(store.record(&whole)).expect("written");
    let asked = HistoryQuery { services: ["c".into()].into(), ..asked() };
    assert_eq!(now(store.transitions(&asked)).expect("read"), [whole], "all of it comes back");
}

#[test]
fn before_a_time_each_service_was_somewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(folder.path());
    let before = |second| {
        let before = now(store.transitions_before(&HistoryQuery { since: Some(at(second)), ..asked() })).expect("read");
        before.into_iter().map(|one| format!("{} {}", one.service, one.to)).collect::<Vec<_>>()
    };
    assert_eq!(before(4), ["a online", "b failed"]);
    assert_eq!(before(2), ["a starting"]);
    assert!(now(store.transitions_before(&asked())).expect("read").is_empty(), "there is nothing before all");
}

#[test]
fn observed_changes_since_are_known_beside_those_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(folder.path());
    for second in 6..60 {
        let state = if second % 2 == 0 { State::Busy } else { State::Idle };
        now(store.record(&Transition { made: false, ..transition("a", state, second) })).expect("written");
    }
    let known = now(store.last_known(&"studio".into())).expect("read");
    let of = |service: &str| (known[&service.into()].state, known[&service.into()].seen);
    assert_eq!(of("a"), (Some(State::Online), Some(State::Idle)));
    assert_eq!(of("b"), (Some(State::Online), None), "a change observed before the last one that lcm made is dropped");
    assert_eq!(known.len(), 2);
}

#[test]
fn a_query_uses_an_index() {
    let folder = tempfile::tempdir().expect("a folder");
    filled(folder.path());
    let file = Connection::open(folder.path().join(FILE)).expect("opened");
    let plan = |asked: &HistoryQuery| {
        let (sql, values) = query(FORMAT, asked);
        let mut statement = file.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a query");
        let rows = statement.query_map(params_from_iter(values), |row| row.get::<_, String>(3)).expect("rows");
        rows.collect::<rusqlite::Result<Vec<_>>>().expect("read").join("; ")
    };
    let one_day = HistoryQuery {
        services: ["a".into()].into(),
        states: [State::Failed].into(),
        since: Some(at(0)),
        until: Some(at(86_400)),
        ..asked()
    };
    assert_eq!(
        plan(&one_day),
        "SEARCH transitions USING INDEX transitions_of_time (project=? AND at_us>? AND at_us<?)",
        "nothing is sorted either"
    );
    assert_eq!(plan(&asked()), "SEARCH transitions USING INDEX transitions_of_time (project=?)");
    let of_service = plan(&HistoryQuery { services: ["a".into()].into(), ..asked() });
    assert!(of_service.contains("USING INDEX transitions_of_"), "{of_service}");
}

#[test]
fn runs_and_calls_are_queried_likewise() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Sqlite::at(folder.path());
    let second = RunRecord { id: "r2".to_owned(), by: "lee".to_owned(), began: at(20), ended: at(30), ..run(true, 3) };
    for run in [&run(true, 0), &second, &RunRecord { project: "other".into(), ..second.clone() }, &run(false, 0)] {
        now(store.record_run(TOKEN, run, &[])).expect("written");
    }
    let runs = |asked: &HistoryQuery| now(store.runs(asked)).expect("read");
    assert_eq!(runs(&asked()), [run(true, 0), second.clone()]);
    assert_eq!(runs(&HistoryQuery { limit: Some(1), ..asked() }), std::slice::from_ref(&second));
    assert_eq!(runs(&HistoryQuery { since: Some(at(10)), ..asked() }), std::slice::from_ref(&second));
    assert_eq!(runs(&HistoryQuery { until: Some(at(20)), ..asked() }), [run(true, 0)]);
    assert_eq!(runs(&HistoryQuery { by: Some("LEE".to_owned()), ..asked() }), std::slice::from_ref(&second));
    assert_eq!(runs(&HistoryQuery { run: Some("r1".to_owned()), ..asked() }), [run(true, 0)]);

    let later = Called { at: at(50), service: "b".into(), error: None, ..call() };
    for call in [&call(), &later] {
        now(store.record_call(call)).expect("written");
    }
    let calls = |asked: &HistoryQuery| now(store.calls(asked)).expect("read");
    assert_eq!(calls(&asked()), [call(), later.clone()]);
    assert_eq!(calls(&HistoryQuery { since: Some(at(3)), ..asked() }), std::slice::from_ref(&later));
    assert_eq!(calls(&HistoryQuery { services: ["b".into()].into(), ..asked() }), [later]);
    assert_eq!(calls(&HistoryQuery { run: Some("r0".to_owned()), ..asked() }), []);
}

/// Readers beside an apply: status pages, dashboards and operators.
const READERS: usize = 16;

#[test]
fn sixteen_read_while_one_writes_and_none_sees_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(folder.path());
    let done = AtomicBool::new(false);
    let project = ProjectName::from("studio");
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                scope.spawn(|| {
                    let (mut reads, mut most) = (0, 0);
                    while !done.load(Ordering::Acquire) || reads == 0 {
                        // As a command does: it opens, queries, and ends.
                        let store = Sqlite::at(folder.path());
                        let found = now(store.transitions(&asked())).expect("read").len();
                        assert!(found >= most, "what was there is there");
                        most = found;
                        assert!(!now(store.last_known(&project)).expect("read").is_empty());
                        now(store.last_run(&project)).expect("read");
                        reads += 1;
                    }
                })
            })
            .collect();
        // Some 400 writes of several pages each: readers meet a checkpoint or two.
        for second in 10..210 {
            now(store.record(&transition("a", State::Online, second))).expect("written");
            now(store.record_run(TOKEN, &run(true, 0), &[])).expect("written");
        }
        done.store(true, Ordering::Release);
        for reader in readers {
            reader.join().expect("it read without an error");
        }
    });
    assert_eq!(now(store.transitions(&asked())).expect("read").len(), 4 + 200);
}
