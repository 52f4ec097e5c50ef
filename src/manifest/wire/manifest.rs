//! Top level of a manifest file: the project's keys, the GPUs, modes and goals.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::manifest::wire::example::Example;
use crate::manifest::wire::hooks::NotifierBlock;
use crate::manifest::wire::lifecycle::Lifecycle;
use crate::manifest::wire::service::{Runnable, ServiceBlock};
use crate::manifest::wire::shape::{NamedMap, OneOrMany};
use crate::runtime::list::{runtime_with_networks, runtimes_with_settings};
use crate::syntax::located::Located;
use crate::syntax::scalar::ByteSize;

macro_rules! use_networks {
    ($runtime:ident) => {
        use crate::runtime::$runtime::wire::{NETWORKS_DESCRIPTION, Networks, networks_examples};
    };
}
runtime_with_networks!(use_networks);

macro_rules! define_manifest {
    ($($runtime:ident)*) => {
        /// Manifest of a project: the services of this machine, the modes that they run in, and the GPUs that they use.
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(title = "lcm manifest")]
        pub(crate) struct Manifest {
            /// Version of this format. Exactly one of the manifest's files must give it.
            #[schemars(extend("enum" = [1]), example = 1)]
            pub version: Option<Located<u32>>,
            /// Name of the project that the services below belong to on this host. Exactly one of the manifest's files
            /// must give it.
            #[schemars(regex(pattern = crate::syntax::scalar::NAME_OR_VARIABLE_PATTERN), example = &"studio")]
            pub name: Option<Located<String>>,
            /// Former name of the project, or a list of them. Processes and containers that lcm started under a former
            /// name belong to this project: they keep running without a restart, and `lcm down` stops and removes them
            /// too. No other manifest may use that name any more.
            #[schemars(example = "studio-old", example = ["studio-old", "atelier"])]
            #[schemars(with = "Option<OneOrMany<crate::syntax::scalar::ProjectNameText>>")]
            pub renamed_from: Option<Located<OneOrMany<Located<String>>>>,
            /// Further files of the manifest, relative to this one. Defining the same name in two of them is an error.
            #[schemars(example = "gpu-templates.yaml", example = ["gpu-templates.yaml", "voices.yaml"])]
            #[expect(dead_code, reason = "followed by the loader, before types are known; here for the schema")]
            pub include: Option<OneOrMany<String>>,
            /// Default mode, used unless the command line or `lcm switch` selects a different one. A list activates
            /// several modes together: their services and goals are united. It is read from the entry file only (the
            /// file given on the command line), not from included files.
            #[schemars(example = &"voice", example = ["voice", "chat"])]
            pub mode: Option<Located<OneOrMany<Located<String>>>>,
            /// Handling of orphans: containers and processes that lcm started for this project, but whose services are
            /// no longer in the manifest.
            #[schemars(extend("default" = "report"), example = &"stop")]
            pub orphans: Option<Located<Orphans>>,
            /// Manifest that manages the project if several folders contain a manifest with this project name: the one
            /// applied first, or the one applied last.
            #[schemars(extend("default" = "first"), example = &"newest")]
            pub checkout: Option<Located<Checkout>>,
            /// Settings of the GPUs.
            #[schemars(example = Example(r#"{ "reserve": "512MiB", "devices": [{ "index": 0, "vram": "24GiB" }] }"#))]
            pub gpus: Option<Located<GpusBlock>>,
            /// Settings of the host's memory, for services with `ram`.
            #[schemars(example = Example(r#"{ "reserve": "4GiB" }"#))]
            pub host: Option<Located<HostBlock>>,
            $(
                #[schemars(
                    description = crate::runtime::$runtime::wire::SETTINGS_DESCRIPTION,
                    extend("examples" = crate::runtime::$runtime::wire::settings_examples())
                )]
                pub $runtime: Option<Located<crate::runtime::$runtime::wire::Settings>>,
            )*
            /// Names of environment variables, of any service, whose values are masked in every output. The lists of
            /// all files are combined; a service's own setting takes precedence.
            #[serde(default)]
            #[schemars(example = ["DB_PASSWORD"])]
            pub secret: Vec<Located<String>>,
            /// Names of environment variables, of any service, that are not secret, even if a value looks like a
            /// secret. The lists of all files are combined; a service's own setting takes precedence.
            #[serde(default)]
            #[schemars(example = ["MODEL"])]
            pub plain: Vec<Located<String>>,
            /// Templates: parts of services that other services use with `extends`.
            #[schemars(example = Example(r#"{ "web": { "health": { "timeout": "60s" } } }"#))]
            #[serde(default)]
            #[expect(dead_code, reason = "merged into services before types are known; read to tell their faults")]
            pub templates: NamedMap<ServiceBlock>,
            /// Services: process trees and containers.
            #[serde(default)]
            #[schemars(with = "NamedMap<Runnable>", example = Example(r#"{ "ollama": { "docker": { "image": "ollama/ollama:0.12" }, "vram": "18GB" } }"#))]
            pub services: NamedMap<Located<ServiceBlock>>,
            #[serde(default)]
            #[schemars(description = NETWORKS_DESCRIPTION, extend("examples" = networks_examples()))]
            pub networks: Networks,
            /// Sets of services that run together; one mode is active, or several together. Without modes, all services
            /// run. `auto` and `off` are reserved names.
            #[serde(default)]
            #[schemars(example = Example(r#"{ "chat": { "services": ["ollama"], "others": "keep" } }"#))]
            pub modes: NamedMap<Located<ModeBlock>>,
            /// Goals that need services.
            #[serde(default)]
            #[schemars(example = Example(r#"{ "narrate": { "phases": [3], "priority": 60 } }"#))]
            pub goals: NamedMap<Located<GoalBlock>>,
            /// Rules that forbid state changes or allow additional ones, always or at certain times. The rules of all
            /// files are combined.
            #[schemars(example = Example(r#"{ "deny": [{ "from": "busy", "services": "comfyui", "reason": "renders for clients" }] }"#))]
            pub lifecycle: Option<Located<Lifecycle>>,
            /// Receivers of change notifications. The lists of all files are combined.
            #[serde(default)]
            #[schemars(example = Example(r#"[{ "exec": ["./tell.sh"], "classes": "in_error" }]"#))]
            pub notify: Vec<Located<NotifierBlock>>,
        }
    };
}
runtimes_with_settings!(define_manifest);

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Orphans {
    /// Orphans are reported and left alone.
    Report,
    /// Orphans are stopped. Their containers are removed by `lcm apply --prune` or `lcm down`.
    Stop,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Checkout {
    /// The manifest applied first. As long as it exists, `lcm apply` in another folder starts services that are not
    /// running but leaves running ones unchanged, unless `--take-over` is given.
    First,
    /// The manifest applied last: each apply takes over.
    Newest,
}

/// GPUs of the machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Gpus")]
pub(crate) struct GpusBlock {
    /// Memory kept free on every GPU.
    #[schemars(extend("default" = "0MiB"), example = "512MiB")]
    pub reserve: Option<Located<ByteSize>>,
    /// GPUs declared by hand, for a host that has no driver (CI) or whose driver reports too little memory (unified
    /// memory). These values override the driver's.
    #[serde(default)]
    #[schemars(example = Example(r#"[{ "index": 0, "vram": "24GiB" }]"#))]
    pub devices: Vec<Located<Device>>,
}

/// Memory of the host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Host")]
pub(crate) struct HostBlock {
    /// Host memory kept free: no service with `ram` starts if less would remain available.
    #[schemars(extend("default" = "1GiB"), example = "4GiB")]
    pub reserve: Option<Located<ByteSize>>,
}

/// GPU declared by this manifest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Device {
    /// Index of the GPU, as the driver numbers it.
    #[schemars(example = 0)]
    pub index: Located<u32>,
    /// Memory of the GPU.
    #[schemars(example = "24GiB")]
    pub vram: Located<ByteSize>,
    /// UUID of the GPU; needed if services refer to the GPU by UUID.
    #[schemars(example = "GPU-8f1e2a34-1111-2222-3333-444455556666")]
    pub uuid: Option<Located<String>>,
    /// True if the GPU uses the host's memory: GB10, Jetson, AMD APUs. Such a GPU never has more memory than the host,
    /// and memory on it counts as host memory too.
    #[schemars(extend("default" = false), example = true)]
    pub unified: Option<bool>,
}

