//! The shim: lcm executed again, once for each service, to stand between the service and whoever started it. It outlives
//! lcm and the terminal, adopts what the service leaves behind, notes how it ended, and relays its output into its log.
//!
//! It takes its orders as JSON on stdin, so that no secret is ever on a command line; its arguments only show whose shim
//! it is. Nothing depends on its living on: the members of its tree are recorded meanwhile.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{collections::BTreeMap, fs::File, fs::TryLockError, thread};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::process::{WaitOptions, WaitStatus, getpid, set_child_subreaper, setsid, umask, wait};
use serde::{Deserialize, Serialize};

use crate::files::{Refused, own, pid_file};
use crate::host::log_match::LogMatch;
use crate::host::proc;
use crate::host::program::environment::Invocation;
use crate::host::program::ignored;
use crate::model::facts::{ExitFact, Marks};
use crate::runtime::process::drive::folder::{ExitNote, Folder, OutputNote, StartNote};
use crate::runtime::process::drive::held::HeldPaths;
use crate::runtime::process::drive::log;
use crate::runtime::process::drive::recorder::Recorder;

pub(crate) mod relay;
pub(crate) mod standby;

use relay::{Awaited, LogSpec, OutputPipe, Relay};
use standby::Standby;

/// The hidden subcommand by which lcm becomes a shim.
pub const SUBCOMMAND: &str = proc::SHIM_SUBCOMMAND;

/// The shim of an earlier start leaves a moment after its service; this is long for that moment.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Names, hashes and one command: orders beyond this are no orders.
const ORDERS_BYTES_MAX: u64 = 16 << 20;

/// What a shim is to do. It has no `Debug`: the environment holds secrets.
#[derive(Serialize, Deserialize)]
pub(crate) struct ShimSpec {
    pub(crate) folder: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: PathBuf,
    /// All of it, but for the marks.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) marks: Marks,
    pub(crate) started_at: Timestamp,
    pub(crate) log_bytes_max: u64,
    pub(crate) log_files: u32,
    #[serde(default)]
    pub(crate) awaited: Option<Awaited>,
    /// File for the pid of the first process.
    #[serde(default)]
    pub(crate) pid_file: Option<PathBuf>,
}

impl ShimSpec {
    pub(crate) fn new(folder: &Path, invocation: Invocation, marks: Marks, started_at: Timestamp) -> Self {
        let Invocation { program, argv, cwd, environment } = invocation;
        Self {
            folder: folder.to_owned(),
            program,
            argv,
            cwd,
            environment,
            marks,
            started_at,
            log_bytes_max: u64::MAX,
            log_files: 0,
            awaited: None,
            pid_file: None,
        }
    }
}

/// The one line that a shim answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ShimReply {
    Pid(i32),
    /// Why nothing was started.
    Error(String),
}

/// Runs a service as its shim and returns lcm's exit code. Meant for the hidden subcommand alone.
#[must_use]
pub fn shim_main() -> u8 {
    let begun = read_orders().and_then(|orders| begin(&orders).map(|supervisor| (orders, supervisor)));
    match begun {
        Ok((orders, supervisor)) => {
            answer(&ShimReply::Pid(supervisor.pid));
            keep(&orders, supervisor);
            0
        }
        Err(reason) => {
            answer(&ShimReply::Error(reason));
            1
        }
    }
}

/// Whoever asked may be gone by now: the service runs all the same.
fn answer(answer: &ShimReply) {
    if let Ok(mut line) = serde_json::to_string(answer) {
        line.push('\n');
        let mut stdout = io::stdout();
        let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    }
}

