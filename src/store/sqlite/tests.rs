//! Tests of the store on a real file system.

mod formats;
mod history;
mod measures;
mod thread;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::Connection;

use super::Sqlite;
use super::format::FORMAT;
use super::store::FILE;
use crate::model::lifecycle::State;
use crate::model::names::ProjectName;
use crate::store::query::HistoryQuery;
use crate::store::{
    Author, Called, FencingToken, HoldStore as _, Journal as _, RunEnd, RunRecord, StoreError, Transition,
};

/// Token of a run that holds the lock.
const TOKEN: FencingToken = FencingToken(1);

/// Waits for a store's result, in a runtime of one thread.
fn now<F: Future>(answer: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(answer)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).expect("in range")
}

fn transition(service: &str, to: State, second: i64) -> Transition {
    Transition {
        at: at(second),
        project: "studio".into(),
        service: service.into(),
        from: State::Starting,
        to,
        reason: "it answers".to_owned(),
        made: true,
        author: Author { by: "kim".to_owned(), run: "r1".to_owned() },
        metadata: BTreeMap::new(),
    }
}

fn run(changed: bool, exit_code: u8) -> RunRecord {
    RunRecord {
        id: "r1".to_owned(),
        manifest: "/home/kim/lcm.yaml".to_owned(),
        project: "studio".into(),
        command: "lcm apply".to_owned(),
        by: "kim@box".to_owned(),
        began: at(0),
        ended: at(9),
        end: RunEnd::Completed,
        exit_code,
        changed,
        first_error: (exit_code != 0).then(|| "it went wrong".to_owned()),
    }
}

fn call() -> Called {
    Called {
        at: at(2),
        project: "studio".into(),
        service: "a".into(),
        run: "r1".to_owned(),
        hook: "post_start".to_owned(),
        call: "./warm.sh".to_owned(),
        took_ms: 7,
        error: Some("it exited with 1".to_owned()),
        output: "no such file".to_owned(),
    }
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[test]
fn reading_makes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let store = Sqlite::at(&state);
    assert!(now(store.last_known(&"studio".into())).expect("empty").is_empty());
    assert_eq!(now(store.last_run(&"studio".into())).expect("empty"), None);
    assert!(!state.exists());
}

#[test]
fn the_last_change_of_each_service_of_one_project_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("deep/state");
    let store = Sqlite::at(&state);
    now(store.record(&transition("a", State::Online, 1))).expect("written");
    now(store.record(&transition("b", State::Timeout, 2))).expect("written");
    now(store.record(&transition("a", State::Error, 3))).expect("written");
    now(store.record(&Transition { project: "other".into(), ..transition("c", State::Online, 4) })).expect("written");

    // Another connection reads it while this one is open, as a plan beside an apply does.
    let known = now(Sqlite::at(&state).last_known(&"studio".into())).expect("read");
    let states: Vec<_> =
        known.iter().map(|(name, fact)| (name.as_str(), fact.state.expect("a change"), fact.made)).collect();
    assert_eq!(states, [("a", State::Error, true), ("b", State::Timeout, true)]);
    assert_eq!((mode_of(&state), mode_of(&state.join(FILE))), (0o700, 0o600));
    assert_eq!(mode_of(&state.join("lcm.db-wal")), 0o600);
}

#[test]
fn runs_that_changed_nothing_are_counted_and_not_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Sqlite::at(folder.path());
    let project = ProjectName::from("studio");
    now(store.record_run(TOKEN, &run(true, 3), &[])).expect("written");
    now(store.record_run(TOKEN, &run(false, 0), &[])).expect("written");
    now(store.record_run(TOKEN, &run(false, 0), &[])).expect("written");
    assert_eq!(now(store.last_run(&project)).expect("read"), Some(RunRecord { first_error: None, ..run(false, 0) }));
    let listed = now(store.runs(&HistoryQuery::all(project.clone()))).expect("read");
    assert_eq!(listed, [run(true, 3)]);
    assert_eq!(now(store.quiet_runs(&project)).expect("read"), Some((2, at(9))));
}

