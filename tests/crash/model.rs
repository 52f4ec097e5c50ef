//! Model test of the store: a random sequence of writes (runs, holds, pending calls and the rest) is killed between any
//! two of them. The file then holds what the store in memory holds after the acknowledged writes, or after one more.
//! The writer is this test program, started again with [`OPERATIONS`] in its environment.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use lcm::model::converged::{Converged, FileText};
use lcm::model::facts::{Attempts, FailureReport};
use lcm::model::holds::{Hold, HoldRecord, ModeOverride};
use lcm::model::hooks::{FORMAT, HookPayload, Point, RunEvent, RunPayload};
use lcm::model::lifecycle::State;
use lcm::model::names::ProjectName;
use lcm::model::pending::{Due, PendingCall};
use lcm::model::size::Mebibytes;
use lcm::store::memory::MemoryStore;
use lcm::store::sqlite::Sqlite;
use lcm::store::{
    Author, FencingToken, JournalEntry, Measure, Measured, PendingChange, RunBegun, RunEnd, RunNotice, RunRecord,
    Store, StoreError, Transition,
};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::store::{FOLDER, acknowledge, assert_sound, now};

/// Operations of one writer, as JSON; the first counts from [`FROM`].
pub(crate) const OPERATIONS: &str = "LCM_TEST_OPERATIONS";
const FROM: &str = "LCM_TEST_FROM";

/// Sequences of the short run; the long one has `LCM_SOAK_SEQUENCES`.
const SEQUENCES: u32 = 40;
const LENGTH_MAX: usize = 24;

/// Operation, its object and its variant, each taken modulo the number of choices.
type Operation = (u8, u8, u8);

const PROJECT: &str = "studio";

/// All runs are under one lock.
const TOKEN: FencingToken = FencingToken(1);

/// Runs as the writer until it is killed, if this process is one. Returns true if it is.
pub(crate) fn is_writer() -> bool {
    let (Some(folder), Ok(operations)) = (std::env::var_os(FOLDER), std::env::var(OPERATIONS)) else { return false };
    let operations: Vec<Operation> = serde_json::from_str(&operations).expect("operations");
    let from: usize = std::env::var(FROM).expect("a number").parse().expect("a number");
    let store = Sqlite::at(Path::new(&folder));
    for (number, operation) in operations.into_iter().enumerate().skip(from) {
        now(carry_out(&store, number, operation)).expect("written");
        acknowledge(&number.to_string());
    }
    true
}

fn at(number: usize) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + i64::try_from(number).expect("small")).expect("in range")
}

async fn carry_out(store: &dyn Store, number: usize, (kind, which, how): Operation) -> Result<(), StoreError> {
    let project = ProjectName::from(PROJECT);
    let service = format!("s{}", which % 3).as_str().into();
    let run = format!("r{}", which % 4);
    let is_on = !how.is_multiple_of(3);
    let by = || format!("by {number}");
    match kind % 13 {
        0 => store.record(&transition(number, &run, which, how)).await,
        1 => {
            let calls: Vec<PendingCall> = (0..how % 3).map(|at| call(number, which.wrapping_add(at), how)).collect();
            let pending = PendingChange { add: &calls, ..PendingChange::default() };
            store.write(&JournalEntry { pending, ..JournalEntry::of(&project) }).await.map(drop)
        }
        2 => {
            let pending = store.pending(&project).await?;
            let Some(chosen) = pending.get(usize::from(which) % pending.len().max(1)) else { return Ok(()) };
            let ids = [chosen.id];
            let pending = match how % 3 {
                0 => PendingChange { due: &ids, ..PendingChange::default() },
                1 => PendingChange { done: &ids, ..PendingChange::default() },
                _ => PendingChange { tried: &ids, ..PendingChange::default() },
            };
            let made = transition(number, &run, which, how);
            let entry = JournalEntry { transition: Some(&made), pending, ..JournalEntry::of(&project) };
            store.write(&entry).await.map(drop)
        }
        3 => {
            store
                .begin_run(
                    TOKEN,
                    &RunBegun {
                        id: run,
                        manifest: "/x/lcm.yaml".to_owned(),
                        project,
                        command: "lcm apply".to_owned(),
                        by: by(),
                        began: at(number),
                        mode: is_on.then(|| "video".into()),
                    },
                )
                .await
        }
        4 => {
            let run = RunRecord {
                id: run.clone(),
                manifest: "/x/lcm.yaml".to_owned(),
                project,
                command: "lcm apply".to_owned(),
                by: by(),
                began: at(number),
                ended: at(number),
                end: RunEnd::ALL[usize::from(how) % RunEnd::ALL.len()],
                exit_code: [0, 2, 3][usize::from(how) % 3],
                changed: is_on,
                first_error: None,
            };
            let notices = [notice(number, &run.id, how)];
            store.record_run(TOKEN, &run, &notices[..usize::from(how % 2)]).await
        }
        5 => close_killed(store, number, how).await,
        6 => {
            let kind = Hold::ALL[usize::from(how) % Hold::ALL.len()];
            let hold = HoldRecord { kind, by: by(), since: at(number), reason: None, metadata: BTreeMap::new() };
            store.set_hold(&project, &service, is_on.then_some(&hold)).await
        }
        kind => keep(store, number, (kind, which, how)).await,
    }
}

