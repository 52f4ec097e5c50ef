//! Block of a container as it is written. The keys are Compose's, with Compose's meaning.

pub(crate) mod networks;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::manifest::wire::example::Example;
use crate::manifest::wire::shape::{CommandLine, EnvironmentValue, NamedMap, OneOrMany, Pairs};
use crate::manifest::wire::ulimit::UlimitBlock;
use crate::runtime::docker::wire::networks::ServiceNetworks;
use crate::runtime::docker::wire::values::{CpuCount, LoggingBlock};
use crate::syntax::located::Located;
use crate::syntax::pattern::PUBLISHED_PORT_PATTERN;
use crate::syntax::scalar::{ByteSize, DurationText, ScalarText};

pub(super) mod values;

/// Type of this runtime's key, under the name that the list of runtimes knows.
pub(crate) use self::DockerBlock as Block;

/// Description of the key in editors.
pub(crate) const DESCRIPTION: &str =
    "A container: one that lcm creates, by `image`, or an existing one, by `container`.";

/// Hint for a service without a runtime.
pub(crate) const HINT: &str = "`docker:` with an image or a container";

/// Key that no other runtime has; it identifies a block of this runtime.
pub(crate) const MARK: &str = "pull_policy";
/// Key that a plain text in place of the block stands for.
pub(crate) const MAIN_KEY: &str = "image";
/// Block that an editor offers, as JSON with places to fill in, and its description.
pub(crate) const SNIPPET: (&str, &str) = (
    r#"{ "image": "${2:ollama/ollama:0.12}", "ports": ["${3:11434}:${3:11434}"] }"#,
    "Service as a container that lcm creates",
);

/// Keys that only this runtime has.
pub(crate) const KEYS: &[&str] = &[
    "container",
    "auto_remove",
    "image",
    "pull_policy",
    "container_name",
    "entrypoint",
    "ports",
    "volumes",
    "networks",
    "user",
    "shm_size",
    "ipc",
    "devices",
    "labels",
    "hostname",
    "extra_hosts",
    "dns",
    "working_dir",
    "init",
    "tmpfs",
    "cap_add",
    "cap_drop",
    "security_opt",
    "privileged",
    "group_add",
    "mem_limit",
    "cpus",
    "logging",
    "healthcheck",
    "gpu_access",
];

/// Keys that other runtimes have too, and a service does not.
pub(crate) const SHARED_KEYS: &[&str] = &["command", "environment", "env_file", "ulimits"];

/// True if the keys are Compose's, so that users may write other keys of Compose's beside them.
pub(crate) const HAS_COMPOSE_KEYS: bool = true;

/// Description in editors of this runtime's key at the top of a manifest.
pub(crate) const SETTINGS_DESCRIPTION: &str = "The container engine, if it is not the local one.";

/// Description in editors of this runtime's key in `health`.
pub(crate) const HEALTH_DESCRIPTION: &str = "The health check of the image, or of `healthcheck`.";

/// Examples of settings for editors.
pub(crate) fn settings_examples() -> Value {
    json!([{ "host": "tcp://10.0.0.5:2375" }])
}

/// Description in editors of the networks that a manifest defines.
pub(crate) const NETWORKS_DESCRIPTION: &str = "Networks that services join: lcm makes them before the first start that \
    needs them, and `lcm down` removes them. With `external: true`: existing ones.";

/// Examples of networks for editors.
pub(crate) fn networks_examples() -> Value {
    json!([{ "front": {}, "back": { "internal": true } }, { "proxy": { "external": true, "name": "traefik" } }])
}

/// Type of the networks that a manifest defines.
pub(crate) type Networks = NamedMap<networks::MaybeEmpty<networks::NetworkBlock>>;

/// Type of this runtime's key at the top of a manifest.
pub(crate) use self::DockerSettings as Settings;

