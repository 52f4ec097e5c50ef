//! Runs, and the calls of hooks and notifiers, as rows: written, bounded, and asked for again.

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use super::format::WITH_WORDS;
use super::history::Filter;
use super::timestamp;
use crate::model::names::{ProjectName, ServiceName};
use crate::store::asked::Asked;
use crate::store::{Called, Run};

/// Less than 1 MB: a year of three changes a day.
const RUNS_MAX: i64 = 1_000;

/// About 10 MB at most, with outputs that are bounded to 4 KiB.
const CALLS_MAX: i64 = 2_000;

/// A run that changed nothing and failed at nothing is counted; any other becomes a row.
pub(super) fn record(connection: &Connection, run: &Run) -> rusqlite::Result<()> {
    let ended_us = run.ended.as_microsecond();
    // Exit 2 tells of changes, and is no fault.
    if !run.changed && matches!(run.exit_code, 0 | 2) {
        let count = "INSERT INTO quiet_runs VALUES (?1, 1, ?2)
                     ON CONFLICT (project) DO UPDATE SET count = count + 1, last_us = excluded.last_us";
        return connection.execute(count, params![run.project.as_str(), ended_us]).map(|_| ());
    }
    connection.execute(
        "INSERT INTO runs (project, command, by_whom, began_us, ended_us, exit_code, changed, first_error, run, manifest)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            run.project.as_str(),
            run.command,
            run.by,
            run.began.as_microsecond(),
            ended_us,
            run.exit_code,
            run.changed,
            run.first_error,
            run.id,
            run.manifest,
        ],
    )?;
    let oldest = connection.last_insert_rowid().saturating_sub(RUNS_MAX);
    connection.execute("DELETE FROM runs WHERE id <= ?1", [oldest]).map(|_| ())
}

/// What was asked for, the oldest first; services and states say nothing of a run.
pub(super) fn runs(connection: &Connection, format: u32, asked: &Asked) -> rusqlite::Result<Vec<Run>> {
    let (id, manifest) = if format >= WITH_WORDS { ("run", "manifest") } else { ("''", "''") };
    let mut filter = Filter::new("project = ?", Value::Text(asked.project.to_string()));
    filter.also("ended_us >= ?", asked.since.map(|since| Value::Integer(since.as_microsecond())));
    filter.also("began_us < ?", asked.until.map(|until| Value::Integer(until.as_microsecond())));
    filter.also("instr(lower(by_whom), lower(?)) > 0", asked.by.clone().map(Value::Text));
    filter.also(&format!("{id} = ?"), asked.run.clone().map(Value::Text));
    let (filter, mut values) = filter.end();
    values.push(Value::Integer(asked.limit.map_or(-1, i64::from)));
    let sql = format!(
        "SELECT command, by_whom, began_us, ended_us, exit_code, changed, first_error, {id}, {manifest}
         FROM runs WHERE {filter} ORDER BY id DESC LIMIT ?{}",
        values.len()
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| run(row, &asked.project))?;
    let mut found: Vec<Run> = rows.collect::<rusqlite::Result<_>>()?;
    found.reverse();
    Ok(found)
}

fn run(row: &Row<'_>, project: &ProjectName) -> rusqlite::Result<Run> {
    Ok(Run {
        project: project.clone(),
        command: row.get(0)?,
        by: row.get(1)?,
        began: timestamp(row, 2)?,
        ended: timestamp(row, 3)?,
        exit_code: row.get(4)?,
        changed: row.get(5)?,
        first_error: row.get(6)?,
        id: row.get(7)?,
        manifest: row.get(8)?,
    })
}

/// Runs that changed nothing, and when the last of them ended.
pub(super) fn quiet(connection: &Connection, project: &ProjectName) -> rusqlite::Result<Option<(u32, Timestamp)>> {
    let mut statement = connection.prepare("SELECT count, last_us FROM quiet_runs WHERE project = ?1")?;
    statement.query_row([project.as_str()], |row| Ok((row.get(0)?, timestamp(row, 1)?))).optional()
}

pub(super) fn record_call(connection: &Connection, call: &Called) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO calls (at_us, project, service, run, hook, call, took_ms, error, output)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            call.at.as_microsecond(),
            call.project.as_str(),
            call.service.as_str(),
            call.run,
            call.hook,
            call.call,
            i64::try_from(call.took_ms).unwrap_or(i64::MAX),
            call.error,
            call.output,
        ],
    )?;
    let oldest = connection.last_insert_rowid().saturating_sub(CALLS_MAX);
    connection.execute("DELETE FROM calls WHERE id <= ?1", [oldest]).map(|_| ())
}

/// Of the services, the span and the run that were asked for, the oldest first.
pub(super) fn calls(connection: &Connection, asked: &Asked) -> rusqlite::Result<Vec<Called>> {
    let mut filter = Filter::new("project = ?", Value::Text(asked.project.to_string()));
    filter.one_of("service", asked.services.iter().map(ToString::to_string));
    filter.also("at_us >= ?", asked.since.map(|since| Value::Integer(since.as_microsecond())));
    filter.also("at_us < ?", asked.until.map(|until| Value::Integer(until.as_microsecond())));
    filter.also("run = ?", asked.run.clone().map(Value::Text));
    let (filter, values) = filter.end();
    let sql =
        format!("SELECT at_us, service, run, hook, call, took_ms, error, output FROM calls WHERE {filter} ORDER BY id");
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| {
        let (service, took_ms): (String, i64) = (row.get(1)?, row.get(5)?);
        Ok(Called {
            at: timestamp(row, 0)?,
            project: asked.project.clone(),
            service: ServiceName::new(service),
            run: row.get(2)?,
            hook: row.get(3)?,
            call: row.get(4)?,
            took_ms: u64::try_from(took_ms).unwrap_or_default(),
            error: row.get(6)?,
            output: row.get(7)?,
        })
    })?;
    rows.collect()
}