fn read_orders() -> Result<ShimSpec, String> {
    let mut text = Vec::new();
    io::stdin().take(ORDERS_BYTES_MAX).read_to_end(&mut text).map_err(|error| format!("no orders: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("orders that make no sense: {error}"))
}

/// A service that runs, and what its shim holds for it.
struct Supervisor {
    pid: i32,
    folder: Folder,
    recorder: Recorder,
    relay: Relay,
    /// `None`: it could not be started, and the service runs all the same.
    standby: Option<Standby>,
    /// HeldPaths as long as this lives: by its file, so that nothing is left to clean up.
    _lock: File,
    _held: HeldPaths,
}

fn begin(orders: &ShimSpec) -> Result<Supervisor, String> {
    let folder = Folder::at(orders.folder.clone());
    let failed = |what: &str, error: io::Error| format!("{what} {}: {error}", folder.path().display());
    // Refused only to one who leads a group already, who then is out of reach of the terminal as well.
    let _ = setsid();
    let pipe = OutputPipe::open().map_err(|error| format!("can't make a pipe: {error}"))?;
    // Before this becomes a sub-reaper: see there.
    let mut standby = Standby::start(&pipe.reader).ok();
    set_child_subreaper(Some(getpid())).map_err(|error| format!("can't become a sub-reaper: {error}"))?;
    umask(Mode::from_raw_mode(0o022));
    let _hearing = ignored::hear_again();
    let lock = take_lock(&folder)?;
    let log = log::open(&folder).map_err(|error| failed("can't write the log in", error))?;
    if orders.log_bytes_max < log.metadata().map_or(0, |metadata| metadata.len()) {
        log::rotate(&log, &folder, orders.log_bytes_max, orders.log_files)
            .map_err(|error| failed("can't rotate the log in", error))?;
    }
    let log_orders =
        LogSpec { bytes_max: orders.log_bytes_max, files: orders.log_files, awaited: orders.awaited.clone() };
    let log_offset = log.metadata().map_err(|error| failed("can't read the log in", error))?.len();
    let rotated_bytes = folder.start_note().map_or(0, |before| before.rotated_bytes);
    let note = StartNote {
        marks: orders.marks.clone(),
        started_at: orders.started_at,
        cwd: orders.cwd.clone(),
        log_offset,
        previous_offset: None,
        rotated_bytes,
        beginning_is_gone: false,
        began_at: Some(rotated_bytes + log_offset),
        output: Some(OutputNote {
            inode: pipe.inode,
            bytes_max: orders.log_bytes_max,
            files: orders.log_files,
            awaited: orders.awaited.as_ref().map(|awaited| LogMatch::new(&awaited.salt, &awaited.pattern)),
        }),
        pid_file: orders.pid_file.clone(),
    };
    folder.write_start(&note).map_err(|error| failed("can't write to", error))?;
    standby = standby.and_then(|mut standby| standby.order(&folder, &log_orders).ok().map(|()| standby));
    let recorder = Recorder::new(&folder, &orders.marks, orders.started_at, pipe.inode);
    // The pipe is on record before there is a process that has it: should this shim be killed a moment later.
    recorder.record();
    let held = HeldPaths::hold(&orders.cwd, &orders.program);
    let pid = prove_pid_file(orders).and_then(|()| spawn(orders, pipe.writer)).inspect_err(|_| recorder.end())?;
    write_pid_file(orders, pid);
    let relay = Relay::new(pipe.reader, log, folder.clone(), &log_orders);
    // Before lcm is told that the service runs: from then on its members are known without this shim.
    recorder.record();
    Ok(Supervisor { pid, folder, recorder, relay, standby, _lock: lock, _held: held })
}

fn take_lock(folder: &Folder) -> Result<File, String> {
    let failed = |error: io::Error| format!("can't lock {}: {error}", folder.lock().display());
    let lock = own::open_or_make(&folder.lock()).map_err(failed)?;
    let mut waited = Duration::ZERO;
    loop {
        let locked = lock.try_lock();
        // A start that is not asked for any more must not come after the stop of the next one.
        if caller_is_gone() {
            return Err("the lcm that asked for it has ended".to_owned());
        }
        match locked {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) if waited >= LOCK_WAIT => {
                return Err(format!("already running: another shim holds {}", folder.lock().display()));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
        }
        waited += LOCK_PAUSE;
    }
}

/// Returns true if no process reads the answer any more.
fn caller_is_gone() -> bool {
    let stdout = io::stdout();
    let mut answer = [PollFd::new(&stdout, PollFlags::empty())];
    poll(&mut answer, Some(&Timespec::default())).is_ok() && answer[0].revents().contains(PollFlags::ERR)
}

/// What can't be written is told before there is a process.
fn prove_pid_file(orders: &ShimSpec) -> Result<(), String> {
    let Some(path) = &orders.pid_file else { return Ok(()) };
    pid_file::prove(path).map_err(|error| pid_file_refused(path, &error))
}

/// Reason for which a pid file can't be written.
pub(crate) fn pid_file_refused(path: &Path, error: &io::Error) -> String {
    match Refused::of(error) {
        Some(refused) => format!("its pid file can't be written: {refused}"),
        None => format!("its pid file {} can't be written: {error}", path.display()),
    }
}

/// The service runs by now: a disk that is full meanwhile is noted in the shim's log, and ends nothing.
fn write_pid_file(orders: &ShimSpec, pid: i32) {
    let Some(path) = &orders.pid_file else { return };
    if let Err(error) = pid_file::write(path, pid) {
        let _ = writeln!(io::stderr(), "{}", pid_file_refused(path, &error));
    }
}

/// In a process group of its own, so that a service which signals its group does not end its shim.
/// Its output goes into the pipe, which nothing in here holds open for writing afterwards.
fn spawn(orders: &ShimSpec, output: File) -> Result<i32, String> {
    let failed = |error: io::Error| format!("can't run {}: {error}", orders.program.display());
    let child = Command::new(&orders.program)
        .arg0(orders.argv.first().map_or("", String::as_str))
        .args(orders.argv.iter().skip(1))
        .current_dir(&orders.cwd)
        .env_clear()
        .envs(&orders.environment)
        .envs(proc::environment_of(&orders.marks, orders.started_at))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(failed)?)
        .stderr(output)
        .spawn()
        .map_err(failed)?;
    i32::try_from(child.id()).map_err(|_| "the kernel gave it no pid".to_owned())
}

/// Stays until nothing is left of the service.
fn keep(orders: &ShimSpec, supervisor: Supervisor) {
    let Supervisor { pid, folder, recorder, relay, standby, _lock, _held } = supervisor;
    recorder.watch();
    let relay = Arc::new(Mutex::new(relay));
    let relayed = Arc::clone(&relay);
    thread::spawn(move || relay::run(&relayed));
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended.as_raw_nonzero().get() == pid => {
                // All that it wrote is in the log before its end is on the books.
                relay::locked(&relay).drain();
                let note = ExitNote { salt: orders.marks.salt.clone(), exit: exit_of(status) };
                // A folder that is gone takes the exit status with it, and nothing else.
                let _ = folder.write_exit(&note);
                // Its number may be given to another process from now on.
                if let Some(path) = &orders.pid_file {
                    let _ = pid_file::remove(path, |noted| noted == pid);
                }
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // No child is left, and as the sub-reaper that means no descendant.
            Err(_) => break,
        }
    }
    recorder.end();
    // A process that fled may write on: that is the standby's.
    relay::locked(&relay).drain();
    if let Some(standby) = standby {
        standby.release();
    }
}

fn exit_of(status: WaitStatus) -> ExitFact {
    ExitFact { code: status.exit_status(), signal: status.terminating_signal(), at: Some(Timestamp::now()) }
}
