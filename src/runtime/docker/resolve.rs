//! Resolution of a container: an existing one, or one that lcm creates, with Compose's keys.

mod labels;
pub(crate) mod networks;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::manifest::resolve::context::ResolveContext;
use crate::manifest::resolve::environment::{WrittenEnvironment, environment};
use crate::manifest::resolve::resolved::{ResolvedRuntime, as_index, gets_gpus};
use crate::manifest::wire::service::ServiceBlock;
use crate::manifest::wire::shape::CommandLine;
use crate::model::endpoint::PublishedPort;
use crate::model::names::ObjectName;
use crate::model::spec::Spec;
use crate::runtime::docker::intent::{
    ContainerSpec, ExistingContainer, GpuAccess, ImageHealthcheck, PullPolicy, Ulimit,
};
use crate::runtime::docker::options::ContainerOptions;
use crate::runtime::docker::resolve::labels::labels;
use crate::runtime::docker::resolve::mounts::{devices, volumes};
use crate::runtime::docker::resolve::networks::JoinedNetworks;
use crate::runtime::docker::resolve::options::options;
use crate::runtime::docker::wire::{DockerBlock, DockerSettings, GpuAccessValue, Healthcheck, PullPolicyValue};
use crate::syntax::located::Located;
use crate::syntax::scalar::{ScalarText, is_name};
use crate::syntax::source::Span;
use crate::syntax::{command_line, ports};

mod mounts;
mod options;
mod tmpfs;

/// Ports of a host, on one address and by one protocol.
const PORTS_MAX: usize = 65_535;

/// Returns the engine's address in the settings.
pub(crate) fn endpoint(context: &mut ResolveContext<'_>, settings: &Located<DockerSettings>) -> Option<String> {
    let host = &settings.host;
    let known = ["unix://", "tcp://", "http://"];
    if !known.iter().any(|scheme| host.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty())) {
        let message = format!("invalid engine address `{}`", host.value);
        let help = "write `unix:///path/to/docker.sock` or `tcp://host:port`";
        context.error_with_help("lcm::manifest::url", host.span, (message, "this address"), help);
        return None;
    }
    Some(host.value.clone())
}

/// Resolves the block. `name` gives the container its name, where the manifest gives none.
pub(crate) fn resolve(
    context: &mut ResolveContext<'_>,
    name: &Located<String>,
    service: &ServiceBlock,
    written: &Located<DockerBlock>,
) -> Option<ResolvedRuntime> {
    let Some(container) = &written.container else { return created(context, name, service, written) };
    valid_name(context, container);
    let others = others(written);
    if !others.is_empty() {
        let message = format!("an existing container takes no other keys, found: {}", others.join(", "));
        let help = "an existing container is only started and stopped; for one that lcm creates, write `image` and \
                    `container_name` in place of `container`";
        context.error_with_help("lcm::manifest::conflict", container.span, (message, "this one exists already"), help);
    }
    Some(ResolvedRuntime {
        workload: ExistingContainer {
            container: ObjectName::new(&container.value),
            accepts_auto_remove: written.auto_remove.is_some(),
        }
        .into(),
        spec: Spec::plain(Value::Null),
        missing_secrets: Vec::new(),
        published: None,
        object: Some(container.span),
    })
}