/// The container engine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Engine")]
pub(crate) struct DockerSettings {
    /// Address of the engine. A remote engine must be given here: `DOCKER_HOST` and Docker contexts are used only if
    /// they name a unix socket.
    #[schemars(regex(pattern = r"^(unix|tcp|http)://.+|\$"), example = "tcp://10.0.0.5:2375")]
    pub host: Located<String>,
}

/// Examples for editors.
pub(crate) fn examples() -> Value {
    json!([{ "image": "ollama/ollama:0.12", "ports": ["11434:11434"] }, { "container": "mcn_cosyvoice" }])
}

/// Schema of a complete block.
pub(crate) fn complete() -> Value {
    json!({ "oneOf": [{ "required": ["container"] }, { "required": ["image"] }] })
}

/// Container: one that lcm creates, by `image`, or an existing one, by `container` alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Docker", extend(
    "if" = { "required": ["container"] },
    "then" = { "propertyNames": { "anyOf": [{ "enum": ["container", "auto_remove"] }, { "pattern": "^x-" }] } }
))]
pub(crate) struct DockerBlock {
    /// Name of an existing container: started and stopped, never created or removed.
    #[schemars(example = &"mcn_cosyvoice")]
    pub container: Option<Located<String>>,
    /// Allows lcm to stop an existing container that was created with `--rm`, though the engine then removes it with
    /// its anonymous volumes.
    #[schemars(example = &"accept")]
    pub auto_remove: Option<Located<AutoRemove>>,
    /// Image of a container that lcm creates, recreates on change, and removes on `down`.
    #[schemars(length(min = 1), example = "ollama/ollama:0.12")]
    pub image: Option<Located<String>>,
    /// Pull policy: when the image is pulled.
    #[schemars(extend("default" = "missing"), example = &"always")]
    pub pull_policy: Option<PullPolicyValue>,
    /// Name of the container. Unset: `PROJECT-SERVICE`.
    #[schemars(example = &"ollama")]
    pub container_name: Option<Located<String>>,
    /// Arguments of the entrypoint. A string is split into words as by a shell.
    #[schemars(example = ["serve"], example = "serve --verbose")]
    pub command: Option<Located<CommandLine>>,
    /// Program that replaces the image's own entrypoint. A string is split into words as by a shell.
    #[schemars(example = ["/bin/ollama"])]
    pub entrypoint: Option<Located<CommandLine>>,
    /// Environment of the container. `{ env: NAME }` is a secret from lcm's own environment, masked everywhere;
    /// `{ file: PATH }` is a secret from a file.
    #[schemars(example = Example(r#"{ "OLLAMA_DEBUG": 1, "HF_TOKEN": { "env": "HF_TOKEN" } }"#), example = ["OLLAMA_DEBUG=1"])]
    pub environment: Option<Located<Pairs<EnvironmentValue>>>,
    /// Files of `KEY=value` lines, relative to this file; their values are secrets. `environment` overrides them.
    #[schemars(example = ".env", example = [".env", "secrets.env"])]
    pub env_file: Option<OneOrMany<Located<String>>>,
    /// Names of variables whose values are always masked in output, even if they do not look like secrets.
    #[serde(default)]
    #[schemars(example = ["DB_PASSWORD"])]
    pub secret: Vec<Located<String>>,
    /// Names of variables that are not secret, even if a value looks like a secret: their values are shown in output,
    /// and a changed value counts as a change to the service's spec.
    #[serde(default)]
    #[schemars(example = ["MODEL"])]
    pub plain: Vec<Located<String>>,
    /// Published ports: `HOST:CONTAINER`, `ADDRESS:HOST:CONTAINER`, with `/udp` for UDP; `CONTAINER` alone takes any
    /// free port of the host.
    #[serde(default)]
    #[schemars(inner(regex(pattern = PUBLISHED_PORT_PATTERN)), example = ["11434:11434"])]
    pub ports: Vec<Located<ScalarText>>,
    /// Mounts: `SOURCE:TARGET`, with `:ro` for read-only. The source is a volume's name or a path relative to this
    /// file.
    #[serde(default)]
    #[schemars(example = ["ollama:/root/.ollama", "./models:/models:ro"])]
    pub volumes: Vec<Located<String>>,
    /// Networks to join: those of `networks` at the top, which lcm makes, or existing ones of the engine. A map gives
    /// the service further names (`aliases`) or a fixed address there.
    #[serde(default)]
    #[schemars(example = ["bridge"], example = Example(r#"{ "front": { "aliases": ["api"] } }"#))]
    pub networks: ServiceNetworks,
    /// User, and optionally group, that the container runs as: `USER` or `USER:GROUP`.
    #[schemars(example = "1000:1000")]
    pub user: Option<ScalarText>,
    /// Size of `/dev/shm`.
    #[schemars(example = "8GiB")]
    pub shm_size: Option<Located<ByteSize>>,
    /// IPC namespace: `host`, `private`, `shareable`, `none`, or another container's by `container:NAME`.
    #[schemars(example = &"host")]
    pub ipc: Option<Located<String>>,
    /// Devices of the host: `HOST`, `HOST:CONTAINER` or `HOST:CONTAINER:RIGHTS`; the rights are letters of `rwm` (read,
    /// write, mknod), all three by default.
    #[serde(default)]
    #[schemars(example = ["/dev/dri:/dev/dri"])]
    pub devices: Vec<Located<String>>,
    /// Ulimits of the container, by name: one number for both the soft and the hard limit, or each separately.
    #[schemars(example = Example(r#"{ "memlock": -1, "nofile": { "soft": 1024, "hard": 4096 } }"#))]
    pub ulimits: Option<NamedMap<Located<UlimitBlock>>>,
    /// Labels of the container. Those that begin with `lcm.` are reserved.
    #[schemars(example = Example(r#"{ "team": "audio" }"#), example = ["team=audio"])]
    pub labels: Option<Located<Pairs<ScalarText>>>,
    /// Host name inside the container. Unset: the beginning of the container's id.
    #[schemars(example = &"comfyui")]
    pub hostname: Option<Located<String>>,
    /// Further names in the container's `/etc/hosts`, each with its address: `HOST:ADDRESS`, or a map. The address
    /// `host-gateway` is this machine's.
    #[schemars(example = ["host.docker.internal:host-gateway"], example = Example(r#"{ "models.lan": "10.0.0.7" }"#))]
    pub extra_hosts: Option<Located<Pairs<OneOrMany<Located<String>>>>>,
    /// DNS servers, by address, in the order in which they are queried.
    #[schemars(example = "10.0.0.1", example = ["10.0.0.1", "1.1.1.1"])]
    pub dns: Option<OneOrMany<Located<String>>>,
    /// Working folder inside the container, absolute. Unset: the image's own.
    #[schemars(example = "/app")]
    pub working_dir: Option<Located<String>>,
    /// Runs a small init as first process, which forwards signals and reaps orphaned processes.
    #[schemars(extend("default" = false), example = true)]
    pub init: Option<bool>,
    /// Folders in memory: `PATH`, or `PATH:OPTIONS` with the mount options of the kernel.
    #[schemars(example = "/run", example = ["/run", "/tmp:size=64m,mode=1777"])]
    pub tmpfs: Option<OneOrMany<Located<String>>>,
    /// Capabilities of the kernel that the container has beside the default ones; `ALL` for all of them.
    #[serde(default)]
    #[schemars(example = ["SYS_NICE", "IPC_LOCK"])]
    pub cap_add: Vec<Located<String>>,
    /// Default capabilities that the container does not have; `ALL` for none but those of `cap_add`.
    #[serde(default)]
    #[schemars(example = ["ALL"])]
    pub cap_drop: Vec<Located<String>>,
    /// Security options: `no-new-privileges`, `seccomp=unconfined`, `apparmor=PROFILE`, `label=VALUE`.
    #[serde(default)]
    #[schemars(example = ["no-new-privileges"])]
    pub security_opt: Vec<Located<String>>,
    /// Gives the container all capabilities and devices of this machine, the GPUs that it is not assigned included. Its
    /// processes are then as powerful as root outside of it.
    #[schemars(extend("default" = false), example = true)]
    pub privileged: Option<bool>,
    /// Further groups of the container's user, by name or number.
    #[serde(default)]
    #[schemars(example = ["video"], example = [44])]
    pub group_add: Vec<Located<ScalarText>>,
    /// Limit of the container's memory (RAM). Beyond it the kernel kills processes in the container. A change is applied
    /// while the container runs.
    #[schemars(example = "24GiB")]
    pub mem_limit: Option<Located<ByteSize>>,
    /// Limit of CPU time, as a number of CPUs. A change is applied while the container runs.
    #[schemars(example = 4, example = 1.5)]
    pub cpus: Option<Located<CpuCount>>,
    /// Destination of the container's output. Unset: the engine's default.
    #[schemars(example = Example(r#"{ "driver": "json-file", "options": { "max-size": "20m", "max-file": 3 } }"#))]
    pub logging: Option<Located<LoggingBlock>>,
    /// Health check that the engine runs inside the container, instead of the image's own.
    #[schemars(example = Example(r#"{ "test": ["CMD", "curl", "-f", "http://localhost"], "interval": "10s" }"#))]
    pub healthcheck: Option<Located<Healthcheck>>,
    /// Way in which the container gets access to its GPUs: a device request by UUID, only the variable
    /// `NVIDIA_VISIBLE_DEVICES`, or nothing.
    #[schemars(extend("default" = "request"), example = &"environment")]
    pub gpu_access: Option<GpuAccessValue>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AutoRemove {
    /// lcm may stop the container, although the engine then removes it.
    Accept,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "PullPolicy")]
