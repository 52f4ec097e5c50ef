//! Tests of the store's thread: a slow write holds up no other future, and every job that was handed over is done.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use rusqlite::{Connection, TransactionBehavior};

use super::{FILE, Sqlite, at, now, transition};
use crate::model::lifecycle::State;
use crate::model::names::ProjectName;
use crate::store::query::HistoryQuery;
use crate::store::{Journal as _, JournalEntry, PendingChange};

/// Holds the write lock of a store's file while this works.
async fn while_locked(folder: &std::path::Path, work: impl AsyncFnOnce()) {
    let mut other = Connection::open(folder.join(FILE)).expect("opened");
    let locked = other.transaction_with_behavior(TransactionBehavior::Immediate).expect("begun");
    work().await;
    locked.commit().expect("released");
}

/// On this runtime of one thread, a write that blocked it would let no tick through.
#[tokio::test(flavor = "current_thread")]
async fn a_write_to_a_locked_file_stalls_no_other_future() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Sqlite::at(folder.path());
    store.ensure_writable().await.expect("writable");
    let change = transition("a", State::Online, 1);
    let mut write = Box::pin(store.record(&change));
    let ticks = AtomicU32::new(0);
    while_locked(folder.path(), async || {
        let ticking = async {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                ticks.fetch_add(1, Ordering::Relaxed);
            }
        };
        tokio::select! {
            biased;
            written = &mut write => panic!("the file is locked: {written:?}"),
            () = ticking => {}
        }
    })
    .await;
    assert_eq!(ticks.into_inner(), 20);
    write.await.expect("written once the file is free");
    assert_eq!(store.transitions(&HistoryQuery::all("studio".into())).await.expect("read"), [change]);
}

#[tokio::test]
async fn a_write_whose_future_is_dropped_is_made_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, project) = (Sqlite::at(folder.path()), ProjectName::from("studio"));
    store.ensure_writable().await.expect("writable");
    let (first, second) = (transition("a", State::Online, 1), transition("b", State::Failed, 2));
    let pending = PendingChange::default();
    while_locked(folder.path(), async || {
        // The write is handed over with the first poll; one that is never polled is not.
        let entry = JournalEntry { transition: Some(&first), pending, ..JournalEntry::of(&project) };
        assert!(store.write(&entry).now_or_never().is_none(), "the file is locked");
        drop(store.record(&second));
    })
    .await;
    assert_eq!(store.transitions(&HistoryQuery::all(project)).await.expect("read"), [first]);
}

#[test]
fn a_store_that_is_dropped_has_done_all_jobs_handed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Sqlite::at(folder.path());
    now(store.ensure_writable()).expect("writable");
    for second in 0..50 {
        let change = transition("a", State::Online, second);
        // No runtime is needed: the first poll hands the write over, and its future is dropped.
        let _ = store.record(&change).now_or_never();
    }
    drop(store);
    let kept = now(Sqlite::at(folder.path()).transitions(&HistoryQuery::all("studio".into()))).expect("read");
    assert_eq!(kept.iter().map(|one| one.at).collect::<Vec<_>>(), (0..50).map(at).collect::<Vec<_>>(), "in order");
    assert!(!folder.path().join("lcm.db-wal").exists(), "the file was closed");
}

/// Two stores of one file, many writers on several threads of a runtime.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_many_tasks_are_all_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let stores = [Sqlite::at(folder.path()), Sqlite::at(folder.path())].map(std::sync::Arc::new);
    let tasks: Vec<_> = (0..20)
        .map(|second| {
            let store = std::sync::Arc::clone(&stores[usize::try_from(second % 2).expect("small")]);
            tokio::spawn(async move { store.record(&transition("a", State::Online, second)).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("it ends").expect("written");
    }
    let found = stores[0].transitions(&HistoryQuery::all("studio".into())).await.expect("read");
    assert_eq!(found.len(), 20);
}