async fn close_killed(store: &dyn Store, number: usize, how: u8) -> Result<(), StoreError> {
    let project = ProjectName::from(PROJECT);
    let killed = store.runs_begun(&project).await?;
    let notices: Vec<RunNotice> = killed.iter().map(|begun| notice(number, &begun.id, how)).collect();
    store.close_killed(TOKEN, &project, &notices).await
}

/// Writes the records of a project other than its runs.
async fn keep(store: &dyn Store, number: usize, (kind, which, how): Operation) -> Result<(), StoreError> {
    let project = ProjectName::from(PROJECT);
    let service = format!("s{}", which % 3).as_str().into();
    let run = format!("r{}", which % 4);
    let is_on = !how.is_multiple_of(3);
    let by = || format!("by {number}");
    match kind {
        7 => {
            let entry = format!("/x{}/lcm.yaml", which % 2);
            let own_mode = Some("voice".into());
            let switched =
                ModeOverride { mode: "video".into(), entry, own_mode, by: by(), since: at(number), reason: None };
            store.set_mode_override(&project, is_on.then_some(&switched)).await
        }
        8 => {
            let attempts = Attempts { count: u32::from(how), last_at: at(number), spec: "v1:aa".to_owned() };
            store.set_attempts(&project, &service, is_on.then_some(&attempts)).await
        }
        9 => {
            let report = FailureReport { error: "no answer".to_owned(), by: by(), at: at(number) };
            store.set_report(&project, &service, is_on.then_some(&report)).await
        }
        10 => {
            let files = [FileText { path: "/x/lcm.yaml".into(), text: format!("version: {}", how % 4) }];
            store
                .keep_converged(
                    &project,
                    &Converged {
                        run,
                        at: at(number),
                        mode: is_on.then(|| "video".into()),
                        own_mode: None,
                        goals: [].into(),
                        entry: "/x/lcm.yaml".into(),
                        files: files.into(),
                    },
                )
                .await
        }
        11 if how.is_multiple_of(2) => {
            let ids: Vec<u64> = store.run_notices(&project).await?.iter().map(|notice| notice.id).take(1).collect();
            let (done, tried) = if is_on { (&ids[..], &[][..]) } else { (&[][..], &ids[..]) };
            store.settle_run_notices(&project, done, tried).await
        }
        11 => store.set_notified_mode(&project, &run, is_on.then(|| "video".into()).as_ref()).await,
        _ => {
            let what = Measured::Memory(Mebibytes(u64::from(how)));
            store.record_measure(&Measure { at: at(number), project, service, what }).await
        }
    }
}

fn transition(number: usize, run: &str, which: u8, how: u8) -> Transition {
    let to = State::ALL[usize::from(how) % State::ALL.len()];
    Transition {
        at: at(number),
        project: PROJECT.into(),
        service: format!("s{}", which % 3).as_str().into(),
        from: State::Starting,
        to,
        reason: number.to_string(),
        made: how.is_multiple_of(2),
        author: Author { by: "kim".to_owned(), run: run.to_owned() },
        metadata: BTreeMap::new(),
    }
}

fn notice(number: usize, run: &str, how: u8) -> RunNotice {
    let payload = RunPayload {
        format: FORMAT.to_owned(),
        at: at(number),
        hook: if how.is_multiple_of(4) { RunEvent::ModeChanged } else { RunEvent::RunFailed },
        project: PROJECT.into(),
        mode: Some("voice".into()),
        modes: vec!["voice".into()],
        from_mode: None,
        command: "lcm apply".to_owned(),
        by: "kim".to_owned(),
        run: run.to_owned(),
        exit_code: 3,
        error: None,
    };
    RunNotice { id: 0, notifier: format!("r{}", how % 4), payload, tries: 0 }
}