/// Returns the keys that are set and that only a container created by lcm can have.
fn others(written: &DockerBlock) -> Vec<&'static str> {
    let DockerBlock {
        // The two keys of an existing container.
        container: _,
        auto_remove: _,
        image,
        pull_policy,
        container_name,
        command,
        entrypoint,
        environment,
        env_file,
        secret,
        plain,
        ports,
        volumes,
        networks,
        user,
        shm_size,
        ipc,
        devices,
        ulimits,
        labels,
        healthcheck,
        gpu_access,
        // In `options::stated`.
        ..
    } = written;
    [
        ("image", image.is_some()),
        ("pull_policy", pull_policy.is_some()),
        ("container_name", container_name.is_some()),
        ("command", command.is_some()),
        ("entrypoint", entrypoint.is_some()),
        ("environment", environment.is_some()),
        ("env_file", env_file.is_some()),
        ("secret", !secret.is_empty()),
        ("plain", !plain.is_empty()),
        ("ports", !ports.is_empty()),
        ("volumes", !volumes.is_empty()),
        ("networks", !networks.is_empty()),
        ("user", user.is_some()),
        ("shm_size", shm_size.is_some()),
        ("ipc", ipc.is_some()),
        ("devices", !devices.is_empty()),
        ("ulimits", ulimits.is_some()),
        ("labels", labels.is_some()),
        ("healthcheck", healthcheck.is_some()),
        ("gpu_access", gpu_access.is_some()),
    ]
    .into_iter()
    .chain(options::stated(written))
    .filter_map(|(key, set)| set.then_some(key))
    .collect()
}

fn named(context: &mut ResolveContext<'_>, own_name: &str, written: &DockerBlock) -> ObjectName {
    match &written.container_name {
        Some(name) => {
            valid_name(context, name);
            ObjectName::new(&name.value)
        }
        None => ObjectName::new(format!("{}-{own_name}", context.project)),
    }
}

/// Rejects `auto_remove` on a container that lcm creates, which is never removed by its end.
fn kept(context: &mut ResolveContext<'_>, written: &DockerBlock) {
    if let Some(auto_remove) = &written.auto_remove {
        let message = "`auto_remove` is for a container that exists already: those that lcm creates are kept";
        context.error("lcm::manifest::conflict", auto_remove.span, message, "this has no effect here");
    }
}

fn created(
    context: &mut ResolveContext<'_>,
    own_name: &str,
    service: &ServiceBlock,
    written: &Located<DockerBlock>,
) -> Option<ResolvedRuntime> {
    kept(context, written);
    let Some(image) = &written.image else {
        let help = "write `image: …` for one that lcm creates, or `container: …` for one that exists";
        context.missing(written, "a container needs an `image`, or is named by `container`", help);
        return None;
    };
    if image.trim().is_empty() {
        context.error("lcm::manifest::empty", image.span, "the image has no name", "this name");
    }
    let name = named(context, own_name, written);
    let pairs = WrittenEnvironment {
        pairs: written.environment.as_ref(),
        env_files: written.env_file.as_ref(),
        secret: &written.secret,
        plain: &written.plain,
        gets_gpus: gets_gpus(service) && !matches!(written.gpu_access, Some(GpuAccessValue::None)),
    };
    let environment = environment(context, service, pairs);
    let published = published(context, written);
    let joined = networks::joined(context, &written.networks);
    let container = ContainerSpec {
        options: options(context, service, written),
        ..container(context, (name, image), written, (&published, &joined))
    };
    let (volumes, spec_volumes) = volumes(context, &written.volumes);
    let mut config = hashed_config(written, &container, (&spec_volumes, &joined.keys));
    if let Some(masked) = environment.masked() {
        config.insert("environment".to_owned(), masked);
    }
    if as_index(service) {
        config.insert("gpu_as".to_owned(), "index".into());
    }
    let container = ContainerSpec { environment: environment.values, volumes, ..container };
    Some(ResolvedRuntime {
        workload: container.into(),
        spec: Spec::new(Value::Object(config), environment.secrets),
        missing_secrets: environment.missing.into_iter().collect(),
        published: Some(published),
        object: written.container_name.as_ref().map(|name| name.span),
    })
}

