//! Labels of a container, to [`Marks`] and back. They hold no secret, only a digest under a salt that is new for each
//! container.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use crate::files::kernel;
use crate::model::desired::Service;
use crate::model::facts::Marks;
use crate::model::names::{GpuId, ProjectName};
use crate::model::spec::canonical;
use crate::runtime::docker::intent::ContainerSpec;
use crate::runtime::{DriverError, Start};

/// Prefix that users' own labels may not have.
pub(super) const PREFIX: &str = "lcm.";

const PROJECT: &str = "lcm.project";
const SERVICE: &str = "lcm.service";
const SPEC: &str = "lcm.spec";
const CONFIG: &str = "lcm.config";
const SECRETS: &str = "lcm.secrets";
pub(super) const SALT: &str = "lcm.salt";
const GPUS: &str = "lcm.gpus";
const VRAM_MIB: &str = "lcm.vram_mib";
/// Name of the container at its creation: marks under another name are a copy's, or a renamed container's.
const NAME: &str = "lcm.name";
/// Name of a network in the manifest.
const NETWORK: &str = "lcm.network";
const HOST: &str = "lcm.host";
const UID: &str = "lcm.uid";
/// Version of the settings that are compared with the real ones.
const COMPARED_LABEL: &str = "lcm.compared";
/// Image by its name in the manifest: the engine forgets that name once it refers to another image.
pub(super) const IMAGE: &str = "lcm.image";

/// Bytes of a salt. With 128 bits a secret can't be guessed by trying salts, and no two containers share one.
const SALT_BYTES: usize = 16;

/// Returns the marks on a container, no matter what wrote them; `None`: it has none.
pub(super) fn read(labels: &HashMap<String, String>) -> Option<Marks> {
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    Some(
        Marks {
            project: labels.get(PROJECT)?.clone(),
            service: label(SERVICE),
            spec: label(SPEC),
            secrets: label(SECRETS),
            salt: label(SALT),
            config: label(CONFIG),
            gpus: label(GPUS),
            name: label(NAME),
            host_id: label(HOST),
            uid: label(UID).parse().ok(),
            compared: label(COMPARED_LABEL).parse().unwrap_or_default(),
            ..Marks::default()
        }
        .with_vram(&label(VRAM_MIB)),
    )
}

/// Returns the labels of a new container: the user's, and ours. `compared`: the version of the settings that are
/// compared with its real ones later. `host_id`: this machine's, if known.
pub(super) fn write(
    start: &Start<'_>,
    container: &ContainerSpec,
    (salt, compared): (&str, u32),
    host_id: Option<&str>,
) -> HashMap<String, String> {
    let service = start.service;
    let ours = [
        (PROJECT, start.project.to_string()),
        (SERVICE, service.name.to_string()),
        (SPEC, service.spec.hash().to_owned()),
        (CONFIG, config(service)),
        (SECRETS, service.spec.secret_digest(salt)),
        (SALT, salt.to_owned()),
        (GPUS, gpus(start.gpus)),
        (VRAM_MIB, Marks::vram_text(service)),
        (IMAGE, container.image.clone()),
        (NAME, container.name.to_string()),
        (UID, rustix::process::getuid().as_raw().to_string()),
        (COMPARED_LABEL, compared.to_string()),
    ];
    let theirs = container.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
    let host = host_id.map(|host_id| (HOST, host_id.to_owned()));
    theirs.chain(ours.into_iter().chain(host).map(|(name, value)| (name.to_owned(), value))).collect()
}

/// Returns lcm's labels of a new network, by its name in the engine and in the manifest.
pub(super) fn of_network(
    project: &ProjectName,
    (name, key): (&str, &str),
    host_id: Option<&str>,
) -> impl Iterator<Item = (String, String)> {
    let ours = [
        (PROJECT, project.to_string()),
        (NETWORK, key.to_owned()),
        (NAME, name.to_owned()),
        (UID, rustix::process::getuid().as_raw().to_string()),
    ];
    let host = host_id.map(|host_id| (HOST, host_id.to_owned()));
    ours.into_iter().chain(host).map(|(name, value)| (name.to_owned(), value))
}

/// Returns the spec and the stop policy of a container, for a diff, and for the day when no manifest names the
/// container.
fn config(service: &Service) -> String {
    let stop = &service.stop;
    canonical(&json!({
        "spec": service.spec.config(),
        "stop": {
            "signal": stop.signal,
            "grace_ms": u64::try_from(stop.grace.as_millis()).unwrap_or(u64::MAX),
            "exec": service.spec.masked(json!(stop.exec)),
        },
        "ports": service.ports,
    }))
}

/// Returns GPUs separated by commas, as labels have them; in the order of the start, which is one for one placement.
pub(super) fn gpus(gpus: &[GpuId]) -> String {
    gpus.iter().map(GpuId::as_str).collect::<Vec<_>>().join(",")
}

pub(super) fn new_salt() -> Result<String, DriverError> {
    let bytes = kernel::read(Path::new("/dev/urandom"), SALT_BYTES as u64)
        .map_err(|source| DriverError::Io { what: "reading /dev/urandom".to_owned(), source })?;
    let mut salt = String::with_capacity(SALT_BYTES * 2);
    for byte in bytes {
        let _ = write!(salt, "{byte:02x}");
    }
    Ok(salt)
}
