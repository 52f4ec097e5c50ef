//! Changes as rows: written, bounded, and queried.
//!
//! Two indexes serve all queries. One by service finds the last changes, which every plan reads; one by time serves
//! people, who mostly want the last days. Both cost something at each write, so there is no third.

use std::fmt::Write as _;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::format::WITH_HOLDS;
use super::row::{from_json, state, timestamp, to_json};
use crate::model::names::{ProjectName, ServiceName};
use crate::store::past::Change;
use crate::store::query::HistoryQuery;
use crate::store::record::{Author, Transition};

/// Rows of all projects: 20 MB with their indexes, as `cargo bench --bench store` measures it; a host that switches
/// modes every quarter of an hour fills it in a year.
const ROWS_MAX: i64 = 100_000;

/// Age beyond which a change means nothing for today.
const AGE_MAX: jiff::SignedDuration = jiff::SignedDuration::from_hours(24 * 400);

/// Writes between two searches for old rows.
const PRUNE_EVERY: i64 = 256;

pub(super) fn record(connection: &Connection, transition: &Transition) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO transitions (at_us, project, service, from_state, to_state, reason, made, by_whom, run, metadata)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let id = insert.insert(params![
        transition.at.as_microsecond(),
        transition.project.as_str(),
        transition.service.as_str(),
        transition.from.as_str(),
        transition.to.as_str(),
        transition.reason,
        transition.made,
        transition.author.by,
        transition.author.run,
        to_json(&transition.metadata),
    ])?;
    if id % PRUNE_EVERY != 0 {
        return Ok(());
    }
    let oldest = transition.at.saturating_sub(AGE_MAX).unwrap_or(jiff::Timestamp::MIN).as_microsecond();
    let prune = "DELETE FROM transitions WHERE id <= ?1 OR at_us < ?2";
    connection.execute(prune, params![id.saturating_sub(ROWS_MAX), oldest]).map(|_| ())
}

/// Returns the last change of each service that lcm made, and the last that it observed, in the order of writing. It
/// skips from name to name and reads the end of each, so the length of the history makes no difference.
pub(super) fn last_changes(connection: &Connection, project: &ProjectName) -> rusqlite::Result<Vec<Change>> {
    let mut statement = connection.prepare_cached(
        "WITH RECURSIVE named (service) AS (
             SELECT min(service) FROM transitions WHERE project = ?1
             UNION ALL
             SELECT (SELECT min(service) FROM transitions WHERE project = ?1 AND service > named.service)
             FROM named WHERE named.service IS NOT NULL),
         last (id) AS (
             SELECT (SELECT max(id) FROM transitions WHERE project = ?1 AND service = named.service AND made = 1)
             FROM named
             UNION ALL
             SELECT (SELECT max(id) FROM transitions WHERE project = ?1 AND service = named.service AND made = 0)
             FROM named)
         SELECT service, to_state, made FROM transitions WHERE id IN (SELECT id FROM last) ORDER BY id",
    )?;
    let changes = statement.query_map([project.as_str()], |row| {
        let service: String = row.get(0)?;
        Ok(Change { service: ServiceName::new(service), to: state(row, 1)?, made: row.get(2)? })
    })?;
    changes.collect()
}

/// Returns the changes that match a query, the oldest first.
pub(super) fn transitions(
    connection: &Connection,
    format: u32,
    asked: &HistoryQuery,
) -> rusqlite::Result<Vec<Transition>> {
    let (sql, values) = query(format, asked);
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| transition(row, &asked.project))?;
    let mut found: Vec<Transition> = rows.collect::<rusqlite::Result<_>>()?;
    found.reverse();
    Ok(found)
}

/// Returns the last change of each service before a moment: its state then.
pub(super) fn before(connection: &Connection, format: u32, asked: &HistoryQuery) -> rusqlite::Result<Vec<Transition>> {
    let Some(since) = asked.since else { return Ok(Vec::new()) };
    let earlier = HistoryQuery { since: None, until: Some(since), limit: None, ..asked.clone() };
    let (filter, values) = conditions(format, &earlier);
    let columns = columns(format);
    let sql = format!(
        "SELECT {columns} FROM transitions
         WHERE id IN (SELECT max(id) FROM transitions WHERE {filter} GROUP BY service) ORDER BY id"
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| transition(row, &asked.project))?;
    rows.collect()
}

