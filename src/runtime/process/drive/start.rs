//! Brings a service up under a shim: lcm's side of it.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tracing::debug;

use crate::files::{kernel, own, pid_file};
use crate::host::elapsed::elapsed_ms;
use crate::host::gpu::visible;
use crate::host::program::environment::Invocation;
use crate::host::program::scope;
use crate::host::{disk, proc, reservations};
use crate::model::desired::{Probe, Service};
use crate::model::facts::Marks;
use crate::model::names::GpuId;
use crate::runtime::process::drive::folder::Folder;
use crate::runtime::process::drive::helper::helper;
use crate::runtime::process::drive::invocation;
use crate::runtime::process::drive::processes::Processes;
use crate::runtime::process::drive::shim::relay::Awaited;
use crate::runtime::process::drive::shim::{SUBCOMMAND, ShimReply, ShimSpec, pid_file_refused};
use crate::runtime::process::intent::ProcessSpec;
use crate::runtime::{DriverError, Start};

/// A shim answers within milliseconds, but that a machine under load, a slow disk and systemd may take their time.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// The kernel takes 128 KiB for one variable; a longer text is left out, and its diff with it.
const CONFIG_BYTES_MAX: usize = 100 << 10;
/// A start's notes are some 100 KiB at most, its marks' config among them; the rest is for the first of its log.
const STATE_FREE_BYTES_MIN: u64 = 1 << 20;
/// Of what a shim that failed had to say.
const COMPLAINT_BYTES_MAX: u64 = 2000;

/// Starts it; the caller has made sure that it does not run. Returns its salt.
pub(crate) async fn start(
    processes: &Processes,
    start: &Start<'_>,
    process: &ProcessSpec,
) -> Result<String, DriverError> {
    let service = start.service;
    let mut invocation = invocation::invocation(service, process, &processes.environment)?;
    invocation.environment.extend(visible::of_process(start.gpus, start.indices));
    let folder = processes.folder(start.project.as_str(), service.name.as_str());
    folder.ensure()?;
    folder.forget_adopted();

    let salt = salt()?;
    let marks = marks(start, salt.clone());
    let started_at = Timestamp::now();
    let mut orders = ShimSpec::new(folder.path(), invocation, marks, started_at);
    orders.log_bytes_max = process.log.max_size_bytes;
    orders.log_files = process.log.files;
    orders.awaited = awaited(service, &salt);
    orders.pid_file.clone_from(&process.writes_pid);

    let mut shim = spawn(processes, &folder, &orders)?;
    // Before it has its orders: from here on the service may outlive this lcm.
    if let Some(pid) = shim.id().and_then(|pid| i32::try_from(pid).ok()) {
        reservations::hand_over(&processes.environment, start.reserving(), pid)?;
    }
    let began = Instant::now();
    let answer = timeout(ANSWER_WAIT, handshake(&mut shim, &orders)).await;
    let (service, took_ms) = (service.name.as_str(), elapsed_ms(began));
    debug!(target: "runtime", service, shim_pid = shim.id(), took_ms, ?answer, "shim answered");
    answered(answer, salt, service, &folder)
}

/// Returns the salt of a service that the shim has started.
fn answered(
    answer: Result<io::Result<ShimReply>, Elapsed>,
    salt: String,
    service: &str,
    folder: &Folder,
) -> Result<String, DriverError> {
    match answer {
        Ok(Ok(ShimReply::Pid(_))) => Ok(salt),
        Ok(Ok(ShimReply::Error(reason))) if reason.starts_with("already running") => {
            Err(DriverError::Refused(format!("`{service}` is {reason}")))
        }
        Ok(Ok(ShimReply::Error(reason))) => Err(DriverError::Missing(format!("`{service}` can't run: {reason}"))),
        Ok(Err(source)) => {
            let complaint = complaint(folder);
            let name = service;
            if source.kind() == io::ErrorKind::UnexpectedEof && complaint.is_empty() {
                let reason = "ended before it said whether that runs (did somebody kill it?): the next apply finds out";
                return Err(DriverError::Refused(format!("the shim of `{name}` {reason}")));
            }
            Err(DriverError::Io { what: format!("the shim of `{name}` gave no answer{complaint}"), source })
        }
        Err(_) => {
            // It may have got as far as starting the service: the next look tells.
            let what = format!("the shim of `{service}` gave no answer for {} s", ANSWER_WAIT.as_secs());
            Err(DriverError::Io { what, source: io::ErrorKind::TimedOut.into() })
        }
    }
}

