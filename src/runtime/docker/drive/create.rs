//! Request that creates a service's container. Pure. Secrets are revealed here: into the environment, and nowhere else.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, DeviceRequest, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig,
    NetworkingConfig, PortBinding, PortMap, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use crate::host::gpu::visible;
use crate::model::desired::Service;
use crate::model::endpoint::{Protocol, PublishedPort};
use crate::model::environment::EnvValue;
use crate::model::names::GpuId;
use crate::runtime::docker::drive::{marks, options};
use crate::runtime::docker::intent::{ContainerSpec, GpuAccess, ImageHealthcheck, Ulimit};
use crate::runtime::docker::network::is_user_defined;
use crate::runtime::{DriverError, Start};

/// Returns the body of the request that creates a container.
pub(super) fn body(
    start: &Start<'_>,
    container: &ContainerSpec,
    host_id: Option<&str>,
    compared: u32,
) -> Result<ContainerCreateBody, DriverError> {
    // Every field by its name, so that a new one is not forgotten here.
    let ContainerSpec {
        // Given beside the body.
        name: _,
        image,
        // Pulled before: see `prepare`.
        pull: _,
        command,
        entrypoint,
        // Both written below, from the whole container.
        environment: _,
        labels: _,
        ports,
        volumes,
        networks,
        // Read below, from the whole container.
        attachments: _,
        user,
        shm_size_bytes,
        ipc,
        devices,
        ulimits,
        options,
        healthcheck,
        gpu_access,
    } = container;
    check_labels(start.service, container)?;
    let labels = marks::write(start, container, (&marks::new_salt()?, compared), host_id);
    let first = networks.first();
    let endpoint = first.and_then(|name| Some((name.clone(), endpoint(name, start.service, container)?)));
    let body = ContainerCreateBody {
        image: Some(image.clone()),
        cmd: command.clone(),
        entrypoint: entrypoint.clone(),
        env: Some(environment(start, container)?),
        exposed_ports: some(ports.iter().map(container_port).collect()),
        user: user.clone(),
        labels: Some(labels),
        healthcheck: healthcheck.as_ref().map(health_config),
        stop_signal: start.service.stop.signal.clone(),
        stop_timeout: Some(seconds(start.service.stop.grace)),
        host_config: Some(HostConfig {
            binds: some(volumes.clone()),
            network_mode: first.cloned(),
            port_bindings: Some(port_bindings(ports)),
            restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
            shm_size: shm_size_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
            ipc_mode: ipc.clone(),
            devices: some(devices.iter().map(|device| device_mapping(device)).collect()),
            ulimits: some(ulimits.iter().map(ulimit).collect()),
            device_requests: device_request(*gpu_access, start.gpus).map(|request| vec![request]),
            ..HostConfig::default()
        }),
        networking_config: endpoint
            .map(|endpoint| NetworkingConfig { endpoints_config: Some(HashMap::from([endpoint])) }),
        ..ContainerCreateBody::default()
    };
    Ok(options::write(options, body))
}

/// Refuses labels with lcm's prefix: a copied mark would make two owners.
pub(super) fn check_labels(service: &Service, container: &ContainerSpec) -> Result<(), DriverError> {
    match container.labels.keys().find(|name| name.starts_with(marks::PREFIX)) {
        Some(name) => Err(DriverError::Refused(format!(
            "service {} sets the label {name}, but labels that begin with `lcm.` are reserved for lcm",
            service.name
        ))),
        None => Ok(()),
    }
}

/// Returns the names by which others on the network find the service, and its fixed address; `None`: that network has
/// no names.
pub(super) fn endpoint(network: &str, service: &Service, container: &ContainerSpec) -> Option<EndpointSettings> {
    if !is_user_defined(network) {
        return None;
    }
    let attachments = &container.attachments;
    let address = attachments.address(network);
    let ipam_config =
        address.map(|address| EndpointIpamConfig { ipv4_address: Some(address.to_owned()), ..Default::default() });
    let aliases = attachments.names(network, service.name.as_str()).into_iter().collect();
    Some(EndpointSettings { aliases: Some(aliases), ipam_config, ..EndpointSettings::default() })
}

/// Returns the path of a device on this machine.
pub(super) fn host_device(device: &str) -> &str {
    device.split(':').next().unwrap_or(device)
}

/// Returns the path on this machine that a volume mounts; `None`: a volume of the engine, by name.
pub(super) fn host_path(volume: &str) -> Option<&str> {
    volume.split(':').next().filter(|source| source.starts_with('/'))
}

