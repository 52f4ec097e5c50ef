//! The shim: lcm executed again, once per service, as the parent of the service. It outlives lcm and the terminal,
//! adopts the orphans of the service as a sub-reaper, records the exit, and relays output into the log.
//!
//! It reads its spec as JSON from stdin, so that no secret is ever on a command line; its arguments only name the
//! service. The service survives the death of its shim: the members of the tree are recorded meanwhile.

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
use crate::runtime::process::drive::recorder::Recorder;
use crate::runtime::process::drive::{limits, log};
use crate::runtime::process::intent::ProcessLimits;

pub(crate) mod relay;
pub(crate) mod standby;

use relay::{Awaited, LogSpec, OutputPipe, Relay};
use standby::Standby;

/// Hidden subcommand that runs lcm as a shim.
pub const SUBCOMMAND: &str = proc::SHIM_SUBCOMMAND;

/// Wait for the lock: the shim of an earlier start ends a moment after its service, far within this time.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Bound for a spec: names, hashes and one command.
const SPEC_BYTES_MAX: u64 = 16 << 20;

/// Spec of a shim: the service to start. No `Debug`: the environment holds secrets.
#[derive(Serialize, Deserialize)]
pub(crate) struct ShimSpec {
    pub(crate) folder: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: PathBuf,
    /// Environment of the service, without the marks.
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
    #[serde(default)]
    pub(crate) limits: ProcessLimits,
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
            limits: ProcessLimits::default(),
        }
    }
}

/// Reply of a shim: one line of JSON.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ShimReply {
    Pid(i32),
    /// Reason why nothing was started.
    Error(String),
}

/// Runs a service as its shim and returns lcm's exit code. For the hidden subcommand only.
#[must_use]
pub fn shim_main() -> u8 {
    let begun = read_spec().and_then(|spec| begin(&spec).map(|supervisor| (spec, supervisor)));
    match begun {
        Ok((spec, supervisor)) => {
            send_reply(&ShimReply::Pid(supervisor.pid));
            supervise(&spec, supervisor);
            0
        }
        Err(reason) => {
            send_reply(&ShimReply::Error(reason));
            1
        }
    }
}

/// Writes the reply. The caller may be gone by now: the service runs all the same.
fn send_reply(reply: &ShimReply) {
    if let Ok(mut line) = serde_json::to_string(reply) {
        line.push('\n');
        let mut stdout = io::stdout();
        let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    }
}

