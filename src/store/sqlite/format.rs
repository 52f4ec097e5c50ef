//! The tables of the store, format by format, and the way from one to the next. A newer format is refused.

use rusqlite::{Connection, TransactionBehavior};

/// In the file's `user_version`; it is that of a file with all tables below.
pub(super) const FORMAT: u32 = 3;

/// The first format that has measures.
pub(super) const WITH_MEASURES: u32 = 2;

/// The first format that has words, attempts, calls, and on whose account a change was made.
pub(super) const WITH_WORDS: u32 = 3;

const CHANGES_AND_RUNS: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE transitions (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL,
        project TEXT NOT NULL, service TEXT NOT NULL,
        from_state TEXT NOT NULL, to_state TEXT NOT NULL, reason TEXT NOT NULL, made INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX transitions_of_service ON transitions (project, service, id);
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, command TEXT NOT NULL, by_whom TEXT NOT NULL,
        began_us INTEGER NOT NULL, ended_us INTEGER NOT NULL,
        exit_code INTEGER NOT NULL, changed INTEGER NOT NULL, first_error TEXT
    ) STRICT;
    CREATE TABLE quiet_runs (project TEXT PRIMARY KEY, count INTEGER NOT NULL, last_us INTEGER NOT NULL) STRICT;
";

/// `amount`: milliseconds of what took time, MiB of memory, 0 of an eviction.
const MEASURES: &str = "
    CREATE TABLE measures (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL,
        project TEXT NOT NULL, service TEXT NOT NULL, kind TEXT NOT NULL, amount INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX measures_of_kind ON measures (project, service, kind, id);
";

/// `metadata`: a JSON object of texts. The columns that were added say nothing of changes that were there before.
const WORDS: &str = "
    ALTER TABLE transitions ADD COLUMN by_whom TEXT NOT NULL DEFAULT '';
    ALTER TABLE transitions ADD COLUMN run TEXT NOT NULL DEFAULT '';
    ALTER TABLE transitions ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
    DROP INDEX transitions_of_service;
    CREATE INDEX transitions_of_service ON transitions (project, service, made);
    CREATE INDEX transitions_of_time ON transitions (project, at_us);
    ALTER TABLE runs ADD COLUMN run TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN manifest TEXT NOT NULL DEFAULT '';
    CREATE TABLE words (
        project TEXT NOT NULL, service TEXT NOT NULL, word TEXT NOT NULL, by_whom TEXT NOT NULL,
        since_us INTEGER NOT NULL, reason TEXT, metadata TEXT NOT NULL, PRIMARY KEY (project, service)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE switches (
        project TEXT NOT NULL, entry TEXT NOT NULL, mode TEXT NOT NULL, own_mode TEXT, by_whom TEXT NOT NULL,
        since_us INTEGER NOT NULL, reason TEXT, PRIMARY KEY (project, entry)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE attempts (
        project TEXT NOT NULL, service TEXT NOT NULL, count INTEGER NOT NULL, last_us INTEGER NOT NULL,
        spec TEXT NOT NULL, PRIMARY KEY (project, service)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE calls (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL,
        project TEXT NOT NULL, service TEXT NOT NULL, run TEXT NOT NULL, hook TEXT NOT NULL, call TEXT NOT NULL,
        took_ms INTEGER NOT NULL, error TEXT, output TEXT NOT NULL
    ) STRICT;
";

/// How a file stands to [`FORMAT`] after [`bring_up`].
pub(super) enum Brought {
    UpToDate,
    /// Somebody's newer lcm was here; the file is as it was.
    Newer(u32),
    /// Without a format of ours it has tables; the file is as it was.
    NotOurs,
}

pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Adds the tables that a file of an older format, or an empty one, lacks: all or none. Under a write lock, since two
/// may come at once.
pub(super) fn bring_up(connection: &mut Connection) -> rusqlite::Result<Brought> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    match found {
        0 => {
            let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
            if tables > 0 {
                return Ok(Brought::NotOurs);
            }
            transaction.execute_batch(CHANGES_AND_RUNS)?;
            transaction.execute_batch(MEASURES)?;
            transaction.execute_batch(WORDS)?;
        }
        1 => {
            transaction.execute_batch(MEASURES)?;
            transaction.execute_batch(WORDS)?;
        }
        2 => transaction.execute_batch(WORDS)?,
        FORMAT => return Ok(Brought::UpToDate),
        newer => return Ok(Brought::Newer(newer)),
    }
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    Ok(Brought::UpToDate)
}
