//! Start of a service under a shim: the caller's side.

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
use crate::runtime::process::drive::processes::Processes;
use crate::runtime::process::drive::shim::relay::Awaited;
use crate::runtime::process::drive::shim::{SUBCOMMAND, ShimReply, ShimSpec, pid_file_refused};
use crate::runtime::process::drive::{invocation, limits};
use crate::runtime::process::intent::ProcessSpec;
use crate::runtime::{DriverError, Start};

/// Bound for the reply of a shim: milliseconds, unless the machine is under load or the disk or systemd is slow.
const REPLY_WAIT: Duration = Duration::from_secs(30);
/// Bound for the config in an environment variable, of which the kernel takes 128 KiB; a longer config is left out, and
/// its diff with it.
const CONFIG_BYTES_MAX: usize = 100 << 10;
/// Free space that a start needs: its notes take some 100 KiB at most, the rest is for the beginning of the log.
const STATE_FREE_BYTES_MIN: u64 = 1 << 20;
/// Bytes of a failed shim's stderr in a message.
const STDERR_BYTES_MAX: u64 = 2000;

/// Starts a service that does not run, as the caller has checked. Returns the salt of the start.
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
    let mut spec = ShimSpec::new(folder.path(), invocation, marks, started_at);
    spec.log_bytes_max = process.log.max_size_bytes;
    spec.log_files = process.log.files;
    spec.awaited = awaited(service, &salt);
    spec.pid_file.clone_from(&process.writes_pid);
    spec.limits.clone_from(&process.limits);

    let mut shim = spawn(processes, &folder, &spec)?;
    // Before the shim has its spec: from here on the service may outlive this lcm.
    if let Some(pid) = shim.id().and_then(|pid| i32::try_from(pid).ok()) {
        reservations::hand_over(&processes.environment, start.reserving(), pid)?;
    }
    let began = Instant::now();
    let reply = timeout(REPLY_WAIT, handshake(&mut shim, &spec)).await;
    let (service, took_ms) = (service.name.as_str(), elapsed_ms(began));
    debug!(target: "runtime", service, shim_pid = shim.id(), took_ms, answer = ?reply, "shim answered");
    outcome(reply, salt, service, &folder)
}

/// Returns the salt if the shim has started the service; else an error.
fn outcome(
    reply: Result<io::Result<ShimReply>, Elapsed>,
    salt: String,
    service: &str,
    folder: &Folder,
) -> Result<String, DriverError> {
    match reply {
        Ok(Ok(ShimReply::Pid(_))) => Ok(salt),
        Ok(Ok(ShimReply::Error(reason))) if reason.starts_with("already running") => {
            Err(DriverError::Refused(format!("`{service}` is {reason}")))
        }
        Ok(Ok(ShimReply::Error(reason))) => Err(DriverError::Missing(format!("`{service}` can't run: {reason}"))),
        Ok(Err(source)) => {
            let stderr = stderr_of(folder);
            let name = service;
            if source.kind() == io::ErrorKind::UnexpectedEof && stderr.is_empty() {
                let reason = "ended before it reported a start (was it killed?); run `lcm apply` again to find out";
                return Err(DriverError::Refused(format!("the shim of `{name}` {reason}")));
            }
            Err(DriverError::Io { what: format!("the shim of `{name}` did not reply{stderr}"), source })
        }
        Err(_) => {
            // The shim may have started the service: the next inspection shows.
            let what = format!("the shim of `{service}` did not reply within {} s", REPLY_WAIT.as_secs());
            Err(DriverError::Io { what, source: io::ErrorKind::TimedOut.into() })
        }
    }
}

/// Checks the preconditions of a start, without starting anything.
pub(crate) fn prepare(processes: &Processes, service: &Service, process: &ProcessSpec) -> Result<(), DriverError> {
    let Invocation { .. } = invocation::invocation(service, process, &processes.environment)?;
    if let scope::Launch::Refuse(reason) = scope::launch(&processes.environment) {
        return Err(DriverError::Refused(reason));
    }
    if let Some(reason) = limits::refusal(&process.limits) {
        return Err(DriverError::Missing(format!("`{}` can't run: {reason}", service.name)));
    }
    if let Some(path) = &process.writes_pid {
        pid_file::prove(path).map_err(|error| {
            DriverError::Missing(format!("`{}` can't run: {}", service.name, pid_file_refused(path, &error)))
        })?;
    }
    Folder::at(processes.state_dir.clone()).prove()?;
    disk::require(&processes.state_dir, STATE_FREE_BYTES_MIN, "the notes and the log of a start")
}

/// Starts the shim. Its own environment holds the marks only, nothing of the caller's.
fn spawn(processes: &Processes, folder: &Folder, spec: &ShimSpec) -> Result<Child, DriverError> {
    let marks = &spec.marks;
    let words = [SUBCOMMAND, "--project", &marks.project, "--service", &marks.service].map(str::to_owned);
    let failed = |what: String| move |source| DriverError::Io { what, source };
    let stderr =
        own::create(&folder.shim_log()).map_err(failed(format!("can't write {}", folder.shim_log().display())))?;
    let mut command = Command::from(helper(processes, &words)?);
    command.envs(proc::environment_of(marks, spec.started_at)).env(proc::ROLE, proc::ROLE_SHIM);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
    command.spawn().map_err(failed(format!("can't run the shim {}", processes.shim_program.display())))
}

/// Writes the spec and reads the reply, one line. If this is cancelled midway, the shim is left without a spec, and
/// ends at once.
async fn handshake(shim: &mut Child, spec: &ShimSpec) -> io::Result<ShimReply> {
    let (Some(mut stdin), Some(stdout)) = (shim.stdin.take(), shim.stdout.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let text = serde_json::to_vec(spec).map_err(io::Error::other)?;
    stdin.write_all(&text).await?;
    drop(stdin);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await?;
    serde_json::from_str(&line).map_err(|_| io::ErrorKind::UnexpectedEof.into())
}

/// Returns the pattern of the service's log probe.
fn awaited(service: &Service, salt: &str) -> Option<Awaited> {
    let Some(Probe::Log(pattern)) = &service.health.probe else { return None };
    let for_ms = u64::try_from(service.health.start_time_max().as_millis()).unwrap_or(u64::MAX);
    Some(Awaited { salt: salt.to_owned(), pattern: pattern.clone(), for_ms })
}

/// Returns the shim's stderr, formatted for the end of a message; empty if there is none.
fn stderr_of(folder: &Folder) -> String {
    let mut text = String::new();
    let read = own::open(&folder.shim_log()).and_then(|file| file.take(STDERR_BYTES_MAX).read_to_string(&mut text));
    if read.is_ok() && !text.trim().is_empty() { format!("; its stderr: {}", text.trim()) } else { String::new() }
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
        ..Marks::default()
    }
    .with_vram(&Marks::vram_text(service))
}

/// Serializes the spec, the stop policy and the ports of a service into its marks: of an orphan nothing else is known.
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

/// Returns the salt of a start: 128 random bits, in hex.
fn salt() -> Result<String, DriverError> {
    let source = "/proc/sys/kernel/random/uuid";
    let text = kernel::table(source)
        .map_err(|error| DriverError::Io { what: format!("can't read {source}"), source: error })?;
    Ok(text.trim().replace('-', ""))
}
