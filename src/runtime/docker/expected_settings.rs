//! Settings that lcm would create a container with now.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::desired::Service;
use crate::model::endpoint::{Protocol, PublishedPort};
use crate::model::environment::EnvValue;
use crate::model::facts::{Facts, Marks};
use crate::model::names::device_id;
use crate::model::secret::Secret;
use crate::runtime::docker::facts::{DockerReading as _, known_containers};
use crate::runtime::docker::intent::{ContainerSpec, DockerSpec, GpuAccess};
use crate::runtime::docker::network::{endpoint_text, is_user_defined};
use crate::runtime::docker::settings::{
    self, ContainerSettings, DigestedSetting, MEMORY, NANO_CPUS, mount_text, port_text, tidy,
};

/// Variables by which lcm gives a container its GPUs; they follow the placement, not the manifest.
const PLACED: [&str; 3] = ["NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"];

/// Networks of the engine itself: their ids change when the engine restarts, and all have the same.
const BUILT_IN: [&str; 3] = ["bridge", "host", "none"];

impl ContainerSettings {
    /// Settings that lcm would create this container with now, as the engine would report them.
    #[must_use]
    pub fn expected(service: &Service, marks: &Marks, facts: &Facts) -> Option<Self> {
        let Some(DockerSpec::Created(container)) = service.workload.spec::<DockerSpec>() else { return None };
        let shared = container.networks.iter().find_map(|network| network.strip_prefix("container:"));
        Some(Self {
            digests: digests(container, &marks.salt),
            mounts: container.volumes.iter().filter_map(|volume| mount(volume, facts)).collect(),
            networks: networks(container, facts),
            endpoints: endpoints(container, service),
            network_of: shared.map(|name| container_id(name, facts)),
            ports: container.ports.iter().map(port).collect(),
            restart: "no".to_owned(),
            options: container.options.compared(&container.options),
            limits: limits(container),
            devices: container.devices.iter().map(|device| device_text(device)).collect(),
            gpus: match container.gpu_access {
                GpuAccess::Request => marks.placed_on().map(|id| device_id(id).to_owned()).collect(),
                GpuAccess::Environment | GpuAccess::None => BTreeSet::new(),
            },
        })
    }
}

/// Returns the limits that the manifest states, by the engine's names.
fn limits(container: &ContainerSpec) -> BTreeMap<String, String> {
    let limits = [(MEMORY, container.options.mem_limit_bytes), (NANO_CPUS, container.options.nano_cpus)];
    limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?.to_string()))).collect()
}

/// Returns a volume as an entry of [`ContainerSettings::mounts`]; a host path is resolved as of now.
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

/// Returns the names and the fixed address that lcm gives the container on each network that has names.
fn endpoints(container: &ContainerSpec, service: &Service) -> BTreeMap<String, String> {
    let ContainerSpec { networks, attachments, .. } = container;
    let named = networks.iter().filter(|network| is_user_defined(network));
    let text = |network: &String| {
        endpoint_text(&attachments.names(network, service.name.as_str()), attachments.address(network))
    };
    named.map(|network| (network.clone(), text(network))).collect()
}

/// Returns the id of a network; empty if unknown.
fn network_id(name: &str, facts: &Facts) -> String {
    if BUILT_IN.contains(&name) {
        return String::new();
    }
    facts.docker().networks.known().and_then(|networks| networks.get(name)).cloned().unwrap_or_default()
}

/// Returns the id of the container that has this name now; without one, the name itself, which is never an id.
fn container_id(name: &str, facts: &Facts) -> String {
    let mut named = known_containers(facts).filter(|found| found.name == name || found.id == name);
    named.next().map_or_else(|| name.to_owned(), |found| found.id.clone())
}

/// Returns digests of the settings that the manifest states.
///
/// `drive::real_settings` digests the same settings. One that only this side digests differs right after each creation:
/// `Engine::create` then takes it for a setting that the engine writes in another way, and silently turns off the
/// comparison for that container. One that only the other side digests is never compared. A test there gives a
/// container every field, and compares both sides.
fn digests(container: &ContainerSpec, salt: &str) -> BTreeMap<String, String> {
    // Every field by its name, so that a new one is not forgotten here.
    let ContainerSpec {
        // A container is found by its name, so that never differs.
        name: _,
        // The time of a pull is no property of a container.
        pull: _,
        image,
        command,
        entrypoint,
        environment,
        // These five are compared by their values.
        ports: _,
        volumes: _,
        networks: _,
        attachments: _,
        devices: _,
        user,
        shm_size_bytes,
        ipc,
        ulimits,
        labels,
        // Compared by their values, but for those of the log driver.
        options,
        healthcheck,
        gpu_access,
    } = container;
    let one = |text: &str| Some(vec![text.to_owned()]);
    let list = |words: Option<&Vec<String>>| words.cloned().filter(|words| !words.is_empty());
    // Another container's namespace is named by its id, which may change.
    let ipc = ipc.as_deref().filter(|ipc| !ipc.starts_with("container:"));
    let mut stated = vec![
        (DigestedSetting::Image, one(image)),
        (DigestedSetting::Command, list(command.as_ref())),
        (DigestedSetting::Entrypoint, list(entrypoint.as_ref())),
        (DigestedSetting::User, user.as_deref().and_then(one)),
        (DigestedSetting::Ipc, ipc.and_then(one)),
        (DigestedSetting::ShmSize, shm_size_bytes.and_then(|size| one(&size.to_string()))),
        (DigestedSetting::Healthcheck, list(healthcheck.as_ref().map(|check| &check.test))),
    ];
    for (name, limit) in ulimits {
        stated.push((DigestedSetting::Ulimit(name), Some(vec![limit.soft.to_string(), limit.hard.to_string()])));
    }
    stated.extend(labels.iter().map(|(name, value)| (DigestedSetting::Label(name), one(value))));
    let log_options = options.logging.options.iter();
    stated.extend(log_options.map(|(name, value)| (DigestedSetting::LogOption(name), one(value))));
    let placed = |name: &str| *gpu_access == GpuAccess::Environment && PLACED.contains(&name);
    for (name, value) in environment.iter().filter(|(name, _)| !placed(name)) {
        // A secret that is missing here is not compared.
        let text = match value {
            EnvValue::Plain(text) => Some(text.as_str()),
            EnvValue::Secret(secret) => secret.as_ref().map(Secret::reveal),
        };
        stated.push((DigestedSetting::Environment(name), text.and_then(one)));
    }
    settings::digests(salt, stated)
}

fn port(port: &PublishedPort) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    let host = port.host.map(|port| port.to_string()).unwrap_or_default();
    port_text(port.address.as_deref().unwrap_or_default(), &host, &format!("{}/{protocol}", port.container))
}

fn device_text(device: &str) -> String {
    let mut parts = device.splitn(3, ':');
    let host = parts.next().unwrap_or_default();
    let inside = parts.next().unwrap_or(host);
    format!("{host}:{inside}:{}", parts.next().unwrap_or("rwm"))
}
