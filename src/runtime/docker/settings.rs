//! Real settings of a container, compared with those that lcm would create it with now: mounts, networks, ports,
//! restart policy, limits, devices, and digests of all that may hold a secret.
//!
//! Labels record what lcm once did; real settings are read from the engine. Pure: the driver reads them, `observe`
//! compares, and the simulator creates its containers with [`ContainerSettings::expected`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{safe_text, spec};

/// Version of the comparison, as lcm writes it on each container that it creates. Differences of a container with an
/// older version are only warned about: a newer lcm recreates nothing for them. Raised when a setting is compared in
/// which containers created before may differ; not for a key that is new in the manifest: a service that states it has
/// another spec, so its container is recreated anyway.
pub const COMPARED: u32 = 1;

/// Version on a container whose engine reports settings in another way than lcm gave them; read too on a container that
/// an earlier lcm created.
pub const NOT_COMPARED: u32 = 0;

/// Settings of one container as the engine reports them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Settings")]
pub struct ContainerSettings {
    /// Salted digests, by setting, of values that are compared only where the manifest states them (an image or the
    /// engine has defaults), or that may hold a secret. A new setting belongs here unless a value that the manifest
    /// does not state must be noticed too.
    #[schemars(
        description = "Salted digests of values that may contain secrets, keyed by setting: `command`, `environment HF_TOKEN`."
    )]
    pub digests: BTreeMap<String, String>,
    /// Mounts, keyed by the path in the container: the host path or volume, with `:ro` if it is read-only. Anonymous
    /// volumes are left out.
    pub mounts: BTreeMap<String, String>,
    /// Ids of the connected networks, keyed by name.
    pub networks: BTreeMap<String, String>,
    /// Names of the container on each network, and its fixed address; a network on which they are unknown is left out.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<String, String>,
    /// Id of the container whose network this container shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_of: Option<String>,
    /// Published ports, such as `127.0.0.1:8080->80/tcp`.
    pub ports: BTreeSet<String>,
    /// Restart policy: `no`, `always`, `unless-stopped`, `on-failure:3`.
    pub restart: String,
    /// Options that the manifest states, keyed by its keys, such as `hostname`; and rights beyond it, such as
    /// `privileged`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Limits that are set, keyed by the engine's name for them, such as `Memory`.
    pub limits: BTreeMap<String, String>,
    /// Devices, such as `/dev/dri:/dev/dri:rwm`.
    pub devices: BTreeSet<String>,
    /// Ids of the GPUs that the engine gives the container, as the driver names them.
    pub gpus: BTreeSet<String>,
}

