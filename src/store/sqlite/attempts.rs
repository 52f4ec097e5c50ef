//! Attempts and reports as rows, and as the trait: the newest of each service.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::format::WITH_HOLDS;
use super::row::timestamp;
use super::store::Sqlite;
use crate::model::facts::{self, FailureReport};
use crate::model::names::{ProjectName, ServiceName};
use crate::store::attempts::AttemptStore;
use crate::store::error::StoreError;

#[async_trait]
impl AttemptStore for Sqlite {
    async fn attempts(&self, project: &ProjectName) -> Result<BTreeMap<ServiceName, facts::Attempts>, StoreError> {
        let project = project.clone();
        self.read_since(WITH_HOLDS, move |connection| attempts(connection, &project)).await
    }

    async fn set_attempts(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        attempts: Option<&facts::Attempts>,
    ) -> Result<(), StoreError> {
        let (project, service, attempts) = (project.clone(), service.clone(), attempts.cloned());
        self.change(move |connection| set_attempts(connection, &project, &service, attempts.as_ref())).await
    }

    async fn set_report(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        report: Option<&FailureReport>,
    ) -> Result<(), StoreError> {
        let (project, service, report) = (project.clone(), service.clone(), report.cloned());
        self.change(move |connection| set_report(connection, &project, &service, report.as_ref())).await
    }
}

pub(super) fn attempts(
    connection: &Connection,
    project: &ProjectName,
) -> rusqlite::Result<BTreeMap<ServiceName, facts::Attempts>> {
    let mut statement = connection.prepare("SELECT service, count, last_us, spec FROM attempts WHERE project = ?1")?;
    let attempts = statement.query_map([project.as_str()], |row| {
        let service: String = row.get(0)?;
        Ok((
            ServiceName::new(service),
            facts::Attempts { count: row.get(1)?, last_at: timestamp(row, 2)?, spec: row.get(3)? },
        ))
    })?;
    attempts.collect()
}

fn set_attempts(
    connection: &Connection,
    project: &ProjectName,
    service: &ServiceName,
    attempts: Option<&facts::Attempts>,
) -> rusqlite::Result<()> {
    let Some(facts::Attempts { count, last_at, spec }) = attempts else {
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
) -> rusqlite::Result<BTreeMap<ServiceName, FailureReport>> {
    let mut statement = connection.prepare("SELECT service, error, by_whom, at_us FROM reports WHERE project = ?1")?;
    let reports = statement.query_map([project.as_str()], |row| {
        let service: String = row.get(0)?;
        Ok((ServiceName::new(service), FailureReport { error: row.get(1)?, by: row.get(2)?, at: timestamp(row, 3)? }))
    })?;
    reports.collect()
}

fn set_report(
    connection: &Connection,
    project: &ProjectName,
    service: &ServiceName,
    report: Option<&FailureReport>,
) -> rusqlite::Result<()> {
    let Some(FailureReport { error, by, at }) = report else {
        let forget = "DELETE FROM reports WHERE project = ?1 AND service = ?2";
        return connection.execute(forget, [project.as_str(), service.as_str()]).map(|_| ());
    };
    let keep = "INSERT OR REPLACE INTO reports (project, service, error, by_whom, at_us) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.execute(keep, params![project.as_str(), service.as_str(), error, by, at.as_microsecond()]).map(|_| ())
}
