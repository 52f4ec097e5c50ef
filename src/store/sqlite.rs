//! The store on disk: one `SQLite` file, in WAL mode so that a reader never waits for an apply.
//!
//! It is opened when first needed, and made only by what writes: a plan on a machine without a state folder leaves
//! none behind. Likewise an older file is read as it is, and brought to this lcm's format only by what writes. A file
//! that this lcm can't read is an error and stays as it is.

mod converged;
mod fault;
mod format;
mod history;
mod measures;
mod notices;
mod pending;
mod row;
mod runs;
mod words;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use self::fault::{BEGIN_ANEW, advice, is_full};
use self::format::{Brought, FORMAT, WITH_MEASURES, WITH_PENDING, WITH_WORDS, version};
use crate::files::own;
use crate::model::converged::Converged;
use crate::model::facts::{Attempts, HistoryFact, Report};
use crate::model::names::{ModeName, ProjectName, ServiceName};
use crate::model::pending::PendingCall;
use crate::model::words::{Said, Switched, Words};
use crate::store::asked::Asked;
use crate::store::past;
use crate::store::{Called, Entry, Measure, Run, RunBegun, RunNotice, Store, StoreError, ToldMode, Transition};

const FILE: &str = "lcm.db";

/// Writers hold the file for milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The store of a state folder.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    opened: Mutex<Option<Opened>>,
}

#[derive(Debug)]
struct Opened {
    connection: Connection,
    /// As it was found, or brought to since.
    format: u32,
}

/// Whether others have the file open as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Shared,
    /// For one reading: then `SQLite` needs no memory that is shared, which is a file beside this one, and takes room.
    /// On a full disk the words of operators are to be read all the same.
    Alone,
}

/// The format that this lcm writes, and the `SQLite` that it is built with.
#[must_use]
pub fn versions() -> (u32, &'static str) {
    (FORMAT, rusqlite::version())
}

