//! Holds as rows, and as the trait: the newest of each service, and of mode overrides the newest of each project.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::format::WITH_HOLDS;
use super::row::{from_json, text_error, timestamp, to_json};
use super::store::Sqlite;
use crate::model::holds::{Hold, HoldRecord, Holds, ModeOverride};
use crate::model::mode_set::ModeSet;
use crate::model::names::{ProjectName, ServiceName};
use crate::store::error::StoreError;
use crate::store::holds::HoldStore;

#[async_trait]
impl HoldStore for Sqlite {
    async fn holds(&self, project: &ProjectName) -> Result<Holds, StoreError> {
        let project = project.clone();
        self.read_since(WITH_HOLDS, move |connection| read(connection, &project)).await
    }

    async fn set_hold(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        hold: Option<&HoldRecord>,
    ) -> Result<(), StoreError> {
        let (project, service, hold) = (project.clone(), service.clone(), hold.cloned());
        self.change(move |connection| set_hold(connection, &project, &service, hold.as_ref())).await
    }

    async fn set_mode_override(
        &self,
        project: &ProjectName,
        switched: Option<&ModeOverride>,
    ) -> Result<(), StoreError> {
        let (project, switched) = (project.clone(), switched.cloned());
        self.transact(move |connection| set_mode_override(connection, &project, switched.as_ref())).await
    }
}

fn read(connection: &Connection, project: &ProjectName) -> rusqlite::Result<Holds> {
    let mut statement = connection
        .prepare("SELECT service, word, by_whom, since_us, reason, metadata FROM words WHERE project = ?1")?;
    let services = statement.query_map([project.as_str()], |row| {
        let service: String = row.get(0)?;
        Ok((ServiceName::new(service), hold_record(row)?))
    })?;
    let services = services.collect::<rusqlite::Result<_>>()?;
    Ok(Holds { services, mode: mode_override(connection, project)? })
}

/// Returns the newest one: an earlier lcm kept one for each entry file.
fn mode_override(connection: &Connection, project: &ProjectName) -> rusqlite::Result<Option<ModeOverride>> {
    let newest = "SELECT entry, mode, own_mode, by_whom, since_us, reason FROM switches WHERE project = ?1
                  ORDER BY since_us DESC, entry LIMIT 1";
    let read = |row: &Row<'_>| {
        let (mode, own_mode): (String, Option<String>) = (row.get(1)?, row.get(2)?);
        Ok(ModeOverride {
            mode: ModeSet::parse(&mode),
            entry: row.get(0)?,
            own_mode: own_mode.map(|text| ModeSet::parse(&text)),
            by: row.get(3)?,
            since: timestamp(row, 4)?,
            reason: row.get(5)?,
        })
    };
    connection.query_row(newest, [project.as_str()], read).optional()
}

fn hold_record(row: &Row<'_>) -> rusqlite::Result<HoldRecord> {
    let (word, metadata): (String, String) = (row.get(1)?, row.get(5)?);
    let known = Hold::ALL.into_iter().find(|known| known.as_str() == word);
    Ok(HoldRecord {
        kind: known.ok_or_else(|| text_error(1, format!("unknown hold `{word}`")))?,
        by: row.get(2)?,
        since: timestamp(row, 3)?,
        reason: row.get(4)?,
        metadata: from_json(5, &metadata)?,
    })
}

fn set_hold(
    connection: &Connection,
    project: &ProjectName,
    service: &ServiceName,
    hold: Option<&HoldRecord>,
) -> rusqlite::Result<()> {
    let Some(hold) = hold else {
        let forget = "DELETE FROM words WHERE project = ?1 AND service = ?2";
        return connection.execute(forget, [project.as_str(), service.as_str()]).map(|_| ());
    };
    let keep = "INSERT OR REPLACE INTO words (project, service, word, by_whom, since_us, reason, metadata)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let since_us = hold.since.as_microsecond();
    let metadata = to_json(&hold.metadata);
    let (project, service, word) = (project.as_str(), service.as_str(), hold.kind.as_str());
    connection.execute(keep, params![project, service, word, hold.by, since_us, hold.reason, metadata]).map(|_| ())
}

/// Replaces the mode override. The caller holds a transaction.
fn set_mode_override(
    connection: &Connection,
    project: &ProjectName,
    switched: Option<&ModeOverride>,
) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM switches WHERE project = ?1", [project.as_str()])?;
    let Some(switched) = switched else { return Ok(()) };
    let keep = "INSERT INTO switches (project, entry, mode, own_mode, by_whom, since_us, reason)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let ModeOverride { mode, entry, own_mode, by, since, reason } = switched;
    let own_mode = own_mode.as_ref().map(ModeSet::text);
    let since_us = since.as_microsecond();
    connection.execute(keep, params![project.as_str(), entry, mode.text(), own_mode, by, since_us, reason]).map(|_| ())
}
