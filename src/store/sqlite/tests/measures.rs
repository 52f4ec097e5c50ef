//! Tests of durations and memory of starts and stops, on disk.

use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;

use super::{FILE, Sqlite, at, now, transition};
use crate::model::facts::{Estimates, HistoryFact};
use crate::model::lifecycle::State;
use crate::model::names::ProjectName;
use crate::model::size::Mebibytes;
use crate::store::{Journal as _, Measure, Measured};

fn measure(service: &str, second: i64, what: Measured) -> Measure {
    Measure { at: at(second), project: "studio".into(), service: service.into(), what }
}

#[test]
fn measures_come_back_as_estimates_with_or_without_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Sqlite::at(folder.path());
    now(store.record(&transition("a", State::Online, 1))).expect("written");
    now(store.record(&transition("c", State::Failed, 1))).expect("written");
    for (second, took_ms) in [(1, 90_000), (2, 95_000), (3, 400_000)] {
        now(store.record_measure(&measure("a", second, Measured::Ready { took_ms }))).expect("written");
    }
    now(store.record_measure(&measure("a", 4, Measured::Memory(Mebibytes(18_000))))).expect("written");
    now(store.record_measure(&measure("b", 5, Measured::Stopped { took_ms: 4_000 }))).expect("written");
    now(store.record_measure(&measure("b", 6, Measured::Evicted))).expect("written");
    let other = Measure { project: "other".into(), ..measure("a", 7, Measured::Ready { took_ms: 1 }) };
    now(store.record_measure(&other)).expect("written");

    let none = HistoryFact::default;
    let a = Estimates { ready_ms: Some(95_000), stopped_ms: None, memory: Some(Mebibytes(18_000)) };
    let b = Estimates { stopped_ms: Some(4_000), ..Estimates::default() };
    let expected = [
        ("a".into(), HistoryFact { state: Some(State::Online), made: true, estimates: a, ..none() }),
        ("b".into(), HistoryFact { evicted_at: Some(at(6)), estimates: b, ..none() }),
        ("c".into(), HistoryFact { state: Some(State::Failed), made: true, ..none() }),
    ];
    assert_eq!(now(Sqlite::at(folder.path()).last_known(&"studio".into())).expect("read"), expected.into());
}

#[test]
fn the_newest_twenty_of_each_kind_are_kept_and_the_newest_five_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Sqlite::at(folder.path());
    now(store.record_measure(&measure("a", 0, Measured::Stopped { took_ms: 3 }))).expect("written");
    now(store.record_measure(&measure("b", 0, Measured::Ready { took_ms: 3 }))).expect("written");
    for took_ms in 1..=50 {
        now(store.record_measure(&measure("a", 0, Measured::Ready { took_ms }))).expect("written");
    }
    let file = Connection::open(folder.path().join(FILE)).expect("opened");
    let kept: Vec<(i64, i64)> = ["ready", "stopped"]
        .iter()
        .map(|kind| {
            let query = "SELECT count(*), min(amount) FROM measures WHERE service = 'a' AND kind = ?1";
            file.query_row(query, [kind], |row| Ok((row.get(0)?, row.get(1)?))).expect("read")
        })
        .collect();
    assert_eq!(kept, [(20, 31), (1, 3)]);
    let known = now(store.last_known(&"studio".into())).expect("read");
    let expected = Estimates { ready_ms: Some(48), stopped_ms: Some(3), memory: None };
    assert_eq!((known[&"a".into()].estimates, known[&"b".into()].estimates.ready_ms), (expected, Some(3)));
}

#[test]
fn all_measures_together_are_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Sqlite::at(folder.path());
    now(store.ensure_writable()).expect("writable");
    let file = Connection::open(folder.path().join(FILE)).expect("opened");
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100100)
                INSERT INTO measures SELECT i, 0, 'p' || i, 's', 'ready', 1 FROM n";
    file.execute_batch(fill).expect("filled");
    now(store.record_measure(&measure("a", 0, Measured::Evicted))).expect("written");
    let count: i64 = file.query_row("SELECT count(*) FROM measures", [], |row| row.get(0)).expect("read");
    assert_eq!(count, 100_000);
}

#[test]
fn readers_do_not_wait_for_a_writer_and_see_whole_measures() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Sqlite::at(folder.path());
    now(store.record_measure(&measure("a", 0, Measured::Ready { took_ms: 1 }))).expect("written");
    // A change that is never finished while the readers read.
    let mut writer = Connection::open(folder.path().join(FILE)).expect("opened");
    let unfinished = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).expect("begun");
    unfinished.execute_batch("UPDATE measures SET amount = 2").expect("written");
    let ready = || {
        let known = now(Sqlite::at(folder.path()).last_known(&ProjectName::from("studio"))).expect("read");
        known[&"a".into()].estimates.ready_ms
    };
    assert_eq!(ready(), Some(1));
    unfinished.commit().expect("finished");
    assert_eq!(ready(), Some(2));

    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                assert!(ready().is_some());
            }
        });
        for took_ms in 2..40 {
            now(store.record_measure(&measure("a", 0, Measured::Ready { took_ms }))).expect("written");
        }
        done.store(true, Ordering::Release);
        reader.join().expect("it read");
    });
}