impl Sqlite {
    /// The store of this state folder. Touches nothing yet.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { path: Self::file_in(folder), opened: Mutex::new(None) }
    }

    /// The file of the store of this state folder.
    #[must_use]
    pub fn file_in(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Makes folder and file where they are missing, and proves that they can be written: called before anything
    /// changes, since what is done must be written down.
    pub fn ensure_writable(&self) -> Result<(), StoreError> {
        self.change(|connection| {
            connection
                .execute("INSERT OR REPLACE INTO meta VALUES ('writer', ?1)", [env!("CARGO_PKG_VERSION")])
                .map(|_| ())
        })
    }

    /// The changes that are asked for, the oldest first.
    pub fn transitions(&self, asked: &Asked) -> Result<Vec<Transition>, StoreError> {
        let found = self.read(|connection, format| history::transitions(connection, format, asked))?;
        Ok(found.unwrap_or_default())
    }

    /// The last change of each service before the time that is asked for; none where that has no beginning.
    pub fn transitions_before(&self, asked: &Asked) -> Result<Vec<Transition>, StoreError> {
        let found = self.read(|connection, format| history::before(connection, format, asked))?;
        Ok(found.unwrap_or_default())
    }

    /// The runs that are asked for, the oldest first, but those that changed nothing.
    pub fn runs(&self, asked: &Asked) -> Result<Vec<Run>, StoreError> {
        Ok(self.read(|connection, format| runs::runs(connection, format, asked))?.unwrap_or_default())
    }

    /// Runs that changed nothing, and when the last of them ended.
    pub fn quiet_runs(&self, project: &ProjectName) -> Result<Option<(u32, Timestamp)>, StoreError> {
        Ok(self.read(|connection, _| runs::quiet(connection, project))?.flatten())
    }

    /// The calls of hooks and notifiers that are asked for, the oldest first.
    pub fn calls(&self, asked: &Asked) -> Result<Vec<Called>, StoreError> {
        let found = self.read(
            |connection, format| {
                if format < WITH_WORDS { Ok(Vec::new()) } else { runs::calls(connection, asked) }
            },
        )?;
        Ok(found.unwrap_or_default())
    }

    /// `None`: there is no file, so there is nothing to read. The query is told the format of the file.
    fn read<T>(&self, query: impl FnOnce(&Connection, u32) -> rusqlite::Result<T>) -> Result<Option<T>, StoreError> {
        let mut guard = self.guard();
        let mut alone = None;
        if guard.is_none() {
            match self.proven() {
                Ok(true) => match self.open(Sharing::Shared) {
                    Ok(opened) => *guard = Some(opened),
                    Err(StoreError::Full { .. }) => alone = Some(self.open(Sharing::Alone)?),
                    Err(error @ (StoreError::Unusable { .. } | StoreError::Newer { .. })) => return Err(error),
                },
                Ok(false) => return Ok(None),
                Err(error) => return Err(self.out_of_reach("can't read", &error)),
            }
        }
        let Some(Opened { connection, format }) = guard.as_ref().or(alone.as_ref()) else { return Ok(None) };
        query(connection, *format).map(Some).map_err(|error| self.failed("can't read", &error))
    }

    fn change<T>(&self, change: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let mut guard = self.guard();
        if guard.is_none() {
            self.make_file()?;
            *guard = Some(self.open(Sharing::Shared)?);
        }
        let opened = guard.as_mut().expect("it was opened just now");
        if opened.format < FORMAT {
            self.bring_up(opened)?;
        }
        change(&opened.connection).map_err(|error| self.failed("can't write", &error))
    }

    fn guard(&self) -> MutexGuard<'_, Option<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A whole database of our own in one step: no moment exists in which others may read it, or in which it is there
    /// without tables, which would look like one that was emptied. `SQLite`'s files beside it take over its permissions.
    fn make_file(&self) -> Result<(), StoreError> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        own::make_folder(folder, folder)
            .map_err(|error| self.out_of_reach("can't make the state folder of", &error))?;
        let is_there = self.proven().map_err(|error| self.out_of_reach("can't use", &error))?;
        if is_there {
            return Ok(());
        }
        let laid_out = format::laid_out().map_err(|error| self.failed("can't lay out", &error))?;
        match own::make_whole(&self.path, &laid_out) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(self.out_of_reach("can't make", &error)),
            Ok(()) | Err(_) => self.proven().map(drop).map_err(|error| self.out_of_reach("can't use", &error)),
        }
    }

    /// Whether there is a store; one that another user planted, in whole or in part, is an error. `SQLite` follows links,
    /// and makes its files beside this one by their names.
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
                self.unusable("won't use", &format!("it is empty, which lcm never leaves it; {BEGIN_ANEW}"))
            } else {
                self.unusable("won't use", &"it holds tables that are not lcm's")
            });
        }
        // FULL: a change that was written down survives a power cut.
        opened.connection.pragma_update(None, "synchronous", "FULL").map_err(unusable)?;
        Ok(opened)
    }

    /// Adds to an older file what it lacks; one that can't be brought up to date stays as it is.
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

    fn unusable(&self, what: &str, reason: &dyn std::fmt::Display) -> StoreError {
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

impl Store for Sqlite {
    fn write(&self, entry: &Entry<'_>) -> Result<Vec<u64>, StoreError> {
        self.change(|connection| {
            let transaction = connection.unchecked_transaction()?;
            if let Some(transition) = entry.transition {
                history::record(&transaction, transition)?;
            }
            if let Some(call) = entry.call {
                runs::record_call(&transaction, call)?;
            }
            let added = pending::change(&transaction, entry.project, entry.pending)?;
            transaction.commit()?;
            Ok(added)
        })
    }

    fn pending(&self, project: &ProjectName) -> Result<Vec<PendingCall>, StoreError> {
        let found =
            self.read(
                |connection, format| {
                    if format < WITH_PENDING { Ok(Vec::new()) } else { pending::read(connection, project) }
                },
            )?;
        Ok(found.unwrap_or_default())
    }

    fn rename_project(&self, from: &ProjectName, to: &ProjectName) -> Result<(), StoreError> {
        // A project that was renamed long ago must not cost a write. Of an older format, the change below tells.
        let is_known =
            self.read(
                |connection, format| {
                    if format < FORMAT { Ok(true) } else { format::knows_project(connection, from.as_str()) }
                },
            )?;
        if !is_known.unwrap_or_default() {
            return Ok(());
        }
        self.change(|connection| {
            let transaction = connection.unchecked_transaction()?;
            format::rename_project(&transaction, from.as_str(), to.as_str())?;
            transaction.commit()
        })
    }

    fn begin_run(&self, begun: &RunBegun) -> Result<(), StoreError> {
        self.change(|connection| runs::begin(connection, begun))
    }

    fn runs_begun(&self, project: &ProjectName) -> Result<Vec<RunBegun>, StoreError> {
        let found = self.read(
            |connection, format| {
                if format < WITH_PENDING { Ok(Vec::new()) } else { runs::begun(connection, project) }
            },
        )?;
        Ok(found.unwrap_or_default())
    }

    fn close_killed(
        &self,
        project: &ProjectName,
        notices: &dyn Fn(&RunBegun) -> Vec<RunNotice>,
    ) -> Result<(), StoreError> {
        // A run that finds none must not cost a write.
        let killed = self.runs_begun(project)?;
        if killed.is_empty() {
            return Ok(());
        }
        let told: Vec<RunNotice> = killed.iter().flat_map(notices).collect();
        self.change(|connection| {
            let transaction = connection.unchecked_transaction()?;
            runs::close_killed(&transaction, project)?;
            notices::add(&transaction, project, &told)?;
            transaction.commit()
        })
    }

    fn run_notices(&self, project: &ProjectName) -> Result<Vec<RunNotice>, StoreError> {
        let found =
            self.read(
                |connection, format| {
                    if format < WITH_PENDING { Ok(Vec::new()) } else { notices::read(connection, project) }
                },
            )?;
        Ok(found.unwrap_or_default())
    }

    fn settle_run_notices(&self, project: &ProjectName, done: &[u64], tried: &[u64]) -> Result<(), StoreError> {
        self.change(|connection| {
            let transaction = connection.unchecked_transaction()?;
            notices::settle(&transaction, project, done, tried)?;
            transaction.commit()
        })
    }

    fn remember(&self, measure: &Measure) -> Result<(), StoreError> {
        self.change(|connection| measures::write(connection, measure))
    }

    fn last_known(&self, project: &ProjectName) -> Result<BTreeMap<ServiceName, HistoryFact>, StoreError> {
        let found = self.read(|connection, format| {
            let changes = history::last_changes(connection, project)?;
            let readings = if format >= WITH_MEASURES { measures::read(connection, project)? } else { Vec::new() };
            let mut known = past::known(changes, readings);
            if format >= WITH_WORDS {
                for (service, attempts) in words::attempts(connection, project)? {
                    known.entry(service).or_default().attempts = Some(attempts);
                }
            }
            if format >= WITH_PENDING {
                for (service, report) in words::reports(connection, project)? {
                    known.entry(service).or_default().report = Some(report);
                }
            }
            Ok(known)
        })?;
        Ok(found.unwrap_or_default())
    }

    fn record_run(&self, run: &Run, notices: &[RunNotice]) -> Result<(), StoreError> {
        self.change(|connection| {
            let transaction = connection.unchecked_transaction()?;
            runs::record(&transaction, run)?;
            notices::add(&transaction, &run.project, notices)?;
            transaction.commit()
        })
    }

    fn last_run(&self, project: &ProjectName) -> Result<Option<Run>, StoreError> {
        Ok(self.read(|connection, format| runs::last(connection, format, project))?.flatten())
    }

    fn words(&self, project: &ProjectName) -> Result<Words, StoreError> {
        let found = self.read(|connection, format| {
            if format < WITH_WORDS {
                return Ok(Words::default());
            }
            words::read(connection, project)
        })?;
        Ok(found.unwrap_or_default())
    }

    fn say(&self, project: &ProjectName, service: &ServiceName, said: Option<&Said>) -> Result<(), StoreError> {
        self.change(|connection| words::say(connection, project, service, said))
    }

    fn switch(&self, project: &ProjectName, switched: Option<&Switched>) -> Result<(), StoreError> {
        self.change(|connection| {
            let transaction = connection.unchecked_transaction()?;
            words::switch(&transaction, project, switched)?;
            transaction.commit()
        })
    }

    fn told_mode(&self, project: &ProjectName, notifier: &str) -> Result<Option<ToldMode>, StoreError> {
        let found = self.read(|connection, format| {
            if format < WITH_PENDING { Ok(None) } else { notices::told_mode(connection, project, notifier) }
        })?;
        Ok(found.flatten())
    }

    fn set_told_mode(&self, project: &ProjectName, notifier: &str, mode: Option<&ModeName>) -> Result<(), StoreError> {
        self.change(|connection| notices::set_told_mode(connection, project, notifier, mode))
    }

    fn keep_converged(&self, project: &ProjectName, converged: &Converged) -> Result<(), StoreError> {
        // A run that changed nothing must not cost a write.
        if self.converged(project)?.first().is_some_and(|newest| newest.is_like(converged)) {
            return Ok(());
        }
        self.change(|connection| {
            let transaction = connection.unchecked_transaction()?;
            converged::keep(&transaction, project, converged)?;
            transaction.commit()
        })
    }

    fn converged(&self, project: &ProjectName) -> Result<Vec<Converged>, StoreError> {
        let found =
            self.read(
                |connection, format| {
                    if format < WITH_PENDING { Ok(Vec::new()) } else { converged::read(connection, project) }
                },
            )?;
        Ok(found.unwrap_or_default())
    }

    fn set_report(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        report: Option<&Report>,
    ) -> Result<(), StoreError> {
        self.change(|connection| words::set_report(connection, project, service, report))
    }

    fn set_attempts(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        attempts: Option<&Attempts>,
    ) -> Result<(), StoreError> {
        self.change(|connection| words::set_attempts(connection, project, service, attempts))
    }
}

#[cfg(test)]
mod tests;
