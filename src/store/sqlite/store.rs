//! Store of a state folder, and the reads of its history that only `lcm history` makes.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::Connection;

use super::file::StoreFile;
use super::format::{FORMAT, WITH_HOLDS};
use super::worker::StoreWorker;
use super::{history, runs};
use crate::model::names::ProjectName;
use crate::store::error::StoreError;
use crate::store::query::HistoryQuery;
use crate::store::record::{Called, RunRecord, Transition};

pub(super) const FILE: &str = "lcm.db";

/// Store of a state folder.
#[derive(Debug)]
pub struct Sqlite {
    worker: StoreWorker,
}

/// Returns the format that this lcm writes, and the version of the `SQLite` that it is built with.
#[must_use]
pub fn versions() -> (u32, &'static str) {
    (FORMAT, rusqlite::version())
}

impl Sqlite {
    /// Creates a handle on the store of a state folder. Touches nothing yet.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { worker: StoreWorker::new(Self::file_in(folder)) }
    }

    /// Returns the file of the store of a state folder.
    #[must_use]
    pub fn file_in(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Creates folder and file where they are missing, and proves that they can be written. To be called before
    /// anything changes, since every change must be recorded.
    pub async fn ensure_writable(&self) -> Result<(), StoreError> {
        let mark = "INSERT OR REPLACE INTO meta VALUES ('writer', ?1)";
        self.change(|connection| connection.execute(mark, [env!("CARGO_PKG_VERSION")]).map(drop)).await
    }

    /// Returns the changes that match a query, the oldest first.
    pub async fn transitions(&self, asked: &HistoryQuery) -> Result<Vec<Transition>, StoreError> {
        let asked = asked.clone();
        self.read(move |connection, format| history::transitions(connection, format, &asked)).await
    }

    /// Returns the last change of each service before the begin of a query's span; none where the span has no begin.
    pub async fn transitions_before(&self, asked: &HistoryQuery) -> Result<Vec<Transition>, StoreError> {
        let asked = asked.clone();
        self.read(move |connection, format| history::before(connection, format, &asked)).await
    }

    /// Returns the runs that match a query and changed something, the oldest first.
    pub async fn runs(&self, asked: &HistoryQuery) -> Result<Vec<RunRecord>, StoreError> {
        let asked = asked.clone();
        self.read(move |connection, format| runs::runs(connection, format, &asked)).await
    }

    /// Returns the number of runs that changed nothing, and the end of the last of them.
    pub async fn quiet_runs(&self, project: &ProjectName) -> Result<Option<(u32, Timestamp)>, StoreError> {
        let project = project.clone();
        self.read(move |connection, _| runs::quiet(connection, &project)).await
    }

    /// Returns the calls of hooks and notifiers that match a query, the oldest first.
    pub async fn calls(&self, asked: &HistoryQuery) -> Result<Vec<Called>, StoreError> {
        let asked = asked.clone();
        self.read_since(WITH_HOLDS, move |connection| runs::calls(connection, &asked)).await
    }

    /// Runs a job with the file on the store's thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut StoreFile) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.worker.run(job).await
    }

    /// Makes a query, which gets the format of the file. Where there is no file, the result is empty.
    pub(super) async fn read<T: Default + Send + 'static>(
        &self,
        query: impl FnOnce(&Connection, u32) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(|file| file.read(query).map(Option::unwrap_or_default)).await
    }

    /// Makes a query that files of older formats have no tables for: their result is empty.
    pub(super) async fn read_since<T: Default + Send + 'static>(
        &self,
        first: u32,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let query = move |connection: &Connection, format| {
            if format < first { Ok(T::default()) } else { query(connection) }
        };
        self.read(query).await
    }

    /// Makes a change of one statement.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(|file| file.change(change)).await
    }

    /// Makes a change in one transaction: all of it, or none.
    pub(super) async fn transact<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(|file| file.transact(change)).await
    }
}
