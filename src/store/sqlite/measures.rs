//! Measures as rows: written, bounded, and read, the newest of each kind.

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use super::row::timestamp;
use crate::model::names::{ProjectName, ServiceName};
use crate::model::size::Mebibytes;
use crate::store::past::{CONSIDERED, KEPT, MeasureReading};
use crate::store::record::{Measure, Measured};

/// Rows of all kinds, services and projects together, 10 MB or so: a host with new project names every day, as in CI,
/// reaches this bound.
const ROWS_MAX: i64 = 100_000;

/// Writes a measure, and drops the oldest beyond the bounds.
pub(super) fn write(connection: &Connection, measure: &Measure) -> rusqlite::Result<()> {
    let (kind, amount) = words(measure.what);
    let (project, service) = (measure.project.as_str(), measure.service.as_str());
    connection.execute(
        "INSERT INTO measures (at_us, project, service, kind, amount) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![measure.at.as_microsecond(), project, service, kind, i64::try_from(amount).unwrap_or(i64::MAX)],
    )?;
    let oldest = connection.last_insert_rowid().saturating_sub(ROWS_MAX);
    let kept = i64::try_from(KEPT).unwrap_or(i64::MAX);
    connection
        .execute(
            "DELETE FROM measures WHERE id <= ?5 OR id IN (
                 SELECT id FROM measures WHERE project = ?1 AND service = ?2 AND kind = ?3
                 ORDER BY id DESC LIMIT -1 OFFSET ?4)",
            params![project, service, kind, kept, oldest],
        )
        .map(|_| ())
}

/// Returns the newest measures of each service and kind, as many as an estimate considers, the oldest first.
pub(super) fn read(connection: &Connection, project: &ProjectName) -> rusqlite::Result<Vec<MeasureReading>> {
    let mut statement = connection.prepare(
        "SELECT service, at_us, kind, amount FROM (
             SELECT *, row_number() OVER (PARTITION BY service, kind ORDER BY id DESC) AS age
             FROM measures WHERE project = ?1)
         WHERE age <= ?2 ORDER BY id",
    )?;
    let considered = i64::try_from(CONSIDERED).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![project.as_str(), considered], |row| {
        let service: String = row.get(0)?;
        Ok(MeasureReading { at: timestamp(row, 1)?, service: ServiceName::new(service), what: measured(row, 2, 3)? })
    })?;
    rows.collect()
}

fn words(what: Measured) -> (&'static str, u64) {
    match what {
        Measured::Ready { took_ms } => ("ready", took_ms),
        Measured::Stopped { took_ms } => ("stopped", took_ms),
        Measured::Memory(amount) => ("memory", amount.0),
        Measured::Evicted => ("evicted", 0),
        // Woken has no kind of its own: the store stays readable for an lcm without it.
        Measured::Woken => ("evicted", 1),
    }
}

fn measured(row: &Row<'_>, kind: usize, amount: usize) -> rusqlite::Result<Measured> {
    let (word, number): (String, i64) = (row.get(kind)?, row.get(amount)?);
    let number = u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(amount, number))?;
    match word.as_str() {
        "ready" => Ok(Measured::Ready { took_ms: number }),
        "stopped" => Ok(Measured::Stopped { took_ms: number }),
        "memory" => Ok(Measured::Memory(Mebibytes::bounded(number))),
        "evicted" => Ok(if number == 0 { Measured::Evicted } else { Measured::Woken }),
        other => {
            let reason = format!("unknown kind of measure `{other}`");
            Err(rusqlite::Error::FromSqlConversionFailure(kind, Type::Text, reason.into()))
        }
    }
}
