//! Runs, and the calls of hooks and notifiers, as rows: written, bounded, and queried.

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use super::format::{WITH_HOLDS, WITH_PENDING};
use super::history::Filter;
use super::row::{text_error, timestamp};
use crate::model::mode_set::ModeSet;
use crate::model::names::{ProjectName, ServiceName};
use crate::store::query::HistoryQuery;
use crate::store::record::{Called, KILLED_EXIT_CODE, RunBegun, RunEnd, RunRecord};

/// Rows of runs, less than 1 MB: a year of three changes a day.
const RUNS_MAX: i64 = 1_000;

/// Rows of calls, 10 MB at most or so, with outputs that are bounded to 4 KiB.
const CALLS_MAX: i64 = 2_000;

/// Records the begin of a run; its end deletes the row again.
pub(super) fn begin(connection: &Connection, begun: &RunBegun) -> rusqlite::Result<()> {
    let RunBegun { id, manifest, project, command, by, began, mode } = begun;
    let begin = "INSERT OR REPLACE INTO runs_begun (project, run, command, by_whom, began_us, manifest, mode)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mode = mode.as_ref().map(ModeSet::text);
    let values = params![project.as_str(), id, command, by, began.as_microsecond(), manifest, mode];
    connection.execute(begin, values).map(|_| ())
}

/// Returns the runs without an end, the oldest first.
pub(super) fn begun(connection: &Connection, project: &ProjectName) -> rusqlite::Result<Vec<RunBegun>> {
    let mut statement = connection.prepare(
        "SELECT run, command, by_whom, began_us, manifest, mode FROM runs_begun WHERE project = ?1 ORDER BY began_us, run",
    )?;
    let runs = statement.query_map([project.as_str()], |row| {
        Ok(RunBegun {
            project: project.clone(),
            id: row.get(0)?,
            command: row.get(1)?,
            by: row.get(2)?,
            began: timestamp(row, 3)?,
            manifest: row.get(4)?,
            mode: row.get::<_, Option<String>>(5)?.map(|text| ModeSet::parse(&text)),
        })
    })?;
    runs.collect()
}

/// Records all runs without an end as killed. The time is unknown: no earlier than the last change of each.
pub(super) fn close_killed(connection: &Connection, project: &ProjectName) -> rusqlite::Result<()> {
    for begun in begun(connection, project)? {
        let last = "SELECT max(at_us) FROM transitions WHERE project = ?1 AND run = ?2 AND made = 1 AND at_us >= ?3";
        let began_us = begun.began.as_microsecond();
        let last: Option<i64> =
            connection.query_row(last, params![project.as_str(), begun.id, began_us], |row| row.get(0))?;
        let ended = last.and_then(|last| Timestamp::from_microsecond(last).ok());
        let RunBegun { id, manifest, project, command, by, began, mode: _ } = begun;
        let (end, exit_code, changed) = (RunEnd::Killed, KILLED_EXIT_CODE, ended.is_some());
        let (ended, first_error) = (ended.unwrap_or(began), None);
        record(
            connection,
            &RunRecord { id, manifest, project, command, by, began, ended, end, exit_code, changed, first_error },
        )?;
    }
    Ok(())
}

