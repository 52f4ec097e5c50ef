//! What operators said, and what was tried to bring services up: the newest of each alone.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};

use super::{text_error, timestamp};
use crate::model::facts::Attempts;
use crate::model::names::{ModeName, ProjectName, ServiceName};
use crate::model::words::{Said, Switched, Word, Words};

pub(super) fn read(connection: &Connection, project: &ProjectName) -> rusqlite::Result<Words> {
    let mut statement = connection
        .prepare("SELECT service, word, by_whom, since_us, reason, metadata FROM words WHERE project = ?1")?;
    let services = statement.query_map([project.as_str()], |row| {
        let service: String = row.get(0)?;
        Ok((ServiceName::new(service), said(row)?))
    })?;
    let services = services.collect::<rusqlite::Result<_>>()?;
    let mut statement = connection.prepare(
        "SELECT entry, mode, own_mode, by_whom, since_us, reason FROM switches WHERE project = ?1 ORDER BY entry",
    )?;
    let modes = statement.query_map([project.as_str()], |row| {
        let (mode, own_mode): (String, Option<String>) = (row.get(1)?, row.get(2)?);
        Ok(Switched {
            mode: ModeName::new(mode),
            entry: row.get(0)?,
            own_mode: own_mode.map(ModeName::new),
            by: row.get(3)?,
            since: timestamp(row, 4)?,
            reason: row.get(5)?,
        })
    })?;
    Ok(Words { services, modes: modes.collect::<rusqlite::Result<_>>()? })
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

pub(super) fn switch(
    connection: &Connection,
    project: &ProjectName,
    entry: &str,
    switched: Option<&Switched>,
) -> rusqlite::Result<()> {
    let Some(switched) = switched else {
        let forget = "DELETE FROM switches WHERE project = ?1 AND entry = ?2";
        return connection.execute(forget, [project.as_str(), entry]).map(|_| ());
    };
    let keep = "INSERT OR REPLACE INTO switches (project, entry, mode, own_mode, by_whom, since_us, reason)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let Switched { mode, entry: _, own_mode, by, since, reason } = switched;
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

pub(super) fn to_json(metadata: &BTreeMap<String, String>) -> String {
    serde_json::to_string(metadata).unwrap_or_default()
}

pub(super) fn from_json(column: usize, text: &str) -> rusqlite::Result<BTreeMap<String, String>> {
    serde_json::from_str(text).map_err(|error| text_error(column, format!("{text} is no metadata: {error}")))
}
