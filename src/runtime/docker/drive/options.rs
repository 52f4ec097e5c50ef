//! Options of a container in the engine's form: written for a creation, and read from an inspection.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{ContainerConfig, ContainerCreateBody, HostConfig, HostConfigLogConfig};

use crate::runtime::docker::options::{ContainerOptions, Logging, capability, is_label, security_option};

/// Adds the options to the request that creates a container.
pub(super) fn write(options: &ContainerOptions, body: ContainerCreateBody) -> ContainerCreateBody {
    // Every field by its name, so that a new one is not forgotten here.
    let ContainerOptions {
        hostname,
        extra_hosts,
        dns,
        working_dir,
        init,
        tmpfs,
        cap_add,
        cap_drop,
        security_opt,
        privileged,
        group_add,
        mem_limit_bytes,
        nano_cpus,
        logging,
    } = options;
    let host = HostConfig {
        extra_hosts: some(extra_hosts),
        dns: some(dns),
        init: *init,
        tmpfs: (!tmpfs.is_empty()).then(|| tmpfs.clone().into_iter().collect()),
        cap_add: some(cap_add),
        cap_drop: some(cap_drop),
        security_opt: some(security_opt),
        privileged: *privileged,
        group_add: some(group_add),
        memory: mem_limit_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
        nano_cpus: nano_cpus.and_then(|nanos| i64::try_from(nanos).ok()),
        log_config: log_config(logging),
        ..body.host_config.unwrap_or_default()
    };
    ContainerCreateBody {
        hostname: hostname.clone(),
        working_dir: working_dir.clone(),
        host_config: Some(host),
        ..body
    }
}

/// Returns the options of a container, for a comparison with the stated ones.
pub(super) fn read(config: &ContainerConfig, host: &HostConfig, stated: &ContainerOptions) -> ContainerOptions {
    let list = |items: &Option<Vec<String>>| items.clone().unwrap_or_default();
    let size = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0);
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let names = |names: &Option<Vec<String>>| names.iter().flatten().map(|name| capability(name)).collect();
    let security = host.security_opt.iter().flatten().map(|option| security_option(option));
    ContainerOptions {
        hostname: text(&config.hostname),
        extra_hosts: list(&host.extra_hosts),
        dns: list(&host.dns),
        working_dir: text(&config.working_dir),
        init: host.init,
        tmpfs: host.tmpfs.iter().flatten().map(|(path, options)| (path.clone(), options.clone())).collect(),
        cap_add: names(&host.cap_add),
        cap_drop: names(&host.cap_drop),
        security_opt: security.filter(|option| stated.has_labels() || !is_label(option)).collect(),
        privileged: host.privileged,
        group_add: list(&host.group_add),
        mem_limit_bytes: size(host.memory),
        nano_cpus: size(host.nano_cpus),
        logging: host.log_config.as_ref().map(logging).unwrap_or_default(),
    }
}

/// Returns `None` for the engine's default.
fn log_config(logging: &Logging) -> Option<HostConfigLogConfig> {
    let Logging { driver, options } = logging;
    let config: HashMap<String, String> = options.clone().into_iter().collect();
    let is_stated = driver.is_some() || !config.is_empty();
    // Without a driver the options are those of the engine's default one.
    is_stated.then(|| HostConfigLogConfig { typ: driver.clone(), config: Some(config) })
}

fn logging(config: &HostConfigLogConfig) -> Logging {
    let options: BTreeMap<String, String> =
        config.config.iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
    Logging { driver: config.typ.clone(), options }
}

fn some<'a>(items: impl IntoIterator<Item = &'a String>) -> Option<Vec<String>> {
    let items: Vec<String> = items.into_iter().cloned().collect();
    (!items.is_empty()).then_some(items)
}