/// Returns the container, with its environment, volumes and options left empty: the caller adds them.
fn container(
    context: &mut ResolveContext<'_>,
    (name, image): (ObjectName, &str),
    written: &DockerBlock,
    (published, joined): (&[(PublishedPort, Span)], &JoinedNetworks),
) -> ContainerSpec {
    ContainerSpec {
        name,
        image: image.to_owned(),
        pull: written.pull_policy.map_or(PullPolicy::Missing, PullPolicy::from),
        command: argv(context, written.command.as_ref()),
        entrypoint: argv(context, written.entrypoint.as_ref()),
        environment: BTreeMap::new(),
        ports: published.iter().map(|(port, _)| port.clone()).collect(),
        volumes: Vec::new(),
        networks: joined.names.clone(),
        attachments: joined.attachments.clone(),
        user: written.user.as_ref().map(|ScalarText(user)| user.clone()),
        shm_size_bytes: written.shm_size.as_ref().map(|size| size.0),
        ipc: written.ipc.as_ref().map(|ipc| options::ipc(context, ipc)),
        devices: devices(context, &written.devices),
        ulimits: ulimits(written),
        labels: labels(context, written.labels.as_ref()),
        options: ContainerOptions::default(),
        healthcheck: written.healthcheck.as_ref().map(|check| healthcheck(context, check)),
        gpu_access: written.gpu_access.map_or(GpuAccess::Request, GpuAccess::from),
    }
}

impl From<PullPolicyValue> for PullPolicy {
    fn from(written: PullPolicyValue) -> Self {
        match written {
            PullPolicyValue::Missing => Self::Missing,
            PullPolicyValue::Always => Self::Always,
            PullPolicyValue::Never => Self::Never,
        }
    }
}

impl From<GpuAccessValue> for GpuAccess {
    fn from(written: GpuAccessValue) -> Self {
        match written {
            GpuAccessValue::Request => Self::Request,
            GpuAccessValue::Environment => Self::Environment,
            GpuAccessValue::None => Self::None,
        }
    }
}

/// Returns the part of the definition that the spec hash covers: only keys that are set, so that a new default
/// recreates nothing.
fn hashed_config(
    written: &DockerBlock,
    container: &ContainerSpec,
    (volumes, networks): (&[String], &[String]),
) -> Map<String, Value> {
    // Every field by its name, so that a new one is not forgotten here.
    let ContainerSpec {
        // In the hash only where the manifest states it.
        name: _,
        image,
        // The time of a pull recreates nothing.
        pull: _,
        command,
        entrypoint,
        // Added by the caller, masked.
        environment: _,
        ports,
        // Absolute here; the hash covers the paths that the manifest means.
        volumes: _,
        // Under the project's name here; the hash covers the names that the manifest has.
        networks: _,
        // Compared as real settings, which the engine can change while the container runs.
        attachments: _,
        user,
        shm_size_bytes,
        ipc,
        devices,
        ulimits,
        labels,
        options,
        healthcheck,
        // In the hash only where the manifest states it.
        gpu_access: _,
    } = container;
    let ports: Vec<String> = ports.iter().map(ports::text).collect();
    let ulimit = |limit: &Ulimit| json!({ "soft": limit.soft, "hard": limit.hard });
    let ulimits: Map<String, Value> = ulimits.iter().map(|(name, limit)| (name.clone(), ulimit(limit))).collect();
    let gpu_access = written.gpu_access.map(|access| match access {
        GpuAccessValue::Request => "request",
        GpuAccessValue::Environment => "environment",
        GpuAccessValue::None => "none",
    });
    let list = |items: &[String]| (!items.is_empty()).then(|| json!(items));
    let mut config = options::hashed(options);
    config.extend(set([
        ("image", Some(json!(image))),
        ("container_name", written.container_name.is_some().then(|| json!(container.name))),
        ("command", command.as_ref().map(|command| json!(command))),
        ("entrypoint", entrypoint.as_ref().map(|entrypoint| json!(entrypoint))),
        ("ports", list(&ports)),
        ("volumes", list(volumes)),
        ("networks", list(networks)),
        ("user", user.as_ref().map(|user| json!(user))),
        ("shm_size_bytes", shm_size_bytes.map(|size| json!(size))),
        ("ipc", ipc.as_ref().map(|ipc| json!(ipc))),
        ("devices", list(devices)),
        ("ulimits", (!ulimits.is_empty()).then_some(Value::Object(ulimits))),
        ("labels", (!labels.is_empty()).then(|| json!(labels))),
        ("healthcheck", healthcheck.as_ref().map(hashed_healthcheck)),
        ("gpu_access", gpu_access.map(|access| json!(access))),
    ]));
    config
}

