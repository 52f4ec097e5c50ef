//! Ends of jobs as rows: the last one of each service.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::row::timestamp;
use crate::model::job::JobEnd;
use crate::model::names::{ProjectName, ServiceName};

/// Returns the last recorded end of each job of a project.
pub(super) fn read(connection: &Connection, project: &ProjectName) -> rusqlite::Result<BTreeMap<ServiceName, JobEnd>> {
    let query = "SELECT service, spec, exit_code, ended_us FROM job_ends WHERE project = ?1";
    let mut statement = connection.prepare_cached(query)?;
    let ends = statement.query_map([project.as_str()], |row| {
        let service: String = row.get(0)?;
        let end = JobEnd { spec: row.get(1)?, exit_code: row.get(2)?, ended_at: timestamp(row, 3)? };
        Ok((ServiceName::new(service), end))
    })?;
    ends.collect()
}

/// Replaces the recorded end of a job.
pub(super) fn write(
    connection: &Connection,
    project: &ProjectName,
    service: &ServiceName,
    end: &JobEnd,
) -> rusqlite::Result<()> {
    let JobEnd { spec, exit_code, ended_at } = end;
    let keep =
        "INSERT OR REPLACE INTO job_ends (project, service, spec, exit_code, ended_us) VALUES (?1, ?2, ?3, ?4, ?5)";
    let ended_us = ended_at.as_microsecond();
    connection.execute(keep, params![project.as_str(), service.as_str(), spec, exit_code, ended_us]).map(|_| ())
}