#[test]
fn rows_are_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Sqlite::at(folder.path());
    now(store.ensure_writable()).expect("writable");
    let path = folder.path().join(FILE);
    let other = Connection::open(&path).expect("opened");
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100351)
                INSERT INTO transitions SELECT i, 1800000000000000, 'p', 's', 'online', 'error', '', 1, '', '', '{}' FROM n";
    other.execute_batch(fill).expect("filled");
    let old = "UPDATE transitions SET at_us = 0 WHERE id = 100000";
    other.execute_batch(old).expect("aged");
    now(store.record(&transition("a", State::Online, 1))).expect("written");
    let count: i64 = other.query_row("SELECT count(*) FROM transitions", [], |row| row.get(0)).expect("read");
    assert_eq!(count, 100_000 - 1, "of 100 352 rows the newest 100 000, less the one that is too old");

    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1005)
                INSERT INTO runs SELECT i, 'p', 'lcm apply', 'kim', 0, 0, 0, 1, NULL, '', '', 'completed' FROM n";
    other.execute_batch(fill).expect("filled");
    now(store.record_run(TOKEN, &run(true, 0), &[])).expect("written");
    let count: i64 = other.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).expect("read");
    assert_eq!(count, 1_000);

    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2005)
                INSERT INTO calls SELECT i, 0, 'p', 's', '', 'notify', 'x', i, NULL, '' FROM n";
    other.execute_batch(fill).expect("filled");
    now(store.record_call(&call())).expect("written");
    let kept = "SELECT count(*), min(id) FROM calls";
    let kept: (i64, i64) = other.query_row(kept, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("read");
    assert_eq!(kept, (2_000, 7));
}

#[test]
fn a_newer_store_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FILE);
    Connection::open(&path).and_then(|newer| newer.pragma_update(None, "user_version", 7)).expect("made");
    let before = fs::read(&path).expect("read");
    let store = Sqlite::at(folder.path());
    assert!(matches!(now(store.ensure_writable()), Err(StoreError::Newer { found: 7, known: FORMAT, .. })));
    assert!(now(store.last_known(&"studio".into())).is_err());
    assert_eq!(fs::read(&path).expect("read"), before);
}

#[test]
fn a_file_that_is_not_a_store_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FILE);
    fs::write(&path, "not a database, but long enough to be taken for one").expect("written");
    let before = fs::read(&path).expect("read");
    let error = now(Sqlite::at(folder.path()).ensure_writable()).expect_err("damaged");
    assert!(
        error.to_string().contains("not a database; it is left as it is: restore it from a backup, or move it away"),
        "{error}"
    );
    assert_eq!(fs::read(&path).expect("read"), before);

    fs::remove_file(&path).expect("removed");
    fs::write(&path, "").expect("emptied");
    for error in [
        now(Sqlite::at(folder.path()).ensure_writable()).expect_err("emptied"),
        now(Sqlite::at(folder.path()).holds(&"studio".into())).expect_err("emptied"),
    ] {
        assert!(error.to_string().contains("it is empty, and lcm never leaves it empty"), "{error}");
        assert!(error.to_string().contains("holds, the mode override"), "{error}");
    }
    assert_eq!(fs::read(&path).expect("read"), b"");

    fs::remove_file(&path).expect("removed");
    Connection::open(&path).and_then(|other| other.execute_batch("CREATE TABLE theirs (a)")).expect("made");
    let error = now(Sqlite::at(folder.path()).ensure_writable()).expect_err("another program's");
    assert!(error.to_string().contains("not lcm's"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    let error = now(Sqlite::at(&file.join("state")).ensure_writable()).expect_err("below a file");
    assert!(error.to_string().contains("file/state"), "{error}");
    assert!(error.to_string().contains("LCM_STATE_DIR"), "{error}");
}
