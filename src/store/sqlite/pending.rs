//! Pending calls as rows: recorded, bounded, and deleted once they were made.

use rusqlite::{Connection, Row, params};

use super::row::{state, text_error};
use crate::model::hooks::{FORMAT, HookPayload};
use crate::model::names::ProjectName;
use crate::model::pending::{Due, PendingCall, TRIES_MAX};
use crate::store::journal::{PENDING_MAX, PendingChange};

const NOW: &str = "now";
const ACKNOWLEDGED: &str = "acknowledged";

pub(super) fn read(connection: &Connection, project: &ProjectName) -> rusqlite::Result<Vec<PendingCall>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, due, digest, call, payload, tries FROM pending_calls WHERE project = ?1 ORDER BY id",
    )?;
    let calls = statement.query_map([project.as_str()], pending_call)?;
    calls.collect()
}

fn pending_call(row: &Row<'_>) -> rusqlite::Result<PendingCall> {
    let (id, due, payload): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(4)?);
    let due = match due.as_str() {
        NOW => Due::Now,
        ACKNOWLEDGED => Due::Acknowledged,
        _ => Due::Reached(state(row, 1)?),
    };
    let payload: HookPayload =
        serde_json::from_str(&payload).map_err(|error| text_error(4, format!("invalid hook payload: {error}")))?;
    // An earlier lcm may have written the call; its payload gets the present format.
    let payload = HookPayload { format: FORMAT.to_owned(), ..payload };
    let id = u64::try_from(id).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, id))?;
    Ok(PendingCall { id, due, digest: row.get(2)?, call: row.get(3)?, payload, tries: row.get(5)? })
}

/// Changes the pending calls, and returns the ids of those that are added.
pub(super) fn change(
    connection: &Connection,
    project: &ProjectName,
    change: PendingChange<'_>,
) -> rusqlite::Result<Vec<u64>> {
    let PendingChange { add, due, done, tried } = change;
    for id in due.iter().map(|id| number(*id)) {
        connection.execute("UPDATE pending_calls SET due = ?2 WHERE id = ?1", params![id, NOW])?;
    }
    for id in done.iter().map(|id| number(*id)) {
        connection.execute("DELETE FROM pending_calls WHERE id = ?1", [id])?;
    }
    for id in tried.iter().map(|id| number(*id)) {
        connection.execute("UPDATE pending_calls SET tries = tries + 1 WHERE id = ?1", [id])?;
        connection.execute("DELETE FROM pending_calls WHERE id = ?1 AND tries >= ?2", params![id, TRIES_MAX])?;
    }
    add.iter().map(|call| insert(connection, project, call)).collect::<rusqlite::Result<Vec<u64>>>().and_then(|ids| {
        if !ids.is_empty() {
            prune(connection, project)?;
        }
        Ok(ids)
    })
}

fn insert(connection: &Connection, project: &ProjectName, call: &PendingCall) -> rusqlite::Result<u64> {
    let due = match call.due {
        Due::Now => NOW,
        Due::Acknowledged => ACKNOWLEDGED,
        Due::Reached(state) => state.as_str(),
    };
    let payload = serde_json::to_string(&call.payload).unwrap_or_default();
    let mut insert = connection.prepare_cached(
        "INSERT INTO pending_calls (project, due, digest, call, payload, tries) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let id = insert.insert(params![project.as_str(), due, call.digest, call.call, payload, call.tries])?;
    u64::try_from(id).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, id))
}

fn prune(connection: &Connection, project: &ProjectName) -> rusqlite::Result<()> {
    let kept = i64::try_from(PENDING_MAX).unwrap_or(i64::MAX);
    let prune = "DELETE FROM pending_calls WHERE project = ?1 AND id <= (
                     SELECT id FROM pending_calls WHERE project = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
    connection.execute(prune, params![project.as_str(), kept]).map(|_| ())
}

fn number(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}