/// Setting that is compared by its digest. Both sides, expected and real, take the name from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DigestedSetting<'a> {
    Image,
    Command,
    Entrypoint,
    User,
    Ipc,
    ShmSize,
    /// Command of the health check; its periods are not compared.
    Healthcheck,
    /// Limit of the kernel, by its name.
    Ulimit(&'a str),
    /// Label, by its name.
    Label(&'a str),
    /// Variable, by its name.
    Environment(&'a str),
    /// Option of the log driver, by its name; some drivers take a token there.
    LogOption(&'a str),
}

/// Setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub setting: ContainerSetting,
    /// Real value; `None`: not set. Both values are `None` where they may hold a secret.
    pub is: Option<String>,
    /// Expected value; `None`: not set.
    pub should: Option<String>,
}

/// Name of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerSetting {
    /// Setting compared by digest: `command`.
    Digest(String),
    Mount(String),
    Network(String),
    /// Names and fixed address on a network, by its name.
    Endpoint(String),
    NetworkOf,
    Port(String),
    Restart,
    /// Option, by its key in the manifest: `hostname`.
    Option(String),
    /// Limit, by the engine's name: `Memory`.
    Limit(String),
    Device(String),
    Gpu(String),
}

impl ContainerSettings {
    /// Returns the differences that are acted on. Of a container that is excluded from the comparison, or that an earlier
    /// lcm created, those are the stated limits alone: they are no part of the spec hash.
    #[must_use]
    pub fn drift(&self, expected: &Self, compared: u32) -> Vec<Difference> {
        let mut differences = self.differences(expected);
        differences.retain(|difference| compared >= COMPARED || difference.is_stated_limit());
        differences
    }

    /// Returns the settings in which these real ones differ from the expected; of digests only those that the manifest
    /// states.
    #[must_use]
    pub fn differences(&self, expected: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        for (setting, digest) in &expected.digests {
            if self.digests.get(setting) != Some(digest) {
                found.push(Difference { setting: ContainerSetting::Digest(setting.clone()), is: None, should: None });
            }
        }
        compare(&mut found, &ContainerSetting::Mount, &self.mounts, &expected.mounts);
        compare(&mut found, &ContainerSetting::Network, &self.networks, &expected.networks);
        let networks: BTreeSet<String> = found.iter().filter_map(Difference::network).map(str::to_owned).collect();
        for (network, should) in expected.endpoints.iter().filter(|(network, _)| !networks.contains(*network)) {
            if let Some(is) = self.endpoints.get(network).filter(|is| *is != should) {
                let (is, should) = (Some(is.clone()), Some(should.clone()));
                found.push(Difference { setting: ContainerSetting::Endpoint(network.clone()), is, should });
            }
        }
        if self.network_of != expected.network_of {
            let (is, should) = (self.network_of.clone(), expected.network_of.clone());
            found.push(Difference { setting: ContainerSetting::NetworkOf, is, should });
        }
        compare(&mut found, &ContainerSetting::Port, &keyed(&self.ports), &keyed(&expected.ports));
        if self.restart != expected.restart {
            let (is, should) = (Some(self.restart.clone()), Some(expected.restart.clone()));
            found.push(Difference { setting: ContainerSetting::Restart, is, should });
        }
        compare(&mut found, &ContainerSetting::Option, &self.options, &expected.options);
        compare(&mut found, &ContainerSetting::Limit, &self.limits, &expected.limits);
        compare(&mut found, &ContainerSetting::Device, &keyed(&self.devices), &keyed(&expected.devices));
        compare(&mut found, &ContainerSetting::Gpu, &keyed(&self.gpus), &keyed(&expected.gpus));
        found
    }
}

/// Limit that an engine can remove while a container runs; the others it can only set to new values.
pub(crate) const PIDS_LIMIT: &str = "PidsLimit";

/// Limits that a manifest can state, by the engine's names.
pub(crate) const MEMORY: &str = "Memory";
pub(crate) const NANO_CPUS: &str = "NanoCpus";

/// Limit of memory and swap together that an engine sets, as a multiple of the limit of memory.
pub(crate) const SWAP_FACTOR: i64 = 2;

impl Difference {
    /// Returns true if the engine can change the setting while the container runs.
    #[must_use]
    pub fn can_update_in_place(&self) -> bool {
        match &self.setting {
            ContainerSetting::Network(name) => !matches!(name.as_str(), "host" | "none"),
            ContainerSetting::Endpoint(_) | ContainerSetting::Restart => true,
            ContainerSetting::Limit(name) if name == PIDS_LIMIT => self.should.is_none(),
            ContainerSetting::Limit(_) => self.is_stated_limit(),
            ContainerSetting::Digest(_)
            | ContainerSetting::Option(_)
            | ContainerSetting::Mount(_)
            | ContainerSetting::NetworkOf
            | ContainerSetting::Port(_)
            | ContainerSetting::Device(_)
            | ContainerSetting::Gpu(_) => false,
        }
    }

    /// Returns true for a limit that the manifest states, which engines can change to another value. They can't remove it
    /// from a container that runs.
    fn is_stated_limit(&self) -> bool {
        let is_stated = |name: &String| matches!(name.as_str(), MEMORY | NANO_CPUS);
        matches!(&self.setting, ContainerSetting::Limit(name) if is_stated(name)) && self.should.is_some()
    }

    /// Returns the network that the container has to leave or join.
    #[must_use]
    pub fn network(&self) -> Option<&str> {
        match &self.setting {
            ContainerSetting::Network(name) => Some(name),
            ContainerSetting::Digest(_)
            | ContainerSetting::Mount(_)
            | ContainerSetting::Endpoint(_)
            | ContainerSetting::NetworkOf
            | ContainerSetting::Port(_)
            | ContainerSetting::Restart
            | ContainerSetting::Limit(_)
            | ContainerSetting::Option(_)
            | ContainerSetting::Device(_)
            | ContainerSetting::Gpu(_) => None,
        }
    }

    /// Returns the lines of a unified diff.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let line = |sign: char, value: &Option<String>| {
            let value = value.as_ref()?;
            Some(if value.is_empty() {
                format!("{sign}{}", self.setting)
            } else {
                // A value of the engine can hold anything.
                format!("{sign}{}: {}", self.setting, safe_text::line(value))
            })
        };
        match (&self.is, &self.should) {
            (None, None) => vec![format!("-{}: differs from the manifest", self.setting)],
            (is, should) => line('-', is).into_iter().chain(line('+', should)).collect(),
        }
    }
}

