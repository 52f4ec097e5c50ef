//! Tables of the store, format by format, and the upgrade from one to the next. A newer format is refused.

use rusqlite::{Connection, TransactionBehavior};

/// Format of a file with all tables below, in the file's `user_version`.
pub(super) const FORMAT: u32 = 5;

/// The first format that has measures.
pub(super) const WITH_MEASURES: u32 = 2;

/// The first format that has holds, attempts, calls, and the author of a change.
pub(super) const WITH_HOLDS: u32 = 3;

/// The first format that has pending calls, and runs that were begun.
pub(super) const WITH_PENDING: u32 = 4;

/// The first format that has the ends of jobs.
pub(super) const WITH_JOBS: u32 = 5;

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

/// `amount`: milliseconds of a duration, MiB of memory, 0 of an eviction.
const MEASURES: &str = "
    CREATE TABLE measures (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL,
        project TEXT NOT NULL, service TEXT NOT NULL, kind TEXT NOT NULL, amount INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX measures_of_kind ON measures (project, service, kind, id);
";

/// `metadata`: a JSON object of texts. The added columns are empty for changes that were there before.
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

/// Columns of quiet runs: the last of them; null where an earlier lcm recorded it. `goals`: a JSON list of names;
/// `files`: one of paths and texts. `due`: `now`, `acknowledged`, or a state of the service; `payload`: JSON, as a hook
/// gets it.
const PENDING: &str = "
    ALTER TABLE runs ADD COLUMN ended TEXT NOT NULL DEFAULT 'completed';
    ALTER TABLE quiet_runs ADD COLUMN run TEXT;
    ALTER TABLE quiet_runs ADD COLUMN command TEXT;
    ALTER TABLE quiet_runs ADD COLUMN by_whom TEXT;
    ALTER TABLE quiet_runs ADD COLUMN began_us INTEGER;
    ALTER TABLE quiet_runs ADD COLUMN exit_code INTEGER;
    ALTER TABLE quiet_runs ADD COLUMN manifest TEXT;
    CREATE TABLE runs_begun (
        project TEXT NOT NULL, run TEXT NOT NULL, command TEXT NOT NULL, by_whom TEXT NOT NULL,
        began_us INTEGER NOT NULL, manifest TEXT NOT NULL, mode TEXT, PRIMARY KEY (project, run)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE pending_calls (
        id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, due TEXT NOT NULL, digest TEXT NOT NULL,
        call TEXT NOT NULL, payload TEXT NOT NULL, tries INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE converged (
        id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, run TEXT NOT NULL, at_us INTEGER NOT NULL,
        mode TEXT, own_mode TEXT, goals TEXT NOT NULL, entry TEXT NOT NULL, files TEXT NOT NULL
    ) STRICT;
    CREATE INDEX converged_of_project ON converged (project, id);
    CREATE TABLE run_notices (
        id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, notifier TEXT NOT NULL, payload TEXT NOT NULL,
        tries INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX run_notices_of_project ON run_notices (project, id);
    CREATE TABLE told_modes (
        project TEXT NOT NULL, notifier TEXT NOT NULL, mode TEXT, PRIMARY KEY (project, notifier)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE reports (
        project TEXT NOT NULL, service TEXT NOT NULL, error TEXT NOT NULL, by_whom TEXT NOT NULL, at_us INTEGER NOT NULL,
        PRIMARY KEY (project, service)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX pending_of_project ON pending_calls (project, id);
";

/// `spec` is empty after `lcm down`, since which no earlier end counts.
const JOBS: &str = "
    CREATE TABLE job_ends (
        project TEXT NOT NULL, service TEXT NOT NULL, spec TEXT NOT NULL, exit_code INTEGER, ended_us INTEGER NOT NULL,
        PRIMARY KEY (project, service)
    ) STRICT, WITHOUT ROWID;
";

/// Tables whose rows belong to a project.
const OF_PROJECTS: [&str; 15] = [
    "transitions",
    "runs",
    "quiet_runs",
    "measures",
    "words",
    "switches",
    "attempts",
    "calls",
    "runs_begun",
    "pending_calls",
    "converged",
    "told_modes",
    "run_notices",
    "reports",
    "job_ends",
];

/// Moves the rows of a project to another name, unless that has rows of its own in their place. The caller holds a
/// transaction.
pub(super) fn rename_project(connection: &Connection, from: &str, to: &str) -> rusqlite::Result<()> {
    for table in OF_PROJECTS {
        let rename = format!("UPDATE OR IGNORE {table} SET project = ?2 WHERE project = ?1");
        connection.execute(&rename, [from, to])?;
        connection.execute(&format!("DELETE FROM {table} WHERE project = ?1"), [from])?;
    }
    Ok(())
}

/// Returns true if anything is kept under a project's name.
pub(super) fn knows_project(connection: &Connection, project: &str) -> rusqlite::Result<bool> {
    for table in OF_PROJECTS {
        let row = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE project = ?1)");
        if connection.query_row(&row, [project], |row| row.get(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Result of an upgrade to [`FORMAT`].
pub(super) enum Brought {
    UpToDate,
    /// Written by a newer lcm; the file is as it was.
    Newer(u32),
}

pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Returns true if a database has no table at all.
pub(super) fn is_bare(connection: &Connection) -> rusqlite::Result<bool> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables == 0)
}

/// Returns the bytes of a new database with all tables, in WAL mode.
pub(super) fn laid_out() -> rusqlite::Result<Vec<u8>> {
    let mut connection = Connection::open_in_memory()?;
    bring_up(&mut connection)?;
    let mut bytes = connection.serialize("main")?.to_vec();
    // The file format's versions for writing and reading: 2 is WAL, which a database in memory can't be in.
    bytes[WAL_VERSIONS].fill(2);
    Ok(bytes)
}

/// Their place in the header of a database file, which has 100 bytes.
const WAL_VERSIONS: std::ops::RangeInclusive<usize> = 18..=19;

/// Adds the tables that a file of an older format lacks: all or none. Under a write lock, since two processes may
/// upgrade at once.
pub(super) fn bring_up(connection: &mut Connection) -> rusqlite::Result<Brought> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    match found {
        0..FORMAT => {}
        FORMAT => return Ok(Brought::UpToDate),
        newer => return Ok(Brought::Newer(newer)),
    }
    // Tables that each format added to the one before.
    let added = [CHANGES_AND_RUNS, MEASURES, WORDS, PENDING, JOBS];
    for tables in added.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        transaction.execute_batch(tables)?;
    }
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    Ok(Brought::UpToDate)
}
