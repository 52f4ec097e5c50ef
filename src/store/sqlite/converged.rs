//! Converged runs as rows: the newest few of each project.

use std::path::PathBuf;

use rusqlite::{Connection, params};
use serde::de::DeserializeOwned;

use super::row::{text_error, timestamp};
use crate::model::converged::Converged;
use crate::model::mode_set::ModeSet;
use crate::model::names::ProjectName;
use crate::store::journal::CONVERGED_MAX;

/// Inserts a converged run, and drops those beyond the bound. The caller holds a transaction.
pub(super) fn keep(connection: &Connection, project: &ProjectName, converged: &Converged) -> rusqlite::Result<()> {
    let Converged { run, at, mode, own_mode, goals, entry, files } = converged;
    let (Ok(goals), Ok(files), Some(entry)) =
        (serde_json::to_string(goals), serde_json::to_string(&files[..]), entry.to_str())
    else {
        return Ok(());
    };
    let mode = mode.as_ref().map(ModeSet::text);
    let like = "DELETE FROM converged
                WHERE project = ?1 AND mode IS ?2 AND goals = ?3 AND entry = ?4 AND files = ?5";
    connection.execute(like, params![project.as_str(), mode, goals, entry, files])?;
    let keep = "INSERT INTO converged (project, run, at_us, mode, own_mode, goals, entry, files)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let own_mode = own_mode.as_ref().map(ModeSet::text);
    connection
        .execute(keep, params![project.as_str(), run, at.as_microsecond(), mode, own_mode, goals, entry, files])?;
    let bound = "DELETE FROM converged WHERE project = ?1 AND id NOT IN
                 (SELECT id FROM converged WHERE project = ?1 ORDER BY id DESC LIMIT ?2)";
    connection.execute(bound, params![project.as_str(), i64::try_from(CONVERGED_MAX).unwrap_or(i64::MAX)]).map(|_| ())
}

/// Returns the converged runs, the newest first.
pub(super) fn read(connection: &Connection, project: &ProjectName) -> rusqlite::Result<Vec<Converged>> {
    let mut statement = connection.prepare(
        "SELECT run, at_us, mode, own_mode, goals, entry, files FROM converged WHERE project = ?1 ORDER BY id DESC",
    )?;
    let rows = statement.query_map([project.as_str()], |row| {
        let (mode, own_mode): (Option<String>, Option<String>) = (row.get(2)?, row.get(3)?);
        let (goals, entry, files): (String, String, String) = (row.get(4)?, row.get(5)?, row.get(6)?);
        Ok(Converged {
            run: row.get(0)?,
            at: timestamp(row, 1)?,
            mode: mode.map(|text| ModeSet::parse(&text)),
            own_mode: own_mode.map(|text| ModeSet::parse(&text)),
            goals: parsed(4, &goals)?,
            entry: PathBuf::from(entry),
            files: parsed::<Vec<_>>(6, &files)?.into(),
        })
    })?;
    rows.collect()
}

fn parsed<T: DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| text_error(column, format!("a converged run can't be read: {error}")))
}