/// Records a run: one that changed nothing and did not fail is counted; any other becomes a row.
pub(super) fn record(connection: &Connection, run: &RunRecord) -> rusqlite::Result<()> {
    let begun = "DELETE FROM runs_begun WHERE project = ?1 AND run = ?2";
    connection.execute(begun, params![run.project.as_str(), run.id])?;
    let ended_us = run.ended.as_microsecond();
    // Exit 2 reports changes, and is no fault.
    if !run.changed && matches!(run.exit_code, 0 | 2) {
        let count =
            "INSERT INTO quiet_runs (project, count, last_us, run, command, by_whom, began_us, exit_code, manifest)
                     VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                     ON CONFLICT (project) DO UPDATE SET
                         count = count + 1, last_us = excluded.last_us, run = excluded.run,
                         command = excluded.command, by_whom = excluded.by_whom, began_us = excluded.began_us,
                         exit_code = excluded.exit_code, manifest = excluded.manifest";
        let RunRecord { id, manifest, project, command, by, began, exit_code, .. } = run;
        let values = params![project.as_str(), ended_us, id, command, by, began.as_microsecond(), exit_code, manifest];
        return connection.execute(count, values).map(|_| ());
    }
    connection.execute(
        "INSERT INTO runs (project, command, by_whom, began_us, ended_us, exit_code, changed, first_error, run, manifest,
                           ended)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
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
            run.end.as_str(),
        ],
    )?;
    let oldest = connection.last_insert_rowid().saturating_sub(RUNS_MAX);
    connection.execute("DELETE FROM runs WHERE id <= ?1", [oldest]).map(|_| ())
}

/// Returns the runs that match a query, the oldest first; its services and states do not apply to runs.
pub(super) fn runs(connection: &Connection, format: u32, asked: &HistoryQuery) -> rusqlite::Result<Vec<RunRecord>> {
    let (id, manifest) = if format >= WITH_HOLDS { ("run", "manifest") } else { ("''", "''") };
    let end = if format >= WITH_PENDING { "ended" } else { "'completed'" };
    let mut filter = Filter::new("project = ?", Value::Text(asked.project.to_string()));
    filter.also("ended_us >= ?", asked.since.map(|since| Value::Integer(since.as_microsecond())));
    filter.also("began_us < ?", asked.until.map(|until| Value::Integer(until.as_microsecond())));
    filter.also("instr(lower(by_whom), lower(?)) > 0", asked.by.clone().map(Value::Text));
    filter.also(&format!("{id} = ?"), asked.run.clone().map(Value::Text));
    let (filter, mut values) = filter.end();
    values.push(Value::Integer(asked.limit.map_or(-1, i64::from)));
    let sql = format!(
        "SELECT command, by_whom, began_us, ended_us, exit_code, changed, first_error, {id}, {manifest}, {end}
         FROM runs WHERE {filter} ORDER BY id DESC LIMIT ?{}",
        values.len()
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| run(row, &asked.project))?;
    let mut found: Vec<RunRecord> = rows.collect::<rusqlite::Result<_>>()?;
    found.reverse();
    Ok(found)
}

fn run(row: &Row<'_>, project: &ProjectName) -> rusqlite::Result<RunRecord> {
    Ok(RunRecord {
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
        end: end(row, 9)?,
    })
}

fn end(row: &Row<'_>, column: usize) -> rusqlite::Result<RunEnd> {
    let word: String = row.get(column)?;
    let known = RunEnd::ALL.into_iter().find(|end| end.as_str() == word);
    known.ok_or_else(|| text_error(column, format!("unknown end of a run `{word}`")))
}

/// Returns the last run of all, listed or quiet.
pub(super) fn last(connection: &Connection, format: u32, project: &ProjectName) -> rusqlite::Result<Option<RunRecord>> {
    let listed =
        runs(connection, format, &HistoryQuery { limit: Some(1), ..HistoryQuery::all(project.clone()) })?.pop();
    let quiet = if format < WITH_PENDING { None } else { last_quiet(connection, project)? };
    Ok(listed.into_iter().chain(quiet).max_by_key(|run| run.ended))
}

fn last_quiet(connection: &Connection, project: &ProjectName) -> rusqlite::Result<Option<RunRecord>> {
    let known = "SELECT command, by_whom, began_us, last_us, exit_code, 0, NULL, run, manifest, 'completed'
                 FROM quiet_runs WHERE project = ?1 AND run IS NOT NULL";
    connection.query_row(known, [project.as_str()], |row| run(row, project)).optional()
}

/// Returns the number of runs that changed nothing, and the end of the last of them.
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

/// Returns the calls that match the services, the span and the run of a query, the oldest first.
pub(super) fn calls(connection: &Connection, asked: &HistoryQuery) -> rusqlite::Result<Vec<Called>> {
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
