//! Real settings of a container against those that lcm would make it with now: mounts, networks, ports, restart policy,
//! limits, devices, and digests of all that may hold a secret.
//!
//! Labels record what lcm once did; these are read from the engine. Pure: the driver reads the real ones, `observe`
//! compares, and the simulator makes its containers with [`Settings::expected`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::desired::Service;
use crate::model::endpoint::{Protocol, PublishedPort};
use crate::model::environment::EnvValue;
use crate::model::facts::{Facts, Marks};
use crate::model::spec;
use crate::runtime::docker::intent::{ContainerSpec, DockerSpec, GpuAccess};

/// Version of what is compared, as lcm writes it on each container that it creates. What a container was not made for is
/// only warned about: a newer lcm recreates nothing for that.
pub const COMPARED: u32 = 1;

/// Mark of a container whose settings its engine reports in another way than lcm gave them, as of one that an earlier lcm
/// created.
pub const NOT_COMPARED: u32 = 0;

/// Variables by which lcm gives a container its GPUs; they follow the placement, not the manifest.
const PLACED: [&str; 3] = ["NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"];

/// Networks of the engine itself: their ids change when the engine restarts, and all have the same.
const BUILT_IN: [&str; 3] = ["bridge", "host", "none"];

/// Settings of one container as the engine reports them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Salted digests of values that may hold secrets, by setting: `command`, `environment HF_TOKEN`.
    pub digests: BTreeMap<String, String>,
    /// Host path or volume, with `:ro` where it is only read, by path in the container. Without anonymous volumes.
    pub mounts: BTreeMap<String, String>,
    /// Id by name, of every network that it is connected to.
    pub networks: BTreeMap<String, String>,
    /// Id of the container whose network it shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_of: Option<String>,
    /// `127.0.0.1:8080->80/tcp`.
    pub ports: BTreeSet<String>,
    /// `no`, `always`, `unless-stopped`, `on-failure:3`.
    pub restart: String,
    /// Limits that are set, by the engine's name: `Memory`.
    pub limits: BTreeMap<String, String>,
    /// `/dev/dri:/dev/dri:rwm`.
    pub devices: BTreeSet<String>,
    /// GPUs that the engine hands it, as the driver calls them.
    pub gpus: BTreeSet<String>,
}

/// One setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub setting: Setting,
    /// `None`: it is not set. Neither is told where it may hold a secret.
    pub is: Option<String>,
    pub should: Option<String>,
}

/// Name of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// One that is compared by digest: `command`.
    Digest(String),
    Mount(String),
    Network(String),
    NetworkOf,
    Port(String),
    Restart,
    /// By the engine's name: `Memory`.
    Limit(String),
    Device(String),
    Gpu(String),
}

impl Settings {
    /// Settings that lcm would create this container with now, as the engine would report them.
    #[must_use]
    pub fn expected(service: &Service, marks: &Marks, facts: &Facts) -> Option<Self> {
        let Some(DockerSpec::Created(container)) = service.workload.spec::<DockerSpec>() else { return None };
        let shared = container.networks.iter().find_map(|network| network.strip_prefix("container:"));
        Some(Self {
            digests: digests(container, &marks.salt),
            mounts: container.volumes.iter().filter_map(|volume| mount(volume, facts)).collect(),
            networks: networks(container, facts),
            network_of: shared.map(|name| container_id(name, facts)),
            ports: container.ports.iter().map(port).collect(),
            restart: "no".to_owned(),
            limits: BTreeMap::new(),
            devices: container.devices.iter().map(|device| device_text(device)).collect(),
            gpus: match container.gpu_access {
                GpuAccess::Request => marks.placed_on().map(|id| device_id(id).to_owned()).collect(),
                GpuAccess::Environment | GpuAccess::None => BTreeSet::new(),
            },
        })
    }

    /// Settings in which these real ones differ from the expected; of digests only those that the manifest states.
    #[must_use]
    pub fn differences(&self, expected: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        for (setting, digest) in &expected.digests {
            if self.digests.get(setting) != Some(digest) {
                found.push(Difference { setting: Setting::Digest(setting.clone()), is: None, should: None });
            }
        }
        compare(&mut found, &Setting::Mount, &self.mounts, &expected.mounts);
        compare(&mut found, &Setting::Network, &self.networks, &expected.networks);
        if self.network_of != expected.network_of {
            let (is, should) = (self.network_of.clone(), expected.network_of.clone());
            found.push(Difference { setting: Setting::NetworkOf, is, should });
        }
        compare(&mut found, &Setting::Port, &keyed(&self.ports), &keyed(&expected.ports));
        if self.restart != expected.restart {
            let (is, should) = (Some(self.restart.clone()), Some(expected.restart.clone()));
            found.push(Difference { setting: Setting::Restart, is, should });
        }
        compare(&mut found, &Setting::Limit, &self.limits, &expected.limits);
        compare(&mut found, &Setting::Device, &keyed(&self.devices), &keyed(&expected.devices));
        compare(&mut found, &Setting::Gpu, &keyed(&self.gpus), &keyed(&expected.gpus));
        found
    }
}

