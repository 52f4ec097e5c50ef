//! What operators said, and what was tried to bring services up: the newest of each alone.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::model::facts::{Attempts, Report};
use crate::model::names::{ModeName, ProjectName, ServiceName};
use crate::model::words::{Said, Switched, Word, Words};
use crate::store::sqlite::row::{text_error, timestamp};

pub(super) fn read(connection: &Connection, project: &ProjectName) -> rusqlite::Result<Words> {
    let mut statement = connection
        .prepare("SELECT service, word, by_whom, since_us, reason, metadata FROM words WHERE project = ?1")?;
    let services = statement.query_map([project.as_str()], |row| {
        let service: String = row.get(0)?;
        Ok((ServiceName::new(service), said(row)?))
    })?;
    let services = services.collect::<rusqlite::Result<_>>()?;
    Ok(Words { services, mode: mode_override(connection, project)? })
}

/// The newest alone: an earlier lcm kept one for each entry file.
fn mode_override(connection: &Connection, project: &ProjectName) -> rusqlite::Result<Option<Switched>> {
    let newest = "SELECT entry, mode, own_mode, by_whom, since_us, reason FROM switches WHERE project = ?1
                  ORDER BY since_us DESC, entry LIMIT 1";
    let read = |row: &Row<'_>| {
        let (mode, own_mode): (String, Option<String>) = (row.get(1)?, row.get(2)?);
        Ok(Switched {
            mode: ModeName::new(mode),
            entry: row.get(0)?,
            own_mode: own_mode.map(ModeName::new),
            by: row.get(3)?,
            since: timestamp(row, 4)?,
            reason: row.get(5)?,
        })
    };
    connection.query_row(newest, [project.as_str()], read).optional()
}

fn said(row: &Row<'_>) -> rusqlite::Result<Said> {
    let (word, metadata): (String, String) = (row.get(1)?, row.get(5)?);
    let known = Word::ALL.into_iter().find(|known| known.as_str() == word);
    Ok(Said {
        word: known.ok_or_else(|| text_error(1, format!("{word} is no word of an operator")))?,
        by: row.get(2)?,
        since: timestamp(row, 3)?,
        reason: row.get(4)?,
        metadata: from_json(5, &metadata)?,
    })
}

pub(super) fn say(
    connection: &Connection,
    project: &ProjectName,
    service: &ServiceName,
    said: Option<&Said>,
) -> rusqlite::Result<()> {
    let Some(said) = said else {
        let forget = "DELETE FROM words WHERE project = ?1 AND service = ?2";
        return connection.execute(forget, [project.as_str(), service.as_str()]).map(|_| ());
    };
    let keep = "INSERT OR REPLACE INTO words (project, service, word, by_whom, since_us, reason, metadata)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let since_us = said.since.as_microsecond();
    let metadata = to_json(&said.metadata);
    let (project, service, word) = (project.as_str(), service.as_str(), said.word.as_str());
    connection.execute(keep, params![project, service, word, said.by, since_us, said.reason, metadata]).map(|_| ())
}

/// For a caller that holds a transaction.
pub(super) fn switch(
    connection: &Connection,
    project: &ProjectName,
    switched: Option<&Switched>,
) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM switches WHERE project = ?1", [project.as_str()])?;
    let Some(switched) = switched else { return Ok(()) };
    let keep = "INSERT INTO switches (project, entry, mode, own_mode, by_whom, since_us, reason)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let Switched { mode, entry, own_mode, by, since, reason } = switched;
    let own_mode = own_mode.as_ref().map(ModeName::as_str);
    let since_us = since.as_microsecond();
    connection
        .execute(keep, params![project.as_str(), entry, mode.as_str(), own_mode, by, since_us, reason])
        .map(|_| ())
}

pub(super) fn attempts(
    connection: &Connection,
    project: &ProjectName,
) -> rusqlite::Result<BTreeMap<ServiceName, Attempts>> {
    let mut statement = connection.prepare("SELECT service, count, last_us, spec FROM attempts WHERE project = ?1")?;
    let attempts = statement.query_map([project.as_str()], |row| {
        let service: String = row.get(0)?;
        Ok((ServiceName::new(service), Attempts { count: row.get(1)?, last_at: timestamp(row, 2)?, spec: row.get(3)? }))
    })?;
    attempts.collect()
}

pub(super) fn set_attempts(
    connection: &Connection,
    project: &ProjectName,
    service: &ServiceName,
    attempts: Option<&Attempts>,
) -> rusqlite::Result<()> {
    let Some(Attempts { count, last_at, spec }) = attempts else {
        let forget = "DELETE FROM attempts WHERE project = ?1 AND service = ?2";
        return connection.execute(forget, [project.as_str(), service.as_str()]).map(|_| ());
    };
    let keep = "INSERT OR REPLACE INTO attempts (project, service, count, last_us, spec) VALUES (?1, ?2, ?3, ?4, ?5)";
    let last_us = last_at.as_microsecond();
    connection.execute(keep, params![project.as_str(), service.as_str(), count, last_us, spec]).map(|_| ())
}

pub(super) fn reports(
    connection: &Connection,
    project: &ProjectName,
) -> rusqlite::Result<BTreeMap<ServiceName, Report>> {
    let mut statement = connection.prepare("SELECT service, error, by_whom, at_us FROM reports WHERE project = ?1")?;
    let reports = statement.query_map([project.as_str()], |row| {
        let service: String = row.get(0)?;
        Ok((ServiceName::new(service), Report { error: row.get(1)?, by: row.get(2)?, at: timestamp(row, 3)? }))
    })?;
    reports.collect()
}

pub(super) fn set_report(
    connection: &Connection,
    project: &ProjectName,
    service: &ServiceName,
    report: Option<&Report>,
) -> rusqlite::Result<()> {
    let Some(Report { error, by, at }) = report else {
        let forget = "DELETE FROM reports WHERE project = ?1 AND service = ?2";
        return connection.execute(forget, [project.as_str(), service.as_str()]).map(|_| ());
    };
    let keep = "INSERT OR REPLACE INTO reports (project, service, error, by_whom, at_us) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.execute(keep, params![project.as_str(), service.as_str(), error, by, at.as_microsecond()]).map(|_| ())
}

pub(super) fn to_json(metadata: &BTreeMap<String, String>) -> String {
    serde_json::to_string(metadata).unwrap_or_default()
}

pub(super) fn from_json(column: usize, text: &str) -> rusqlite::Result<BTreeMap<String, String>> {
    serde_json::from_str(text).map_err(|error| text_error(column, format!("{text} is no metadata: {error}")))
}
