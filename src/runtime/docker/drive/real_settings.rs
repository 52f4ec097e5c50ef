//! Real settings of a container, from the engine's answer to an inspection. Values that may hold a secret leave this
//! file as salted digests only.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{ContainerConfig, EndpointSettings, HostConfig, MountPoint, PortBinding, RestartPolicy};

use crate::runtime::docker::drive::options;
use crate::runtime::docker::intent::ContainerSpec;
use crate::runtime::docker::network::endpoint_text;
use crate::runtime::docker::options::ContainerOptions;
use crate::runtime::docker::settings::{
    self, ContainerSettings, DigestedSetting, MEMORY, NANO_CPUS, SWAP_FACTOR, mount_text, port_text, tidy,
};

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

/// Length of a container's short id, in hexadecimal digits.
const SHORT_ID_LENGTH: usize = 12;

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
            endpoints: self.endpoints(container),
            network_of: mode.strip_prefix("container:").map(str::to_owned),
            ports: host
                .port_bindings
                .iter()
                .flatten()
                .flat_map(|(port, bindings)| ports(port, bindings.as_deref().unwrap_or_default()))
                .collect(),
            restart: restart(host.restart_policy.as_ref()),
            options: self.options(container).compared(&container.options),
            limits: limits(host, &container.options),
            devices: devices(host),
            gpus: gpus(host),
        }
    }

    fn options(&self, container: &ContainerSpec) -> ContainerOptions {
        options::read(&self.config, &self.host, &container.options)
    }

    /// Returns the names and the fixed address of the container on each network. Engines add the short id to the names.
    fn endpoints(&self, container: &ContainerSpec) -> BTreeMap<String, String> {
        let known = self.networks.iter().filter_map(|(network, endpoint)| {
            let stated = container.attachments.endpoints.get(network);
            let is_stated = |alias: &String| stated.is_some_and(|stated| stated.aliases.contains(alias));
            let names = endpoint.aliases.as_ref()?.iter().filter(|alias| is_stated(alias) || !is_short_id(alias));
            let names: BTreeSet<String> = names.cloned().collect();
            let address = endpoint.ipam_config.as_ref().and_then(|ipam| ipam.ipv4_address.as_deref());
            (!names.is_empty()).then(|| (network.clone(), endpoint_text(&names, address)))
        });
        known.collect()
    }

    /// Returns a mount, with a note if its host folder was deleted.
    fn marked(&self, (target, source): (String, String)) -> (String, String) {
        let since = if self.deleted.contains(&target) { " (deleted since)" } else { "" };
        (target, format!("{source}{since}"))
    }

    /// Returns digests of all comparable settings; of labels and variables only of those that the manifest states,
    /// since images bring others. `expected_settings` digests the same settings.
    fn digests(&self, container: &ContainerSpec, salt: &str) -> BTreeMap<String, String> {
        let (config, host) = (&self.config, &self.host);
        let one = |text: Option<&String>| text.map(|text| vec![text.clone()]);
        let mut real = vec![
            (DigestedSetting::Image, one(config.image.as_ref())),
            (DigestedSetting::Command, config.cmd.clone()),
            (DigestedSetting::Entrypoint, config.entrypoint.clone()),
            (DigestedSetting::User, one(config.user.as_ref())),
            (DigestedSetting::Ipc, one(host.ipc_mode.as_ref())),
            (DigestedSetting::ShmSize, host.shm_size.map(|size| vec![size.to_string()])),
            (DigestedSetting::Healthcheck, config.healthcheck.as_ref().and_then(|check| check.test.clone())),
        ];
        for limit in host.ulimits.iter().flatten() {
            let number = |limit: Option<i64>| limit.unwrap_or_default().to_string();
            let name = limit.name.as_deref().unwrap_or_default();
            real.push((DigestedSetting::Ulimit(name), Some(vec![number(limit.soft), number(limit.hard)])));
        }
        for name in container.labels.keys() {
            let value = config.labels.as_ref().and_then(|labels| labels.get(name));
            real.push((DigestedSetting::Label(name), one(value)));
        }
        let lines = config.env.iter().flatten().filter_map(|line| line.split_once('='));
        for (name, text) in lines.filter(|(name, _)| container.environment.contains_key(*name)) {
            real.push((DigestedSetting::Environment(name), Some(vec![text.to_owned()])));
        }
        let log_options = &container.options.logging.options;
        let logged = self.options(container).logging.options;
        for (name, value) in logged.iter().filter(|(name, _)| log_options.contains_key(*name)) {
            real.push((DigestedSetting::LogOption(name), one(Some(value))));
        }
        settings::digests(salt, real)
    }
}