/// Limit that an engine takes back while a container runs; of the others it knows only new values, never none.
const PIDS_LIMIT: &str = "PidsLimit";

impl Difference {
    /// The engine can mend it while the container runs.
    #[must_use]
    pub fn is_mendable(&self) -> bool {
        match &self.setting {
            Setting::Network(name) => !matches!(name.as_str(), "host" | "none"),
            Setting::Restart => true,
            Setting::Limit(name) => name == PIDS_LIMIT && self.should.is_none(),
            Setting::Digest(_)
            | Setting::Mount(_)
            | Setting::NetworkOf
            | Setting::Port(_)
            | Setting::Device(_)
            | Setting::Gpu(_) => false,
        }
    }

    /// Lines of a unified diff.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let line = |sign: char, value: &Option<String>| {
            let value = value.as_ref()?;
            Some(if value.is_empty() {
                format!("{sign}{}", self.setting)
            } else {
                format!("{sign}{}: {value}", self.setting)
            })
        };
        match (&self.is, &self.should) {
            (None, None) => vec![format!("-{}: another one than the manifest's", self.setting)],
            (is, should) => line('-', is).into_iter().chain(line('+', should)).collect(),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(name) => formatter.write_str(name),
            Self::Mount(target) => write!(formatter, "mount {target}"),
            Self::Network(name) => write!(formatter, "network {name}"),
            Self::NetworkOf => formatter.write_str("network of container"),
            Self::Port(port) => write!(formatter, "port {port}"),
            Self::Restart => formatter.write_str("restart policy"),
            Self::Limit(name) => write!(formatter, "limit {name}"),
            Self::Device(device) => write!(formatter, "device {device}"),
            Self::Gpu(gpu) => write!(formatter, "GPU {gpu}"),
        }
    }
}

fn compare(
    found: &mut Vec<Difference>,
    setting: &dyn Fn(String) -> Setting,
    real: &BTreeMap<String, String>,
    expected: &BTreeMap<String, String>,
) {
    let names: BTreeSet<&String> = real.keys().chain(expected.keys()).collect();
    for name in names {
        let (is, should) = (real.get(name), expected.get(name));
        let same = match (is, should) {
            // Empty is what can't be told, such as the id of a network that the engine does not list.
            (Some(is), Some(should)) => is == should || is.is_empty() || should.is_empty(),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !same {
            found.push(Difference { setting: setting(name.clone()), is: is.cloned(), should: should.cloned() });
        }
    }
}

fn keyed(names: &BTreeSet<String>) -> BTreeMap<String, String> {
    names.iter().map(|name| (name.clone(), String::new())).collect()
}

/// Text of one published port, as [`Settings::ports`] holds it.
#[must_use]
pub fn port_text(address: &str, host: &str, container: &str) -> String {
    let address = match address {
        "" | "0.0.0.0" => String::new(),
        other => format!("{other}:"),
    };
    format!("{address}{host}->{container}")
}

fn port(port: &PublishedPort) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    let host = port.host.map(|port| port.to_string()).unwrap_or_default();
    port_text(port.address.as_deref().unwrap_or_default(), &host, &format!("{}/{protocol}", port.container))
}

/// As drivers call a GPU: one that is only declared is `gpu-N`, and `N` for its driver.
pub(crate) fn device_id(id: &str) -> &str {
    id.strip_prefix("gpu-").filter(|rest| rest.parse::<u32>().is_ok()).unwrap_or(id)
}

fn device_text(device: &str) -> String {
    let mut parts = device.splitn(3, ':');
    let host = parts.next().unwrap_or_default();
    let inside = parts.next().unwrap_or(host);
    format!("{host}:{inside}:{}", parts.next().unwrap_or("rwm"))
}

