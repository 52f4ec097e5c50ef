//! Notices of runs as rows, for each notifier that has yet to receive them; and the modes that notifiers were informed
//! of.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::row::text_error;
use crate::model::hooks::RunEvent;
use crate::model::mode_set::ModeSet;
use crate::model::names::ProjectName;
use crate::model::pending::TRIES_MAX;
use crate::store::record::{NotifiedMode, RunNotice};

/// Notices kept of one project; the oldest are dropped first. A notifier that accepts none drops each after three runs.
const NOTICES_MAX: u32 = 100;

/// Inserts notices, and drops those beyond the bound. The caller holds a transaction.
pub(super) fn add(connection: &Connection, project: &ProjectName, notices: &[RunNotice]) -> rusqlite::Result<()> {
    for RunNotice { id: _, notifier, payload, tries } in notices {
        let Ok(text) = serde_json::to_string(payload) else { continue };
        let add = "INSERT INTO run_notices (project, notifier, payload, tries) VALUES (?1, ?2, ?3, ?4)";
        connection.execute(add, params![project.as_str(), notifier, text, tries])?;
        if payload.hook == RunEvent::ModeChanged {
            set_notified_mode(connection, project, notifier, payload.mode.as_ref())?;
        }
    }
    let bound = "DELETE FROM run_notices WHERE project = ?1 AND id NOT IN
                 (SELECT id FROM run_notices WHERE project = ?1 ORDER BY id DESC LIMIT ?2)";
    if notices.is_empty() {
        Ok(())
    } else {
        connection.execute(bound, params![project.as_str(), NOTICES_MAX]).map(|_| ())
    }
}

/// Returns the notices of a project, the oldest first.
pub(super) fn read(connection: &Connection, project: &ProjectName) -> rusqlite::Result<Vec<RunNotice>> {
    let mut statement =
        connection.prepare("SELECT id, notifier, payload, tries FROM run_notices WHERE project = ?1 ORDER BY id")?;
    let notices = statement.query_map([project.as_str()], |row| {
        let (id, text): (i64, String) = (row.get(0)?, row.get(2)?);
        let payload = serde_json::from_str(&text)
            .map_err(|error| text_error(2, format!("an event of a run can't be read: {error}")))?;
        Ok(RunNotice { id: u64::try_from(id).unwrap_or_default(), notifier: row.get(1)?, payload, tries: row.get(3)? })
    })?;
    notices.collect()
}

/// Deletes delivered notices, and counts a try of others. The caller holds a transaction.
pub(super) fn settle(
    connection: &Connection,
    project: &ProjectName,
    done: &[u64],
    tried: &[u64],
) -> rusqlite::Result<()> {
    let key = |id: &u64| i64::try_from(*id).unwrap_or(i64::MAX);
    for id in done.iter().map(key) {
        connection.execute("DELETE FROM run_notices WHERE project = ?1 AND id = ?2", params![project.as_str(), id])?;
    }
    for id in tried.iter().map(key) {
        let count = "UPDATE run_notices SET tries = tries + 1 WHERE project = ?1 AND id = ?2";
        connection.execute(count, params![project.as_str(), id])?;
    }
    let drop = "DELETE FROM run_notices WHERE project = ?1 AND tries >= ?2";
    connection.execute(drop, params![project.as_str(), TRIES_MAX]).map(|_| ())
}

/// Returns the mode that a notifier was last informed of.
pub(super) fn notified_mode(
    connection: &Connection,
    project: &ProjectName,
    notifier: &str,
) -> rusqlite::Result<Option<NotifiedMode>> {
    let newest = "SELECT mode FROM told_modes WHERE project = ?1 AND notifier = ?2";
    let mode = |row: &Row<'_>| Ok(NotifiedMode(row.get::<_, Option<String>>(0)?.map(|text| ModeSet::parse(&text))));
    connection.query_row(newest, [project.as_str(), notifier], mode).optional()
}

pub(super) fn set_notified_mode(
    connection: &Connection,
    project: &ProjectName,
    notifier: &str,
    mode: Option<&ModeSet>,
) -> rusqlite::Result<()> {
    let keep = "INSERT OR REPLACE INTO told_modes (project, notifier, mode) VALUES (?1, ?2, ?3)";
    connection.execute(keep, params![project.as_str(), notifier, mode.map(ModeSet::text)]).map(|_| ())
}
