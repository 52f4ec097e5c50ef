//! Resolution of a container's options: names, privileges, limits and logging.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::manifest::resolve::context::ResolveContext;
use crate::manifest::wire::service::ServiceBlock;
use crate::manifest::wire::shape::{OneOrMany, Pairs};
use crate::runtime::docker::options::{ContainerOptions, Logging, capability, security_option};
use crate::runtime::docker::resolve::tmpfs::tmpfs;
use crate::runtime::docker::settings::tidy;
use crate::runtime::docker::wire::DockerBlock;
use crate::runtime::docker::wire::values::LoggingBlock;
use crate::syntax::fault::suggest;
use crate::syntax::located::Located;
use crate::syntax::scalar::{ByteSize, ScalarText};

/// Code of an option that the engine would refuse.
const CODE: &str = "lcm::manifest::option";

/// Longest host name that the kernel takes, and the longest that a resolver takes.
const HOSTNAME_LENGTH_MAX: usize = 64;
const HOST_LENGTH_MAX: usize = 253;

/// Least memory that engines limit to: below it no container starts.
const MEMORY_BYTES_MIN: u64 = 6 << 20;

/// Address that the engine replaces by that of its host.
const HOST_GATEWAY: &str = "host-gateway";

/// Options of a container's own network.
const OF_THE_NETWORK: [&str; 3] = ["hostname", "extra_hosts", "dns"];

/// IPC namespaces beside that of another container.
const IPC_MODES: [&str; 4] = ["host", "private", "shareable", "none"];

/// Driver whose output can't be read back.
const NO_LOG: &str = "none";

/// Security options that engines have.
const SECURITY_OPTIONS: [&str; 4] = ["no-new-privileges", "seccomp", "apparmor", "label"];

/// Capabilities of the kernel, and the name for all of them.
const CAPABILITIES: [&str; 42] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// Returns the options of a container that lcm creates.
pub(super) fn options(
    context: &mut ResolveContext<'_>,
    service: &ServiceBlock,
    written: &DockerBlock,
) -> ContainerOptions {
    own_network(context, written);
    ContainerOptions {
        hostname: written.hostname.as_ref().map(|name| hostname(context, name)),
        extra_hosts: extra_hosts(context, written.extra_hosts.as_ref()),
        dns: servers(context, written.dns.as_ref()),
        working_dir: written.working_dir.as_ref().map(|folder| working_dir(context, folder)),
        init: written.init,
        group_add: written.group_add.iter().map(|name| group(context, name)).collect(),
        tmpfs: tmpfs(context, written),
        cap_add: capabilities(context, &written.cap_add),
        cap_drop: capabilities(context, &written.cap_drop),
        security_opt: written.security_opt.iter().map(|option| security(context, option)).collect(),
        privileged: written.privileged,
        mem_limit_bytes: written.mem_limit.as_ref().map(|limit| memory(context, limit)),
        nano_cpus: written.cpus.as_ref().map(|cpus| cpus.0),
        logging: written.logging.as_ref().map(|logging| log(context, service, logging)).unwrap_or_default(),
    }
}

/// Returns the keys of options, each with whether the manifest states it.
pub(super) fn stated(written: &DockerBlock) -> [(&'static str, bool); 14] {
    [
        ("hostname", written.hostname.is_some()),
        ("extra_hosts", written.extra_hosts.is_some()),
        ("dns", written.dns.is_some()),
        ("working_dir", written.working_dir.is_some()),
        ("init", written.init.is_some()),
        ("tmpfs", written.tmpfs.is_some()),
        ("cap_add", !written.cap_add.is_empty()),
        ("cap_drop", !written.cap_drop.is_empty()),
        ("security_opt", !written.security_opt.is_empty()),
        ("privileged", written.privileged.is_some()),
        ("group_add", !written.group_add.is_empty()),
        ("mem_limit", written.mem_limit.is_some()),
        ("cpus", written.cpus.is_some()),
        ("logging", written.logging.is_some()),
    ]
}

/// Returns the part of the options that the spec hash covers. Limits that engines change in place are left out: their
/// real values are compared, so a change of them is found without a hash, and recreates nothing.
pub(super) fn hashed(options: &ContainerOptions) -> Map<String, Value> {
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
        mem_limit_bytes: _,
        nano_cpus: _,
        logging: Logging { driver, options: log_options },
    } = options;
    let list = |items: &[String]| (!items.is_empty()).then(|| json!(items));
    let set = |items: &BTreeSet<String>| (!items.is_empty()).then(|| json!(items));
    let map = |items: &BTreeMap<String, String>| (!items.is_empty()).then(|| json!(items));
    let logging = [("driver", driver.as_ref().map(|driver| json!(driver))), ("options", map(log_options))];
    let logging = present(logging);
    present([
        ("hostname", hostname.as_ref().map(|name| json!(name))),
        ("extra_hosts", list(extra_hosts)),
        ("dns", list(dns)),
        ("working_dir", working_dir.as_ref().map(|folder| json!(folder))),
        ("init", init.map(|init| json!(init))),
        ("tmpfs", map(tmpfs)),
        ("cap_add", set(cap_add)),
        ("cap_drop", set(cap_drop)),
        ("security_opt", list(security_opt)),
        ("privileged", privileged.map(|privileged| json!(privileged))),
        ("group_add", list(group_add)),
        ("logging", (!logging.is_empty()).then_some(Value::Object(logging))),
    ])
}