fn hashed_healthcheck(check: &ImageHealthcheck) -> Value {
    // Every field by its name, so that a new one is not forgotten here.
    let ImageHealthcheck { test, interval, timeout, retries, start_period } = check;
    let milliseconds = |period: Duration| json!(u64::try_from(period.as_millis()).unwrap_or(u64::MAX));
    Value::Object(set([
        ("test", (!test.is_empty()).then(|| json!(test))),
        ("interval_ms", interval.map(milliseconds)),
        ("timeout_ms", timeout.map(milliseconds)),
        ("retries", retries.map(|retries| json!(retries))),
        ("start_period_ms", start_period.map(milliseconds)),
    ]))
}

fn set<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

fn valid_name(context: &mut ResolveContext<'_>, name: &Located<String>) {
    if !is_name(name) || name.len() < 2 {
        let message = format!("invalid container name `{}`", name.value);
        let help = "write two or more letters, digits, `_`, `.` and `-`, beginning with a letter or digit";
        context.error_with_help("lcm::manifest::name", name.span, (message, "this name"), help);
    }
}

fn argv(context: &mut ResolveContext<'_>, command: Option<&Located<CommandLine>>) -> Option<Vec<String>> {
    let command = command?;
    match &command.value {
        CommandLine::Words(words) => Some(words.clone()),
        CommandLine::Line(line) => match command_line::split(line) {
            Ok(words) => Some(words),
            Err(reason) => {
                let message = format!("this can't be cut into words: {reason}");
                context.error_with_help(
                    "lcm::manifest::command",
                    command.span,
                    (message, "this command"),
                    "write it as a list",
                );
                None
            }
        },
    }
}

fn published(context: &mut ResolveContext<'_>, written: &DockerBlock) -> Vec<(PublishedPort, Span)> {
    let mut all = Vec::new();
    for port in &written.ports {
        match ports::parse(&port.0) {
            Ok(ports) if all.len() + ports.len() > PORTS_MAX => {
                context.error(
                    "lcm::manifest::port",
                    port.span,
                    "more ports are published than a host has",
                    "these too",
                );
                break;
            }
            Ok(ports) => all.extend(ports.into_iter().map(|published| (published, port.span))),
            Err(fault) => {
                context.error_with_help("lcm::manifest::port", port.span, (fault.message, "this port"), fault.help);
            }
        }
    }
    all
}

fn ulimits(written: &DockerBlock) -> BTreeMap<String, Ulimit> {
    let limits = written.ulimits.iter().flat_map(|limits| &limits.0);
    limits.map(|(name, limit)| (name.value.clone(), Ulimit { soft: limit.soft, hard: limit.hard })).collect()
}

fn healthcheck(context: &mut ResolveContext<'_>, written: &Located<Healthcheck>) -> ImageHealthcheck {
    let test = match (written.disable, written.test.as_ref().map(|test| (test, &test.value))) {
        (Some(true), _) => vec!["NONE".to_owned()],
        (Some(false) | None, Some((_, CommandLine::Line(line)))) => vec!["CMD-SHELL".to_owned(), line.clone()],
        (Some(false) | None, Some((test, CommandLine::Words(words)))) => {
            let kind = words.first().map_or("", String::as_str);
            if !["CMD", "CMD-SHELL", "NONE"].contains(&kind) {
                let message = format!("a list in `test` begins with CMD, CMD-SHELL or NONE, not with `{kind}`");
                let help = "write `[CMD, …]`, or a string for the container's shell";
                context.error_with_help("lcm::manifest::command", test.span, (message, "this list"), help);
            }
            words.clone()
        }
        // The image's own check.
        (Some(false) | None, None) => Vec::new(),
    };
    ImageHealthcheck {
        test,
        interval: written.interval.map(|period| period.0),
        timeout: written.timeout.map(|period| period.0),
        retries: written.retries,
        start_period: written.start_period.map(|period| period.0),
    }
}