pub(crate) enum PullPolicyValue {
    /// The image is pulled if it is missing.
    Missing,
    /// The image is pulled before each start.
    Always,
    /// The image is never pulled: it must exist.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "GpuAccess")]
pub(crate) enum GpuAccessValue {
    /// A device request by UUID.
    Request,
    /// Only the variable `NVIDIA_VISIBLE_DEVICES`, for container runtimes that read it.
    Environment,
    /// Nothing, for containers that only simulate a GPU.
    None,
}

/// Health check that the engine runs inside the container.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Healthcheck {
    /// `[CMD, …]`, `[CMD-SHELL, …]`, `[NONE]`, or a string for the container's shell.
    #[schemars(example = ["CMD", "curl", "-f", "http://localhost"], example = "curl -f http://localhost")]
    pub test: Option<Located<CommandLine>>,
    /// Time between two checks.
    #[schemars(extend("default" = "30s"), example = "10s")]
    pub interval: Option<DurationText>,
    /// Deadline of one check.
    #[schemars(extend("default" = "30s"), example = "5s")]
    pub timeout: Option<DurationText>,
    /// Number of consecutive failures after which the container is unhealthy.
    #[schemars(extend("default" = 3), example = 5)]
    pub retries: Option<u32>,
    /// Time after a start in which failures don't count.
    #[schemars(extend("default" = "0s"), example = "1m")]
    pub start_period: Option<DurationText>,
    /// Turns off the image's own check.
    #[schemars(extend("default" = false), example = true)]
    pub disable: Option<bool>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::{DockerBlock, KEYS, SHARED_KEYS};

    #[test]
    fn each_field_of_the_block_is_in_a_list_of_keys() {
        let schema = schemars::schema_for!(DockerBlock);
        let fields = schema.get("properties").and_then(Value::as_object).expect("properties");
        let fields: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
        // No advice names the last two as keys of another place.
        let listed = [KEYS, SHARED_KEYS, &["secret", "plain"]].concat();
        assert_eq!(fields, listed.into_iter().collect());
    }
}