/// Returns true for the beginning of an id, as engines show it.
fn is_short_id(text: &str) -> bool {
    text.len() == SHORT_ID_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit())
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
fn limits(host: &HostConfig, stated: &ContainerOptions) -> BTreeMap<String, String> {
    let memory = host.memory.filter(|memory| *memory > 0);
    // Beside a limit of memory the engine sets one of memory and swap, which no manifest states.
    let engines_own =
        memory.filter(|_| stated.mem_limit_bytes.is_some()).and_then(|memory| memory.checked_mul(SWAP_FACTOR));
    let swap = host.memory_swap.filter(|_| memory.is_some()).filter(|swap| Some(*swap) != engines_own);
    let numbers = [
        (MEMORY, host.memory),
        ("MemorySwap", swap),
        ("MemoryReservation", host.memory_reservation),
        (NANO_CPUS, host.nano_cpus),
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};
    use std::time::Duration;

    use bollard::models::{ContainerCreateBody, MountPoint};
    use jiff::Timestamp;
    use serde_json::{from_value, to_value};

    use super::Details;
    use crate::model::desired::Service;
    use crate::model::endpoint::{Protocol, PublishedPort};
    use crate::model::environment::EnvValue;
    use crate::model::facts::{Facts, Reading};
    use crate::model::names::{GpuId, ObjectName, ProjectName};
    use crate::model::secret::Secret;
    use crate::runtime::Start;
    use crate::runtime::docker::drive::{create, marks};
    use crate::runtime::docker::facts::DockerReading as _;
    use crate::runtime::docker::intent::{ContainerSpec, GpuAccess, ImageHealthcheck, PullPolicy, Ulimit};
    use crate::runtime::docker::network::{Attachments, NetworkEndpoint};
    use crate::runtime::docker::options::{ContainerOptions, Logging};
    use crate::runtime::docker::settings::{COMPARED, ContainerSettings};

    /// Returns a container with every field set.
    fn everything() -> ContainerSpec {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let period = Some(Duration::from_secs(5));
        let front = NetworkEndpoint { aliases: ["api".to_owned()].into(), ipv4_address: Some("172.28.0.9".to_owned()) };
        ContainerSpec {
            name: ObjectName::new("shop-web"),
            image: "web:1".to_owned(),
            pull: PullPolicy::Never,
            command: Some(words(&["serve", "--verbose"])),
            entrypoint: Some(words(&["/bin/web"])),
            environment: [
                ("MODE".to_owned(), EnvValue::Plain("fast".to_owned())),
                ("TOKEN".to_owned(), EnvValue::Secret(Some(Secret::new("a-secret-of-the-test")))),
            ]
            .into(),
            ports: vec![PublishedPort {
                address: Some("127.0.0.1".to_owned()),
                host: Some(8080),
                container: 80,
                protocol: Protocol::Tcp,
            }],
            volumes: words(&["/srv/conf:/conf/:ro", "data:/data"]),
            networks: words(&["front"]),
            attachments: Attachments { endpoints: [("front".to_owned(), front)].into(), ..Attachments::default() },
            user: Some("1000:1000".to_owned()),
            shm_size_bytes: Some(32 << 20),
            ipc: Some("shareable".to_owned()),
            devices: words(&["/dev/dri:/dev/dri", "/dev/kvm:/dev/vm:r"]),
            ulimits: [("nofile".to_owned(), Ulimit { soft: 512, hard: 1024 })].into(),
            labels: [("team".to_owned(), "audio".to_owned())].into(),
            options: every_option(),
            healthcheck: Some(ImageHealthcheck {
                test: words(&["CMD", "check"]),
                interval: period,
                timeout: period,
                retries: Some(5),
                start_period: period,
            }),
            gpu_access: GpuAccess::Request,
        }
    }

    fn every_option() -> ContainerOptions {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        ContainerOptions {
            hostname: Some("web.lan".to_owned()),
            extra_hosts: words(&["db:10.0.0.7", "db:::1", "out:host-gateway"]),
            dns: words(&["10.0.0.2", "10.0.0.1"]),
            working_dir: Some("/srv/app".to_owned()),
            init: Some(true),
            tmpfs: [("/run".to_owned(), String::new()), ("/tmp".to_owned(), "size=64m".to_owned())].into(),
            cap_add: ["NET_ADMIN".to_owned()].into(),
            cap_drop: ["ALL".to_owned()].into(),
            security_opt: words(&["no-new-privileges", "label=disable"]),
            privileged: Some(true),
            group_add: words(&["44", "video"]),
            mem_limit_bytes: Some(64 << 20),
            nano_cpus: Some(1_500_000_000),
            logging: Logging {
                driver: Some("json-file".to_owned()),
                options: [("max-size".to_owned(), "1m".to_owned())].into(),
            },
        }
    }

    /// Returns the details that an engine reports of a container created by this request.
    fn inspected(body: &ContainerCreateBody) -> Details {
        let host = body.host_config.clone().expect("a host config");
        let mount = |bind: &String| {
            let parts: Vec<&str> = bind.split(':').collect();
            let is_volume = !parts[0].starts_with('/');
            MountPoint {
                typ: Some(if is_volume { "volume" } else { "bind" }.to_owned()),
                name: is_volume.then(|| parts[0].to_owned()),
                source: (!is_volume).then(|| parts[0].to_owned()),
                destination: Some(parts[1].trim_end_matches('/').to_owned()),
                rw: Some(parts.get(2) != Some(&"ro")),
                ..MountPoint::default()
            }
        };
        let mut networks: HashMap<_, _> =
            body.networking_config.clone().and_then(|config| config.endpoints_config).expect("networks");
        for (name, endpoint) in &mut networks {
            endpoint.network_id = Some(format!("id-of-{name}"));
            endpoint.aliases.get_or_insert_default().push("0123456789ab".to_owned());
        }
        Details {
            // Both have the engine's names for the same fields, so that a new one needs no line here.
            config: from_value(to_value(body).expect("JSON")).expect("a container's config"),
            mounts: host.binds.iter().flatten().map(mount).collect(),
            host,
            networks,
            deleted: BTreeSet::new(),
        }
    }

    #[test]
    fn every_setting_is_read_back_as_it_is_expected() {
        let container = everything();
        let service = Service::plain("web".into(), container.clone());
        let project = ProjectName::new("shop");
        let gpus = [GpuId::new("GPU-aaaa")];
        let start = Start { project: &project, service: &service, gpus: &gpus, indices: &[] };
        let body = create::body(&start, &container, None, COMPARED).expect("a request");
        let marks = marks::read(body.labels.as_ref().expect("labels")).expect("marks");
        let mut facts = Facts::empty("box", Timestamp::UNIX_EPOCH);
        facts.docker_mut().networks = Reading::Known([("front".to_owned(), "id-of-front".to_owned())].into());

        let expected = ContainerSettings::expected(&service, &marks, &facts).expect("a container of lcm's own");
        let real = inspected(&body).settings(&container, &marks.salt);
        // Digests first: their names show on which side a setting is missing.
        assert_eq!(real.digests, expected.digests);
        assert_eq!(real, expected);
        assert_eq!(real.digests.len(), 12, "{:?}", real.digests.keys());
        assert_eq!(real.options.len(), 12, "{:?}", real.options);
        assert_eq!(real.limits.len(), 2, "{:?}", real.limits);
    }
}
