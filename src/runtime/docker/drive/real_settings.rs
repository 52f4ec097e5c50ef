//! Real settings of a container, from the engine's answer to an inspection. Values that may hold a secret leave this
//! file as salted digests only.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{ContainerConfig, EndpointSettings, HostConfig, MountPoint, PortBinding, RestartPolicy};

use crate::runtime::docker::intent::ContainerSpec;
use crate::runtime::docker::settings::{ContainerSettings, digest, mount_text, port_text, tidy};

/// Properties of a container beyond its state, as the engine reports them.
#[derive(Clone, Debug, Default)]
pub(super) struct Details {
    pub(super) config: ContainerConfig,
    pub(super) host: HostConfig,
    pub(super) mounts: Vec<MountPoint>,
    pub(super) networks: HashMap<String, EndpointSettings>,
    /// Mount points whose host folder was deleted since the container was started.
    pub(super) deleted: BTreeSet<String>,
}

/// Length of an anonymous volume's name, in hexadecimal digits. Such a volume comes from the image; lcm never creates
/// one.
const ANONYMOUS_LENGTH: usize = 64;

/// CPU shares of a container for which none are set.
const CPU_SHARES_DEFAULT: i64 = 1024;

impl Details {
    /// Returns the settings of a container that is `container` of the manifest, digested under its salt.
    pub(super) fn settings(&self, container: &ContainerSpec, salt: &str) -> ContainerSettings {
        let host = &self.host;
        let mode = host.network_mode.as_deref().unwrap_or_default();
        ContainerSettings {
            digests: self.digests(container, salt),
            mounts: self.mounts.iter().filter_map(mount).map(|mount| self.marked(mount)).collect(),
            networks: self.networks.iter().map(|(name, endpoint)| (name.clone(), network_id(endpoint))).collect(),
            network_of: mode.strip_prefix("container:").map(str::to_owned),
            ports: host
                .port_bindings
                .iter()
                .flatten()
                .flat_map(|(port, bindings)| ports(port, bindings.as_deref().unwrap_or_default()))
                .collect(),
            restart: restart(host.restart_policy.as_ref()),
            limits: limits(host),
            devices: devices(host),
            gpus: gpus(host),
        }
    }

    /// Returns a mount, with a note if its host folder was deleted.
    fn marked(&self, (target, source): (String, String)) -> (String, String) {
        let since = if self.deleted.contains(&target) { " (deleted since)" } else { "" };
        (target, format!("{source}{since}"))
    }

    /// Returns digests of all that may be compared, without what the manifest does not state.
    fn digests(&self, container: &ContainerSpec, salt: &str) -> BTreeMap<String, String> {
        let (config, host) = (&self.config, &self.host);
        let mut values: Vec<(String, Vec<String>)> = Vec::new();
        let mut value = |setting: &str, words: Option<Vec<String>>| {
            values.extend(words.map(|words| (setting.to_owned(), words)));
        };
        let one = |text: Option<&String>| text.map(|text| vec![text.clone()]);
        value("image", one(config.image.as_ref()));
        value("command", config.cmd.clone());
        value("entrypoint", config.entrypoint.clone());
        value("user", one(config.user.as_ref()));
        value("ipc", one(host.ipc_mode.as_ref()));
        value("shm_size", host.shm_size.map(|size| vec![size.to_string()]));
        value("healthcheck", config.healthcheck.as_ref().and_then(|check| check.test.clone()));
        for limit in host.ulimits.iter().flatten() {
            let number = |limit: Option<i64>| limit.unwrap_or_default().to_string();
            let name = limit.name.as_deref().unwrap_or_default();
            value(&format!("ulimit {name}"), Some(vec![number(limit.soft), number(limit.hard)]));
        }
        for name in container.labels.keys() {
            value(&format!("label {name}"), one(config.labels.as_ref().and_then(|labels| labels.get(name))));
        }
        let lines = || config.env.iter().flatten().filter_map(|line| line.split_once('='));
        for (name, text) in lines().filter(|(name, _)| container.environment.contains_key(*name)) {
            value(&format!("environment {name}"), Some(vec![text.to_owned()]));
        }
        let digested = values.into_iter().map(|(setting, words)| {
            let digest = digest(salt, &setting, &words);
            (setting, digest)
        });
        digested.collect()
    }
}