fn call(number: usize, which: u8, how: u8) -> PendingCall {
    let due = [Due::Now, Due::Acknowledged, Due::Reached(State::Online)][usize::from(which) % 3];
    let payload = HookPayload {
        format: FORMAT.to_owned(),
        at: at(number),
        hook: Point::PostStart,
        project: PROJECT.into(),
        service: format!("s{}", which % 3).as_str().into(),
        from: State::Starting,
        to: State::Online,
        reason: format!("reason {how}"),
        code: None,
        made: true,
        by: "kim".to_owned(),
        run: "r1".to_owned(),
        gpus: Vec::new(),
        instance: None,
    };
    PendingCall { id: 0, due, digest: format!("v1:{which}"), call: "./warm.sh".to_owned(), payload, tries: 0 }
}

/// Renders all that a command can read from a store.
async fn view(store: &dyn Store) -> String {
    let project = ProjectName::from(PROJECT);
    let mut view = String::new();
    let _ = writeln!(view, "{:?}", store.holds(&project).await.expect("read"));
    let _ = writeln!(view, "{:?}", store.pending(&project).await.expect("read"));
    let _ = writeln!(view, "{:?}", store.runs_begun(&project).await.expect("read"));
    let _ = writeln!(view, "{:?}", store.last_known(&project).await.expect("read"));
    let _ = writeln!(view, "{:?}", store.run_notices(&project).await.expect("read"));
    let converged = store.converged(&project).await.expect("read");
    let _ = writeln!(view, "{converged:?} {:?}", converged.iter().map(|one| &one.files[0].text).collect::<Vec<_>>());
    for notifier in ["r0", "r1", "r2", "r3"] {
        let _ = writeln!(view, "{:?}", store.notified_mode(&project, notifier).await.expect("read"));
    }
    view
}

/// Kills a writer of these operations after this number of lines, and returns the number of acknowledged operations.
fn killed_after(folder: &Path, operations: &[Operation], from: usize, lines: usize) -> usize {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.env(FOLDER, folder).env(FROM, from.to_string());
    command.env(OPERATIONS, serde_json::to_string(operations).expect("JSON"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("this program again");
    let mut said = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let first = said.by_ref().take(lines).count();
    child.kill().expect("it can be killed, ended or not");
    let all = first + said.count();
    child.wait().expect("it ends");
    from + all
}

fn holds(operations: &[Operation], kills: &[usize]) {
    // A file system in memory is enough: the kill hits a process, not the machine.
    let memory = Path::new("/dev/shm");
    let within = if memory.is_dir() { memory } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
    let folder = tempfile::tempdir_in(within).expect("a folder");
    let model = MemoryStore::default();
    let mut views = vec![now(view(&model))];
    for (number, operation) in operations.iter().enumerate() {
        now(carry_out(&model, number, *operation)).expect("in memory");
        views.push(now(view(&model)));
    }
    let mut from = 0;
    for lines in kills.iter().copied().chain([operations.len()]) {
        let acknowledged = killed_after(folder.path(), operations, from, lines);
        let found = now(view(&Sqlite::at(folder.path())));
        let may_be = [acknowledged, acknowledged + 1];
        let is = may_be.into_iter().find(|count| views.get(*count).is_some_and(|view| *view == found));
        from = is.unwrap_or_else(|| {
            panic!("after {acknowledged} of {operations:?} it is\n{found}\nand not\n{}", views[acknowledged])
        });
    }
    if folder.path().join("lcm.db").exists() {
        assert_sound(folder.path());
    }
}

pub(crate) fn the_store_holds_what_was_acknowledged() {
    let soak: Option<u32> = std::env::var("LCM_SOAK_SEQUENCES").ok().and_then(|count| count.parse().ok());
    let rng_seed = if soak.is_some() { RngSeed::Random } else { RngSeed::Fixed(1) };
    let cases = soak.unwrap_or(SEQUENCES);
    let config = Config { cases, rng_seed, failure_persistence: None, max_shrink_iters: 500, ..Config::default() };
    let sequences = (vec(any::<Operation>(), 1..=LENGTH_MAX), vec(0..LENGTH_MAX / 2, 0..=3));
    let result = TestRunner::new(config).run(&sequences, |(operations, kills)| {
        holds(&operations, &kills);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
