//! Kills of the store's writer, again and again: acknowledged records are kept, and the file is sound. The writer is
//! this test program, started again with [`FOLDER`] in its environment.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lcm::model::lifecycle::State;
use lcm::store::query::HistoryQuery;
use lcm::store::sqlite::Sqlite;
use lcm::store::{Author, Journal as _, Transition};
use rusqlite::Connection;

pub(crate) const FOLDER: &str = "LCM_TEST_STORE";
/// Environment variable with the first number of the writer.
const FIRST: &str = "LCM_TEST_FIRST";

/// Rounds enough to hit commits, pruning of old rows, and checkpoints.
const ROUNDS: u32 = 60;
const MIGRATIONS: u32 = 24;
/// Rows whose migration takes tens of milliseconds, so that a kill hits it.
const OLD_ROWS: u32 = 4_000;

/// Runs as the writer until it is killed, if this process is one. Returns true if it is.
pub(crate) fn is_writer() -> bool {
    let Some(folder) = std::env::var_os(FOLDER) else { return false };
    let store = Sqlite::at(Path::new(&folder));
    acknowledge("here");
    if let Some(first) = std::env::var(FIRST).ok().and_then(|first| first.parse::<u64>().ok()) {
        // A killed test kills no writer, so the loop is bounded.
        for number in first..first + 100_000 {
            now(store.record(&change(number))).expect("written");
            acknowledge(&number.to_string());
        }
    } else {
        now(store.ensure_writable()).expect("brought up");
        acknowledge("done");
    }
    true
}

/// Waits for a store's answer.
pub(crate) fn now<F: Future>(answer: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(answer)
}

/// Writes a line in one write, so that it is complete before a kill.
pub(crate) fn acknowledge(text: &str) {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(format!("{text}\n").as_bytes()).and_then(|()| stdout.flush()).expect("the test reads");
}

fn change(number: u64) -> Transition {
    Transition {
        at: Timestamp::now(),
        project: "studio".into(),
        service: format!("service-{}", number % 7).as_str().into(),
        from: State::Starting,
        to: State::Online,
        reason: number.to_string(),
        made: true,
        author: Author::default(),
        metadata: BTreeMap::new(),
    }
}

struct Writer(Child);

impl Writer {
    fn start(folder: &Path, first: Option<u64>) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::null());
        if let Some(first) = first {
            command.env(FIRST, first.to_string());
        }
        Self(command.spawn().expect("this program again"))
    }

    /// Kills the writer `more` after this number of lines, and returns all its lines.
    fn kill_after(mut self, lines: usize, more: Duration) -> Vec<String> {
        let mut said = BufReader::new(self.0.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut all: Vec<String> = said.by_ref().take(lines).collect();
        let begin = Instant::now();
        while begin.elapsed() < more {
            std::hint::spin_loop();
        }
        self.0.kill().expect("it can be killed, ended or not");
        all.extend(said);
        self.0.wait().expect("it ends");
        all
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A write takes about a millisecond: kills are spread over two of them.
pub(crate) fn loses_no_acknowledged_record() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let (mut next, mut unacknowledged) = (0, 0);
    for round in 0..ROUNDS {
        let lines = usize::try_from(round % 20).expect("small") * 3;
        let more = Duration::from_micros(u64::from(round * 37 % 64) * 31);
        let said = Writer::start(folder.path(), Some(next)).kill_after(1 + lines, more);
        let acknowledged = said.last().and_then(|last| last.parse::<u64>().ok()).map_or(next, |last| last + 1);

        let found = now(Sqlite::at(folder.path()).transitions(&HistoryQuery::all("studio".into())))
            .expect("it opens, and is read");
        let numbers: Vec<u64> = found.iter().map(|one| one.reason.parse().expect("a number")).collect();
        let count = u64::try_from(numbers.len()).expect("small");
        assert!(count >= acknowledged, "round {round}: {count} records, and {acknowledged} were acknowledged");
        assert!(count <= acknowledged + 1, "round {round}: {count} records, and {acknowledged} were acknowledged");
        assert!(numbers.iter().copied().eq(0..count), "round {round}: in their order, without a gap");
        if count > 0 {
            assert_sound(folder.path());
        }
        unacknowledged += count - acknowledged;
        next = count;
    }
    println!("{ROUNDS} kills, {next} records, {unacknowledged} of them killed before they were acknowledged");
}

pub(crate) fn a_migration_is_repeated() {
    let old = old_store();
    let (mut before, mut within) = (0, 0);
    for round in 0..MIGRATIONS {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        std::fs::copy(old.path().join("lcm.db"), folder.path().join("lcm.db")).expect("a copy");
        let more = Duration::from_millis(u64::from(round) * 8);
        let said = Writer::start(folder.path(), None).kill_after(1, more);
        match (said.iter().any(|word| word == "done"), format_of(folder.path())) {
            (true, format) => assert_ne!(format, 1, "round {round}: it was acknowledged"),
            (false, 1) => before += 1,
            (false, _) => within += 1,
        }
        // The next lcm opens the store.
        let store = Sqlite::at(folder.path());
        let old = now(store.transitions(&HistoryQuery::all("studio".into()))).expect("read");
        assert_eq!(old.len(), usize::try_from(OLD_ROWS).expect("small"), "round {round}");
        now(store.record(&change(1))).expect("brought up, and written");
        assert_sound(folder.path());
    }
    println!("{MIGRATIONS} kills, {before} of them before the end of a migration, {within} right after it");
}

fn old_store() -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let file = Connection::open(folder.path().join("lcm.db")).expect("made");
    file.execute_batch(include_str!("../data/store-1.sql")).expect("laid out");
    let more = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                INSERT INTO transitions SELECT i, 1790000000000000 + i, 'studio', 's' || i % 9, 'starting', 'online', '', 1 FROM n";
    file.execute(more, [OLD_ROWS]).expect("filled");
    file.pragma_update(None, "wal_checkpoint", "TRUNCATE").expect("all in one file");
    folder
}

fn format_of(folder: &Path) -> u32 {
    let file = Connection::open(folder.join("lcm.db")).expect("opened");
    file.pragma_query_value(None, "user_version", |row| row.get(0)).expect("read")
}

pub(crate) fn assert_sound(folder: &Path) {
    let file = Connection::open(folder.join("lcm.db")).expect("opened");
    let answer: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
    assert_eq!(answer, "ok");
}
