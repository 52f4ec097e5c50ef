//! Tests of a store of an older lcm, upgraded by this one.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::super::format::FORMAT;
use super::{FILE, Sqlite, at, now, transition};
use crate::model::facts::{Attempts, HistoryFact};
use crate::model::holds::Holds;
use crate::model::lifecycle::State;
use crate::model::names::ProjectName;
use crate::store::{AttemptStore as _, HoldStore as _, Journal as _, Measure, Measured, StoreError};

const FORMAT_ONE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/store-1.sql"));

/// Tables of the second format, which added measures, word for word; they never change again.
const FORMAT_TWO: &str = "
    CREATE TABLE measures (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL,
        project TEXT NOT NULL, service TEXT NOT NULL, kind TEXT NOT NULL, amount INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX measures_of_kind ON measures (project, service, kind, id);
    INSERT INTO measures VALUES (1, 1790000001000000, 'studio', 'a', 'ready', 95000);
    PRAGMA user_version = 2;
";

fn version_one(folder: &Path) -> PathBuf {
    older(folder, &[FORMAT_ONE])
}

fn version_two(folder: &Path) -> PathBuf {
    older(folder, &[FORMAT_ONE, FORMAT_TWO])
}

fn older(folder: &Path, formats: &[&str]) -> PathBuf {
    let path = folder.join(FILE);
    let old = Connection::open(&path).expect("made");
    for format in formats {
        old.execute_batch(format).expect("laid out");
    }
    path
}

fn version_of(path: &Path) -> u32 {
    let file = Connection::open(path).expect("opened");
    file.pragma_query_value(None, "user_version", |row| row.get(0)).expect("read")
}

fn ready(took_ms: u64) -> Measure {
    Measure { at: at(1), project: "studio".into(), service: "a".into(), what: Measured::Ready { took_ms } }
}

fn attempts() -> Attempts {
    Attempts { count: 2, last_at: at(4), spec: "v1:aa".to_owned() }
}

fn online() -> HistoryFact {
    HistoryFact { state: Some(State::Online), made: true, ..HistoryFact::default() }
}

#[test]
fn an_older_store_is_read_as_it_is_and_upgraded_by_the_first_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = version_one(folder.path());
    let store = Sqlite::at(folder.path());
    assert_eq!(now(store.last_known(&"studio".into())).expect("read"), [("a".into(), online())].into());
    assert_eq!(version_of(&path), 1, "a read leaves the file to the lcm that wrote it");

    now(store.record_measure(&ready(95_000))).expect("written");
    assert_eq!(version_of(&path), FORMAT);
    let known = now(Sqlite::at(folder.path()).last_known(&"studio".into())).expect("read");
    assert_eq!((known[&"a".into()].state, known[&"a".into()].estimates.ready_ms), (Some(State::Online), Some(95_000)));
    let run = now(store.last_run(&"studio".into())).expect("read").expect("it was kept");
    assert_eq!((run.by.as_str(), run.ended), ("kim@box", at(9)));
}

#[test]
fn a_store_with_measures_and_without_holds_is_read_and_upgraded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = version_two(folder.path());
    let (store, project) = (Sqlite::at(folder.path()), ProjectName::from("studio"));
    let known = now(store.last_known(&project)).expect("read");
    assert_eq!((known[&"a".into()].state, known[&"a".into()].estimates.ready_ms), (Some(State::Online), Some(95_000)));
    assert_eq!(now(store.holds(&project)).expect("read"), Holds::default());
    assert_eq!(now(store.last_run(&project)).expect("read").expect("it is there").id, "", "its id was not recorded");
    assert_eq!(version_of(&path), 2);

    now(store.set_attempts(&project, &"a".into(), Some(&attempts()))).expect("written");
    assert_eq!(version_of(&path), FORMAT);
    let known = now(Sqlite::at(folder.path()).last_known(&project)).expect("read");
    assert_eq!(
        (known[&"a".into()].estimates.ready_ms, &known[&"a".into()].attempts),
        (Some(95_000), &Some(attempts()))
    );
}

#[test]
fn an_upgraded_store_is_like_a_new_one() {
    let (old, new) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let older = tempfile::tempdir().expect("a folder");
    version_two(old.path());
    version_one(older.path());
    let schema = |folder: &Path| {
        now(Sqlite::at(folder).ensure_writable()).expect("writable");
        let file = Connection::open(folder.join(FILE)).expect("opened");
        let mut statement = file.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").expect("a query");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        rows.collect::<rusqlite::Result<Vec<(String, Option<String>)>>>().expect("read")
    };
    assert_eq!(schema(old.path()), schema(new.path()));
    assert_eq!(schema(older.path()), schema(new.path()));
}

#[test]
fn two_may_upgrade_a_store_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    version_one(folder.path());
    let stores = [Sqlite::at(folder.path()), Sqlite::at(folder.path())];
    for store in &stores {
        // Both have found the old format before either writes.
        now(store.last_known(&"studio".into())).expect("read");
    }
    for store in &stores {
        now(store.record_measure(&ready(7))).expect("written");
    }
}

#[test]
fn a_store_that_cannot_be_upgraded_stays_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = version_one(folder.path());
    // The table can be made, and then the index can't.
    let in_the_way = "CREATE INDEX measures_of_kind ON runs (project); PRAGMA wal_checkpoint(TRUNCATE);";
    Connection::open(&path).and_then(|other| other.execute_batch(in_the_way)).expect("made");
    let before = fs::read(&path).expect("read");
    let store = Sqlite::at(folder.path());
    let error = now(store.ensure_writable()).expect_err("something is in the way");
    assert!(error.to_string().contains("can't bring up to date the store"), "{error}");
    assert!(now(store.record(&transition("a", State::Error, 3))).is_err());
    assert_eq!(now(store.last_known(&"studio".into())).expect("read"), [("a".into(), online())].into());
    assert_eq!(fs::read(&path).expect("read"), before);
    assert_eq!(version_of(&path), 1);
    let half = Connection::open(&path).and_then(|file| file.query_row("SELECT 1 FROM measures", [], |_| Ok(())));
    assert!(half.is_err(), "half an upgrade is none");
}

#[test]
fn a_store_that_a_newer_lcm_upgraded_meanwhile_is_not_written_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = version_one(folder.path());
    let store = Sqlite::at(folder.path());
    now(store.last_known(&"studio".into())).expect("read");
    Connection::open(&path).and_then(|newer| newer.pragma_update(None, "user_version", FORMAT + 1)).expect("made");
    assert!(
        matches!(now(store.record_measure(&ready(1))), Err(StoreError::Newer { found, known: FORMAT, .. }) if found == FORMAT + 1)
    );
}