/// Returns a query as SQL with its values; the newest first.
pub(super) fn query(format: u32, asked: &HistoryQuery) -> (String, Vec<Value>) {
    let (filter, mut values) = conditions(format, asked);
    // To a planner without statistics, two equal columns look better than a span of time. One service may have any
    // number of rows, some days never have.
    let spans = asked.since.is_some() || asked.until.is_some() || asked.services.is_empty();
    let hint = if spans && format >= WITH_HOLDS { "INDEXED BY transitions_of_time" } else { "" };
    let columns = columns(format);
    let limit = asked.limit.map_or(-1, i64::from);
    values.push(Value::Integer(limit));
    let at = values.len();
    let sql =
        format!("SELECT {columns} FROM transitions {hint} WHERE {filter} ORDER BY at_us DESC, id DESC LIMIT ?{at}");
    (sql, values)
}

/// Returns the columns of a format. A file of an older one has no author of a change.
fn columns(format: u32) -> &'static str {
    if format >= WITH_HOLDS {
        "at_us, service, from_state, to_state, reason, made, by_whom, run, metadata"
    } else {
        "at_us, service, from_state, to_state, reason, made, '', '', '{}'"
    }
}

fn conditions(format: u32, asked: &HistoryQuery) -> (String, Vec<Value>) {
    let (by, run) = if format >= WITH_HOLDS { ("by_whom", "run") } else { ("''", "''") };
    let mut filter = Filter::new("project = ?", Value::Text(asked.project.to_string()));
    filter.one_of("service", asked.services.iter().map(ToString::to_string));
    filter.one_of("to_state", asked.states.iter().map(ToString::to_string));
    filter.also("at_us >= ?", asked.since.map(|since| Value::Integer(since.as_microsecond())));
    filter.also("at_us < ?", asked.until.map(|until| Value::Integer(until.as_microsecond())));
    filter.also(&format!("instr(lower({by}), lower(?)) > 0"), asked.by.clone().map(Value::Text));
    filter.also(&format!("{run} = ?"), asked.run.clone().map(Value::Text));
    filter.end()
}

/// Conditions that all must hold, and their values in the order of their numbers.
pub(super) struct Filter {
    sql: String,
    values: Vec<Value>,
}

impl Filter {
    /// Creates a filter of one condition, in which `?` stands for the value.
    pub(super) fn new(condition: &str, value: Value) -> Self {
        let mut filter = Self { sql: String::new(), values: Vec::new() };
        filter.also(condition, Some(value));
        filter
    }

    pub(super) fn also(&mut self, condition: &str, value: Option<Value>) {
        let Some(value) = value else { return };
        self.values.push(value);
        let and = if self.sql.is_empty() { "" } else { " AND " };
        self.sql.push_str(and);
        self.sql.push_str(&condition.replace('?', &format!("?{}", self.values.len())));
    }

    /// Adds a condition on a set of values; an empty set matches everything.
    pub(super) fn one_of(&mut self, column: &str, among: impl Iterator<Item = String>) {
        let begin = self.values.len();
        self.values.extend(among.map(Value::Text));
        if self.values.len() > begin {
            let numbers: Vec<String> = (begin + 1..=self.values.len()).map(|number| format!("?{number}")).collect();
            let _ = write!(self.sql, " AND {column} IN ({})", numbers.join(", "));
        }
    }

    pub(super) fn end(self) -> (String, Vec<Value>) {
        (self.sql, self.values)
    }
}

fn transition(row: &Row<'_>, project: &ProjectName) -> rusqlite::Result<Transition> {
    let (service, metadata): (String, String) = (row.get(1)?, row.get(8)?);
    Ok(Transition {
        at: timestamp(row, 0)?,
        project: project.clone(),
        service: ServiceName::new(service),
        from: state(row, 2)?,
        to: state(row, 3)?,
        reason: row.get(4)?,
        made: row.get(5)?,
        author: Author { by: row.get(6)?, run: row.get(7)? },
        metadata: from_json(8, &metadata)?,
    })
}