/// All that a start needs, looked at without starting anything.
pub(crate) fn prepare(processes: &Processes, service: &Service, process: &ProcessSpec) -> Result<(), DriverError> {
    let Invocation { .. } = invocation::invocation(service, process, &processes.environment)?;
    if let scope::Launch::Refuse(reason) = scope::launch(&processes.environment) {
        return Err(DriverError::Refused(reason));
    }
    if let Some(path) = &process.writes_pid {
        pid_file::prove(path).map_err(|error| {
            DriverError::Missing(format!("`{}` can't run: {}", service.name, pid_file_refused(path, &error)))
        })?;
    }
    Folder::at(processes.state_dir.clone()).prove()?;
    disk::require(&processes.state_dir, STATE_FREE_BYTES_MIN, "the notes and the log of a start")
}

/// What the shim itself carries of the environment: the marks alone, nothing of the caller's.
fn spawn(processes: &Processes, folder: &Folder, orders: &ShimSpec) -> Result<Child, DriverError> {
    let marks = &orders.marks;
    let words = [SUBCOMMAND, "--project", &marks.project, "--service", &marks.service].map(str::to_owned);
    let failed = |what: String| move |source| DriverError::Io { what, source };
    let said =
        own::create(&folder.shim_log()).map_err(failed(format!("can't write {}", folder.shim_log().display())))?;
    let mut command = Command::from(helper(processes, &words)?);
    command.envs(proc::environment_of(marks, orders.started_at)).env(proc::ROLE, proc::ROLE_SHIM);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(said);
    command.spawn().map_err(failed(format!("can't run the shim {}", processes.shim_program.display())))
}

/// Orders in, one line out. Whoever drops this midway leaves a shim without orders, which ends at once.
async fn handshake(shim: &mut Child, orders: &ShimSpec) -> io::Result<ShimReply> {
    let (Some(mut stdin), Some(stdout)) = (shim.stdin.take(), shim.stdout.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let text = serde_json::to_vec(orders).map_err(io::Error::other)?;
    stdin.write_all(&text).await?;
    drop(stdin);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await?;
    serde_json::from_str(&line).map_err(|_| io::ErrorKind::UnexpectedEof.into())
}

/// The pattern of its log probe.
fn awaited(service: &Service, salt: &str) -> Option<Awaited> {
    let Some(Probe::Log(pattern)) = &service.health.probe else { return None };
    let for_ms = u64::try_from(service.health.start_time_max().as_millis()).unwrap_or(u64::MAX);
    Some(Awaited { salt: salt.to_owned(), pattern: pattern.clone(), for_ms })
}

fn complaint(folder: &Folder) -> String {
    let mut text = String::new();
    let read = own::open(&folder.shim_log()).and_then(|file| file.take(COMPLAINT_BYTES_MAX).read_to_string(&mut text));
    if read.is_ok() && !text.trim().is_empty() { format!(", but said: {}", text.trim()) } else { String::new() }
}

fn marks(start: &Start<'_>, salt: String) -> Marks {
    let service = start.service;
    let config = config(service);
    Marks {
        project: start.project.as_str().to_owned(),
        service: service.name.as_str().to_owned(),
        spec: service.spec.hash().to_owned(),
        secrets: service.spec.secret_digest(&salt),
        salt,
        config: if config.len() > CONFIG_BYTES_MAX { String::new() } else { config },
        gpus: start.gpus.iter().map(GpuId::as_str).collect::<Vec<_>>().join(","),
        vram_mib: service.vram.0,
        ..Marks::default()
    }
}

/// What it was made from, how it wishes to be stopped, and which ports it takes: an orphan has nothing else to tell it.
fn config(service: &Service) -> String {
    let stop: BTreeMap<&str, serde_json::Value> = [
        service.stop.signal.as_ref().map(|signal| ("signal", json!(signal))),
        Some(("grace_ms", json!(u64::try_from(service.stop.grace.as_millis()).unwrap_or(u64::MAX)))),
        service.stop.exec.as_ref().map(|exec| ("exec", json!(exec))),
    ]
    .into_iter()
    .flatten()
    .collect();
    let stop = service.spec.masked(json!(stop));
    json!({ "spec": service.spec.config(), "stop": stop, "ports": service.ports }).to_string()
}

/// 128 random bits, new for each start.
fn salt() -> Result<String, DriverError> {
    let source = "/proc/sys/kernel/random/uuid";
    let text = kernel::table(source)
        .map_err(|error| DriverError::Io { what: format!("can't read {source}"), source: error })?;
    Ok(text.trim().replace('-', ""))
}