fn present<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// Rejects names and addresses of a container that has another one's network, and with it its names and addresses.
fn own_network(context: &mut ResolveContext<'_>, written: &DockerBlock) {
    let joined = written.networks.entries();
    let Some((shared, _)) = joined.into_iter().find(|(network, _)| network.starts_with("container:")) else { return };
    let stated = stated(written).into_iter().filter(|(key, is_stated)| *is_stated && OF_THE_NETWORK.contains(key));
    let ports = ("ports", !written.ports.is_empty());
    let stated: Vec<&str> =
        stated.chain([ports].into_iter().filter(|(_, is_stated)| *is_stated)).map(|(key, _)| key).collect();
    if !stated.is_empty() {
        let message = format!("a container with another one's network has that one's {} too", stated.join(", "));
        let help = "remove these keys here, or set them on the container that owns the network";
        context.error_with_help("lcm::manifest::conflict", shared.span, (message, "this network"), help);
    }
}

/// Returns the mode of the IPC namespace.
pub(super) fn ipc(context: &mut ResolveContext<'_>, ipc: &Located<String>) -> String {
    let shares = ipc.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    if !shares && !IPC_MODES.contains(&ipc.as_str()) {
        let help = if ipc.starts_with("service:") {
            "write `container:` and the name of that service's container"
        } else {
            "write `host`, `private`, `shareable`, `none`, or `container:` and the name of a container"
        };
        let message = format!("invalid IPC namespace `{}`", ipc.value);
        context.error_with_help(CODE, ipc.span, (message, "this namespace"), help);
    }
    ipc.value.clone()
}

fn hostname(context: &mut ResolveContext<'_>, name: &Located<String>) -> String {
    if !is_host(name, HOSTNAME_LENGTH_MAX) {
        let message = format!("invalid host name `{}`", name.value);
        let help = "write up to 64 letters, digits, `-` and `.`, beginning and ending with a letter or digit";
        context.error_with_help(CODE, name.span, (message, "this name"), help);
    }
    name.value.clone()
}

/// Returns true for labels that are joined by dots. An underscore is no part of a host name by the standard, but of many
/// names of containers.
fn is_host(name: &str, length_max: usize) -> bool {
    let is_label = |label: &str| {
        let ends = [label.chars().next(), label.chars().next_back()];
        ends.into_iter().all(|end| end.is_some_and(|end| end.is_ascii_alphanumeric()))
            && label.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter))
    };
    name.len() <= length_max && name.split('.').all(is_label)
}

fn extra_hosts(
    context: &mut ResolveContext<'_>,
    written: Option<&Located<Pairs<OneOrMany<Located<String>>>>>,
) -> Vec<String> {
    let mut hosts = Vec::new();
    let mut add = |host: &str, address: &str, at: &Located<String>| {
        let address = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(address);
        if is_host(host, HOST_LENGTH_MAX) && (address == HOST_GATEWAY || address.parse::<IpAddr>().is_ok()) {
            hosts.push(format!("{host}:{address}"));
            return;
        }
        let message = format!("invalid host `{host}` with address `{address}`");
        let help = "write `HOST:ADDRESS` with an IP address or `host-gateway`, or a map";
        context.error_with_help(CODE, at.span, (message, "this entry"), help);
    };
    match written.map(|written| &written.value) {
        Some(Pairs::List(items)) => {
            for item in items {
                // An address may contain further colons.
                let (host, address) = item.split_once([':', '=']).unwrap_or((&item.value, ""));
                add(host, address, item);
            }
        }
        Some(Pairs::Map(entries)) => {
            for (host, addresses) in entries {
                addresses.0.iter().for_each(|address| add(host, address, address));
            }
        }
        None => {}
    }
    // The order of hosts means nothing, so both notations give one spec; that of one host's addresses stays.
    hosts.sort_by(|one, other| host_of(one).cmp(host_of(other)));
    hosts
}

fn host_of(entry: &str) -> &str {
    entry.split(':').next().unwrap_or(entry)
}

