//! Benchmark of the history: a query of a full one, a durable record beside a bare write of the same bytes, and the
//! file.
//!
//! Promised: a query for one service, one state and one day takes at most 20 ms, opening the file included; a record
//! costs at most three times a bare write and fsync of the same bytes, taken in turn on the same file system; the file
//! of 100 000 changes is not larger than its bound.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use lcm::model::lifecycle::State;
use lcm::store::query::HistoryQuery;
use lcm::store::sqlite::Sqlite;
use lcm::store::{Author, Journal as _, Transition};
use tokio::runtime::{Builder, Runtime};

const CHANGES: i64 = 100_000;
const SERVICES: i64 = 20;
/// Days of history that the store keeps at most.
const DAYS: i64 = 400;
const QUERIES: usize = 200;
const RECORDS: usize = 400;

const QUERY_MS_MAX: f64 = 20.0;
const RECORD_RATIO_MAX: f64 = 3.0;
/// 20 MB are documented at the store's bound of rows; reasons may be longer than those here.
const FILE_MB_MAX: f64 = 25.0;

/// States of a service in this order.
const STATES: [State; 5] = [State::Starting, State::Online, State::Busy, State::Stopping, State::Offline];

fn main() -> ExitCode {
    // Beside the build and not in /tmp, which may be in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let began = Instant::now();
    let end = fill(folder.path());
    println!(
        "{CHANGES} changes of {SERVICES} services in {DAYS} days, filled in {:.1} s\n",
        began.elapsed().as_secs_f64()
    );

    let mut kept = true;
    let mut promise = |what: &str, found: f64, most: f64, unit: &str| {
        let note = if found <= most { "" } else { "  missed" };
        println!("{what:<44}  {found:>8.3} {unit:<2}  promised {most:>5.1}{note}");
        kept &= found <= most;
    };
    promise("a service, a state, a day: median", query_ms(folder.path(), end, 0.5), QUERY_MS_MAX, "ms");
    promise("                           slowest of 200", query_ms(folder.path(), end, 1.0), QUERY_MS_MAX, "ms");
    let known = timed(|| {
        assert!(!now(Sqlite::at(folder.path()).last_known(&"studio".into())).expect("read").is_empty());
    });
    println!("{:<44}  {known:>8.3} ms", "the last changes of all, as a plan reads them");
    promise("the file", megabytes(folder.path()), FILE_MB_MAX, "MB");

    let (bare, record, in_full) = records(folder.path());
    println!("{:<44}  {bare:>8.3} ms", "a bare write and fsync: median");
    println!("{:<44}  {record:>8.3} ms", "a record: median");
    println!("{:<44}  {in_full:>8.3} ms", "a record into the full history: median");
    promise("a record, in bare writes", record / bare, RECORD_RATIO_MAX, "");
    promise("a record into the full history, likewise", in_full / bare, RECORD_RATIO_MAX, "");
    ExitCode::from(u8::from(!kept))
}

fn change(number: i64, at: Timestamp) -> Transition {
    let of = |index: i64| STATES[usize::try_from(index).expect("small") % STATES.len()];
    let life = number / SERVICES;
    Transition {
        at,
        project: "studio".into(),
        service: format!("service-{:02}", number % SERVICES).as_str().into(),
        from: of(life + 4),
        to: of(life),
        reason: "wanted by mode video: its health probe passes".to_owned(),
        made: life % 5 != 2,
        author: Author { by: "kim as root".to_owned(), run: format!("20261120-153000-{number:06}") },
        metadata: std::collections::BTreeMap::new(),
    }
}

/// Fills a history, each row as the store itself writes it, without a sync for each, which would take minutes. Returns
/// the time of the last.
fn fill(folder: &Path) -> Timestamp {
    let store = Sqlite::at(folder);
    let begin = Timestamp::now() - SignedDuration::from_hours(24 * (DAYS - 1));
    now(store.record(&change(0, begin))).expect("written");
    let mut end = begin;
    let mut file = rusqlite::Connection::open(folder.join("lcm.db")).expect("opened");
    let all = file.transaction().expect("begun");
    {
        let mut insert = all
            .prepare(
                "INSERT INTO transitions (at_us, project, service, from_state, to_state, reason, made, attribution, run, metadata)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, '{}')",
            )
            .expect("a statement");
        let apart = SignedDuration::from_hours(24 * (DAYS - 1)).as_secs() / CHANGES;
        for number in 1..CHANGES {
            end = begin + SignedDuration::from_secs(apart * number);
            let Transition { at, project, service, from, to, reason, made, author, .. } = change(number, end);
            let (at, from, to) = (at.as_microsecond(), from.as_str(), to.as_str());
            let Author { by, run } = author;
            let values = rusqlite::params![at, project.as_str(), service.as_str(), from, to, reason, made, by, run];
            insert.execute(values).expect("written");
        }
    }
    all.commit().expect("written");
    end
}

/// Returns the time of a whole command's work: it opens the file, queries, and closes it.
fn query_ms(folder: &Path, end: Timestamp, rank: f64) -> f64 {
    let times = (0..QUERIES).map(|turn| {
        let turn = i64::try_from(turn).expect("small");
        let until = end - SignedDuration::from_hours(24 * (turn % (DAYS - 2)));
        let asked = HistoryQuery {
            services: [format!("service-{:02}", turn % SERVICES).as_str().into()].into(),
            states: [State::Online].into(),
            since: Some(until - SignedDuration::from_hours(24)),
            until: Some(until),
            ..HistoryQuery::all("studio".into())
        };
        timed(|| assert!(!now(Sqlite::at(folder).transitions(&asked)).expect("read").is_empty()))
    });
    ranked(times.collect(), rank)
}

/// Returns the medians of a bare write and fsync, of a record into an empty history, and of one into a full one, taken
/// in turn.
fn records(full: &Path) -> (f64, f64, f64) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let mut file = File::create(folder.path().join("bare")).expect("a file");
    let (store, full) = (Sqlite::at(folder.path()), Sqlite::at(full));
    let (mut bare, mut record, mut in_full) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..RECORDS {
        let change = change(i64::try_from(turn).expect("small"), Timestamp::now());
        let line = format!("{change:?}\n");
        bare.push(timed(|| {
            file.write_all(line.as_bytes()).expect("written");
            file.sync_all().expect("synced");
        }));
        record.push(timed(|| now(store.record(&change)).expect("written")));
        in_full.push(timed(|| now(full.record(&change)).expect("written")));
    }
    (ranked(bare, 0.5), ranked(record, 0.5), ranked(in_full, 0.5))
}

/// Waits for a store's result.
fn now<F: Future>(answer: F) -> F::Output {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));
    RUNTIME.block_on(answer)
}

fn timed(work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_secs_f64() * 1000.0
}

/// Returns the value at a rank. 0.5: the median; 1.0: the largest.
fn ranked(mut values: Vec<f64>, rank: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small")]
    let at = ((values.len() as f64 * rank) as usize).min(values.len() - 1);
    values[at]
}

/// Returns the size of the file, with the writes that are not in it yet.
fn megabytes(folder: &Path) -> f64 {
    let size = |name: &str| fs::metadata(folder.join(name)).map_or(0, |found| found.len());
    let bytes = size("lcm.db") + size("lcm.db-wal");
    #[expect(clippy::cast_precision_loss, reason = "far below")]
    let bytes = bytes as f64;
    bytes / 1e6
}