/// Returns whole seconds, rounded up: a grace period is never cut short.
pub(super) fn seconds(time: Duration) -> i64 {
    let up = u64::from(time.subsec_nanos() > 0);
    i64::from(i32::try_from(time.as_secs().saturating_add(up)).unwrap_or(i32::MAX))
}

fn some<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

fn environment(start: &Start<'_>, container: &ContainerSpec) -> Result<Vec<String>, DriverError> {
    let variables = match container.gpu_access {
        GpuAccess::Environment => visible::of_container(start.gpus, start.indices),
        GpuAccess::Request | GpuAccess::None => BTreeMap::new(),
    };
    let mut lines = Vec::with_capacity(container.environment.len() + variables.len());
    // Of two lines with one name programs take one or the other, so only the plan's line is written.
    for (name, value) in container.environment.iter().filter(|(name, _)| !variables.contains_key(*name)) {
        let text = match value {
            EnvValue::Plain(text) => text,
            EnvValue::Secret(Some(secret)) => secret.reveal(),
            EnvValue::Secret(None) => {
                return Err(DriverError::Missing(format!("service {} needs {name}, which is not set", {
                    &start.service.name
                })));
            }
        };
        lines.push(format!("{name}={text}"));
    }
    lines.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));
    Ok(lines)
}

fn device_request(access: GpuAccess, gpus: &[GpuId]) -> Option<DeviceRequest> {
    let wanted = match access {
        GpuAccess::Request => !gpus.is_empty(),
        GpuAccess::Environment | GpuAccess::None => false,
    };
    wanted.then(|| DeviceRequest {
        driver: Some("nvidia".to_owned()),
        device_ids: Some(visible::device_ids(gpus)),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    })
}

fn container_port(port: &PublishedPort) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    format!("{}/{protocol}", port.container)
}

/// Returns host ports by container port, which may be published more than once.
fn port_bindings(ports: &[PublishedPort]) -> PortMap {
    let mut bindings = PortMap::new();
    for port in ports {
        let binding = PortBinding {
            host_ip: port.address.clone(),
            // Empty: the engine picks a free port.
            host_port: Some(port.host.map(|port| port.to_string()).unwrap_or_default()),
        };
        bindings.entry(container_port(port)).or_default().get_or_insert_default().push(binding);
    }
    bindings
}

fn device_mapping(device: &str) -> DeviceMapping {
    let mut parts = device.splitn(3, ':');
    let host = parts.next().unwrap_or_default().to_owned();
    DeviceMapping {
        path_in_container: Some(parts.next().map_or_else(|| host.clone(), str::to_owned)),
        path_on_host: Some(host),
        cgroup_permissions: Some(parts.next().unwrap_or("rwm").to_owned()),
    }
}

fn ulimit((name, limit): (&String, &Ulimit)) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.clone()), soft: Some(limit.soft), hard: Some(limit.hard) }
}

fn health_config(check: &ImageHealthcheck) -> HealthConfig {
    let nanoseconds = |time: Option<Duration>| time.and_then(|time| i64::try_from(time.as_nanos()).ok());
    HealthConfig {
        test: Some(check.test.clone()),
        interval: nanoseconds(check.interval),
        timeout: nanoseconds(check.timeout),
        retries: check.retries.map(i64::from),
        start_period: nanoseconds(check.start_period),
        start_interval: None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{device_mapping, host_device, host_path, port_bindings, seconds};
    use crate::model::endpoint::{Protocol, PublishedPort};

    #[test]
    fn devices_and_ports_are_written_in_the_engines_form() {
        let mapping = device_mapping("/dev/dri");
        assert_eq!(mapping.path_in_container.as_deref(), Some("/dev/dri"));
        assert_eq!(mapping.cgroup_permissions.as_deref(), Some("rwm"));
        assert_eq!(host_device("/dev/dri:/dev/x:r"), "/dev/dri");

        let port = |host| PublishedPort { address: None, host, container: 80, protocol: Protocol::Tcp };
        let bindings = port_bindings(&[port(Some(8080)), port(None)]);
        let hosts: Vec<_> = bindings["80/tcp"].iter().flatten().map(|binding| binding.host_port.as_deref()).collect();
        assert_eq!(hosts, [Some("8080"), Some("")]);
    }

    #[test]
    fn a_mounted_path_is_told_from_a_named_volume() {
        assert_eq!(host_path("/srv/models:/models:ro"), Some("/srv/models"));
        assert_eq!(host_path("models:/models"), None);
    }

    #[test]
    fn a_grace_period_is_never_cut_short() {
        assert_eq!(seconds(Duration::from_millis(250)), 1);
        assert_eq!(seconds(Duration::from_secs(30)), 30);
        assert_eq!(seconds(Duration::ZERO), 0);
    }
}
