//! Newest fencing token that a run was recorded with, as a row of `meta`: it needs no table of its own, and an older lcm
//! leaves it as it is.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::store::lease::FencingToken;

const KEY: &str = "token";

/// Returns the newest token; 0 where none is on record.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<FencingToken> {
    let newest = "SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?1";
    let token: Option<i64> = connection.query_row(newest, [KEY], |row| row.get(0)).optional()?;
    Ok(FencingToken(token.and_then(|token| u64::try_from(token).ok()).unwrap_or_default()))
}

/// Raises the newest token to this one, and returns the newest: another one where that is greater. The caller holds a
/// transaction and makes this its first statement: a transaction that reads before it writes may be refused.
pub(super) fn raise(connection: &Connection, token: FencingToken) -> rusqlite::Result<FencingToken> {
    let raise = "INSERT INTO meta (key, value) VALUES (?1, ?2)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value
                 WHERE CAST(meta.value AS INTEGER) < CAST(excluded.value AS INTEGER)";
    connection.execute(raise, params![KEY, token.to_string()])?;
    newest(connection)
}