fn servers(context: &mut ResolveContext<'_>, written: Option<&OneOrMany<Located<String>>>) -> Vec<String> {
    let servers = written.map_or(&[][..], |written| &written.0);
    for server in servers.iter().filter(|server| server.parse::<IpAddr>().is_err()) {
        let message = format!("invalid DNS server `{}`", server.value);
        context.error_with_help(CODE, server.span, (message, "this server"), "write its IP address");
    }
    servers.iter().map(|server| server.value.clone()).collect()
}

fn working_dir(context: &mut ResolveContext<'_>, folder: &Located<String>) -> String {
    if !folder.starts_with('/') || folder.contains(char::is_control) {
        let message = format!("the working folder `{}` is not an absolute path", folder.value);
        let help = "write its path inside the container, beginning with `/`";
        context.error_with_help(CODE, folder.span, (message, "this path"), help);
    }
    tidy(folder)
}

fn capabilities(context: &mut ResolveContext<'_>, written: &[Located<String>]) -> BTreeSet<String> {
    for name in written.iter().filter(|name| !CAPABILITIES.contains(&capability(name).as_str())) {
        let near = suggest(&capability(name), CAPABILITIES);
        let help = if near.starts_with("did you mean") { &near } else { "`man 7 capabilities` lists the names" };
        let message = format!("unknown capability `{}`", name.value);
        context.error_with_help(CODE, name.span, (message, "this capability"), help);
    }
    written.iter().map(|name| capability(name)).collect()
}

fn security(context: &mut ResolveContext<'_>, written: &Located<String>) -> String {
    let option = security_option(written);
    let (name, value) = option.split_once('=').map_or((option.as_str(), None), |(name, value)| (name, Some(value)));
    let is_profile = |text: &str| serde_json::from_str::<Map<String, Value>>(text).is_ok();
    let help = match (name, value) {
        ("no-new-privileges", None | Some("false")) | ("seccomp", Some("unconfined" | "builtin")) => return option,
        ("apparmor" | "label", Some(value)) if !value.is_empty() && !value.contains(char::is_control) => return option,
        ("seccomp", Some(profile)) if is_profile(profile) => return option,
        ("no-new-privileges", Some(_)) => "write `no-new-privileges`".to_owned(),
        ("seccomp", Some(_)) => "write `seccomp=unconfined`, or `seccomp=` and the profile itself, as JSON in one \
                                 line: lcm reads no profile from a file"
            .to_owned(),
        ("apparmor" | "label" | "seccomp", None | Some(_)) => format!("write `{name}=VALUE`"),
        (unknown, _) => suggest(unknown, SECURITY_OPTIONS),
    };
    let message = format!("invalid security option `{}`", written.value);
    context.error_with_help(CODE, written.span, (message, "this option"), help);
    option
}

fn group(context: &mut ResolveContext<'_>, group: &Located<ScalarText>) -> String {
    let ScalarText(name) = &group.value;
    if name.is_empty() || name.contains(|letter: char| letter == ':' || !letter.is_ascii_graphic()) {
        let help = "write the name of a group of the image, or a number";
        context.error_with_help(CODE, group.span, (format!("invalid group `{name}`"), "this group"), help);
    }
    name.clone()
}

fn memory(context: &mut ResolveContext<'_>, limit: &Located<ByteSize>) -> u64 {
    if limit.0 < MEMORY_BYTES_MIN {
        let help = "write at least 6MiB, or remove the key for no limit";
        let message = "no container starts with so little memory";
        context.error_with_help(CODE, limit.span, (message, "this limit"), help);
    }
    limit.0
}

fn log(context: &mut ResolveContext<'_>, service: &ServiceBlock, written: &Located<LoggingBlock>) -> Logging {
    if let Some(driver) = &written.driver {
        let is_name = driver.starts_with(|first: char| first.is_ascii_alphanumeric())
            && driver.chars().all(|letter| letter.is_ascii_alphanumeric() || "_.-/:".contains(letter));
        if !is_name {
            let message = format!("invalid log driver `{}`", driver.value);
            let help = "write a driver of the engine, such as `json-file`, `local` or `journald`";
            context.error_with_help(CODE, driver.span, (message, "this driver"), help);
        }
        if driver.value == NO_LOG
            && let Some(pattern) = service.health.as_ref().and_then(|health| health.log.as_ref())
        {
            let message = "a health probe by `log` finds nothing: the log driver `none` keeps no output";
            let help = "choose another driver under `logging`, or another probe";
            context.error_with_help("lcm::manifest::conflict", pattern.span, (message, "this probe"), help);
        }
    }
    let options = written.options.iter().flat_map(|options| &options.0);
    Logging {
        driver: written.driver.as_ref().map(|driver| driver.value.clone()),
        options: options.map(|(name, ScalarText(value))| (name.value.clone(), value.clone())).collect(),
    }
}