/// Returns a mount by its target; `None`: an anonymous volume.
fn mount(mount: &MountPoint) -> Option<(String, String)> {
    let target = tidy(mount.destination.as_deref()?);
    let name = mount.name.as_deref().unwrap_or_default();
    let is_anonymous = name.len() == ANONYMOUS_LENGTH && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let source = match mount.typ.as_deref() {
        Some("volume") if is_anonymous => return None,
        Some("volume") => name,
        _ => mount.source.as_deref().unwrap_or_default(),
    };
    Some((target, mount_text(source, mount.rw == Some(false))))
}

fn network_id(endpoint: &EndpointSettings) -> String {
    endpoint.network_id.clone().unwrap_or_default()
}

fn ports(port: &str, bindings: &[PortBinding]) -> Vec<String> {
    let text = |binding: &PortBinding| {
        let host = binding.host_port.as_deref().filter(|host| *host != "0").unwrap_or_default();
        port_text(binding.host_ip.as_deref().unwrap_or_default(), host, port)
    };
    bindings.iter().map(text).collect()
}

fn restart(policy: Option<&RestartPolicy>) -> String {
    let name = policy.and_then(|policy| policy.name).map(|name| name.to_string()).unwrap_or_default();
    let most = policy.and_then(|policy| policy.maximum_retry_count).filter(|count| *count > 0);
    match (name.as_str(), most) {
        ("", _) => "no".to_owned(),
        (name, Some(most)) => format!("{name}:{most}"),
        (name, None) => name.to_owned(),
    }
}

/// Returns the limits that are set. Engines write 0 or -1 for none.
fn limits(host: &HostConfig) -> BTreeMap<String, String> {
    let numbers = [
        ("Memory", host.memory),
        ("MemorySwap", host.memory_swap.filter(|_| host.memory.is_some_and(|memory| memory > 0))),
        ("MemoryReservation", host.memory_reservation),
        ("NanoCpus", host.nano_cpus),
        ("CpuShares", host.cpu_shares.filter(|shares| *shares != CPU_SHARES_DEFAULT)),
        ("CpuPeriod", host.cpu_period),
        ("CpuQuota", host.cpu_quota),
        ("CpuRealtimePeriod", host.cpu_realtime_period),
        ("CpuRealtimeRuntime", host.cpu_realtime_runtime),
        ("PidsLimit", host.pids_limit),
        ("BlkioWeight", host.blkio_weight.map(i64::from)),
    ];
    let sets = [("CpusetCpus", &host.cpuset_cpus), ("CpusetMems", &host.cpuset_mems)];
    let numbers = numbers
        .into_iter()
        .filter_map(|(name, number)| Some((name.to_owned(), number.filter(|number| *number > 0)?.to_string())));
    let sets =
        sets.into_iter().filter_map(|(name, set)| Some((name.to_owned(), set.clone().filter(|set| !set.is_empty())?)));
    numbers.chain(sets).collect()
}

fn devices(host: &HostConfig) -> BTreeSet<String> {
    let text = |device: &bollard::models::DeviceMapping| {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        format!(
            "{}:{}:{}",
            part(&device.path_on_host),
            part(&device.path_in_container),
            part(&device.cgroup_permissions)
        )
    };
    host.devices.iter().flatten().map(text).collect()
}

fn gpus(host: &HostConfig) -> BTreeSet<String> {
    let requests = host.device_requests.iter().flatten();
    requests.flat_map(|request| request.device_ids.iter().flatten().cloned()).collect()
}