fn read_spec() -> Result<ShimSpec, String> {
    let mut text = Vec::new();
    io::stdin()
        .take(SPEC_BYTES_MAX)
        .read_to_end(&mut text)
        .map_err(|error| format!("can't read the shim's spec: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("invalid spec for the shim: {error}"))
}

/// Running service, with the resources that its shim holds.
struct Supervisor {
    pid: i32,
    folder: Folder,
    recorder: Recorder,
    relay: Relay,
    /// `None`: the standby could not be started, and the service runs all the same.
    standby: Option<Standby>,
    /// Lock, held as long as the shim lives: the kernel releases it with the process, so nothing needs a cleanup.
    _lock: File,
    _held: HeldPaths,
}

fn begin(spec: &ShimSpec) -> Result<Supervisor, String> {
    let folder = Folder::at(spec.folder.clone());
    let failed = |what: &str, error: io::Error| format!("{what} {}: {error}", folder.path().display());
    // Fails only for a process that already leads a group, and is out of reach of the terminal as well.
    let _ = setsid();
    let pipe = OutputPipe::open().map_err(|error| format!("can't make a pipe: {error}"))?;
    // Before this process becomes a sub-reaper: see `standby`.
    let mut standby = Standby::start(&pipe.reader).ok();
    set_child_subreaper(Some(getpid())).map_err(|error| format!("can't become a sub-reaper: {error}"))?;
    umask(Mode::from_raw_mode(0o022));
    let _handlers = ignored::handle_ignored();
    let lock = take_lock(&folder)?;
    let log = log::open(&folder).map_err(|error| failed("can't write the log in", error))?;
    if spec.log_bytes_max < log.metadata().map_or(0, |metadata| metadata.len()) {
        log::rotate(&log, &folder, spec.log_bytes_max, spec.log_files)
            .map_err(|error| failed("can't rotate the log in", error))?;
    }
    let log_spec = LogSpec { bytes_max: spec.log_bytes_max, files: spec.log_files, awaited: spec.awaited.clone() };
    let log_offset = log.metadata().map_err(|error| failed("can't read the log in", error))?.len();
    let rotated_bytes = folder.start_note().map_or(0, |before| before.rotated_bytes);
    let note = StartNote {
        marks: spec.marks.clone(),
        started_at: spec.started_at,
        cwd: spec.cwd.clone(),
        log_offset,
        previous_offset: None,
        rotated_bytes,
        beginning_is_gone: false,
        began_at: Some(rotated_bytes + log_offset),
        output: Some(OutputNote {
            inode: pipe.inode,
            bytes_max: spec.log_bytes_max,
            files: spec.log_files,
            awaited: spec.awaited.as_ref().map(|awaited| LogMatch::new(&awaited.salt, &awaited.pattern)),
        }),
        pid_file: spec.pid_file.clone(),
    };
    folder.write_start(&note).map_err(|error| failed("can't write to", error))?;
    standby = standby.and_then(|mut standby| standby.configure(&folder, &log_spec).ok().map(|()| standby));
    let recorder = Recorder::new(&folder, &spec.marks, spec.started_at, pipe.inode);
    // The pipe is recorded before a process has it, in case this shim is killed a moment later.
    recorder.record();
    let held = HeldPaths::hold(&spec.cwd, &spec.program);
    let pid = prove_pid_file(spec).and_then(|()| spawn(spec, pipe.writer)).inspect_err(|_| recorder.end())?;
    write_pid_file(spec, pid);
    let relay = Relay::new(pipe.reader, log, folder.clone(), &log_spec);
    // Before the reply to lcm: from then on the members are known without this shim.
    recorder.record();
    Ok(Supervisor { pid, folder, recorder, relay, standby, _lock: lock, _held: held })
}

fn take_lock(folder: &Folder) -> Result<File, String> {
    let failed = |error: io::Error| format!("can't lock {}: {error}", folder.lock().display());
    let lock = own::open_or_create(&folder.lock()).map_err(failed)?;
    let mut waited = Duration::ZERO;
    loop {
        let locked = lock.try_lock();
        // A start whose caller is gone must not happen after the stop of a later start.
        if caller_is_gone() {
            return Err("the lcm that requested the start has ended".to_owned());
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

/// Returns true if no process reads the reply any more.
fn caller_is_gone() -> bool {
    let stdout = io::stdout();
    let mut reply = [PollFd::new(&stdout, PollFlags::empty())];
    poll(&mut reply, Some(&Timespec::default())).is_ok() && reply[0].revents().contains(PollFlags::ERR)
}

/// Checks that the pid file can be written, before there is a process.
fn prove_pid_file(spec: &ShimSpec) -> Result<(), String> {
    let Some(path) = &spec.pid_file else { return Ok(()) };
    pid_file::prove(path).map_err(|error| pid_file_refused(path, &error))
}

/// Formats the reason why a pid file can't be written.
pub(crate) fn pid_file_refused(path: &Path, error: &io::Error) -> String {
    match Refused::of(error) {
        Some(refused) => format!("its pid file can't be written: {refused}"),
        None => format!("its pid file {} can't be written: {error}", path.display()),
    }
}

/// Writes the pid file. The service runs by now: an error, such as a full disk, goes to the shim's log and stops
/// nothing.
fn write_pid_file(spec: &ShimSpec, pid: i32) {
    let Some(path) = &spec.pid_file else { return };
    if let Err(error) = pid_file::write(path, pid) {
        let _ = writeln!(io::stderr(), "{}", pid_file_refused(path, &error));
    }
}

/// Starts the service in a process group of its own, so that a service which signals its group does not end its shim.
/// Its output goes into the pipe, of which this process keeps no end open for writing.
fn spawn(spec: &ShimSpec, output: File) -> Result<i32, String> {
    let failed = |error: io::Error| format!("can't run {}: {error}", spec.program.display());
    let (mut command, socket) = if spec.limits.is_empty() {
        let mut command = Command::new(&spec.program);
        command.arg0(spec.argv.first().map_or("", String::as_str)).args(spec.argv.iter().skip(1)).stdin(Stdio::null());
        (command, None)
    } else {
        let (command, socket) = limits::limited(&spec.program, &spec.argv, &spec.limits).map_err(failed)?;
        (command, Some(socket))
    };
    command
        .current_dir(&spec.cwd)
        .env_clear()
        .envs(&spec.environment)
        .envs(proc::environment_of(&spec.marks, spec.started_at))
        .process_group(0)
        .stdout(output.try_clone().map_err(failed)?)
        .stderr(output);
    let mut child = command.spawn().map_err(failed)?;
    // The command holds the other end of the socket.
    drop(command);
    if let Some(Err(reason)) = socket.map(limits::begun) {
        let _ = child.wait();
        return Err(reason);
    }
    i32::try_from(child.id()).map_err(|_| "its pid is out of range".to_owned())
}

/// Supervises the service until none of its processes is left.
fn supervise(spec: &ShimSpec, supervisor: Supervisor) {
    let Supervisor { pid, folder, recorder, relay, standby, _lock, _held } = supervisor;
    recorder.watch();
    let relay = Arc::new(Mutex::new(relay));
    let relayed = Arc::clone(&relay);
    thread::spawn(move || relay::run(&relayed));
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended.as_raw_nonzero().get() == pid => {
                // All output is in the log before the exit is recorded.
                relay::locked(&relay).flush_rest();
                let note = ExitNote { salt: spec.marks.salt.clone(), exit: exit_of(status) };
                // If the folder is gone, only the exit status is lost.
                let _ = folder.write_exit(&note);
                // The pid may be reused from now on.
                if let Some(path) = &spec.pid_file {
                    let _ = pid_file::remove(path, |noted| noted == pid);
                }
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // No child is left, and for a sub-reaper that means no descendant.
            Err(_) => break,
        }
    }
    recorder.end();
    // A process that left the tree may still write: its output is the standby's to relay.
    relay::locked(&relay).flush_rest();
    if let Some(standby) = standby {
        standby.release();
    }
}

fn exit_of(status: WaitStatus) -> ExitFact {
    ExitFact { code: status.exit_status(), signal: status.terminating_signal(), at: Some(Timestamp::now()) }
}