/// Mode: a set of services that run together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Mode")]
pub(crate) struct ModeBlock {
    /// Purpose of the mode, in a few words.
    #[schemars(example = "Render video")]
    pub description: Option<String>,
    /// Services that must run in this mode, with all their dependencies.
    #[serde(default)]
    #[schemars(example = ["comfyui"])]
    pub services: Vec<Located<String>>,
    /// Goals that are active in this mode.
    #[serde(default)]
    #[schemars(example = ["narrate"])]
    pub goals: Vec<Located<String>>,
    /// Services that must be off in this mode.
    #[serde(default)]
    #[schemars(example = ["ollama"])]
    pub stop: Vec<Located<String>>,
    /// Handling of running services that are not part of this mode.
    #[schemars(extend("default" = "stop"), example = &"keep")]
    pub others: Option<OthersValue>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Others")]
pub(crate) enum OthersValue {
    /// They are stopped.
    Stop,
    /// They keep running as long as the GPU memory suffices.
    Keep,
}

/// Goal: a purpose that needs services.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Goal")]
pub(crate) struct GoalBlock {
    /// Purpose of the goal, in a few words.
    #[schemars(example = "Read scripts aloud")]
    pub description: Option<String>,
    /// Services that the goal needs, by name.
    #[serde(default)]
    #[schemars(example = ["cosyvoice"])]
    pub services: Vec<Located<String>>,
    /// Phases that the goal needs: every service that lists one of them under `phases` is needed.
    #[serde(default)]
    #[schemars(example = [3], inner(range(min = 1)))]
    pub phases: Vec<Located<u32>>,
    /// Priority: higher preempts lower. While the goal is active, the services that it needs have at least this
    /// priority.
    #[schemars(extend("default" = 0), example = 60)]
    pub priority: Option<i64>,
}