impl fmt::Display for ContainerSetting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(name) => formatter.write_str(name),
            Self::Mount(target) => write!(formatter, "mount {target}"),
            Self::Network(name) => write!(formatter, "network {name}"),
            Self::Endpoint(name) => write!(formatter, "names on network {name}"),
            Self::NetworkOf => formatter.write_str("network of container"),
            Self::Port(port) => write!(formatter, "port {port}"),
            Self::Restart => formatter.write_str("restart policy"),
            Self::Option(key) => formatter.write_str(key),
            Self::Limit(name) => write!(formatter, "limit {name}"),
            Self::Device(device) => write!(formatter, "device {device}"),
            Self::Gpu(gpu) => write!(formatter, "GPU {gpu}"),
        }
    }
}

impl fmt::Display for DigestedSetting<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image => formatter.write_str("image"),
            Self::Command => formatter.write_str("command"),
            Self::Entrypoint => formatter.write_str("entrypoint"),
            Self::User => formatter.write_str("user"),
            Self::Ipc => formatter.write_str("ipc"),
            Self::ShmSize => formatter.write_str("shm_size"),
            Self::Healthcheck => formatter.write_str("healthcheck"),
            Self::Ulimit(name) => write!(formatter, "ulimit {name}"),
            Self::Label(name) => write!(formatter, "label {name}"),
            Self::Environment(name) => write!(formatter, "environment {name}"),
            Self::LogOption(name) => write!(formatter, "logging option {name}"),
        }
    }
}

fn compare(
    found: &mut Vec<Difference>,
    setting: &dyn Fn(String) -> ContainerSetting,
    real: &BTreeMap<String, String>,
    expected: &BTreeMap<String, String>,
) {
    let names: BTreeSet<&String> = real.keys().chain(expected.keys()).collect();
    for name in names {
        let (is, should) = (real.get(name), expected.get(name));
        let same = match (is, should) {
            // Empty means unknown, such as the id of a network that the engine does not list.
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

/// Returns one published port as [`ContainerSettings::ports`] holds it.
#[must_use]
pub fn port_text(address: &str, host: &str, container: &str) -> String {
    let address = match address {
        "" | "0.0.0.0" => String::new(),
        other => format!("{other}:"),
    };
    format!("{address}{host}->{container}")
}

/// Returns the value of one mount as [`ContainerSettings::mounts`] holds it.
#[must_use]
pub fn mount_text(source: &str, read_only: bool) -> String {
    // Empty means unknown, and is not compared.
    let suffix = if read_only && !source.is_empty() { ":ro" } else { "" };
    format!("{source}{suffix}")
}

/// Returns a path in a container as engines write it: without a slash at its end.
#[must_use]
pub fn tidy(target: &str) -> String {
    let trimmed = target.trim_end_matches('/');
    if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
}

/// Returns the digests of settings under the salt of their container, by the names of the settings. A setting without a
/// value is left out.
pub(crate) fn digests<'a>(
    salt: &str,
    values: impl IntoIterator<Item = (DigestedSetting<'a>, Option<Vec<String>>)>,
) -> BTreeMap<String, String> {
    let digested = |(setting, value): (DigestedSetting<'a>, Option<Vec<String>>)| {
        let setting = setting.to_string();
        let digest = digest(salt, &setting, &value?);
        Some((setting, digest))
    };
    values.into_iter().filter_map(digested).collect()
}

fn digest(salt: &str, setting: &str, value: &[String]) -> String {
    let words = value.iter().map(String::as_bytes);
    let parts: Vec<&[u8]> = [salt.as_bytes(), setting.as_bytes()].into_iter().chain(words).collect();
    spec::digest(&parts)
}