/// A volume as it stands in [`Settings::mounts`]; a host path by where it leads now.
fn mount(volume: &str, facts: &Facts) -> Option<(String, String)> {
    let mut parts = volume.splitn(3, ':');
    let (source, target, options) = (parts.next()?, parts.next()?, parts.next().unwrap_or_default());
    let read_only = options.split(',').any(|option| option == "ro");
    let source = match facts.paths.get(source) {
        Some(path) => path.real.as_str(),
        None => source,
    };
    Some((tidy(target), mount_text(source, read_only)))
}

/// Value of one mount, as [`Settings::mounts`] holds it.
#[must_use]
pub fn mount_text(source: &str, read_only: bool) -> String {
    // Empty is what can't be told, and is not compared.
    let suffix = if read_only && !source.is_empty() { ":ro" } else { "" };
    format!("{source}{suffix}")
}

/// Path in a container, as engines write it: without a slash at its end.
#[must_use]
pub fn tidy(target: &str) -> String {
    let trimmed = target.trim_end_matches('/');
    if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
}

fn networks(container: &ContainerSpec, facts: &Facts) -> BTreeMap<String, String> {
    let name = |network: &String| if network == "default" { "bridge".to_owned() } else { network.clone() };
    let named = container.networks.iter().map(name).filter(|network| !network.starts_with("container:"));
    let mut names: BTreeSet<String> = named.collect();
    if container.networks.is_empty() {
        names.insert("bridge".to_owned());
    }
    names
        .into_iter()
        .map(|name| {
            let id = network_id(&name, facts);
            (name, id)
        })
        .collect()
}

/// Empty where it can't be told.
fn network_id(name: &str, facts: &Facts) -> String {
    if BUILT_IN.contains(&name) {
        return String::new();
    }
    facts.networks.known().and_then(|networks| networks.get(name)).cloned().unwrap_or_default()
}

/// Id of the container that is called so now; the name itself where there is none, which is no id.
fn container_id(name: &str, facts: &Facts) -> String {
    let all = facts.containers.known().into_iter().flatten();
    let mut named = all.filter(|found| found.name == name || found.id == name);
    named.next().map_or_else(|| name.to_owned(), |found| found.id.clone())
}

/// Digests of all that the manifest states of a container and that may hold a secret.
fn digests(container: &ContainerSpec, salt: &str) -> BTreeMap<String, String> {
    let list = |words: &Option<Vec<String>>| words.clone().filter(|words| !words.is_empty());
    let mut stated: Vec<(String, Vec<String>)> = vec![("image".to_owned(), vec![container.image.clone()])];
    let mut state =
        |setting: &str, value: Option<Vec<String>>| stated.extend(value.map(|value| (setting.to_owned(), value)));
    state("command", list(&container.command));
    state("entrypoint", list(&container.entrypoint));
    state("user", container.user.clone().map(|user| vec![user]));
    state("ipc", container.ipc.clone().filter(|ipc| !ipc.starts_with("container:")).map(|ipc| vec![ipc]));
    state("shm_size", container.shm_size_bytes.map(|size| vec![size.to_string()]));
    for (name, limit) in &container.ulimits {
        state(&format!("ulimit {name}"), Some(vec![limit.soft.to_string(), limit.hard.to_string()]));
    }
    for (name, value) in &container.labels {
        state(&format!("label {name}"), Some(vec![value.clone()]));
    }
    let test = container.healthcheck.as_ref().map(|check| check.test.clone());
    state("healthcheck", test.filter(|test| !test.is_empty()));
    let placed = |name: &str| container.gpu_access == GpuAccess::Environment && PLACED.contains(&name);
    for (name, value) in container.environment.iter().filter(|(name, _)| !placed(name)) {
        // One that is missing here compares nothing.
        let text = match value {
            EnvValue::Plain(text) => Some(text.as_str()),
            EnvValue::Secret(secret) => secret.as_ref().map(crate::model::secret::Secret::reveal),
        };
        state(&format!("environment {name}"), text.map(|text| vec![text.to_owned()]));
    }
    stated
        .into_iter()
        .map(|(setting, value)| {
            let digest = digest(salt, &setting, &value);
            (setting, digest)
        })
        .collect()
}

/// Digest of one setting under the salt of its container.
#[must_use]
pub fn digest(salt: &str, setting: &str, value: &[String]) -> String {
    let words = value.iter().map(String::as_bytes);
    let parts: Vec<&[u8]> = [salt.as_bytes(), setting.as_bytes()].into_iter().chain(words).collect();
    spec::digest(&parts)
}
