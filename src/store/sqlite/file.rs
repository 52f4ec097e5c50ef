//! File of a store: opened when first needed, and made only by a write. Everything here blocks, and is called on the
//! store's own thread alone.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::fault::{BEGIN_ANEW, advice, is_full};
use super::fence;
use super::format::{self, Brought, FORMAT, version};
use crate::files::own;
use crate::store::error::StoreError;
use crate::store::lease::FencingToken;

/// Longest wait for a writer, which holds the file for milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// File of a store, open or not.
#[derive(Debug)]
pub(super) struct StoreFile {
    path: PathBuf,
    opened: Option<Opened>,
}

#[derive(Debug)]
struct Opened {
    connection: Connection,
    /// Format of the file as found, or after an upgrade.
    format: u32,
}

/// Sharing of the file with other processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Shared,
    /// For one reading: then `SQLite` needs no shared memory, which is a file beside this one that takes disk space. On
    /// a full disk the holds of operators must be readable all the same.
    Alone,
}

impl StoreFile {
    /// Creates a handle on a file. Touches nothing yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, opened: None }
    }

    /// Makes a query, which gets the format of the file. `None`: there is no file, so there is nothing to read.
    pub(super) fn read<T>(
        &mut self,
        query: impl FnOnce(&Connection, u32) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let mut alone = None;
        if self.opened.is_none() {
            match self.proven() {
                Ok(true) => match self.open(Sharing::Shared) {
                    Ok(opened) => self.opened = Some(opened),
                    Err(StoreError::Full { .. }) => alone = Some(self.open(Sharing::Alone)?),
                    Err(
                        error @ (StoreError::Unusable { .. } | StoreError::Newer { .. } | StoreError::Fenced { .. }),
                    ) => return Err(error),
                },
                Ok(false) => return Ok(None),
                Err(error) => return Err(self.out_of_reach("can't read", &error)),
            }
        }
        let Some(Opened { connection, format }) = self.opened.as_ref().or(alone.as_ref()) else { return Ok(None) };
        query(connection, *format).map(Some).map_err(|error| self.failed("can't read", &error))
    }

    /// Makes a change, after creating or upgrading the file where needed.
    pub(super) fn change<T>(
        &mut self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut opened = if let Some(opened) = self.opened.take() {
            opened
        } else {
            self.make_file()?;
            self.open(Sharing::Shared)?
        };
        let brought = if opened.format < FORMAT { self.bring_up(&mut opened) } else { Ok(()) };
        let opened = self.opened.insert(opened);
        brought?;
        change(&opened.connection).map_err(|error| self.failed("can't write", &error))
    }

    /// Makes a change in one transaction: all of it, or none.
    pub(super) fn transact<T>(
        &mut self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.change(|connection| {
            let transaction = connection.unchecked_transaction()?;
            let changed = change(&transaction)?;
            transaction.commit()?;
            Ok(changed)
        })
    }

    /// Writes a record of a run in one transaction, unless a newer token is on record.
    pub(super) fn fenced(
        &mut self,
        token: FencingToken,
        record: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let newest = self.transact(|connection| {
            let newest = fence::raise(connection, token)?;
            if newest == token { record(connection).map(|()| newest) } else { Ok(newest) }
        })?;
        if newest == token { Ok(()) } else { Err(StoreError::Fenced { token, newest }) }
    }

    /// Makes a whole database of the user's own in one step: at no moment may others read it, or is it there without
    /// tables, which would look like an emptied one. `SQLite`'s files beside it take over its permissions.
    fn make_file(&self) -> Result<(), StoreError> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        own::create_folder(folder, folder)
            .map_err(|error| self.out_of_reach("can't make the state folder of", &error))?;
        let is_there = self.proven().map_err(|error| self.out_of_reach("can't use", &error))?;
        if is_there {
            return Ok(());
        }
        let laid_out = format::laid_out().map_err(|error| self.failed("can't lay out", &error))?;
        match own::create_atomic(&self.path, &laid_out) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(self.out_of_reach("can't make", &error)),
            Ok(()) | Err(_) => self.proven().map(drop).map_err(|error| self.out_of_reach("can't use", &error)),
        }
    }

    /// Returns true if there is a store; a file that another user planted, in whole or in part, is an error. `SQLite`
    /// follows links, and makes its files beside this one by their names.
    fn proven(&self) -> std::io::Result<bool> {
        let is_there = match own::prove(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            proven => proven?,
        };
        for beside in ["-wal", "-shm", "-journal"] {
            let mut path = self.path.clone().into_os_string();
            path.push(beside);
            own::prove(Path::new(&path))?;
        }
        Ok(is_there)
    }

    fn open(&self, sharing: Sharing) -> Result<Opened, StoreError> {
        let unusable = |error: rusqlite::Error| self.failed("can't open", &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(unusable)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(unusable)?;
        if sharing == Sharing::Alone {
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(unusable)?;
        }
        let format = version(&connection).map_err(unusable)?;
        if format > FORMAT {
            return Err(self.newer(format));
        }
        let opened = Opened { connection, format };
        if format == 0 {
            let is_bare = format::is_bare(&opened.connection).map_err(unusable)?;
            return Err(if is_bare {
                self.unusable("won't use", &format!("it is empty, and lcm never leaves it empty; {BEGIN_ANEW}"))
            } else {
                self.unusable("won't use", &"it holds tables that are not lcm's")
            });
        }
        // FULL: a recorded change survives a power cut.
        opened.connection.pragma_update(None, "synchronous", "FULL").map_err(unusable)?;
        Ok(opened)
    }

    /// Adds the tables that an older file lacks; a file that can't be upgraded stays as it is.
    fn bring_up(&self, opened: &mut Opened) -> Result<(), StoreError> {
        let brought = format::bring_up(&mut opened.connection);
        match brought.map_err(|error| self.failed("can't bring up to date", &error))? {
            Brought::UpToDate => opened.format = FORMAT,
            Brought::Newer(found) => return Err(self.newer(found)),
        }
        Ok(())
    }

    fn newer(&self, found: u32) -> StoreError {
        StoreError::Newer { path: self.path.display().to_string(), found, known: FORMAT }
    }

    pub(super) fn unusable(&self, what: &str, reason: &dyn std::fmt::Display) -> StoreError {
        let path = self.path.display().to_string();
        StoreError::Unusable { what: format!("{what} the store"), path, reason: reason.to_string() }
    }

    fn failed(&self, what: &str, error: &rusqlite::Error) -> StoreError {
        if is_full(error) {
            return StoreError::Full { what: format!("{what} the store"), path: self.path.display().to_string() };
        }
        self.unusable(what, &format!("{error}{}", advice(error)))
    }

    fn out_of_reach(&self, what: &str, error: &std::io::Error) -> StoreError {
        if error.kind() == ErrorKind::StorageFull {
            return StoreError::Full { what: format!("{what} the store"), path: self.path.display().to_string() };
        }
        let is_limited = matches!(error.kind(), ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded);
        let error = error.to_string();
        let way_out = if is_limited {
            " (is the disk full?)"
        } else if error.contains("LCM_STATE_DIR") {
            ""
        } else {
            "; set LCM_STATE_DIR to a folder of your own"
        };
        self.unusable(what, &format!("{error}{way_out}"))
    }
}
