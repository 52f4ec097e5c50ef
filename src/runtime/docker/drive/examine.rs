//! Readings of an engine for `lcm doctor`: whether it answers this user, and what it provides. Requests only; nothing is
//! changed. All of it ends within seconds, since an engine may hang.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::{SystemInfo, SystemVersion};
use rustix::process::geteuid;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::files::kernel;
use crate::host::disk;
use crate::runtime::DriverError;
use crate::runtime::docker::checks::{EngineAnswers, EngineFault, EngineReading, Location};
use crate::runtime::docker::drive::connect::{connect, endpoint};
use crate::runtime::docker::drive::engine::{Engine, PULL_FREE_BYTES_MIN, failure};
use crate::runtime::docker::drive::gpus::GPU_HOOKS;
use crate::runtime::docker::drive::home::EngineLocation;
use crate::shared;

/// Deadline of the connection, and of the answers after it: a healthy engine answers within milliseconds, a loaded one
/// within a second or two.
const DEADLINE: Duration = Duration::from_secs(4);

/// Folders of CDI specifications, by the specification of CDI.
const CDI_FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// Files looked at in each of them.
const CDI_FILES_MAX: usize = 64;
/// Names kept of a list from an engine, each of this length at most: engines have less than ten.
const NAMES_MAX: usize = 64;
const NAME_CHARACTERS_MAX: usize = 128;

/// Reads the engine that this manifest or environment leads to.
pub(super) async fn read(host: Option<&str>, environment: &BTreeMap<String, String>) -> EngineReading {
    let uid = geteuid().as_raw();
    let user = shared::user(uid).map_or_else(|| uid.to_string(), |user| user.name);
    let is_named = host.is_some();
    let (endpoint, outcome) = match endpoint(host, environment) {
        Ok(endpoint) => {
            let outcome = answers(host, &endpoint, environment).await;
            (endpoint, outcome)
        }
        Err(error) => (String::new(), Err(EngineFault::Refused(error.to_string()))),
    };
    EngineReading { endpoint, is_named, user, outcome }
}

async fn answers(
    host: Option<&str>,
    endpoint: &str,
    environment: &BTreeMap<String, String>,
) -> Result<EngineAnswers, EngineFault> {
    let silent = EngineFault::Silent { deadline_s: DEADLINE.as_secs() };
    match timeout(DEADLINE, knock(endpoint)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(fault_of(&error)),
        Err(_elapsed) => return Err(silent),
    }
    let engine = connect(host, environment).map_err(|error| fault_of_driver(&error))?;
    match timeout(DEADLINE, queried(&engine)).await {
        Ok(answers) => answers.map_err(|error| fault_of_driver(&error)),
        Err(_elapsed) => Err(silent),
    }
}

/// Opens a connection and closes it: its error is exact, unlike that of a request.
async fn knock(endpoint: &str) -> io::Result<()> {
    if let Some(path) = endpoint.strip_prefix("unix://") {
        return UnixStream::connect(path).await.map(drop);
    }
    match endpoint.strip_prefix("tcp://").or_else(|| endpoint.strip_prefix("http://")) {
        Some(address) => TcpStream::connect(address.trim_end_matches('/')).await.map(drop),
        // `connect` refuses it with the reason.
        None => Ok(()),
    }
}

fn fault_of(error: &io::Error) -> EngineFault {
    match error.kind() {
        ErrorKind::NotFound => EngineFault::NoSocket,
        ErrorKind::PermissionDenied => EngineFault::Denied,
        ErrorKind::ConnectionRefused => EngineFault::NotRunning,
        _ => EngineFault::Other(error.to_string()),
    }
}

fn fault_of_driver(error: &DriverError) -> EngineFault {
    match error {
        DriverError::Refused(reason) => EngineFault::Refused(reason.clone()),
        DriverError::NoEngine { reason, .. } => EngineFault::Other(reason.clone()),
        other => EngineFault::Other(other.to_string()),
    }
}

async fn queried(engine: &Engine) -> Result<EngineAnswers, DriverError> {
    let (version, info) = tokio::join!(engine.docker.version(), engine.docker.info());
    let failed = |error: &bollard::errors::Error| failure(&engine.endpoint, "describe itself".to_owned(), error);
    let version = version.map_err(|error| failed(&error))?;
    let info = info.map_err(|error| failed(&error))?;
    let place = engine.place().await?;
    let location = match place {
        EngineLocation::Here => Location::Here,
        EngineLocation::Outside(_) => Location::Outside,
        EngineLocation::Elsewhere(reason) => Location::Elsewhere(reason.clone()),
    };
    let is_here = location == Location::Here;
    Ok(EngineAnswers { location, ..described(version, info, is_here) })
}

fn described(version: SystemVersion, info: SystemInfo, is_here: bool) -> EngineAnswers {
    let component = version.components.into_iter().flatten().map(|component| component.name).next();
    let name = match component.as_deref() {
        // Docker calls itself so.
        None | Some("" | "Engine") => "Docker Engine".to_owned(),
        Some(name) => short(name),
    };
    let images = info.docker_root_dir.filter(|_| is_here).map(PathBuf::from);
    let has_option = |option: &str| info.security_options.iter().flatten().any(|found| found == option);
    let is_gpu = |id: &str| id.starts_with("nvidia.com/gpu");
    EngineAnswers {
        name,
        version: short(version.version.as_deref().unwrap_or("of an unknown version")),
        api: short(version.api_version.as_deref().unwrap_or("unknown")),
        location: Location::Here,
        is_rootless: has_option("name=rootless"),
        runtimes: info.runtimes.into_iter().flatten().map(|(name, _)| short(&name)).take(NAMES_MAX).collect(),
        has_gpu_devices: info.discovered_devices.iter().flatten().filter_map(|device| device.id.as_deref()).any(is_gpu),
        has_gpu_hook: is_here && GPU_HOOKS.iter().any(|hook| Path::new(hook).exists()),
        gpu_specifications: if is_here { gpu_specifications() } else { Vec::new() },
        images: images.and_then(|folder| Some((folder.clone(), disk::free_mib(&folder)?))),
        pull_free_mib_min: PULL_FREE_BYTES_MIN >> 20,
    }
}

/// Returns the files of this host that describe NVIDIA's GPUs, by their names.
fn gpu_specifications() -> Vec<PathBuf> {
    let files = CDI_FOLDERS.iter().map(Path::new).flat_map(|folder| {
        let names = kernel::names(folder).into_iter().flatten().take(CDI_FILES_MAX);
        names.map(|name| folder.join(name))
    });
    let mut files: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().contains("nvidia")).collect();
    files.sort();
    files
}

/// Returns a name of an engine, bounded.
fn short(name: &str) -> String {
    name.chars().take(NAME_CHARACTERS_MAX).collect()
}
